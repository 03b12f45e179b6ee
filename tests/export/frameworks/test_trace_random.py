"""Random networks of snnTorch's neurons on a grid: Program and snnTorch spike alike, layer by
layer, whatever the settings."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import snntorch as snn
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

import export
from export.frameworks import trace
from hardware import targets
from hardware.recording import Record
from tests.examples import many
from tests.export.frameworks import snntorch_models as models

STEPS = 8
"""Halving a multiple of 1/16 eight times stays exact in single precision and in the Program's
state."""


class Random(nn.Module):
    """Linear layers and neurons in turn; spikes of every layer are returned, the last one's
    first."""

    def __init__(self, sizes, neurons, seed):
        super().__init__()
        pairs = pairwise(sizes)
        self.synapses = nn.ModuleList(
            [models.on_grid(nn.Linear(a, b), seed + n) for n, (a, b) in enumerate(pairs)]
        )
        self.neurons = nn.ModuleList(neurons)

    def forward(self, x):
        for neuron in self.neurons:
            neuron.reset_mem()
        record = [[] for _ in self.neurons]
        for spk in x:
            for number, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons)):
                spk = neuron(synapse(spk))
                record[number].append(spk)
        return [torch.stack(spikes) for spikes in record[::-1]]


@st.composite
def neurons(draw, size: int, seed: int) -> nn.Module:
    """Any supported neuron. The one setting with a caveat, an immediate reset by subtraction, is
    tested elsewhere."""
    reset, delay = draw(
        st.sampled_from(
            [("subtract", True), ("zero", True), ("zero", False), ("none", True), ("none", False)]
        )
    )
    options = {
        "threshold": draw(st.integers(1, 40)) / 8,
        "reset_mechanism": reset,
        "reset_delay": delay,
        "init_hidden": True,
    }
    beta = draw(st.sampled_from([0.5, 1.0]))
    kind = draw(st.sampled_from(["Leaky", "Synaptic", "RLeaky", "RSynaptic"]))
    if kind == "RSynaptic":
        options["reset_delay"] = True
    if kind.endswith("Synaptic"):
        options["alpha"] = 0.5
    if kind.startswith("R"):
        if draw(st.booleans()):
            neuron = getattr(snn, kind)(beta=beta, linear_features=size, **options)
            models.on_grid(neuron.recurrent, seed)
            return neuron
        options |= {"all_to_all": False, "V": draw(st.integers(-16, 16)) / 16}
    return getattr(snn, kind)(beta=beta, **options)


@st.composite
def networks(draw) -> Random:
    """One to three layers."""
    sizes = draw(st.lists(st.integers(1, 9), min_size=2, max_size=4))
    seed = draw(st.integers(0, 1000))
    return Random(
        sizes, [draw(neurons(size, seed + 50 + n)) for n, size in enumerate(sizes[1:])], seed
    )


@settings(max_examples=many(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(networks(), st.integers(0, 1000), st.sampled_from([None, 1e-3, 0.1]))
def test_random_networks(model, seed, dt):
    x = models.spikes(STEPS, 4, model.synapses[0].in_features, seed=seed)
    with torch.no_grad():
        wanted = [s.transpose(0, 1).numpy() for s in model(x)][::-1]
    lowered = export.lower(
        trace(model, torch.rand(3, 2, x.shape[2]), time_first=True, dt=dt),
        calibration=models.samples_first(x),
    )
    recording = targets.run(
        lowered.program, models.samples_first(x), "reference", record=Record(spikes=True)
    )
    # a few draws mix numbers that no common scale represents
    assume(all(p.exact for layer in lowered.audit.layers for p in layer.parameters))
    for number, spikes in enumerate(wanted):
        assert np.array_equal(recording.spikes[f"neurons.{number}"], spikes), f"layer {number}"
