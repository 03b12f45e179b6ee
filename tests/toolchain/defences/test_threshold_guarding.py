"""The membrane-potential constraint: its values by hand, its gradient by finite differences, its
schedule, its statistic."""

from __future__ import annotations

import math

import pytest
import torch

import toolchain.layers as snn
from toolchain.defences.threshold_guarding import (
    Margin,
    ThresholdGuarding,
    near_threshold,
    near_threshold_of,
    penalty,
)
from toolchain.errors import ConfigError
from toolchain.layers.observation import Observation


def observed(potentials, threshold=1.0) -> Observation:
    potential = torch.tensor(potentials, dtype=torch.float64).reshape(1, 1, -1)
    return Observation(potential, torch.full(potential.shape[2:], threshold, dtype=torch.float64))


@pytest.mark.parametrize(
    ("power", "neurons", "expected"),
    [
        (1, "mean", ((0.3 + 0.1 + 0.2 + 0) / 4 + 0.1 / 2) / 2),
        (2, "mean", ((0.09 + 0.01 + 0.04 + 0) / 4 + 0.01 / 2) / 2),
        (1, "sum", (0.6 + 0.1) / 2),
        (2, "sum", (0.14 + 0.01) / 2),
    ],
)
def test_the_penalty_by_hand(power, neurons, expected):
    layers = {"a": observed([1.0, 1.2, 0.9, -4.0]), "b": observed([2.2, 0.0], threshold=2.0)}
    assert penalty(layers, 0.3, power, neurons).item() == pytest.approx(expected)


def test_the_penalty_on_the_potential_with_its_noise_by_hand():
    quiet = observed([1.0, 1.2, 0.9, -4.0])
    noisy = Observation(
        quiet.potential,
        quiet.threshold,
        torch.tensor([0.3, -0.1, 0.0, 5.0], dtype=torch.float64).reshape(1, 1, -1),
    )
    # compared are 1.3, 1.1, 0.9 and 1.0
    assert penalty({"a": noisy}, 0.3, potential="noisy").item() == pytest.approx(
        (0 + 0.2 + 0.2 + 0.3) / 4
    )
    assert penalty({"a": noisy}, 0.3).item() == penalty({"a": quiet}, 0.3, potential="noisy").item()


def test_what_is_observed_of_a_noisy_neuron_is_what_it_compares():
    lif = snn.LIF(1.0, beta=0.5, noise=0.5)
    torch.manual_seed(0)
    with snn.observe(lif) as seen:
        spikes = lif(torch.full((6, 3, 4), 0.75), sequence=True)
        again = lif(torch.full((2, 3, 4), 0.75), sequence=True)
    (layer,) = seen.layers().values()
    assert layer.noise.shape == layer.potential.shape == (8, 3, 4)
    assert torch.equal(layer.compared > layer.threshold, torch.cat([spikes, again]) > 0)


def test_images_both_is_the_mean_of_attacked_and_clean_images():
    layers = {"dense": snn.Linear(1, 1, bias=False, source_fraction_bits=2), "lif": snn.IF(1.0)}

    class Step:
        model = snn.Network(layers, input_shape=(1,), message_bits=4, fraction_bits=2)
        progress, clean = 1.0, torch.full((4, 1, 1), 0.5)

        def scores(self, x):
            return self.model.scores(x)

    torch.nn.init.constant_(Step.model.dense.weight, 1.0)
    step, parts = Step(), []
    for images in ("trained", "both"):
        hook = ThresholdGuarding(Margin(0.4, 1.0, images=images))
        with hook.watching(step):
            scores = step.scores(torch.full((4, 1, 1), 0.75))
        parts.append(hook.penalty(step, scores).item())
    # attacked: 0.75, 1.5 and a spike, twice; clean: 0.5, 1 (at the threshold, no spike), 1.5 and a
    # spike, 0.5
    assert parts == pytest.approx([2 * 0.15 / 4, (2 * 0.15 / 4 + 0.4 / 4) / 2])


def test_the_penalty_does_not_depend_on_batch_or_steps():
    potential = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(0))
    one = Observation(potential, torch.ones(6))
    twice = Observation(potential.repeat(2, 3, 1), torch.ones(6))
    for neurons in ("mean", "sum"):
        assert penalty({"a": one}, 0.5, 1, neurons).item() == pytest.approx(
            penalty({"a": twice}, 0.5, 1, neurons).item()
        )


def test_a_network_without_spiking_layers_has_no_penalty():
    model = snn.Network(
        {"dense": snn.Linear(2, 2), "readout": snn.LI(0.9)},
        input_shape=(2,),
        decode="last_potential",
    )
    with snn.observe(model) as seen:
        model(torch.ones(3, 1, 2))
    assert penalty(seen.layers(), 0.3).item() == 0
    assert near_threshold(seen.layers(), 0.3).share == 0


@pytest.mark.parametrize("power", [1, 2])
def test_the_gradient_is_that_of_finite_differences_where_no_neuron_fires(power):
    """Below threshold the potential is a smooth function of the currents, through all earlier
    steps; steps of many lsb."""
    lif = snn.LIF(2.0, beta=0.75, fraction_bits=15).double()
    currents = torch.tensor([0.9, 0.3, 0.5, 0.2], dtype=torch.float64).reshape(4, 1, 1)
    currents = torch.cat([currents, currents / 2], 2)
    currents = torch.round(currents * 2**15) / 2**15

    def value(x):
        with snn.observe(lif) as seen:
            spikes = lif(x, sequence=True)
        assert not spikes.any()
        return penalty(seen.layers(), 0.9, power)

    x = currents.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(x), x)
    assert bool((gradient[:, 0, 0] > 0).any())
    assert not gradient[:, 0, 1].any()  # farther than delta from the threshold in every step
    h = 2.0**-10
    for place in [(t, 0, n) for t in range(4) for n in range(2)]:
        up, down = currents.clone(), currents.clone()
        up[place], down[place] = up[place] + h, down[place] - h
        difference = (value(up) - value(down)).item() / (2 * h)
        assert gradient[place].item() == pytest.approx(difference, abs=2e-3)


def test_the_penalty_pushes_potentials_away_on_both_sides():
    potential = torch.tensor([[[0.9, 1.1, 2.0]]], requires_grad=True)
    penalty({"a": Observation(potential, torch.ones(3))}, 0.3).backward()
    below, above, far = potential.grad.flatten().tolist()
    assert below > 0 > above
    assert far == 0


def test_the_schedule():
    cosine, constant = Margin(0.3, 2.0), Margin(0.3, 2.0, schedule="constant")
    assert [cosine.weight(p) for p in (0, 1 / 3, 0.5, 1)] == pytest.approx([0, 0.5, 1, 2])
    assert cosine.weight(0.25) == pytest.approx(1 - math.sqrt(0.5))
    assert [constant.weight(p) for p in (0, 1)] == [2, 2]


def test_the_share_near_threshold_by_hand():
    found = near_threshold(
        {"a": observed([1.0, 1.3, 0.5, -4.0]), "b": observed([2.2, 0.0], threshold=2.0)}, 0.3
    )
    assert found.layers == {"a": 0.25, "b": 0.5}  # exactly delta away is not near
    assert found.share == pytest.approx(2 / 6)


def test_the_share_of_a_model_is_that_of_its_potentials_before_the_reset():
    model = snn.Network(
        {"dense": snn.Linear(1, 1, bias=False), "lif": snn.IF(1.0)}, input_shape=(1,)
    )
    torch.nn.init.constant_(model.dense.weight, 0.75)
    x = torch.ones(
        4, 1, 1
    )  # 0.75, 1.5 and a spike, 0.75, 1.5 and a spike: after the reset it would be 0.75, 0, 0.75, 0
    assert near_threshold_of(model, x, 0.3).share == 0.5
    assert near_threshold_of(model, x, 0.6).layers == {"lif": 1.0}


def test_the_hook_weighs_by_progress_and_reports():
    class Step:
        model = snn.Network(
            {"dense": snn.Linear(1, 1, bias=False), "lif": snn.IF(1.0)}, input_shape=(1,)
        )
        progress = 0.5

    torch.nn.init.constant_(Step.model.dense.weight, 0.75)
    hook = ThresholdGuarding(Margin(0.3, 8.0))
    with hook.watching(Step()):
        scores = Step.model.scores(torch.ones(4, 1, 1))
    # lambda 4; two of four potentials 0.25 from the threshold
    assert hook.penalty(Step(), scores).item() == pytest.approx(4 * 0.05 / 2)
    assert hook.figures() == {"lambda": pytest.approx(4), "near_threshold": 0.5}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"delta": 0.0}, "defence.margin: delta is 0.0"),
        ({"lambda_max": -1.0}, "lambda_max is -1.0"),
        ({"power": 3}, "power is 3; it must be one of 1, 2"),
        ({"schedule": "linear"}, "schedule is 'linear'; it must be one of cosine, constant"),
        ({"neurons": "max"}, "neurons is 'max'; it must be one of mean, sum"),
    ],
)
def test_settings_that_are_refused(entries, message):
    with pytest.raises(ConfigError, match=message):
        Margin(**{"delta": 0.3, "lambda_max": 1.0} | entries)
