"""One contract for the input: a float model gets the same numbers in every command, and says so in
its Program."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

import spikeport
from toolchain.deploy import stages
from toolchain.deploy.contract import of_data
from toolchain.deploy.ways import Ways
from toolchain.errors import ModelError
from toolchain.robustness import models

DATA = {"data": "digits", "encoding": "direct", "steps": 6}
PLAIN = {"input_shape": (64,), "call": "time-first"}
SAMPLES = 60


class Regression(nn.Module):
    """A logistic regression of pixels in [0, 1] as spiking neurons; ``scale``: of the pixels that
    it was trained on."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        images, labels = load_digits(return_X_y=True)
        fitted = LogisticRegression(max_iter=100).fit(images[:600] / 16, labels[:600])
        self.fc, self.lif = nn.Linear(64, 10), snn.Leaky(beta=0.9, reset_mechanism="zero")
        with torch.no_grad():
            self.fc.weight.copy_(torch.from_numpy(fitted.coef_ / 4 / scale))
            self.fc.bias.copy_(torch.from_numpy(fitted.intercept_ / 4 + 0.3))

    def forward(self, x):
        mem, out = self.lif.reset_mem(), []
        for values in x:
            spikes, mem = self.lif(self.fc(values), mem)
            out.append(spikes)
        return torch.stack(out)


@pytest.fixture(scope="module")
def plain():
    return Regression()


@pytest.fixture(scope="module")
def grey():
    """The same, trained on grey levels from 0 to 16."""
    return Regression(16.0)


def predictions(model, **said):
    """Of software, the integers, and the PyTorch model as bench attacks it."""
    there = spikeport.load(model, **PLAIN, **DATA, **said)
    ran = {
        target: spikeport.run(there, "digits", target=target, samples=SAMPLES)
        for target in ("software", "fast")
    }
    bench = models.read(there.stage, there.ways)
    images = spikeport.dataset("digits", samples=SAMPLES).images()
    assert bench.program.fingerprint == there.program.fingerprint
    return ran, bench.classifier().predict(images).argmax(axis=1), there


def test_run_and_bench_give_a_float_model_the_same_numbers(plain):
    ran, attacked, there = predictions(plain)
    assert there.program.inputs[0].message_bits == 6
    assert there.program.metadata["input_fraction_bits"] == {"input": 4}
    assert np.array_equal(ran["software"].predictions(), attacked)
    assert ran["software"].accuracy(ran["software"].labels) > 0.6
    agreement = spikeport.compare(there, "digits", samples=SAMPLES)
    assert np.mean(ran["fast"].predictions() == attacked) == agreement.paired[0].share > 0.9


@pytest.mark.parametrize("said", [{"input_scale": 16.0}, {"fraction_bits": 0}])
def test_a_model_of_grey_levels_says_so_once_for_every_command(plain, grey, said):
    expected, _, _ = predictions(plain)
    ran, attacked, there = predictions(grey, **said)
    assert there.program.metadata["input_fraction_bits"] == {"input": 0}
    assert np.array_equal(ran["software"].predictions(), expected["software"].predictions())
    assert np.array_equal(attacked, expected["software"].predictions())


def test_what_is_said_where_it_is_run_is_as_good_as_where_it_is_loaded(plain):
    loaded = spikeport.run(spikeport.load(plain, **PLAIN, **DATA), "digits", samples=5)
    said = {name: DATA[name] for name in ("encoding", "steps")}
    ran = spikeport.run(spikeport.load(plain, **PLAIN), "digits", samples=5, **said)
    assert loaded.program == ran.program
    assert np.array_equal(loaded.scores["lif"], ran.scores["lif"])


def test_other_numbers_than_in_training_are_warned_of(grey):
    ran, _, _ = predictions(grey)
    assert [w.name for w in ran["fast"].warnings if "chance" in w.name]


def test_a_graph_file_keeps_what_was_said(grey, tmp_path):
    model = spikeport.load(grey, **PLAIN, **DATA, input_scale=16.0, dt=1e-3)
    again = spikeport.load(model.save_nir(tmp_path / "grey.nir"))
    assert again.data["name"] == "digits"
    assert again.program.fingerprint == model.program.fingerprint


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"input_scale": 255.0}, "power of two"),
        ({"input_scale": 2.0, "fraction_bits": 1}, "the same thing twice"),
    ],
)
def test_contradictions_are_refused(plain, said, message):
    with pytest.raises(ModelError, match=message):
        spikeport.load(plain, **PLAIN, **DATA, **said).program  # noqa: B018


def test_a_scale_needs_grey_levels(plain):
    with pytest.raises(ModelError, match="goes with a data set"):
        spikeport.load(plain, **PLAIN, input_scale=2.0).program  # noqa: B018
    data = {"name": "digits", "encoding": "poisson", "steps": 4}
    with pytest.raises(ModelError, match="with 'poisson'"):
        of_data(data, Ways(input_scale=2.0), "net")


def test_a_model_that_states_its_input_is_taken_at_its_word():
    stage = stages.load("examples/checkpoints/digits-tgo-0.safetensors")
    with pytest.raises(ModelError, match="states what its input means"):
        stages.to_program(stage, Ways(input_scale=16.0))
