"""``spikeport train``: the learning curve that it writes, and a training that is stopped and goes
on."""

from __future__ import annotations

import csv
import io
import json
import sys
import types

import pytest
import torch

from toolchain import training
from toolchain.cli import run
from toolchain.training import load_checkpoint, loop
from toolchain.training.curve import page, table

RECIPE = """
[data]
steps = 2
[model]
layers = [{ kind = "dense", features = 12 }, { kind = "dense", features = 10 }]
readout = "max_potential"
[training]
epochs = 3
samples = 80
validation = 0.25
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text(RECIPE)
    return tmp_path


def test_the_learning_curve_is_written(recipe, capsys):
    given = ["-o", "m.safetensors", "--page", "m.html", "--json", "m.json"]
    assert run(["train", "r.toml", *given]) == 0
    assert sorted(path.name for path in recipe.iterdir()) == [
        "m.history.csv",
        "m.html",
        "m.json",
        "m.safetensors",
        "r.toml",
    ]
    facts = json.loads((recipe / "m.json").read_text())
    rows = list(csv.DictReader(io.StringIO((recipe / "m.history.csv").read_text())))
    assert [list(row) for row in rows] == [
        [
            "epoch",
            "loss",
            "accuracy",
            "validation_loss",
            "validation_accuracy",
            "learning_rate",
            "seconds",
        ]
    ] * 3
    assert [float(row["loss"]) for row in rows] == [entry["loss"] for entry in facts["history"]]
    text = (recipe / "m.html").read_text()
    assert f"The weights are those of epoch {facts['kept']['epoch']}, the best one" in text
    for entry in facts["history"]:
        assert f"epoch {entry['epoch']}: {entry['validation_loss']:.4g}" in text
    assert "Bars:" not in text
    shown = f"validation accuracy {100 * facts['history'][0]['validation_accuracy']:.2f} %"
    assert shown in capsys.readouterr().out
    assert run(["train", "r.toml", "-o", "n.safetensors", "--page", "m.html"]) == 2
    assert "m.html: exists already" in capsys.readouterr().err


def test_a_stopped_training_goes_on(recipe, capsys, monkeypatch):
    class Killed(BaseException):
        pass

    def stopped(config, **given):
        def told(entry):
            if entry["epoch"] == 2:
                raise Killed

        return loop.train(config, **{**given, "on_epoch": told})

    assert run(["train", "r.toml", "-o", "whole.safetensors"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", stopped)
        with pytest.raises(Killed):
            run(["train", "r.toml", "-o", "m.safetensors"])
    capsys.readouterr()
    assert run(["train", "r.toml", "-o", "m.safetensors"]) == 2
    said = "m.state: is the state of a training that was stopped; --resume goes on from it, --force"
    assert said in capsys.readouterr().err
    assert run(["train", "r.toml", "-o", "m.safetensors", "--seed", "5", "--resume"]) == 2
    assert "training.seed is 0 there and 5 here" in capsys.readouterr().err

    assert run(["train", "r.toml", "-o", "m.safetensors", "--resume"]) == 0
    printed = capsys.readouterr().out
    assert "epoch 3:" in printed
    assert "epoch 2:" not in printed
    weights = load_checkpoint("whole.safetensors")[0].state_dict()
    for name, tensor in load_checkpoint("m.safetensors")[0].state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert not (recipe / "m.state").exists()
    assert len((recipe / "m.history.csv").read_text().splitlines()) == 4
    assert run(["train", "r.toml", "-o", "n.safetensors", "--resume"]) == 2
    printed = capsys.readouterr().err
    assert "n.state: there is no such state" in printed
    assert "without --resume it begins anew" in printed


def test_tensorboard_is_given_every_number(recipe, monkeypatch, capsys):
    written = []

    class SummaryWriter:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            written.append("flush")

        def close(self):
            written.append("close")

    there = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", there)
    assert run(["train", "r.toml", "--tensorboard", "board", "--json", "m.json"]) == 0
    history = json.loads((recipe / "m.json").read_text())["history"]
    assert (written[0], written[-1], written.count("flush")) == ("board", "close", 3)
    for entry in history:
        for name in ("loss", "accuracy", "validation_loss", "learning_rate"):
            assert (name, entry[name], entry["epoch"]) in written

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(["train", "r.toml", "-o", "n.safetensors", "--tensorboard", "board"]) == 2
    printed = capsys.readouterr().err
    assert "--tensorboard needs the package tensorboard" in printed
    assert "pip install 'spikeport[tensorboard]'" in printed


def test_parts_of_the_loss_and_figures_of_defences_have_columns():
    entry = {"epoch": 1, "loss": 2.0, "accuracy": 0.5, "terms": {"task": 1.5, "margin": 0.5}}
    entry |= {"lambda": 0.25, "seconds": 1.0}
    names = ["epoch", "loss", "accuracy", "lambda", "task_loss", "margin_loss", "seconds"]
    found = table([entry, {"epoch": 2, "loss": 1.0, "accuracy": 1.0, "seconds": 1.0}])
    assert found.header() == names
    assert found.records() == [[1, 2.0, 0.5, 0.25, 1.5, 0.5, 1.0], [2, 1.0, 1.0, *[None] * 3, 1.0]]
    shown = page("<net>", "half of <all>", [entry], {"data": {"name": "<digits>"}})
    assert "<net>" not in shown
    assert "half of &lt;all&gt;" in shown
    assert "those of the last epoch" in shown
    assert page("net", "0 epochs", [], {}).count("<svg") == 0
