"""One network written in many ways is one graph."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from snntorch import utils
from torch import nn

from export.frameworks import trace
from tests.export.frameworks import snntorch_models as models


def described(graph):
    """Nodes, edges and what the metadata says, in a form that compares."""
    nodes = {
        name: (
            type(node).__name__,
            {k: np.asarray(v).tolist() for k, v in vars(node).items() if isinstance(v, np.ndarray)},
            node.input_type["input"].tolist(),
        )
        for name, node in graph.nodes.items()
    }
    return nodes, graph.edges, json.loads(graph.metadata["spikeport"])["nodes"]


STYLES = {
    "time loop": (models.TimeLoop, (5, 2, 12), {"time_first": True}),
    "batch first": (models.BatchFirst, (2, 5, 12), {"time_first": False}),
    "hidden": (models.Hidden, (2, 5, 12), {"time_first": False}),
    "layer by layer": (models.LayerByLayer, (5, 2, 12), {"time_first": True}),
}


@pytest.mark.parametrize("style", [s for s in STYLES if s != "time loop"])
def test_the_same_graph(style):
    make, shape, how = STYLES["time loop"]
    wanted = described(trace(make(), torch.rand(shape), dt=1e-3, **how))
    make, shape, how = STYLES[style]
    assert described(trace(make(), torch.rand(shape), dt=1e-3, **how)) == wanted


def test_single_step_sequential():
    wanted = described(trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True, dt=1e-3))
    nodes, edges, entries = described(
        trace(models.single_step(), torch.rand(2, 12), single_step=True, dt=1e-3)
    )
    renamed = {"2": "fc1", "3": "lif1", "5": "fc2", "6": "lif2"}
    assert (
        {renamed.get(n, n): v for n, v in nodes.items()},
        [(renamed.get(a, a), renamed.get(b, b)) for a, b in edges],
    ) == wanted[:2]
    assert {renamed.get(n, n): v for n, v in entries.items()} == wanted[2]


def test_sequential_in_a_loop_with_utils_reset():
    class Looped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = models.single_step()

        def forward(self, x):
            utils.reset(self.net)
            return torch.stack([self.net(frame) for frame in x], dim=1).sum(dim=1)

    nodes, edges, _ = described(trace(Looped(), torch.rand(4, 2, 12), time_first=True, dt=1e-3))
    wanted = described(trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True, dt=1e-3))
    assert list(nodes.values()) == list(wanted[0].values())
    assert len(edges) == len(wanted[1])


def test_constant_input_shown_in_every_step():
    class Static(models.Layers):
        def forward(self, x):
            mem1 = mem2 = None
            counts = 0
            current = self.fc1(x)
            for _ in range(4):
                spk, mem1 = self.lif1(current, mem1)
                out, mem2 = self.lif2(self.fc2(spk), mem2)
                counts = counts + out
            return counts

    graph = trace(Static(), torch.rand(2, 12), dt=1e-3)
    assert described(graph) == described(
        trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True, dt=1e-3)
    )
    assert json.loads(graph.metadata["spikeport"])["data"] == {"presentation": "constant"}


def test_constant_input_repeated_along_time():
    class Repeated(models.TimeLoop):
        def forward(self, x):
            return super().forward(x.unsqueeze(0).repeat(4, 1, 1))

    assert (
        trace(Repeated(), torch.rand(2, 12)).edges
        == trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True).edges
    )


@pytest.mark.parametrize("where", ["before fc", "after fc", "after lif"])
def test_feedback_through_variables(where):
    """The delay of one step may sit in front of the feedback's weights, or behind them."""

    class Feedback(models.Layers):
        def __init__(self):
            super().__init__()
            self.back = models.on_grid(torch.nn.Linear(8, 8, bias=False), 5)

        def forward(self, x):
            mem1 = mem2 = None
            spk, returned = torch.zeros(x.shape[1], 8), torch.zeros(x.shape[1], 8)
            out = []
            for step, frame in enumerate(x):
                if where == "before fc":
                    current = self.fc1(frame) + self.back(spk)
                elif where == "after fc":
                    current = self.fc1(frame) + returned
                else:
                    current = (
                        self.fc1(frame) if step == 0 else torch.add(self.fc1(frame), self.back(spk))
                    )
                spk, mem1 = self.lif1(current, mem1)
                if where == "after fc":
                    returned = self.back(spk)
                last, mem2 = self.lif2(self.fc2(spk), mem2)
                out.append(last)
            return sum(out)

    graph = trace(Feedback(), torch.rand(4, 2, 12), time_first=True)
    assert {("lif1", "back"), ("back", "lif1"), ("fc1", "lif1"), ("lif1", "fc2")} <= set(
        graph.edges
    )
    assert len(graph.edges) == 7


def test_late_spikes_become_a_delay():
    class Late(models.Layers):
        def forward(self, x):
            mem1 = mem2 = None
            before = torch.zeros(x.shape[1], 8)
            out = []
            for frame in x:
                last, mem2 = self.lif2(self.fc2(before), mem2)
                before, mem1 = self.lif1(self.fc1(frame), mem1)
                out.append(last)
            return torch.stack(out)

    graph = trace(Late(), torch.rand(4, 2, 12), time_first=True, dt=2e-3)
    assert ("lif1", "lif1_delay") in graph.edges
    assert graph.nodes["lif1_delay"].delay.tolist() == [2e-3] * 8


def test_branches_that_meet():
    class Skip(models.Layers):
        def __init__(self):
            super().__init__()
            self.skip = models.on_grid(torch.nn.Linear(12, 4), 6)

        def forward(self, x):
            mem1 = mem2 = None
            out = []
            for frame in x:
                spk, mem1 = self.lif1(self.fc1(frame), mem1)
                branches = torch.stack([self.fc2(spk), self.skip(frame)])
                last, mem2 = self.lif2(branches.sum(0), mem2)
                out.append(last)
            return torch.stack(out)

    graph = trace(Skip(), torch.rand(4, 2, 12), time_first=True)
    assert {("fc2", "lif2"), ("skip", "lif2"), ("input", "skip"), ("input", "fc1")} <= set(
        graph.edges
    )
