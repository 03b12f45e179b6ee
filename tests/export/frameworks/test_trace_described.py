"""Layers that describe themselves: spikeport's quantisation-aware ones arrive bit for bit, and
others by the same protocol."""

from __future__ import annotations

import json

import nir
import numpy as np
import pytest
import torch
from torch import nn

import export
from export.errors import UnsupportedError
from export.frameworks import trace
from hardware import targets
from hardware.recording import Record
from toolchain import layers as qat

BITS = 6


def small(layer: nn.Module) -> nn.Module:
    """Weights large enough that neurons fire."""
    with torch.no_grad():
        layer.weight.mul_(3)
    return layer


def grid(**more):
    return {"fraction_bits": BITS, **more}


NETWORKS = {
    "dense": lambda: qat.Network(
        {
            "fc1": small(qat.Linear(12, 9, bias=True, **grid())),
            "lif1": qat.Leaky(0.9, **grid()),
            "fc2": small(qat.Linear(9, 5, bias=False, **grid())),
            "lif2": qat.Synaptic(0.7, 0.8, **grid()),
        },
        input_shape=(12,),
    ),
    "convolution": lambda: qat.Network(
        {
            "conv": small(qat.Conv2d(2, 3, 3, padding=1, **grid(granularity="channel"))),
            "lif1": qat.IF(**grid()),
            "pool": qat.AvgPool2d(2),
            "flatten": qat.Flatten(),
            "fc": small(qat.Linear(12, 4, **grid(source_fraction_bits=2))),
            "out": qat.LI(beta=0.9, **grid()),
        },
        input_shape=(2, 4, 4),
        message_bits=3,
        decode="max_potential",
    ),
    "feedback and delay": lambda: qat.Network(
        {
            "fc1": small(qat.Linear(12, 9, **grid())),
            "back": qat.RLeaky(0.8, linear_features=9, reset_mechanism="subtract", **grid()),
            "delay": qat.Delay(2),
            "fc2": small(qat.Linear(9, 5, **grid())),
            "lif2": qat.LIF(beta=0.5, refractory=2, **grid()),
        },
        input_shape=(12,),
        data={"name": "noise", "steps": 9},
    ),
}


def run(model, dt):
    """(model's trace, Program's recording of the output, graph)."""
    model.eval()
    shape, bits = model.input_shape, model.message_bits
    low, high = (0, 1) if not bits else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    integers = np.random.default_rng(0).integers(low, high + 1, (9, 4, *shape))
    with torch.no_grad():
        wanted = model(torch.from_numpy(integers).float() * 2.0**-model.fraction_bits).numpy()
    graph = trace(model, dt=dt)
    lowered = export.lower(graph)
    recording = targets.run(
        lowered.program,
        integers.swapaxes(0, 1),
        "reference",
        record=Record(spikes=True, potentials=True),
    )
    return wanted, recording, lowered, graph


@pytest.mark.parametrize("dt", [None, 1e-3])
@pytest.mark.parametrize("name", NETWORKS)
def test_bit_for_bit(name, dt):
    torch.manual_seed(1)
    wanted, recording, lowered, graph = run(NETWORKS[name](), dt)
    (output,) = lowered.program.outputs
    if output.decode == "spike_count":
        found = recording.spikes[output.population]
    else:
        found = recording.potentials[output.population] * 2.0 ** -(BITS + 6)
    assert wanted.any()
    assert np.array_equal(found, wanted.swapaxes(0, 1))
    assert lowered.audit.verdict == "faithful"
    assert json.loads(graph.metadata["spikeport"])["origin"]["framework"] == "spikeport"


def test_names_are_paths_in_the_model():
    graph = trace(NETWORKS["feedback and delay"](), dt=1e-3)
    assert {"back.neuron", "back.recurrent", "delay", "lif2"} <= set(graph.nodes)
    assert {
        ("back.neuron", "back.recurrent"),
        ("back.recurrent", "back.neuron"),
        ("back.neuron", "delay"),
    } <= set(graph.edges)
    assert json.loads(graph.metadata["spikeport"])["data"] == {"name": "noise", "steps": 9}


class Steps(nn.Module):
    """The same layers step by step, in a loop of the user's own, without ``spikeport_io``."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = small(qat.Linear(12, 9, **grid())), qat.Synaptic(0.7, 0.9, **grid())
        self.fc2, self.lif2 = (
            small(qat.Linear(9, 5, **grid())),
            qat.LIF(beta=0.5, refractory=2, **grid()),
        )

    def forward(self, x):
        syn, mem1 = self.lif1.reset_mem()
        states = self.lif2.reset_mem()
        out = []
        for frame in x:
            spk, syn, mem1 = self.lif1(self.fc1(frame), syn, mem1)
            spk, *states = self.lif2(self.fc2(spk), *states)
            out.append(spk)
        return torch.stack(out)


def test_step_by_step():
    torch.manual_seed(2)
    model = Steps()
    x = (torch.rand(9, 4, 12) < 0.5).float()
    lowered = export.lower(trace(model, x, time_first=True))
    recording = targets.run(lowered.program, x.transpose(0, 1).numpy().astype(int), "reference")
    wanted = model(x).detach().numpy()
    assert wanted.any()
    assert np.array_equal(recording.spikes["lif2"], wanted.swapaxes(0, 1))


def test_a_factor_has_no_place_on_a_grid():
    class Scaled(Steps):
        def forward(self, x):
            return super().forward(x * 2)

    with pytest.raises(
        UnsupportedError, match="a factor of 2 on its input, which its grid does not have"
    ):
        trace(Scaled(), (torch.rand(4, 2, 12) < 0.5).float(), time_first=True)


def test_time_taken_for_batch():
    class Confused(nn.Module):
        def __init__(self, sequence):
            super().__init__()
            self.fc, self.lif, self.sequence = (
                qat.Linear(12, 5, **grid()),
                qat.Leaky(0.5, init_hidden=True, **grid()),
                sequence,
            )

        def forward(self, x):
            return self.lif(self.fc(x), sequence=self.sequence)

    with pytest.raises(
        UnsupportedError, match="several time steps and sequence=False; it must be sequence=True"
    ):
        trace(Confused(False), (torch.rand(4, 2, 12) < 0.5).float(), time_first=True)
    with pytest.raises(
        UnsupportedError, match="one time step and sequence=True; it must be sequence=False"
    ):
        trace(Confused(True), (torch.rand(2, 12) < 0.5).float(), single_step=True)


class Foreign(nn.Module):
    """A layer of somebody else that follows the protocol."""

    def __init__(self, factor=1.0, fails=False):
        super().__init__()
        self.factor, self.fails = factor, fails

    def forward(self, x):
        return x @ torch.full((12, 5), 0.25) * self.factor

    def nir_node(self, input_shape, dt=1.0):
        if self.fails:
            raise ValueError("no node for this")
        return nir.Linear(weight=np.full((5, *input_shape), 0.25)), {}


class WithForeign(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.lif = layer, qat.Leaky(0.5, init_hidden=True, **grid())

    def forward(self, x):
        return torch.stack([self.lif(self.layer(frame)) for frame in x])


def test_a_layer_of_somebody_else():
    x = (torch.rand(4, 2, 12) < 0.5).float()
    assert isinstance(trace(WithForeign(Foreign()), x, time_first=True).nodes["layer"], nir.Linear)
    with pytest.raises(UnsupportedError, match="not that of the plain layer with its weights"):
        trace(WithForeign(Foreign(factor=2.0)), x, time_first=True)
    with pytest.raises(UnsupportedError, match="has no NIR form: no node for this"):
        trace(WithForeign(Foreign(fails=True)), x, time_first=True)
