"""How outputs are read is derived where it is clear, and must be stated where it is not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

import export
from export.errors import MissingInformationError, UnsupportedError
from export.frameworks import trace
from hardware import targets
from tests.export.frameworks import snntorch_models as models


class Read(nn.Module):
    """fc → lif; ``read(spikes [time, batch, n], potentials, currents)`` is returned."""

    def __init__(self, read, **leaky):
        super().__init__()
        self.fc = models.on_grid(nn.Linear(12, 5), 3)
        self.lif = snn.Leaky(**({"beta": 0.5} | leaky))
        self.read = read

    def forward(self, x):
        mem = None
        spikes, potentials, currents = [], [], []
        for frame in x:
            current = self.fc(frame)
            spk, mem = self.lif(current, mem)
            spikes.append(spk)
            potentials.append(mem)
            currents.append(current)
        return self.read(torch.stack(spikes), torch.stack(potentials), torch.stack(currents))


NO_RESET = {"reset_mechanism": "none"}

CLEAR = {
    "spikes of every step": (lambda s, v, c: s, {}, "spike_count"),
    "spikes and potentials of every step": (lambda s, v, c: (s, v), {}, "spike_count"),
    "in a dictionary": (lambda s, v, c: {"out": s, "mem": v}, {}, "spike_count"),
    "sum": (lambda s, v, c: s.sum(0), {}, "spike_count"),
    "mean, softmax": (lambda s, v, c: s.mean(dim=0).softmax(-1), {}, "spike_count"),
    "largest count": (lambda s, v, c: s.sum(0).max(1)[1], {}, "spike_count"),
    "batch first": (lambda s, v, c: s.transpose(0, 1), {}, "spike_count"),
    "sum over a middle dimension": (lambda s, v, c: s.transpose(0, 1).sum(1), {}, "spike_count"),
    "last potential": (lambda s, v, c: v[-1], NO_RESET, "last_potential"),
    "last potential, spikes beside it": (
        lambda s, v, c: (s[-1], v[-1]),
        NO_RESET,
        "last_potential",
    ),
    "mean potential": (lambda s, v, c: v.mean(0), NO_RESET, "mean_potential"),
    "sum of potentials": (lambda s, v, c: v.sum(0).argmax(1), NO_RESET, "mean_potential"),
    "largest potential": (lambda s, v, c: v.max(0)[0], NO_RESET, "max_potential"),
    "largest potential, amax": (
        lambda s, v, c: torch.amax(v, dim=0).log_softmax(1),
        NO_RESET,
        "max_potential",
    ),
    "immediate reset": (
        lambda s, v, c: v.mean(0),
        {"reset_mechanism": "zero", "reset_delay": False},
        "mean_potential",
    ),
    "no neuron": (lambda s, v, c: c.sum(0), {}, "mean_potential"),
    "no neuron, last step": (lambda s, v, c: c[-1], {}, "last_potential"),
}


@pytest.mark.parametrize("name", CLEAR)
def test_clear_cases(name):
    """The decode, and that the Program's scores rank and scale as the model's outputs do."""
    read, leaky, decode = CLEAR[name]
    model = Read(read, **leaky)
    x = models.spikes(8, 6, 12)
    graph = trace(model, x, time_first=True)
    assert json.loads(graph.metadata["spikeport"])["nodes"]["output"] == {"decode": decode}
    lowered = export.lower(graph)
    recording = targets.run(lowered.program, models.samples_first(x), "reference")
    scores = recording.scores[lowered.program.outputs[0].population].astype(np.float64)
    plain = Read(lambda s, v, c: (s, v, c), **leaky)
    with torch.no_grad():
        s, v, c = (t.numpy() for t in plain(x))
    values = {
        "spike_count": s.sum(0),
        "last_potential": v[-1],
        "mean_potential": v.mean(0),
        "max_potential": v.max(0),
    }
    if name.startswith("no neuron"):
        values = {"last_potential": c[-1], "mean_potential": c.mean(0)}
    wanted = values[decode]
    assert wanted.std() > 0
    unit = 1.0 if decode == "spike_count" else np.max(np.abs(scores)) / np.max(np.abs(wanted))
    assert np.allclose(scores / unit, wanted, atol=1e-3 * np.max(np.abs(wanted)))


def test_potentials_of_every_step_must_be_stated():
    model = Read(lambda s, v, c: v, **NO_RESET)
    says = (
        r"layer 'lif' .*state decode as 'last_potential' \| 'mean_potential' \| "
        r"'max_potential'"
    )
    with pytest.raises(MissingInformationError, match=says):
        trace(model, torch.rand(4, 2, 12), time_first=True)
    graph = trace(model, torch.rand(4, 2, 12), time_first=True, decode="max_potential")
    assert json.loads(graph.metadata["spikeport"])["nodes"]["output"] == {"decode": "max_potential"}


def test_a_potential_before_the_reset_is_another_number():
    """snnTorch returns the potential of the step of a spike before its reset; a Program's is that
    after it."""
    with pytest.raises(
        MissingInformationError,
        match=r"before the reset.*reset_mechanism='none', reset_delay=False",
    ):
        trace(Read(lambda s, v, c: v[-1]), torch.rand(4, 2, 12), time_first=True)
    graph = trace(
        Read(lambda s, v, c: v[-1]), torch.rand(4, 2, 12), time_first=True, decode="last_potential"
    )
    assert any(
        "before the reset" in note
        for note in json.loads(graph.metadata["spikeport"])["origin"]["notes"]
    )


def test_nothing_to_count():
    with pytest.raises(UnsupportedError, match="has no spikes to count"):
        trace(
            Read(lambda s, v, c: c.sum(0)),
            torch.rand(4, 2, 12),
            time_first=True,
            decode="spike_count",
        )


@pytest.mark.parametrize(
    "returned", [lambda s, v, c: None, lambda s, v, c: torch.ones(2), lambda s, v, c: s.shape]
)
def test_an_output_from_nowhere(returned):
    with pytest.raises(UnsupportedError, match="does not come from any of its layers"):
        trace(Read(returned), torch.rand(4, 2, 12), time_first=True)


class Heads(models.Layers):
    """Two read-outs, hidden spikes returned beside them, one layer that leads nowhere."""

    def __init__(self):
        super().__init__()
        self.fc3, self.lif3 = models.on_grid(nn.Linear(8, 3), 4), snn.Leaky(0.5)
        self.unused, self.lif4 = nn.Linear(8, 2), snn.Leaky(0.5)

    def forward(self, x):
        mem1 = mem2 = mem3 = mem4 = None
        hidden, one, two = [], 0, 0
        for frame in x:
            spk, mem1 = self.lif1(self.fc1(frame), mem1)
            a, mem2 = self.lif2(self.fc2(spk), mem2)
            b, mem3 = self.lif3(self.fc3(spk), mem3)
            _, mem4 = self.lif4(self.unused(spk), mem4)
            hidden.append(spk)
            one, two = one + a, two + b
        return one, two, torch.stack(hidden)


def test_several_outputs():
    graph = trace(Heads(), torch.rand(4, 2, 12), time_first=True)
    assert {("lif2", "output_lif2"), ("lif3", "output_lif3")} <= set(graph.edges)
    assert "lif4" not in graph.nodes
    notes = json.loads(graph.metadata["spikeport"])["origin"]["notes"]
    assert {
        "lif4: left out, because it leads to no output",
        "unused: left out, because it leads to no output",
    } <= set(notes)
    assert len(export.lower(graph).program.outputs) == 2


def test_an_input_that_does_not_matter():
    class Blind(models.Layers):
        def forward(self, x):
            mem, out = None, []
            for frame in x:
                spk, mem = self.lif1(self.fc1(frame * 0), mem)
                out.append(spk)
            return torch.stack(out)

    with pytest.raises(
        UnsupportedError, match=r"layer 'fc1' \(Linear\): it receives nothing but zeros"
    ):
        trace(Blind(), torch.rand(4, 2, 12), time_first=True)
