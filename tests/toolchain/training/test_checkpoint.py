"""Checkpoints: the same network back, and files that are damaged, foreign or hostile."""

from __future__ import annotations

import json
import pickle
import struct

import pytest
import torch
from safetensors.torch import save, save_file

from toolchain.data import Encoding
from toolchain.errors import CheckpointError, ConfigError, OutputError
from toolchain.models import Grid, Layer, Model, Neuron, build
from toolchain.training import Config, Data, load_checkpoint, save_checkpoint
from toolchain.training.checkpoint import read_results

CONFIG = Config(data=Data(steps=3), model=Model("mlp"))


@pytest.fixture
def model():
    torch.manual_seed(5)
    return build(
        CONFIG.model,
        CONFIG.neuron,
        CONFIG.grid,
        CONFIG.surrogate,
        dataset="digits",
        encoding=CONFIG.data.encoder,
    )


@pytest.fixture
def path(tmp_path, model):
    target = tmp_path / "model.safetensors"
    save_checkpoint(target, model, CONFIG, results={"accuracy": 0.5})
    return target


def test_the_same_network_comes_back(path, model):
    state = torch.random.get_rng_state()
    found, config = load_checkpoint(path)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert config.data == CONFIG.data
    assert config.model.layers == (Layer("dense", features=256), Layer("dense", features=10))
    for name, tensor in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)
    x = torch.randint(0, 17, (3, 4, 1, 8, 8)) / 16
    assert torch.equal(found(x), model(x))
    assert not found.training
    assert read_results(path) == {"accuracy": 0.5}


def test_an_existing_file_is_kept_without_force(path, model):
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists"):
        save_checkpoint(path, model, CONFIG)
    assert path.read_bytes() == before
    save_checkpoint(path, model, CONFIG, force=True)
    assert read_results(path) == {}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_neither_written_nor_read(tmp_path, path, model, value):
    with torch.no_grad():
        model.dense1.weight[3, 3] = value
    with pytest.raises(CheckpointError, match=r"'dense1.weight' holds NaN or infinite"):
        save_checkpoint(tmp_path / "other.safetensors", model, CONFIG)
    assert not (tmp_path / "other.safetensors").exists()
    rewrite(path, lambda tensors, described: tensors["dense1.weight"].fill_(value))
    with pytest.raises(CheckpointError, match=r"'dense1.weight' holds NaN or infinite"):
        load_checkpoint(path)


def rewrite(path, change):
    """Write the checkpoint again after ``change(tensors, description)``."""
    from safetensors.torch import load

    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["spikeport"])
    tensors = load(content)
    change(tensors, described)
    path.write_bytes(save(tensors, metadata={"spikeport": json.dumps(described)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, d: t.pop("dense1.bias"), "lacks 'dense1.bias'"),
        (lambda t, d: t.update(extra=torch.zeros(1)), "holds 'extra'"),
        (
            lambda t, d: t.update({"dense1.bias": torch.zeros(3)}),
            r"'dense1.bias' is torch.float32 of shape \(3,\)",
        ),
        (
            lambda t, d: t.update({"dense1.bias": torch.zeros(256).double()}),
            "'dense1.bias' is torch.float64",
        ),
        (lambda t, d: d.update(format=2), "format 2"),
        (
            lambda t, d: d["config"].update(secret=1),
            "recipe is not usable: config: there is no key 'secret'",
        ),
        (lambda t, d: d["config"]["data"].update(steps=-1), "recipe is not usable"),
        (lambda t, d: d.pop("config"), "without a recipe"),
        (lambda t, d: d.update(results=3), "without a recipe"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(path, change, message):
    rewrite(path, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("features", [20_000, 1 << 20])
def test_a_recipe_that_declares_more_weights_than_the_file_holds_is_refused_before_they_are_made(
    path, features
):
    def widen(tensors, described):
        layers = described["config"]["model"]["layers"]
        described["config"]["model"]["layers"] = [
            {"kind": "dense", "features": features}
        ] * 2 + layers[-1:]

    rewrite(path, widen)
    with pytest.raises(CheckpointError, match=r"layer 1 .* weights; it must have at most"):
        load_checkpoint(path)


def test_a_recipe_of_more_weights_than_chips_hold_is_refused():
    layers = tuple(Layer("dense", features=size) for size in (20_000, 20_000, 10))
    with pytest.raises(
        ConfigError, match=r"layer 2 \(dense\): .* weights; it must have at most 147,456,000"
    ):
        build(
            Model(layers=layers),
            Neuron(),
            Grid(),
            None,
            dataset="digits",
            encoding=Encoding("direct", 4),
        )


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("how", ["torch", "old torch", "pickle"])
def test_a_pickle_is_refused_unread(tmp_path, how):
    path, bomb = tmp_path / "model.pt", tmp_path / "exploded"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb(bomb)))
    else:
        torch.save(Bomb(bomb), path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(CheckpointError, match=r"a pickle .*safetensors.torch.save_file"):
        load_checkpoint(path)
    assert not bomb.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no safetensors file"),
        (b"1234567", "no safetensors file"),
        (struct.pack("<Q", 1 << 60) + b"{}", "no safetensors file"),
        (struct.pack("<Q", 4) + b"nope", "without a recipe"),
        (struct.pack("<Q", 2) + b"{}", "without a recipe"),
        (struct.pack("<Q", 40_000) + b"[" * 40_000, "without a recipe"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "no safetensors file"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path, content, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(path):
    content = path.read_bytes()
    for size in (len(content) - 1, len(content) // 2, 200):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError, match=r"damaged|truncated|without a recipe"):
            load_checkpoint(path)


def test_an_absent_file_and_bare_weights(tmp_path, model):
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "none.safetensors")
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(CheckpointError, match=r"package.module:factory"):
        load_checkpoint(tmp_path / "weights.safetensors")
