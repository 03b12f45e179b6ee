"""A model whose answer says nothing is refused before anything is attacked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hardware.program import Dense, Input, Output, Population, Program
from tests.toolchain.robustness import networks
from tests.toolchain.robustness.conftest import as_file
from toolchain import data as datasets
from toolchain.errors import ModelError
from toolchain.robustness import answers, samples, sweep
from toolchain.robustness.models import ModelFile, Options, open_model
from toolchain.robustness.sweep import Sweep

DESCRIBED = Options(calibration="digits", **networks.DESCRIBED)


def zeroed(module: nn.Module, only: str = "") -> nn.Module:
    with torch.no_grad():
        for name, values in module.named_parameters():
            if name.endswith("weight") and only in name:
                values.zero_()
    return module


def few() -> nn.Module:
    """For ``package.module:factory``: three outputs, for data of ten classes."""
    torch.manual_seed(0)
    made = networks.Float()
    made.fc2 = nn.Linear(40, 3)
    return made


def three() -> ModelFile:
    """``few`` as a sweep reads it."""
    source = "tests.toolchain.robustness.test_answers:few"
    return ModelFile("few", source, options=DESCRIBED)


def of_digits(tmp_path) -> Sweep:
    models, data = '[[models]]\nname = "m"\nsource = "m:make"\n', "[data]\nsamples = 3\n"
    text = models + '[attacks]\npreset = "quick"\nepsilons = [0.1]\n' + data
    (tmp_path / "sweep.toml").write_text(text)
    return sweep.load(tmp_path / "sweep.toml")


MODELS = {
    "all zero": lambda: as_file("m", "float_network", zeroed(networks.Float()), DESCRIBED),
    "one layer zero": lambda: as_file(
        "m", "float_network", zeroed(networks.Float(), "fc2"), DESCRIBED
    ),
    "own layers": lambda: as_file("m", "poisson", zeroed(networks.poisson())),
    "ANN": lambda: as_file("m", "rectifiers", zeroed(networks.Rectifiers())),
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_of_zero_weights(tmp_path, kind):
    torch.manual_seed(0)
    with pytest.raises(ModelError, match=r"model 'm' .*all weights .* are zero, .* must be given"):
        samples.load(of_digits(tmp_path), [MODELS[kind]()])


def test_data_of_more_classes_than_the_model_has_outputs(tmp_path):
    said = "model 'few' .*has 3 outputs; digits has the classes 0 to 9, and the model must have"
    with pytest.raises(ModelError, match=said):
        samples.load(of_digits(tmp_path), [three()])


def test_scores_of_an_ann_are_counted():
    ann = as_file("ann", "rectifiers", networks.Rectifiers())
    dataset = datasets.load("digits", "test", samples=2)
    answers.check("ann", open_model(ann), dataset)
    with pytest.raises(ModelError, match=r"has 10 outputs; digits has the classes 0 to 11"):
        answers.check("ann", open_model(ann), replace(dataset, classes=12))


def program(first: int, loop: int, second: int) -> Program:
    """in → a ⟲ → b, with these weights."""
    neurons = [Population(name, (2,), threshold=100) for name in "ab"]
    joined = {"1": ("in", "a", first), "2": ("a", "a", loop), "3": ("a", "b", second)}
    projections = [
        Dense(name, source, target, np.full((2, 2), weight))
        for name, (source, target, weight) in joined.items()
    ]
    return Program([Input("in", (2,))], neurons, projections, [Output("b")])


@pytest.mark.parametrize(
    ("weights", "connected"),
    [
        ((2, 0, 2), True),
        ((2, 2, 2), True),
        ((0, 2, 2), False),
        ((2, 2, 0), False),
        ((0, 0, 0), False),
    ],
)
def test_a_way_through_a_program(weights, connected):
    assert answers.program_connected(program(*weights)) is connected
