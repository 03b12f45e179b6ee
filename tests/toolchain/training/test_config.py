"""Recipes: every key known, every value checked, and the same recipe back from its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.errors import ConfigError
from toolchain.models import Layer
from toolchain.training import Config, read_config

RECIPES = sorted((Path(__file__).parents[3] / "examples" / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_recipes_beside_the_examples_are_accepted(path):
    config = read_config(path)
    assert Config.from_table(config.to_table()) == config


def test_tables_become_a_recipe_and_back():
    table = {
        "data": {"name": "mnist", "encoding": "poisson", "rate": 1, "steps": 5},
        "model": {
            "layers": [{"kind": "dense", "features": 10, "bias": False}],
            "readout": "last_potential",
        },
        "neuron": {"alpha": 0.5},
    }
    config = Config.from_table(table)
    assert config.data.rate == 1.0
    assert config.model.layers == (Layer("dense", features=10, bias=False),)
    assert config.neuron.alpha == 0.5
    assert config.training.epochs == 20
    assert "samples" not in config.to_table()["training"]
    assert Config.from_table(config.to_table()) == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"optimizer": {}},
            "config: there is no key 'optimizer'; it must be one of data, model, neuron, "
            "surrogate, grid, training",
        ),
        (
            {"training": {"optimizer": "adam"}},
            r"config: \[training\]: there is no key 'optimizer' \(the nearest is 'optimiser'\); it "
            "must be one of epochs, batch",
        ),
        (
            {"training": {"epochs": 2.5}},
            r"config: \[training\] epochs is 2.5; it must be a whole number from 0 to 100,000",
        ),
        ({"training": {"epochs": True}}, r"config: \[training\] epochs is True"),
        ({"training": {"epochs": "2"}}, r"config: \[training\] epochs is '2'"),
        (
            {"training": {"learning_rate": float("nan")}},
            r"config: \[training\] learning_rate is nan; it must be a finite number from 1e-09",
        ),
        ({"training": {"epochs": 0}}, "training: epochs is 0"),
        ({"training": {"optimiser": "lion"}}, "adam, adamw, sgd"),
        ({"training": {"schedule": "linear"}}, "one_cycle, cosine, constant"),
        ({"training": {"loss": "hinge"}}, "cross_entropy, rate"),
        (
            {"training": {"loss": "rate"}, "model": {"name": "mlp", "readout": "max_potential"}},
            "needs model.readout",
        ),
        (
            {
                "data": {"name": "nmnist", "encoding": "events"},
                "augmentation": {"flip": True},
            },
            "augmentation goes with images; nmnist are events",
        ),
        ({"augmentation": {"crop": 8}}, "crop is 8; it must be below 8, the side of an image of"),
        ({"augmentation": {"cutout": 9}}, "cutout is 9; it must be below 8"),
        ({"augmentation": {"rotate": 9}}, "no key 'rotate'; it must be one of flip, crop, cutout"),
        ({"training": {"patience": 3}}, "patience goes with validation"),
        ({"training": {"schedule": "constant", "warmup": 0.1}}, "warmup goes with schedule"),
        ({"training": {"label_smoothing": 0.1, "loss": "rate"}}, "label_smoothing goes with loss"),
        ({"training": []}, r"config: training is \[\]; it must be a table with epochs"),
        ({"data": {"name": "imagenet"}}, "digits, mnist, cifar10, nmnist"),
        ({"data": {"encoding": "events"}}, r"config: \[data\]: digits: encoding 'events'"),
        ({"data": {"name": "nmnist", "encoding": "events", "shift": 1}}, "shift goes with images"),
        ({"data": {"shift": 9}}, "shift is 9"),
        (
            {"model": {"layers": {"kind": "dense"}}},
            r"config: \[model.layers\] is .*; it must be a list",
        ),
        (
            {"model": {"layers": [{"features": 3}]}},
            r"config: \[\[model.layers\]\] 1: kind is missing; it must be one of conv, dense",
        ),
        (
            {"model": {"layers": [{"kind": "dense", "units": 3}]}},
            r"config: \[\[model.layers\]\] 1: there is no key 'units'; it must be one of kind",
        ),
    ],
)
def test_unusable_recipes_are_refused(table, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_table(table)


def test_the_smallest_recipe_that_is_shown_is_one(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(Config.EXAMPLE.replace(" and ", "\n"))
    assert read_config(path) == Config()


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.toml")
    path = tmp_path / "recipe.toml"
    for content, message in (
        (b"[data", "not TOML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"#" * (1 << 20) + b"##", "has 1,048,578 bytes"),
        (b"x = 1", "there is no key 'x'"),
        (b"# nothing yet", "is empty; a recipe must hold at least data = {name"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"recipe.toml: {message}"):
            read_config(path)
