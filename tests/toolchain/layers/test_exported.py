"""What the exporter makes of a quantisation-aware network computes the same: every spike, every
potential, every layer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from torch import nn

import export
import hardware
import toolchain.layers as snn
from export.errors import UnsupportedError
from export.frameworks import trace
from hardware.comparison import compare
from hardware.noise import Noise, derived
from hardware.recording import Record
from tests.examples import many
from tests.toolchain.layers.networks import Case, cases
from toolchain.deploy import software
from toolchain.errors import CurrentRangeError


def network_of(case: Case) -> snn.Network:
    layers: dict[str, nn.Module] = {}
    for number, block in enumerate(case.blocks):
        for position, layer in enumerate(block.before):
            layers[f"shape{number}_{position}"] = layer
        layers[f"synapse{number}"], layers[f"neuron{number}"] = block.synapse, block.neuron
    last = getattr(case.blocks[-1].neuron, "neuron", case.blocks[-1].neuron)
    decode = "spike_count" if last.spiking else "last_potential"
    return snn.Network(
        layers,
        input_shape=case.input_shape,
        message_bits=case.message_bits,
        fraction_bits=case.fraction_bits,
        decode=decode,
    )


def assert_equal(model: nn.Module, inputs: np.ndarray, target: str = "fast") -> None:
    program, audit = export.lower(trace(model))
    assert audit.verdict == "faithful", audit.table()
    everything = Record(spikes=True, potentials=True)
    arrays = {program.inputs[0].name: inputs}
    ours = software.record(model, program, arrays, record=everything)
    theirs = hardware.run(program, arrays, target, record=everything)
    comparison = compare(ours, theirs)
    assert comparison.identical, comparison.first
    assert {layer.layer for layer in comparison.layers if layer.potentials} == set(program.order)


@settings(max_examples=many(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_random_networks_equal_their_programs(case):
    model = network_of(case)
    try:
        case.run()
        assert_equal(model, np.moveaxis(case.inputs, 0, 1))
    except CurrentRangeError:
        reject()
    except UnsupportedError as error:
        if isinstance(error.__cause__, CurrentRangeError):  # for the example that the trace makes
            reject()
        raise


class Skip(nn.Module):
    """Two ways into one population, one of them over a layer; called as snnTorch's networks are,
    step by step inside."""

    def __init__(self, steps: bool):
        super().__init__()
        self.conv1, self.lif1 = (
            snn.Conv2d(1, 4, 3, padding=1, source_fraction_bits=3),
            snn.Leaky(0.9),
        )
        self.conv2, self.conv3, self.lif2 = (
            snn.Conv2d(4, 4, 3, padding=1),
            snn.Conv2d(1, 4, 1, source_fraction_bits=3),
            snn.Synaptic(0.8, 0.9),
        )
        self.fc, self.rec, self.out = (
            snn.Linear(4 * 36, 5),
            snn.Linear(5, 5, bias=False),
            snn.LIF(beta=0.5, refractory=1),
        )
        self.flat = snn.Flatten()
        self.steps = steps

    def forward(self, x):
        if not self.steps:
            return self._sequence(x)
        mem1, (syn2, mem2), (mem, rest) = (
            self.lif1.reset_mem(),
            self.lif2.reset_mem(),
            self.out.reset_mem(),
        )
        spk = torch.zeros(x.shape[1], 5)
        out = []
        for step in x:
            spk1, mem1 = self.lif1(self.conv1(step), mem1)
            spk2, syn2, mem2 = self.lif2(self.conv2(spk1) + self.conv3(step), syn2, mem2)
            spk, mem, rest = self.out(self.fc(self.flat(spk2)) + self.rec(spk), mem, rest)
            out.append(spk)
        return torch.stack(out)

    def _sequence(self, x):
        spk1 = self.lif1(self.conv1(x), sequence=True)
        spk2 = self.lif2(self.conv2(spk1) + self.conv3(x), sequence=True)
        return self.out(self.fc(self.flat(spk2, sequence=True)), sequence=True)

    def spikeport_io(self):
        return {
            "input": {"shape": [1, 6, 6], "message_bits": 5, "fraction_bits": 3},
            "output": {"decode": "spike_count"},
            "call": "sequence",
            "data": {},
            "origin": {"framework": "spikeport"},
        }


@pytest.mark.parametrize("steps", [True, False])
def test_a_users_network_with_skip_and_recurrence_equals_its_program(steps):
    torch.manual_seed(3)
    model = Skip(steps)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.05, 0.25)
    inputs = np.random.default_rng(0).integers(-16, 16, (4, 20, 1, 6, 6))
    assert_equal(model, inputs)
    with torch.no_grad():
        spikes = model(torch.tensor(inputs).float().transpose(0, 1) / 8)
    assert spikes.any()
    assert not spikes.all()


def test_delays_equal_their_program():
    torch.manual_seed(0)
    layers = {
        "delay0": snn.Delay(1),
        "fc1": snn.Linear(6, 8, source_fraction_bits=2),
        "lif1": snn.Leaky(0.9),
        "delay1": snn.Delay(3),
        "fc2": snn.Linear(8, 4, bias=False),
        "lif2": snn.Synaptic(0.9, 0.8, reset_mechanism="zero"),
    }
    model = snn.Network(layers, input_shape=(6,), message_bits=5, fraction_bits=2)
    with torch.no_grad():
        model.fc2.weight.mul_(4)
    inputs = np.random.default_rng(0).integers(-16, 16, (5, 15, 6))
    assert_equal(model, inputs)
    assert model(torch.tensor(inputs).float().transpose(0, 1) / 4).any()


def noisy(seed=3, at_inference=True):
    """A convolution and a recurrent layer, both noisy at inference."""
    torch.manual_seed(0)
    noise = {"noise": 0.4, "noise_at_inference": at_inference}
    layers = {
        "conv": snn.Conv2d(1, 3, 3, padding=1),
        "lif1": snn.LIF(beta=0.9, **noise),
        "flat": snn.Flatten(),
        "fc": snn.Linear(48, 7),
        "lif2": snn.Recurrent(
            snn.LIF(alpha=0.5, beta=0.8, reset="subtract", refractory=1, **noise),
            snn.Linear(7, 7, bias=False),
        ),
    }
    model = snn.Network(layers, input_shape=(1, 4, 4))
    snn.seed_noise(model, seed)
    return model.eval()


@pytest.mark.parametrize(
    "target", ["reference", "fast", pytest.param("lava", marks=pytest.mark.lava)]
)
def test_noise_at_inference_is_the_noise_of_every_target(target):
    model, inputs = noisy(), np.random.default_rng(0).integers(0, 2, (4, 9, 1, 4, 4))
    assert_equal(model, inputs, target)
    program, audit = export.lower(trace(model))
    assert [p.noise for p in program.populations if p.noise] == [
        Noise(derived(3, n), round(0.4 * 2**16)) for n in range(2)
    ]
    assert audit.layer("lif1").parameter("noise_sigma").integers == round(0.4 * 2**16)
    other, plain = (
        export.lower(trace(m)).program for m in (noisy(seed=4), noisy(at_inference=False))
    )
    counts = [hardware.run(p, inputs, "fast").counts["axon_out"] for p in (program, other, plain)]
    assert not np.array_equal(counts[0]["lif1"], counts[1]["lif1"])
    assert not np.array_equal(counts[0]["lif1"], counts[2]["lif1"])
    assert not any(p.noise for p in plain.populations)
