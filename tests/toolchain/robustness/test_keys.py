"""What a model is, as a part of its cells' keys: weights and graph, and every module of the user
that makes it."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from toolchain.attacks.registry import AttackSpec
from toolchain.cells.plain import training
from toolchain.errors import ModelError
from toolchain.robustness import content, models
from toolchain.robustness.cells import CraftJob, ScoreJob
from toolchain.robustness.models import ModelFile
from toolchain.training import Config, Training

NETWORK = """
import importlib
import torch
from torch import nn
from own_key_helper import scale


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed({seed})
        self.read = nn.Linear(64, 10)
        self.dial = importlib.import_module("own_key_" + "dial").dial
        with torch.no_grad():
            self.read.weight *= scale

    def forward(self, images):
        return self.dial * self.read(images.flatten(1))

    def spikeport_io(self):
        return {{
            "program": False,
            "input": {{"shape": [1, 8, 8], "message_bits": 0, "fraction_bits": 0}},
            "output": {{"decode": "last_potential"}},
            "call": "images",
            "data": {{"name": "digits"}},
        }}
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    """Writes a user's modules and opens the network as a new process would."""
    monkeypatch.syspath_prepend(tmp_path)

    def opened(scale="1.0", dial="1", seed="1"):
        (tmp_path / "own_key_net.py").write_text(NETWORK.format(seed=seed))
        (tmp_path / "own_key_helper.py").write_text(f"scale = {scale}\n")
        (tmp_path / "own_key_dial.py").write_text(f"dial = {dial}\n")
        forget()
        return models.sealed(ModelFile.read("own", "own_key_net:Net"))

    yield opened
    forget()


def forget():
    for name in [name for name in sys.modules if name.startswith("own_key_")]:
        del sys.modules[name]
    sys.path_importer_cache.clear()
    models._opened.cache_clear()


def test_a_helper_of_the_factory_counts_however_it_was_imported(factory):
    model = factory()
    assert model.modules == ("own_key_dial", "own_key_helper", "own_key_net")
    assert factory().key == model.key
    assert factory(scale="1.0  # words").key == model.key
    assert (
        len({model.key, factory(scale="0.0").key, factory(dial="2").key, factory(seed="2").key})
        == 4
    )


def test_cells_have_other_keys_and_another_maker_where_a_helper_changes(factory):
    spec = AttackSpec("fgsm", {}, {"name": "training", "params": {}})

    def keys(model):
        job = CraftJob(model, "d" * 64, spec, "linf", 0.1, 0, 8)
        assert {"own_key_helper", "own_key_dial"} <= job.maker.code.modules
        assert job.code == job.maker.digest
        return job.key, ScoreJob(job, "software", 4).key

    from toolchain.cells import closure, maker

    first = keys(factory())
    maker.of.cache_clear()  # as in a new process
    closure.of.cache_clear()
    assert not set(first) & set(keys(factory(scale="0.0")))


def test_a_factory_that_makes_another_network_every_time_is_refused_where_it_is_computed(factory):
    model = factory(seed="torch.seed()")
    models._opened.cache_clear()
    with pytest.raises(
        ModelError,
        match=r"is another network here than where the run was planned.*weights, or a seed",
    ):
        models.open_model(model)


class Part(nn.Module):
    def __init__(self, weight=1.0, hidden=0.0, setting=1, text=""):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))
        self.register_buffer("hidden", torch.tensor([hidden]), persistent=False)
        self.setting, self.nested = setting, ("a", [text])


def test_a_network_is_its_parameters_buffers_and_settings():
    others = [
        Part(weight=2.0),
        Part(hidden=1.0),
        Part(setting=2),
        Part(setting=True),
        Part(text="b"),
        nn.Sequential(Part()),
    ]
    digests = [content.of_module(module) for module in (Part(), *others)]
    assert len(set(digests)) == len(digests)
    assert content.of_module(Part()) == digests[0]


def test_a_training_rests_on_its_data_and_on_the_files_that_its_recipe_names(tmp_path, monkeypatch):
    from toolchain.training import cell

    ann = tmp_path / "ann.toml"
    ann.write_text('[model]\nkind = "ann"\nlayers = [{ kind = "dense", features = 10 }]\n')
    plain = Config(training=Training(epochs=1, samples=16))
    model = {
        "layers": [{"kind": "dense", "features": 10}],
        "init": {"kind": "conversion", "ann": str(ann)},
    }
    table = {**plain.to_table(), "neuron": {"reset": "subtract"}, "model": model}
    converted = Config.from_table(table)
    first = training(converted, "a").key, training(plain, "a").key
    ann.write_text(ann.read_text() + "[training]\nepochs = 2\n")
    assert training(converted, "a").key != first[0]
    assert training(plain, "another label").key == first[1]
    assert training(replace(plain, training=Training(epochs=2, samples=16)), "a").key != first[1]
    monkeypatch.setattr(cell, "data_key", lambda name: "other data")
    assert training(plain, "a").key != first[1]
