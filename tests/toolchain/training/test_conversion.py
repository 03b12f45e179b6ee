"""Threshold balancing: rates approach the ANN's activations; the four networks from their recipes;
what cannot be converted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import toolchain.layers as snn
from export import lower
from export.frameworks import trace
from toolchain.attacks.base import Threat
from toolchain.attacks.registry import AttackSpec, run
from toolchain.attacks.victims import PixelVictim
from toolchain.data import Encoding, load
from toolchain.deploy import stages
from toolchain.errors import ConfigError, ModelError
from toolchain.models import Grid, Init, Layer, Model, Neuron, Norm, ReluNetwork, Surrogate, build
from toolchain.training import (
    Config,
    Data,
    Training,
    load_checkpoint,
    read_config,
    save_checkpoint,
    train,
)
from toolchain.training.conversion import convert, input_strength

LAYERS = (
    Layer("conv", channels=8, kernel=3, padding=1),
    Layer("average_pool", kernel=2),
    Layer("dropout", rate=0.2),
    Layer("dense", features=32, bias=False),
    Layer("dense", features=10),
)
IF = Neuron(
    beta=1.0, reset="subtract", threshold=16.0
)  # large against the grid's 2**-5 V for weights of 4-bit pixels
SPIKING = Model(layers=LAYERS, readout="last_potential", readout_beta=1.0)
ANN = Config(
    data=Data(encoding="direct", steps=1),
    model=Model(layers=LAYERS, kind="ann"),
    training=Training(epochs=4, learning_rate=0.005),
)


@pytest.fixture(scope="module")
def ann():
    return train(ANN)


@pytest.fixture(scope="module")
def ann_file(ann, tmp_path_factory):
    path = tmp_path_factory.mktemp("ann") / "ann.safetensors"
    save_checkpoint(path, ann.model, ann.config)
    return path


def spiking(steps, model=SPIKING, neuron=IF, encoding="direct", bits=8):
    torch.manual_seed(0)
    return build(
        model,
        neuron,
        Grid(weight_bits=bits),
        Surrogate(),
        dataset="digits",
        encoding=Encoding(encoding, steps),
    ).eval()


def pixels(samples):
    return torch.from_numpy(load("digits", "test").values[:samples].astype(np.float32)) / 16


def activations(ann, x):
    """ReLU activations of the two hidden layers."""
    found = {}
    for name in ("lif1", "lif4"):
        getattr(ann, name).register_forward_hook(
            lambda _, __, y, name=name: found.update({name: y.detach()})
        )
    ann(x[None])
    return found


def rates(network, x, steps):
    found = {}
    for name in ("lif1", "lif4"):
        getattr(network, name).register_forward_hook(
            lambda _, __, y, name=name: found.update({name: y.detach().mean(0)})
        )
    network(x.expand(steps, *x.shape))
    return found


def test_rates_approach_the_activations_as_steps_grow(ann):
    x, errors = pixels(64), {}
    expected = activations(ann.model, x)
    for steps in (8, 32, 128):
        network = spiking(steps)
        balances = {b.layer: b.activation for b in convert(ann.model, network, x)}
        found = rates(network, x, steps)
        errors[steps] = [
            float((found[f"lif{n}"] - expected[f"lif{n}"] / balances[kind]).abs().mean())
            for n, kind in ((1, "conv1"), (4, "dense4"))
        ]
    assert errors[8][0] > 2 * errors[32][0] > 4 * errors[128][0]
    assert errors[8][1] > errors[32][1] > errors[128][1]
    assert errors[128][0] < 0.006  # 1 / 128, and the weights' rounding
    assert errors[128][1] < 0.012


def test_thresholds_are_the_scaled_maxima_and_a_scale_gives_more_spikes(ann):
    x = pixels(64)
    network = spiking(16)
    balances = {b.layer: b for b in convert(ann.model, network, x)}
    expected = activations(ann.model, x)
    assert balances["conv1"].activation == pytest.approx(float(expected["lif1"].max()))
    assert balances["dense4"].threshold == pytest.approx(
        float(expected["lif4"].max() / expected["lif1"].max())
    )
    assert torch.allclose(
        network.conv1.weight, ann.model.conv1.weight * (16.0 / balances["conv1"].activation)
    )
    plain = rates(network, x, 16)
    hot = spiking(16)
    scaled = {b.layer: b for b in convert(ann.model, hot, x, scale=0.7)}
    assert scaled["conv1"].activation == pytest.approx(0.7 * balances["conv1"].activation)
    assert all(
        float(value.mean()) > 1.2 * float(plain[name].mean())
        for name, value in rates(hot, x, 16).items()
    )
    lower_percentile = convert(ann.model, spiking(16), x, percentile=90.0)
    assert all(low.activation < balances[low.layer].activation for low in lower_percentile)


def test_a_threshold_of_another_size_gives_the_same_spikes(ann):
    x = pixels(8)
    one, two = spiking(16), spiking(16, neuron=replace(IF, threshold=32.0))
    convert(ann.model, one, x)
    convert(ann.model, two, x)
    same = [
        torch.equal(a, b) for a, b in zip(rates(one, x, 16).values(), rates(two, x, 16).values())
    ]
    assert same == [True, True]


def test_the_converted_network_is_the_program_that_it_exports(ann):
    x = pixels(4)
    network = spiking(8)
    convert(ann.model, network, x)
    program, _ = lower(trace(network))
    from hardware.recording import Record
    from hardware.targets import run as on_target

    inputs = np.broadcast_to((x.numpy() * 16).astype(np.int32)[:, None], (4, 8, 1, 8, 8))
    recording = on_target(
        program, np.ascontiguousarray(inputs), "reference", record=Record(spikes=True)
    )
    with torch.no_grad():
        found = rates(network, x, 8)
    assert np.array_equal(
        recording.spikes["lif4"].sum(1).reshape(4, -1), (found["lif4"] * 8).numpy().reshape(4, -1)
    )


def test_the_four_networks_of_one_description(ann, ann_file):
    """ANN, converted, hybrid and trained with spikes, each by train(); all learn the digits."""
    init = Init("conversion", str(ann_file), percentile=99.9)
    base = Config(
        data=Data(steps=32),
        model=replace(SPIKING, init=init),
        neuron=IF,
        training=Training(epochs=0),
    )
    converted = train(base)
    assert converted.details["conversion"][0]["layer"] == "conv1"
    fewer = train(
        replace(base, model=replace(SPIKING, init=replace(init, samples=1, percentile=100.0)))
    )
    more = train(replace(base, model=replace(SPIKING, init=replace(init, percentile=100.0))))
    assert (
        fewer.details["conversion"][0]["activation"] < more.details["conversion"][0]["activation"]
    )  # a maximum over less
    quick = Training(epochs=2, samples=512, learning_rate=0.002)
    hybrid = train(
        replace(
            base,
            data=Data(steps=8),
            model=replace(SPIKING, init=replace(init, scale=0.7)),
            training=quick,
        )
    )
    first_epoch = hybrid.history[0]["accuracy"]
    scratch = train(replace(base, data=Data(steps=8), model=SPIKING, training=quick))
    assert ann.accuracy > 0.85
    assert converted.accuracy > ann.accuracy - 0.04
    assert hybrid.accuracy > 0.8
    assert first_epoch > scratch.history[0]["accuracy"]  # it does not start from nothing


def test_an_ann_checkpoint_comes_back_and_is_attacked_like_the_others(ann, ann_file):
    model, config = load_checkpoint(ann_file)
    assert isinstance(model, ReluNetwork)
    assert config == ann.config
    with pytest.raises(ModelError, match="an ANN, which no chip of spiking neurons computes"):
        stages.to_program(stages.load(str(ann_file)), stages.Ways())
    x = pixels(20)
    assert torch.equal(model.scores(x[None]), ann.model.eval().scores(x[None]))
    victim = PixelVictim(model)
    labels = load("digits", "test").labels[:20]
    before = victim.predict(x.numpy()).argmax(1) == labels
    threat = Threat("linf", 0.2)
    result = run(
        AttackSpec("pgd", {"steps": 10}, {"name": "training"}), victim, x.numpy(), labels, threat
    )
    assert before.mean() > 0.8
    assert result.success.mean() > 0.5


@pytest.mark.parametrize(
    ("ann", "network", "expected"),
    [
        ("direct", Encoding("direct", 4), 1.0),
        ("direct", Encoding("poisson", 4, rate=0.5), 0.5),
        ("direct_signed", Encoding("poisson_signed"), 1.0),
    ],
)
def test_how_strong_the_input_is(ann, network, expected):
    assert input_strength(Encoding(ann, 1), network) == expected


def test_a_weak_input_is_made_up_for(ann):
    x = pixels(16)
    strong, weak = spiking(64), spiking(64, encoding="poisson")
    convert(ann.model, strong, x)
    convert(ann.model, weak, x, strength=0.5)
    assert torch.allclose(weak.conv1.weight, 2 * strong.conv1.weight)
    assert torch.allclose(weak.conv1.bias, strong.conv1.bias)
    assert torch.allclose(weak.dense4.weight, strong.dense4.weight)


def test_what_cannot_be_converted_is_refused(ann, ann_file, tmp_path):
    x = pixels(4)
    with pytest.raises(ConfigError, match=r"the ANN has layers conv1 .*; they must be the same"):
        convert(ann.model, spiking(4, Model("mlp")), x)
    with pytest.raises(ConfigError, match="cannot carry an activation as a rate"):
        convert(ann.model, spiking(4, neuron=Neuron(beta=1.0)), x)
    normed = spiking(4, replace(SPIKING, norm=Norm()))
    with pytest.raises(ConfigError, match="conv1 has batch normalisation, which threshold"):
        convert(ReluNetwork(normed), normed, x)
    with pytest.raises(ConfigError, match="no positive pre-activation"):
        convert(_silent(ann.model), spiking(4), x)
    with pytest.raises(ConfigError, match="it must read direct or poisson"):
        input_strength(Encoding("direct", 1), Encoding("poisson_signed"))
    with pytest.raises(ConfigError, match=r"with 0 there must be a model\.init"):
        Config(training=Training(epochs=0))
    with pytest.raises(ConfigError, match='reset = "subtract"'):
        Config(model=Model("mlp", init=Init("conversion", "a.toml")))
    with pytest.raises(ConfigError, match="it must be a checkpoint"):
        Init("conversion", "a.pt")
    with pytest.raises(ConfigError, match='goes with kind "snn"'):
        Model("mlp", kind="ann", init=Init("conversion", "a.toml"))
    network = tmp_path / "snn.safetensors"
    save_checkpoint(network, spiking(4), Config(data=Data(steps=4), model=SPIKING, neuron=IF))
    with pytest.raises(ConfigError, match="is a spiking network"):
        train(
            Config(
                model=replace(SPIKING, init=Init("conversion", str(network))),
                neuron=IF,
                training=Training(epochs=0),
            )
        )
    with pytest.raises(ConfigError, match="is for digits, the network for mnist"):
        train_on_mnist(ann_file)


def train_on_mnist(ann_file):
    from toolchain.training.conversion import start

    config = Config(
        data=Data(name="mnist"),
        model=replace(SPIKING, init=Init("conversion", str(ann_file))),
        neuron=IF,
    )
    start(None, config, load("digits", "train"), train)


def _silent(ann):
    import copy

    silent = copy.deepcopy(ann)
    with torch.no_grad():
        silent.conv1.weight.zero_()
        silent.conv1.bias.fill_(-1.0)
    return silent


def test_a_recipe_names_its_ann_from_where_it_lies(tmp_path):
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "a.toml").write_text(
        '[model]\nname = "mlp"\ninit = { kind = "conversion", ann = "ann.toml" }\n[neuron]\nreset '
        '= "subtract"\n[training]\nepochs = 0\n'
    )
    assert read_config(folder / "a.toml").model.init.ann == str(folder / "ann.toml")
    assert isinstance(spiking(4).dropout3, snn.Dropout)


@pytest.mark.parametrize(
    "name",
    [
        "cifar10",
        "digits-ann",
        "digits-converted",
        "digits-hybrid",
        "digits-poisson",
        "digits-small-direct",
        "digits-small-poisson",
        "nmnist",
        "vgg5-cifar10-ann",
        "vgg5-cifar10-sharmin",
    ],
)
def test_the_recipes_build_and_name_anns_that_exist(name, request):
    config = read_config(request.config.rootpath / "examples" / "recipes" / f"{name}.toml")
    network = build(
        config.model,
        config.neuron,
        config.grid,
        config.surrogate,
        dataset=config.data.name,
        encoding=config.data.encoder,
    )
    if config.model.init is None:
        return
    ann = read_config(config.model.init.ann)
    twin = build(
        ann.model,
        ann.neuron,
        ann.grid,
        ann.surrogate,
        dataset=ann.data.name,
        encoding=ann.data.encoder,
    )
    with torch.no_grad():
        balances = convert(twin, network, torch.rand(2, *network.input_shape))
    assert len(balances) == sum(
        layer.kind in ("conv", "dense") for layer in config.model.resolved().layers
    )
    assert input_strength(ann.data.encoder, config.data.encoder) == 1.0


def test_the_seed_of_a_conversion_varies_its_ann(tmp_path):
    ann = (
        '[data]\nsteps = 1\n[model]\nkind = "ann"\nlayers = [{ kind = "dense", features = 10 }]\n'
        "[training]\nepochs = 1\nsamples = 50\n"
    )
    (tmp_path / "ann.toml").write_text(ann)
    (tmp_path / "snn.toml").write_text(
        '[data]\nsteps = 2\n[model]\nreadout = "last_potential"\nlayers = [{ kind = "dense", '
        "features = 10 }]\n"
        'init = { kind = "conversion", ann = "ann.toml" }\n[neuron]\nbeta = 1.0\nreset = '
        '"subtract"\n[training]\nepochs = 0\nsamples = 50\n'
    )
    config = read_config(tmp_path / "snn.toml")
    weights = [
        train(replace(config, training=replace(config.training, seed=s))).model.dense1.weight
        for s in (0, 1, 1)
    ]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
