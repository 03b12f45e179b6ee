"""A model comes back from tracing as it was."""

from __future__ import annotations

import random

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from export.errors import UnsupportedError
from export.frameworks import trace
from tests.export.frameworks import snntorch_models as models


class Stateful(nn.Module):
    """Everything that a run changes: hidden states, a list, a counter, a buffer in place, random
    numbers."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm, self.drop = nn.Linear(12, 5), nn.BatchNorm1d(5), nn.Dropout(0.5)
        self.lif = snn.Leaky(beta=0.5, init_hidden=True)
        self.log, self.seen = [], {}
        self.count = 0
        self.register_buffer("total", torch.zeros(5))

    def forward(self, x):
        out = []
        for frame in x:
            spk = self.lif(self.drop(self.norm(self.fc(frame))))
            self.log.append(spk)
            self.seen[len(self.log)] = random.random() + np.random.rand() + torch.rand(1)  # noqa: NPY002
            self.count += 1
            self.total += spk.sum(0)
            self.fresh = spk
            out.append(spk)
        return torch.stack(out)


def snapshot(model):
    tensors = {
        n: t.detach().clone() for n, t in (*model.named_parameters(), *model.named_buffers())
    }
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    return (
        tensors,
        hooks,
        [m.training for m in model.modules()],
        sorted(model.__dict__),
        list(model.log),
        dict(model.seen),
        model.count,
    )


def same(a, b):
    return (
        a[0].keys() == b[0].keys()
        and all(torch.equal(a[0][n], b[0][n]) for n in a[0])
        and a[1:4] == b[1:4]
        and a[6] == b[6]
    )


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(fails):
    torch.manual_seed(0)
    model = Stateful()
    model.norm.eval()
    example = torch.rand(4, 2, 12)
    behind = nn.Sequential(model, nn.Linear(5, 5), snn.Leaky(0.5, init_hidden=True))
    model(example)  # a hidden state with a history behind it
    log, seen, mem = model.log, model.seen, model.lif.mem
    lengths = len(log), len(seen)
    before = snapshot(model)
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    if fails:
        model.drop.forward = lambda x: x.relu()
        with pytest.raises(UnsupportedError, match="relu"):
            trace(behind, example, time_first=True)
        del model.drop.forward
    else:
        trace(model, example, time_first=True)
    assert same(snapshot(model), before)
    assert (model.log, model.seen) == (log, seen)
    assert model.log is log
    assert (len(log), len(seen)) == lengths
    assert model.lif.mem is mem
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    assert random.getstate() == states[2]
    model.lif.reset_mem()
    model(torch.rand(4, 2, 12))  # it still runs


def test_training_mode_does_not_matter():
    """Dropout and batch statistics are those of evaluation, whatever mode the model is in."""
    model = Stateful()
    model.norm.running_mean.fill_(0.25)
    graphs = [
        trace(m, torch.rand(4, 2, 12), time_first=True) for m in (model.train(), model.eval())
    ]
    assert np.array_equal(graphs[0].nodes["fc"].bias, graphs[1].nodes["fc"].bias)
    assert not np.array_equal(graphs[0].nodes["fc"].bias, model.fc.bias.detach().numpy())


def test_weights_are_copies():
    model = models.TimeLoop()
    graph = trace(model, torch.rand(3, 2, 12), time_first=True)
    kept = graph.nodes["fc1"].weight.copy()
    with torch.no_grad():
        model.fc1.weight.zero_()
    assert np.array_equal(graph.nodes["fc1"].weight, kept)


def test_the_example_is_left_alone_and_its_values_do_not_matter():
    class InPlace(models.TimeLoop):
        def forward(self, x):
            x *= 0.5
            return super().forward(x)

    example = torch.zeros(4, 2, 12)
    graph = trace(InPlace(), example, time_first=True)
    assert not example.any()
    assert np.array_equal(
        graph.nodes["fc1"].weight,
        trace(InPlace(), torch.rand(4, 2, 12), time_first=True).nodes["fc1"].weight,
    )
    assert np.array_equal(
        graph.nodes["fc1"].weight, models.TimeLoop().fc1.weight.detach().numpy() / 2
    )
