"""A training that starts from the weights of another network: which, and what does not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from toolchain.errors import ConfigError
from toolchain.models import Grid, Init, Layer, Model, Neuron, ReluNetwork, build
from toolchain.models.description import Norm
from toolchain.training import Config, Data, Training, read_config, save_checkpoint, train
from toolchain.training.weights import copy

LAYERS = (
    Layer("conv", channels=4, kernel=3, stride=2, padding=1),
    Layer("dense", features=12),
    Layer("dense", features=10),
)
SHORT = Training(epochs=1, samples=100, batch=25)
ANN = Config(
    data=Data(steps=1), model=Model(layers=LAYERS, kind="ann", norm=Norm()), training=SHORT
)
SNN = Config(
    data=Data(steps=2),
    model=Model(layers=LAYERS, readout="max_potential", norm=Norm()),
    neuron=Neuron(learn_beta=True),
    training=SHORT,
)
NONE = replace(SHORT, epochs=0)


def kept(folder, config: Config) -> str:
    """The checkpoint of a trained network."""
    path = folder / "other.safetensors"
    result = train(config)
    save_checkpoint(path, result.model, result.config, force=True)
    return str(path)


@pytest.fixture(scope="module")
def ann(tmp_path_factory):
    return kept(tmp_path_factory.mktemp("ann"), ANN)


@pytest.fixture(scope="module")
def snn(tmp_path_factory):
    return kept(tmp_path_factory.mktemp("snn"), SNN)


def started(config: Config, source: str, **training) -> Config:
    init = Init("weights", network=source)
    return replace(
        config, model=replace(config.model, init=init), training=replace(NONE, **training)
    )


def weights(path: str) -> dict:
    from safetensors.torch import load_file

    return load_file(path)


def test_a_spiking_network_starts_from_an_ann_with_its_norms(ann):
    result = train(started(replace(SNN, data=Data(steps=4)), ann))
    there, here = weights(ann), result.model.state_dict()
    assert result.details["weights"] == {
        "network": "other.safetensors",
        "kind": "ann",
        "steps": 1,
        "taken": len(there),
    }
    for name, tensor in there.items():
        assert torch.equal(here[name], tensor), name
    assert here["conv1.norm.num_batches_tracked"] == 4
    assert here["lif1.beta"] == torch.tensor(0.9)
    further = train(started(SNN, ann, epochs=1))
    assert not torch.equal(further.model.conv1.weight, there["conv1.weight"])


def test_it_starts_from_a_spiking_network_of_other_steps_and_grid(snn):
    config = replace(SNN, data=Data(steps=5), grid=Grid(weight_bits=6))
    result = train(started(config, snn))
    there, here = weights(snn), result.model.state_dict()
    assert there["lif1.beta"] != 0.9
    for name, tensor in there.items():
        assert torch.equal(here[name], tensor), name
    assert result.details["weights"]["steps"] == 2


def test_the_other_way_round_and_an_ann_from_an_ann(ann, snn):
    plain = replace(SNN, neuron=Neuron())
    for source, fits in ((ann, ANN), (ann, plain)):
        train(started(fits, source))
    with pytest.raises(ConfigError, match=r"lif1\.beta is too much there.*learn it here, too"):
        train(started(ANN, snn))


def test_what_neurons_learned_needs_neurons_that_learn(snn):
    config = started(replace(SNN, neuron=Neuron(beta=0.5)), snn)
    with pytest.raises(ConfigError, match=r"lif1\.beta is too much there, .*; what its neurons"):
        train(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": None}, r"conv1\.norm\.bias is too much there.*|and \d+ more"),
        (
            {"layers": (*LAYERS[:1], Layer("dense", features=11), LAYERS[2])},
            r"dense2\.weight has shape \(12, 64\) there and \(11, 64\) here",
        ),
        ({"layers": LAYERS[::2]}, r"dense2\.bias is missing there|dense2\.weight has shape"),
    ],
)
def test_other_layers_are_refused(ann, change, message):
    config = replace(SNN, model=replace(SNN.model, **change))
    with pytest.raises(ConfigError, match=rf"names and shapes: .*({message})"):
        train(started(config, ann))


def test_a_recipe_is_trained_first(tmp_path, monkeypatch):
    (tmp_path / "ann.toml").write_text(
        "[data]\nsteps = 1\n[model]\nkind = 'ann'\nlayers = [{ kind = 'dense', features = 10 }]\n"
        "[training]\nepochs = 1\nsamples = 50\nseed = 2\n"
    )
    (tmp_path / "snn.toml").write_text(
        "[data]\nsteps = 2\n[model]\nlayers = [{ kind = 'dense', features = 10 }]\n"
        "readout = 'max_potential'\ninit = { kind = 'weights', network = 'ann.toml' }\n"
        "[training]\nepochs = 0\nsamples = 50\nseed = 1\n"
    )
    config = read_config(tmp_path / "snn.toml")
    assert config.model.init.network == str(tmp_path / "ann.toml")
    ann = read_config(tmp_path / "ann.toml")
    expected = train(replace(ann, training=replace(ann.training, seed=3))).model
    assert isinstance(expected, ReluNetwork)
    found = train(config)
    assert torch.equal(found.model.dense1.weight, expected.dense1.weight)
    assert found.details["weights"]["network"] == "ann.toml"


def test_the_recipes_of_the_examples_fit(request):
    path = request.config.rootpath / "examples" / "recipes" / "digits-fine-tuned.toml"
    config = read_config(path)
    ann = read_config(config.model.init.network)
    networks = [
        build(
            each.model,
            each.neuron,
            each.grid,
            each.surrogate,
            dataset=each.data.name,
            encoding=each.data.encoder,
        )
        for each in (ann, config)
    ]
    assert copy(*networks, "the ANN") == len(networks[0].state_dict())
    assert not network_differs(*networks)


def network_differs(one, other) -> list[str]:
    there = other.state_dict()
    return [n for n, tensor in one.state_dict().items() if not torch.equal(tensor, there[n])]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"kind": "weights"}, "network is missing; an init of kind 'weights' must have it"),
        ({"kind": "conversion"}, "ann is missing"),
        ({"kind": "weights", "network": "a.pt"}, "network is 'a.pt'; it must be a checkpoint"),
        ({"kind": "weights", "network": "a.toml", "scale": 0.7}, "scale is given; with kind"),
        ({"kind": "weights", "ann": "a.toml", "network": "a.toml"}, "ann is given"),
        ({"kind": "conversion", "ann": "a.toml", "network": "a.toml"}, "network is given"),
    ],
)
def test_an_init_has_what_its_kind_takes(entries, message):
    with pytest.raises(ConfigError, match=message):
        Config.from_table({"model": {"name": "mlp", "init": entries}})
