"""The energy attack: what it counts is what the chip counts, and it finds more of it."""

import numpy as np
import pytest

from hardware.program import Dense, Input, Output, Population, Program
from tests.toolchain.attacks import conftest
from tests.toolchain.attacks.test_victims import program_of
from toolchain.attacks.base import AttackError, Threat, verify
from toolchain.attacks.encoding import Direct
from toolchain.attacks.energy import Activity, Sponge, synapses_per_spike
from toolchain.attacks.estimators import make_estimator
from toolchain.attacks.optimisers.noise import Noise
from toolchain.attacks.victims import ProgramVictim


@pytest.fixture(scope="module")
def program(network):
    return program_of(network)


def counted(program, images, counter):
    recording = ProgramVictim(program, Direct(conftest.STEPS, 8, 4)).recording(images)
    return sum(recording.counts[counter].values())


def test_synapses_per_spike(program):
    found = synapses_per_spike(program)
    assert {n: (w.shape, set(w.ravel().tolist())) for n, w in found.items()} == {
        "input": ((1, 8, 8), {40}),
        "hidden": ((40,), {10}),
        "output": ((10,), {0}),
    }


def test_constant_sources_are_left_out():
    """What carries a bias fires whatever the input: nothing to drain, and no neuron of the PyTorch
    model."""
    source = Population("constant", (1,), bias=2, bias_exponent=6, threshold=1)
    neuron = Population("neuron", (3,), threshold=5)
    weights = np.full((3, 2), 4)
    projections = (
        Dense("from input", "input", "neuron", weights),
        Dense("bias", "constant", "neuron", weights[:, :1]),
    )
    program = Program(
        (Input("input", (2,)),), (source, neuron), projections, (Output("neuron", "spike_count"),)
    )
    assert {n: w.tolist() for n, w in synapses_per_spike(program).items()} == {
        "input": [3, 3],
        "neuron": [0, 0, 0],
    }


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("label", ["free", "unchanged"])
@pytest.mark.parametrize("count", ["spikes", "operations"])
def test_attack(victim, program, some, norm, label, count):
    images, labels = some[0][:20], some[1][:20]
    threat = Threat(norm, 0.1 if norm == "linf" else 0.5)
    attack = Sponge(
        12, label=label, weights=synapses_per_spike(program) if count == "operations" else None
    )
    result = attack(victim, images, labels, threat, estimator=make_estimator("atan"), seed=1)
    verify(images, result.adversarial, threat)
    clean, drained = result.history["clean_activity"][0], result.history["activity"][0]
    if count == "operations":
        assert np.array_equal(clean, counted(program, images, "syn_ops"))
        assert np.array_equal(drained, counted(program, result.adversarial, "syn_ops"))
    assert np.array_equal(result.success, drained > clean)
    assert drained.sum() > 1.1 * clean.sum()
    if label == "unchanged":
        assert np.array_equal(
            victim.predict(result.adversarial).argmax(axis=1), victim.predict(images).argmax(axis=1)
        )
    again = attack(victim, images, labels, threat, estimator=make_estimator("atan"), seed=1)
    assert np.array_equal(again.adversarial, result.adversarial)
    alone = attack(
        victim, images[3:4], labels[3:4], threat, estimator=make_estimator("atan"), seed=1
    )
    # to the rounding of sums that are taken in another order
    assert np.allclose(alone.adversarial, result.adversarial[3:4], atol=1e-6)
    assert alone.history["activity"][0, 0] == drained[3]


def test_spikes_are_those_of_all_neurons(victim, some):
    import torch

    activity = Activity(victim, None)
    images = torch.from_numpy(some[0][:5])
    with activity.counting(), torch.no_grad():
        victim.scores(images)
        found = activity.total
    network = victim.model
    x = network.first(network.flatten(victim.encoder(images), sequence=True))
    hidden = network.hidden(x, sequence=True)
    output = network.output(network.second(hidden), sequence=True)
    assert torch.equal(found, hidden.sum(dim=(0, 2)) + output.sum(dim=(0, 2)))
    assert not network.hidden._forward_hooks


def test_gradients_drain_more_than_noise(victim, program, some):
    images, labels = some
    threat = Threat("linf", 0.1)
    sponge = Sponge(12, weights=synapses_per_spike(program))(
        victim, images, labels, threat, estimator=make_estimator("atan")
    )
    noise = Noise(tries=1)(victim, images, labels, threat)
    assert sponge.history["activity"].sum() > counted(program, noise.adversarial, "syn_ops").sum()


def test_radius_zero_changes_nothing(victim, some):
    result = Sponge(3)(victim, some[0][:3], some[1][:3], Threat("linf", 0.0))
    assert np.array_equal(result.adversarial, some[0][:3])
    assert not result.success.any()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda v, p, x, y: Sponge(label="kept"), "free or unchanged"),
        (lambda v, p, x, y: Sponge(0), "steps is 0"),
        (
            lambda v, p, x, y: Sponge(2, weights={"other": np.ones(3)})(
                v, x, y, Threat("linf", 0.1)
            ),
            "no layer for neuron 'hidden'",
        ),
        (
            lambda v, p, x, y: Sponge(2, weights={**p, "more": np.ones(3)})(
                v, x, y, Threat("linf", 0.1)
            ),
            "without a neuron: input, more",
        ),
    ],
)
def test_refused(victim, program, some, make, said):
    with pytest.raises(AttackError, match=said):
        make(victim, synapses_per_spike(program), *some)
