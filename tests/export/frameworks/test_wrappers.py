"""What stands around a model and computes the same is taken off and said; TorchScript is
refused."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from export.errors import UnsupportedError
from export.frameworks import trace
from export.frameworks.wrappers import unwrap
from tests.export.frameworks import snntorch_models as models


def notes_of(graph):
    return json.loads(graph.metadata["spikeport"])["origin"]["notes"]


def wrapped_inside():
    model = models.TimeLoop()
    model.fc2 = nn.DataParallel(model.fc2)
    return model


def compiled_in_place():
    model = models.TimeLoop()
    model.lif1.compile()
    return model


WRAPPED = {
    "DataParallel": (
        lambda: nn.DataParallel(models.TimeLoop()),
        "the model: DataParallel taken off",
    ),
    "inside": (wrapped_inside, "module 'fc2': DataParallel taken off; read is the Linear inside"),
    "compiled": (lambda: torch.compile(models.TimeLoop()), "the model: torch.compile taken off"),
    "compiled in place": (compiled_in_place, r"module 'lif1' (Leaky): compiled by torch.compile"),
    "both": (
        lambda: nn.DataParallel(torch.compile(models.TimeLoop())),
        "the model: torch.compile taken off; read is the TimeLoop inside",
    ),
}


SLOW = ("compiled", "compiled in place", "both")
"""To compile imports torch._dynamo, which takes seconds."""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in WRAPPED]
)
def test_wrappers_are_taken_off_and_said(name):
    make, says = WRAPPED[name]
    plain = trace(models.TimeLoop(), torch.rand(4, 2, 12), time_first=True)
    model = make()
    before = [
        (n, type(m), getattr(m, "_compiled_call_impl", None)) for n, m in model.named_modules()
    ]
    graph = trace(model, torch.rand(4, 2, 12), time_first=True)
    assert set(graph.nodes) == set(plain.nodes)
    assert graph.edges == plain.edges
    assert any(note.startswith(says) for note in notes_of(graph)), notes_of(graph)
    assert [
        (n, type(m), getattr(m, "_compiled_call_impl", None)) for n, m in model.named_modules()
    ] == before


@pytest.mark.slow
def test_functions_that_are_compiled_run_as_written():
    halved = torch.compile(lambda x: x / 2)

    class Net(models.TimeLoop):
        def forward(self, x):
            return super().forward(halved(x))

    graph = trace(Net(), torch.rand(4, 2, 12), time_first=True)
    assert torch.equal(torch.from_numpy(graph.nodes["fc1"].weight), Net().fc1.weight.detach() / 2)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_is_refused_in_a_line():
    scripted = torch.jit.script(nn.Linear(12, 8))
    with pytest.raises(
        UnsupportedError, match=r"the model \(Linear\) was compiled by torch\.jit.*give the nn"
    ):
        trace(scripted, torch.rand(4, 2, 12), time_first=True)
    model = models.TimeLoop()
    model.fc1 = torch.jit.trace(model.fc1, torch.zeros(1, 12))
    with pytest.raises(
        UnsupportedError, match=r"module 'fc1' \(Linear\) was compiled by torch\.jit"
    ):
        unwrap(model)
