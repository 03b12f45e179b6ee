"""A model that wants its own number of time steps is traced with as many."""

from __future__ import annotations

import json

import pytest
import torch

from export.errors import UnsupportedError
from export.frameworks import trace
from tests.export.frameworks import snntorch_models as models


class Fixed(models.Layers):
    """Loops over its own number of steps; ``reach`` makes x[time, batch, 12] whatever it is
    given."""

    def __init__(self, steps, reach=lambda x, t: x[t]):
        super().__init__(init_hidden=True)
        self.steps, self.reach = steps, reach

    def forward(self, x):
        self.lif1.reset_mem(), self.lif2.reset_mem()
        frames = (self.reach(x, step) for step in range(self.steps))
        return torch.stack([self.lif2(self.fc2(self.lif1(self.fc1(f)))) for f in frames])


def origin_of(graph):
    return json.loads(graph.metadata["spikeport"])


@pytest.mark.parametrize(
    ("wants", "given", "how"),
    [
        (7, (3, 2, 12), {"reach": lambda x, t: x[t]}),
        (7, (3, 2, 12), {"reach": lambda x, t: x.unbind(0)[t]}),
        (6, (3, 2, 12), {"reach": lambda x, t: x.select(0, t)}),
        (4, (9, 2, 12), {}),
        (5, (2, 3, 12), {"reach": lambda x, t: x[:, t]}),
    ],
)
def test_found_out(wants, given, how):
    first = given[0] != 2
    graph = trace(Fixed(wants, **how), torch.rand(given), time_first=first, dt=1e-3)
    plain = trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True, dt=1e-3)
    assert graph.edges == plain.edges
    told = origin_of(graph)
    length = given[0 if first else 1]
    said = (
        f"the model runs {wants} time steps of its own, not the {length} that it was given; "
        f"traced with {wants}"
    )
    assert said in told["origin"]["notes"]
    assert told["data"]["steps"] == wants


def test_nothing_is_said_where_it_fits():
    told = origin_of(trace(Fixed(4), torch.rand(4, 2, 12), time_first=True))
    assert not any("time steps of its own" in note for note in told["origin"]["notes"])
    assert "steps" not in told["data"]


class Merged(models.Layers):
    """Takes all steps at once, which no wrong index shows."""

    def forward(self, x):
        current = self.fc1(x.reshape(6 * 2, 12)).view(6, 2, 8)
        mem1 = mem2 = None
        out = []
        for frame in current:
            spikes, mem1 = self.lif1(frame, mem1)
            last, mem2 = self.lif2(self.fc2(spikes), mem2)
            out.append(last)
        return torch.stack(out)


def test_stated():
    """What cannot be found out is stated; the example is repeated, or cut."""
    with pytest.raises(
        UnsupportedError, match=r"wants a number of time steps of its own, trace_steps states it"
    ):
        trace(Merged(), torch.rand(3, 2, 12), time_first=True)
    for given in (3, 8):
        graph = trace(Merged(), torch.rand(given, 2, 12), time_first=True, trace_steps=6)
        assert ("lif2", "output") in graph.edges


def test_a_model_left_as_it_was():
    """Finding out runs the model; a history from it would be a state that is not zero."""
    model = Fixed(7)
    model(torch.rand(7, 2, 12))
    before = model.lif1.mem
    trace(model, torch.rand(3, 2, 12), time_first=True)
    assert model.lif1.mem is before


REFUSED = {
    "one step": (
        {"single_step": True},
        (2, 12),
        4,
        "presents its input by itself; leave it out",
    ),
    "its own loop": ({}, (2, 12), 4, "presents its input by itself; leave it out"),
    "too few": ({"time_first": True}, (3, 2, 12), 2, "whole number from 3"),
    "no number": ({"time_first": True}, (3, 2, 12), 4.0, "whole number from 3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_steps_that_go_with_nothing(name):
    how, shape, steps, says = REFUSED[name]
    with pytest.raises(UnsupportedError, match=says):
        trace(models.TimeLoop(), torch.rand(shape), trace_steps=steps, **how)


def test_an_index_that_is_wrong_whatever_the_length():
    model = Fixed(3, lambda x, t: [x[t]][t])
    with pytest.raises(UnsupportedError, match="IndexError"):
        trace(model, torch.rand(3, 2, 12), time_first=True)
