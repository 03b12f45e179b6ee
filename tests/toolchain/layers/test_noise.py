"""What a loss can observe, and noisy neurons: their statistics, their two ways to compute, their
seeds, and their export."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import export
import hardware
import toolchain.layers as snn
from export.frameworks import trace
from hardware import noise
from hardware.comparison import compare
from hardware.recording import Record
from toolchain.deploy import software
from toolchain.errors import LayerError
from toolchain.layers import compiled, scan, surrogate, tensors

UNIT = 2.0**-16
"""lsb of the state with 10 fraction bits."""


def network(**lif) -> snn.Network:
    torch.manual_seed(3)
    layers = {
        "dense1": snn.Linear(6, 12),
        "lif1": snn.LIF(0.5, beta=0.75, **lif),
        "dense2": snn.Linear(12, 4),
        "lif2": snn.LIF(0.5, alpha=0.5, beta=0.5, reset="subtract", refractory=1, **lif),
    }
    for synapse in (layers["dense1"], layers["dense2"]):
        torch.nn.init.normal_(synapse.weight, 0.1, 0.5)
    model = snn.Network(layers, input_shape=(6,))
    snn.seed_noise(model, 5)
    return model.eval()


def spikes_in(steps: int = 9, batch: int = 3) -> torch.Tensor:
    return (torch.rand(steps, batch, 6, generator=torch.Generator().manual_seed(0)) < 0.5).float()


def test_observed_potentials_are_those_that_are_compared_and_nothing_is_kept_outside():
    model, x = network(), spikes_in()
    model(x)
    with snn.observe(model) as seen:
        spikes = model(x)
    layers = seen.layers()
    assert list(layers) == ["lif1", "lif2"]
    assert layers["lif1"].potential.shape == (9, 3, 12)
    assert layers["lif2"].threshold.tolist() == [0.5] * 4
    fires = layers["lif2"].potential > layers["lif2"].threshold
    assert bool(spikes.any())
    assert bool((fires | (spikes == 0)).all())  # a refractory neuron may be above its threshold
    assert model.lif1.observer is None
    model(x)
    assert len(seen.layers()["lif1"].potential) == 9


def test_calls_with_and_without_noise_are_observed_in_one_trace():
    model, x = network(noise=0.25), spikes_in()
    for modes in ((False, True), (True, False)):
        with snn.observe(model) as seen:
            for training in modes:
                model.train(training)(x)
        seen = seen.layers()["lif1"]
        assert seen.noise.shape == seen.potential.shape
        for training, added in zip(modes, seen.noise.split(len(x))):
            assert bool(added.any()) == training


def test_observing_changes_neither_the_forward_pass_nor_the_gradients():
    model, x = network(), spikes_in()
    found = []
    for watch in (False, True):
        model.zero_grad()
        if watch:
            with snn.observe(model) as seen:
                output = model(x)
            assert seen.layers()["lif1"].potential.requires_grad
        else:
            output = model(x)
        output.sum().backward()
        found.append([output.detach(), *(p.grad.clone() for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_feedback_is_observed_step_by_step_and_in_the_right_place():
    layer = snn.Recurrent(snn.LIF(1.0), snn.Linear(3, 3))
    with snn.observe(layer) as seen, torch.no_grad():
        layer(torch.ones(5, 2, 3), sequence=True)
    assert seen.layers()["neuron"].potential.shape == (5, 2, 3)


def phi(z):
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("z", [-1.5, -0.5, 0.0, 1.0])
def test_a_noisy_neuron_fires_as_often_as_phi_says(training, z):
    sigma, count = 0.25, 20_000
    lif = snn.LIF(
        1.0, voltage_decay=4096, reset="none", noise=sigma, noise_at_inference=True, noise_seed=11
    ).train(training)
    torch.manual_seed(0)
    current = torch.full((2, 1, count), 1.0 + z * sigma)
    rates = lif(current, sequence=True).mean((1, 2))
    # five deviations of the count, and 0.004 for the exported noise, which is a sum of eight
    # uniform bytes
    slack = 5 * math.sqrt(phi(z) * (1 - phi(z)) / count) + (0 if training else 0.004)
    assert rates.tolist() == pytest.approx([phi(z)] * 2, abs=slack)


def test_noise_does_not_stay_in_the_potential():
    lif, plain = (snn.LIF(100.0, beta=0.9, noise=n).train() for n in (5.0, 0.0))
    current = torch.ones(20, 2, 3)
    assert torch.equal(
        lif(current, sequence=True, return_states=True)[1],
        plain(current, sequence=True, return_states=True)[1],
    )


def test_training_noise_is_fresh_for_every_neuron_step_and_sample_and_comes_from_torch():
    lif = snn.LIF(1.0, voltage_decay=4096, reset="none", noise=0.5).train()
    current = torch.ones(4, 5, 200)
    torch.manual_seed(1)
    first, second = (lif(current, sequence=True) for _ in range(2))
    torch.manual_seed(1)
    assert torch.equal(lif(current, sequence=True), first)
    assert not torch.equal(first, second)
    for one in (first[0] - first[1], first[:, 0] - first[:, 1], first[..., 0] - first[..., 1]):
        assert bool(one.any())


def test_evaluation_without_noise_at_inference_is_the_plain_network():
    noisy, plain, x = network(noise=0.3), network(), spikes_in()
    assert torch.equal(noisy(x), plain(x))
    assert not noisy.lif1.stochastic
    assert "noise" not in noisy.lif1.nir_node((12,))[1]["grid"]
    assert not torch.equal(noisy.train()(x), plain(x))


@pytest.mark.parametrize("training", [True, False])
def test_tensor_operations_draw_and_compute_what_the_kernels_do(training, monkeypatch):
    model, x = network(noise=0.3, noise_at_inference=True).train(training), spikes_in()
    found = []
    for way in (compiled, tensors):
        monkeypatch.setattr(scan, "compiled", way)
        torch.manual_seed(0)
        model.zero_grad()
        output = model(x)
        output.sum().backward()
        found.append([output.detach(), *(p.grad.clone() for p in model.parameters())])
    assert torch.equal(found[0][0], found[1][0])
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)


def test_noise_at_inference_is_the_one_of_hardware_for_every_sample_step_by_step_or_in_one_go():
    lif = snn.LIF(
        1.0, voltage_decay=4096, reset="none", noise=0.3, noise_at_inference=True, noise_seed=7
    ).eval()
    current = torch.round(torch.linspace(0, 2, 50) * 1024) / 1024
    drawn = torch.from_numpy(noise.draw(7, round(0.3 / UNIT), 6, 50))
    expected = (torch.round(current / UNIT).long() + drawn > round(1 / UNIT)).float()
    whole = lif(current.expand(6, 2, 50), sequence=True)
    assert torch.equal(whole[:, 0], expected)
    assert torch.equal(whole[:, 1], expected)
    for _ in range(2):  # a second sample starts the noise anew
        mem, steps = lif.reset_mem(), []
        for _ in range(6):
            spk, mem = lif(current[None], mem)
            steps.append(spk[0])
        assert torch.equal(torch.stack(steps), expected)


def test_the_surrogate_of_a_noisy_neuron_is_the_density_of_its_noise():
    lif = snn.LIF(1.0, noise=0.3)
    assert lif.spike_grad == surrogate.gaussian(0.3)
    x = torch.tensor([0.0, 0.3, -0.6], dtype=torch.float64)
    density = np.exp(-0.5 * (x.numpy() / 0.3) ** 2) / (0.3 * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(lif.spike_grad.derivative(x).numpy(), density, rtol=1e-12)
    assert snn.LIF(
        1.0, noise=0.3, spike_grad=surrogate.triangle(1.0)
    ).spike_grad == surrogate.triangle(1.0)


def test_a_seed_for_a_while_is_that_of_a_network_built_with_it():
    model, other, x = (
        network(noise=0.3, noise_at_inference=True),
        network(noise=0.3, noise_at_inference=True),
        spikes_in(20),
    )
    snn.seed_noise(other, 9)
    own = model(x)
    assert model.lif1.noise.seed != model.lif2.noise.seed
    with snn.noise_seed(model, 9):
        assert torch.equal(model(x), other(x))
        assert not torch.equal(model(x), own)
        assert model.lif2.nir_node((4,))[1]["grid"]["noise"] == {
            "seed": noise.derived(9, 1),
            "sigma": round(0.3 / UNIT),
        }
    assert torch.equal(model(x), own)


@pytest.mark.parametrize("at_inference", [False, True])
def test_the_program_of_a_noisy_network_computes_the_same_on_fast(at_inference):
    model, x = network(noise=0.3, noise_at_inference=at_inference), spikes_in(20)
    program, audit = export.lower(trace(model))
    assert audit.verdict == "faithful", audit.table()
    everything = Record(spikes=True, potentials=True)
    inputs = {program.inputs[0].name: x.numpy().astype(np.uint8).swapaxes(0, 1)}
    ours = software.record(model, program, inputs, record=everything)
    comparison = compare(ours, hardware.run(program, inputs, record=everything))
    assert comparison.identical, comparison.first
    assert ours.spikes["lif2"].any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"noise": -0.1}, "noise is -0.1 V; it must be 0 or more"),
        ({"noise": float("nan")}, "noise is nan V"),
        ({"noise": 1e-6}, "a noise of 0 units of the state"),
        ({"noise": 100.0}, "it must be 1 to 1048576"),
        ({"noise_at_inference": True}, "noise_at_inference without noise"),
        ({"noise": 0.1, "noise_seed": -1}, "noise_seed is -1"),
    ],
)
def test_noise_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(LayerError, match=message):
        snn.LIF(1.0, **arguments)
