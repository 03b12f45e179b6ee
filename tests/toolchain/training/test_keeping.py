"""A training that is stopped at any step goes on to the same weights, bit by bit; the state of
another training is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import spikeport
from toolchain.errors import CheckpointError, ConfigError, OutputError
from toolchain.training import Config, keeping, train
from toolchain.training import state as state_file
from toolchain.training.keeping import Keeping

ROOT = Path(__file__).parents[3]

BASE = {
    "data": {"steps": 2},
    "model": {
        "layers": [{"kind": "dense", "features": 12}, {"kind": "dense", "features": 10}],
        "readout": "max_potential",
    },
    "training": {"epochs": 3, "samples": 60, "batch": 20},
}
STEPS = 9

EVERYTHING = {
    "data": {"shift": 1},
    "neuron": {"noise": 0.1, "learn_beta": True},
    "training": {
        "schedule": "cosine",
        "warmup": 0.3,
        "optimiser": "adamw",
        "weight_decay": 0.1,
        "decay_norms": False,
        "validation": 0.25,
        "samples": 80,
    },
    "augmentation": {"crop": 1, "mixup": 0.5},
    "defence": {
        "margin": {"delta": 0.3, "lambda_max": 1.0},
        "adversarial": {"attack": "pgd", "epsilon": 0.0625},
    },
}


def recipe(change: dict) -> Config:
    parts = {*BASE, *change}
    return Config.from_table({name: BASE.get(name, {}) | change.get(name, {}) for name in parts})


class Killed(Exception):
    pass


def stopped(config: Config, kept: Keeping, at: int) -> None:
    """Train until ``at`` steps are done; what is in memory is lost."""

    def progress(done: int, total: int) -> None:
        assert total == STEPS
        if done == at:
            raise Killed

    with pytest.raises(Killed):
        train(config, progress=progress, keeping=kept)


def same(result, expected) -> None:
    weights = expected.model.state_dict()
    for name, tensor in result.model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    for one, other in zip(result.history, expected.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert result.accuracy == expected.accuracy
    assert result.details == expected.details


@pytest.mark.parametrize(
    "change",
    [{}, {"training": {"optimiser": "sgd", "learning_rate": 0.02}}, EVERYTHING],
    ids=["adam, one cycle", "sgd", "everything"],
)
def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path, change):
    config, kept = recipe(change), Keeping(tmp_path / "x.state", every_s=0)
    expected = train(config)
    first, second = sorted(
        np.random.default_rng(len(change)).choice(np.arange(1, STEPS), 2, replace=False)
    )
    stopped(config, kept, first)
    stopped(config, replace(kept, resume=True), second)
    seen = []
    result = train(
        config, keeping=replace(kept, resume=True), progress=lambda done, _: seen.append(done)
    )
    assert seen == list(range(second + 1, STEPS + 1)), (first, second)
    same(result, expected)


def test_without_time_for_more_it_goes_on_from_the_last_epoch(tmp_path):
    config, kept, seen = recipe({}), Keeping(tmp_path / "x.state"), []
    stopped(config, kept, 5)
    result = train(
        config, keeping=replace(kept, resume=True), progress=lambda done, _: seen.append(done)
    )
    assert seen == [4, 5, 6, 7, 8, 9]
    same(result, train(config))


def test_patience_and_the_best_epoch_go_on(tmp_path, monkeypatch):
    # of the epochs' accuracies the second is the best, and with patience 2 the fourth is the last
    given = [0.5, 0.75, 0.6, 0.7, 0.9]
    change = {"training": {"validation": 0.25, "patience": 2, "samples": 80, "epochs": 5}}
    config, kept = recipe(change), Keeping(tmp_path / "x.state")

    def told(model, held, config):
        return 1.0, given[len(calls)]

    calls: list[int] = []
    monkeypatch.setattr("toolchain.training.run.measure", told)
    weights = {}

    def look(entry):
        calls.append(entry["epoch"])
        if entry["epoch"] == 3:
            raise Killed

    with pytest.raises(Killed):
        train(config, on_epoch=look, keeping=kept)
    weights = load_file(kept.path)
    result = train(config, on_epoch=look, keeping=replace(kept, resume=True))
    assert calls == [1, 2, 3, 4]
    assert result.details["kept"]["epoch"] == 2
    assert torch.equal(result.model.dense1.weight, weights["best.dense1.weight"])
    assert not torch.equal(result.model.dense1.weight, weights["model.dense1.weight"])


SCRIPT = """
import json, os, signal, sys
from toolchain.training import Config, train
from toolchain.training.keeping import Keeping

def progress(done, total):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

path, table = sys.argv[1:]
train(Config.from_table(json.loads(table)), progress=progress, keeping=Keeping(path_of(path), 0))
"""


def test_a_process_that_is_killed_leaves_a_state_to_go_on_from(tmp_path):
    config, path = recipe({}), tmp_path / "x.state"
    script = SCRIPT.replace("path_of(path)", "__import__('pathlib').Path(path)")
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    found = subprocess.run(
        [sys.executable, "-c", script, str(path), json.dumps(config.to_table())],
        cwd=ROOT,
        env=os.environ | threads,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert found.returncode == -signal.SIGKILL, found.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.state"]
    seen = []
    result = train(
        config, keeping=Keeping(path, resume=True), progress=lambda done, _: seen.append(done)
    )
    assert seen == [6, 7, 8, 9]
    same(result, train(config))


def test_the_network_that_is_trained_first_goes_on_too(tmp_path):
    layers = "layers = [{ kind = 'dense', features = 12 }, { kind = 'dense', features = 10 }]"
    (tmp_path / "ann.toml").write_text(
        f"[data]\nsteps = 1\n[model]\nkind = 'ann'\n{layers}\n"
        "[training]\nepochs = 3\nsamples = 60\nbatch = 20\n"
    )
    ann = str(tmp_path / "ann.toml")
    config = recipe(
        {
            "model": {"init": {"kind": "conversion", "ann": ann}, "readout": "mean_potential"},
            "neuron": {"reset": "subtract", "beta": 1.0},
        }
    )
    kept = Keeping(tmp_path / "x.state", every_s=0)
    expected = train(config)

    # stopped in the ANN's training: three epochs of three steps, which have states of their own
    def broken(*args, **kwargs):
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolchain.training.conversion.convert", broken)
        with pytest.raises(Killed):
            train(config, keeping=kept)
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["ann.toml", "x.init.state"]
    with pytest.raises(OutputError, match=r"x\.init\.state: is the state of a training that was"):
        train(config, keeping=kept)
    stopped(config, replace(kept, resume=True), 4)
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["ann.toml", "x.state"]
    result = train(config, keeping=replace(kept, resume=True))
    same(result, expected)
    assert result.details["conversion"]

    (tmp_path / "ann.toml").write_text((tmp_path / "ann.toml").read_text() + "seed = 1\n")
    with pytest.raises(CheckpointError, match=r"the file that it starts from \(model.init\)"):
        train(config, keeping=replace(kept, resume=True))
    kept.done()
    assert [entry.name for entry in tmp_path.iterdir()] == ["ann.toml"]


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Where a finished training has left its state."""
    kept = Keeping(tmp_path_factory.mktemp("state") / "x.state", code="as it is")
    train(recipe({}), keeping=kept)
    return kept


def test_a_finished_training_goes_on_to_its_result(state):
    same(train(recipe({}), keeping=replace(state, resume=True)), train(recipe({})))


def test_the_state_of_another_recipe_is_refused_by_name(state):
    other = recipe({"training": {"learning_rate": 0.5}, "neuron": {"beta": 0.5}})
    with pytest.raises(
        CheckpointError,
        match=r"another training: neuron\.beta is 0\.9 there and 0\.5 here; "
        r"training\.learning_rate is 0\.01 there and 0\.5 here; with the same recipe",
    ):
        train(other, keeping=replace(state, resume=True))
    many = recipe({"training": {"epochs": 1, "batch": 1, "seed": 1, "optimiser": "sgd"}})
    with pytest.raises(CheckpointError, match="and 1 more"):
        train(many, keeping=replace(state, resume=True))


def test_the_state_of_other_circumstances_is_refused(state, monkeypatch):
    with pytest.raises(CheckpointError, match="the code, or versions of packages, were others"):
        train(recipe({}), keeping=replace(state, resume=True, code="otherwise"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    with pytest.raises(CheckpointError, match="threads and has 77"):
        train(recipe({}), keeping=replace(state, resume=True))
    monkeypatch.undo()
    monkeypatch.setattr(keeping, "_digest", lambda *data: "others")
    with pytest.raises(CheckpointError, match="the data were others"):
        train(recipe({}), keeping=replace(state, resume=True))


def test_a_state_is_not_replaced_unasked_and_must_be_there(state, tmp_path):
    with pytest.raises(OutputError, match="resume=True goes on from it, force=True begins anew"):
        train(recipe({}), keeping=state)
    with pytest.raises(CheckpointError, match="there is no such state"):
        train(recipe({}), keeping=Keeping(tmp_path / "none.state", resume=True))
    before = state.path.read_bytes()
    train(recipe({"training": {"epochs": 1}}), keeping=replace(state, force=True))
    assert state.path.read_bytes() != before
    state.path.write_bytes(before)


def test_a_purifier_keeps_no_state(tmp_path):
    config = Config.from_table({"purifier": {"classifier": "x.safetensors"}})
    with pytest.raises(ConfigError, match="purifier: its training keeps no state"):
        train(config, keeping=Keeping(tmp_path / "x.state"))


def damaged(path: Path, how: str) -> bytes:
    content = path.read_bytes()
    if how == "cut":
        return content[:-9]
    if how == "short":
        return content[:5]
    if how == "flipped":
        return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        values = json.loads(file.metadata()["spikeport-training"])
    if how == "tensor":
        del tensors["optimiser.0.exp_avg"], tensors["order"]
    elif how == "value":
        values["tally"] = {"cows": 3}
    elif how == "format":
        values["format"] = 9
    text = json.dumps(values)
    metadata = {"spikeport-training": text, "spikeport-sha256": state_file._digest(text, tensors)}
    save_file(tensors, path.with_suffix(".copy"), metadata={} if how == "other" else metadata)
    return path.with_suffix(".copy").read_bytes()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("cut", "damaged"),
        ("short", "truncated"),
        ("flipped", "damaged: it is not what was written"),
        ("tensor", "damaged"),
        ("value", "damaged"),
        ("format", "format 9; this version reads format 1"),
        ("other", "must be a file that spikeport train keeps beside its output"),
    ],
)
def test_a_damaged_state_is_refused(state, tmp_path, how, message):
    path = tmp_path / "x.state"
    path.write_bytes(damaged(state.path, how))
    with pytest.raises(CheckpointError, match=rf"x\.state: .*{message}"):
        train(recipe({}), keeping=replace(state, path=path, resume=True))


def test_the_public_call_keeps_a_state_and_goes_on_from_it(tmp_path):
    path, config = tmp_path / "x.state", recipe({})

    def progress(done, total):
        if done == 7:
            raise Killed

    with pytest.raises(Killed):
        spikeport.train(config, state=path, progress=progress)
    with pytest.raises(OutputError, match="resume=True goes on from it"):
        spikeport.train(config, state=path)
    same(spikeport.train(config, state=path, resume=True).result, train(config))
    assert not path.exists()
    with pytest.raises(spikeport.Error, match=r"state is None .*with resume"):
        spikeport.train(config, resume=True)
