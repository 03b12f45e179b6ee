"""Networks from their description: names, geometry, grids, and descriptions that do not fit
together."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import toolchain.layers as snn
from toolchain.data import Encoding
from toolchain.errors import ConfigError, LayerError
from toolchain.models import MODELS, Grid, Layer, Model, Neuron, Norm, Surrogate, build


def make(
    model,
    neuron=Neuron(),
    grid=Grid(),
    surrogate=Surrogate(),
    dataset="digits",
    encoding=Encoding(steps=3),
):
    torch.manual_seed(0)
    return build(model, neuron, grid, surrogate, dataset=dataset, encoding=encoding)


def test_a_network_by_name():
    net = make(Model("conv_digits"))
    assert [name for name, _ in net.named_children()] == [
        "conv1",
        "lif1",
        "pool2",
        "conv3",
        "lif3",
        "pool4",
        "flatten5",
        "dense5",
        "readout",
    ]
    assert net.conv1.source_fraction_bits == 4  # pixels of 0 to 16
    assert net.conv3.source_fraction_bits == 2  # averages of four spikes
    assert net.spikeport_io()["input"] == {
        "shape": [1, 8, 8],
        "message_bits": 6,
        "fraction_bits": 4,
    }
    assert net.spikeport_io()["data"] == {"name": "digits", "encoding": "direct", "steps": 3}
    assert net(torch.zeros(3, 2, 1, 8, 8)).shape == (3, 2, 10)


@pytest.mark.parametrize(
    ("name", "dataset"), [("mlp", "mnist"), ("conv_mnist", "mnist"), ("conv_digits", "cifar10")]
)
def test_every_named_network_fits_its_data(name, dataset):
    assert name in MODELS
    net = make(Model(name), dataset=dataset)
    assert net(torch.zeros(1, 1, *net.input_shape)).shape == (1, 1, 10)


def test_a_network_by_its_layers():
    layers = (
        Layer("conv", channels=4, kernel=3, stride=2, padding=1, dilation=1, groups=1, bias=False),
        Layer("sum_pool", kernel=2),
        Layer("conv", channels=4, kernel=1, groups=4),
        Layer("dense", features=6, recurrent=True),
        Layer("dense", features=10),
    )
    neuron = Neuron(
        alpha=0.5,
        beta=0.75,
        threshold=2.0,
        reset="subtract",
        refractory=2,
        learn_alpha=True,
        learn_beta=True,
        learn_threshold=True,
    )
    grid = Grid(weight_bits=6, fraction_bits=8, granularity="channel")
    net = make(
        Model(layers=layers, readout="max_potential", gain=2.0),
        neuron,
        grid,
        Surrogate("atan", 3.0),
        "mnist",
        Encoding("poisson", 4),
    )
    assert net.conv1.bias is None
    assert net.conv3.groups == 4
    assert net.conv3.source_fraction_bits == 0  # sums of spikes are whole numbers
    assert isinstance(net.lif4, snn.Recurrent)
    assert isinstance(net.readout, snn.LI)
    assert (net.dense5.weight_bits, net.dense5.fraction_bits, net.dense5.granularity) == (
        6,
        8,
        "channel",
    )
    lif = net.lif1
    assert (lif.reset, lif.refractory, lif.threshold.item(), lif.states) == (
        "subtract",
        2,
        2.0,
        ("syn", "mem", "rest"),
    )
    assert lif.spike_grad == snn.surrogate.atan(3.0)
    assert {"lif1.alpha", "lif1.beta", "lif1.threshold", "readout.alpha", "readout.beta"} <= dict(
        net.named_parameters()
    ).keys()
    assert net.spikeport_io()["output"] == {"decode": "max_potential"}
    assert 0.8 < net.dense5.weight.std() / (2 * (2 / 6) ** 0.5) < 1.2
    assert net(torch.zeros(4, 1, 1, 28, 28)).shape == (4, 1, 10)


def blocks(join: str, shortcut: str | None = None, **model) -> Model:
    layers = (
        Layer("conv", channels=4, kernel=3, padding=1),
        Layer("residual", channels=4, join=join),
        Layer("residual", channels=6, stride=2, join=join, shortcut=shortcut, name="down"),
        Layer("average_pool", kernel=2),
        Layer("dense", features=10),
    )
    return Model(layers=layers, readout="mean_potential", **model)


def test_a_residual_block_is_two_convolutions_and_what_joins_them():
    net = make(blocks("current", norm=Norm(gain=0.5, per_step=True)))
    assert [name for name, _ in net.named_children()] == [
        *("conv1", "lif1", "block2_1_conv", "block2_1", "block2_2", "block2"),
        *("down_1_conv", "down_1", "down_2", "down_shortcut", "down"),
        *("pool4", "flatten5", "dense5", "readout"),
    ]
    assert net.plan.branches() == {
        "block2": ("block2_2", "lif1"),
        "down_shortcut": ("block2",),
        "down": ("down_2", "down_shortcut"),
    }
    assert net.down_shortcut.stride == (2, 2)
    assert net.conv1.granularity == "channel"
    assert net.conv1.bias is None
    assert net.dense5.norm is None  # the last layer has none
    assert net.conv1.norm.per_step
    assert net.conv1.norm.weight.tolist() == [0.5] * 4

    spikes = make(blocks("spikes", "pool"))
    assert spikes.plan.branches()["block2"] == ("block2_2", "lif1")
    assert isinstance(spikes.block2, snn.Add)
    assert spikes.plan.branches()["down_shortcut_pool"] == ("block2",)
    assert spikes.down_shortcut_conv.source_fraction_bits == 2
    assert spikes.down_1_conv.source_fraction_bits == 0  # sums of spikes are whole numbers
    assert spikes.conv1.norm is None
    assert spikes(torch.zeros(2, 1, 1, 8, 8)).shape == (2, 1, 10)


@pytest.mark.parametrize("join", ["current", "spikes"])
def test_an_ann_is_the_same_network_with_rectifiers(join):
    model = blocks(join, norm=Norm(), kind="ann", activation="clip", levels=4)
    torch.manual_seed(0)
    ann = make(model, encoding=Encoding(steps=1)).eval()
    for norm in ann.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.weight)
            torch.nn.init.normal_(norm.running_mean)
    values = {}
    for name, module in ann.named_modules():
        module.register_forward_hook(lambda _, __, y, name=name: values.update({name: y}))
    ann(torch.rand(1, 2, 1, 8, 8))
    assert set((values["lif1"] * 4).unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    given = values["block2_2"] + values["lif1"]
    if join == "current":
        assert torch.allclose(values["block2"], torch.round(given.clamp(0, 1) * 4) / 4)
    else:
        assert torch.equal(values["block2"], given)
    conv = ann.block2_2.norm if join == "current" else ann.block2_2_conv.norm
    assert conv.running_mean.abs().max() > 0
    assert ann.macs()["conv1"] == 4 * 9 * 64
    assert set(ann.state_dict()) < set(make(blocks(join, norm=Norm())).state_dict())


@pytest.mark.parametrize("name", ["resnet20", "sew_resnet19", "wrn16_4", "vgg16", "resnet18"])
def test_networks_as_they_are_published_at_a_small_width(name):
    net = make(Model(name, width=0.04), dataset="cifar10")
    assert all(layer.norm is not None for layer in net.modules() if isinstance(layer, snn.Conv2d))
    convolutions = {"resnet20": 21, "sew_resnet19": 19, "wrn16_4": 16, "vgg16": 13, "resnet18": 20}
    assert sum(isinstance(m, snn.Conv2d) for m in net.modules()) == convolutions[name]
    assert net.eval()(torch.zeros(1, 1, 3, 32, 32)).shape == (1, 1, 10)


def unet(**model) -> Model:
    layers = (
        Layer("conv", channels=4, kernel=3, padding=1),
        Layer("max_pool", kernel=2),
        Layer("conv", channels=8, kernel=3, padding=1, name="deep"),
        Layer("upsample", factor=2),
        Layer("concat", inputs=("lif1", "upsample4")),
        Layer("transposed_conv", channels=4, kernel=2, stride=2, norm=True),
        Layer("pixel_shuffle", factor=2),
        Layer("conv", channels=2, kernel=3, stride=4),
        Layer("dense", features=10),
    )
    return Model(layers=layers, readout="mean_potential", **model)


def test_a_recipe_has_the_layers_that_only_move_and_the_maximum_of_spikes():
    net = make(unet(), encoding=Encoding(steps=2)).eval()
    assert net.plan.branches()["concat5"] == ("lif1", "upsample4")
    assert isinstance(net.pool2, snn.MaxPool2d)
    assert net.conv6.in_channels == 12
    assert net.conv6.norm is not None
    assert net.conv8.in_channels == 1
    x = torch.randint(0, 17, (2, 3, 1, 8, 8)) / 16
    assert net(x).shape == (2, 3, 10)
    ann = make(unet(kind="ann"), encoding=Encoding(steps=1)).eval()
    assert ann(x[:1]).shape == (1, 3, 10)
    assert ann.macs()["conv6"] == 12 * 64 * 4 * 4


def test_the_same_network_in_floating_point_is_near_and_on_no_grid():
    model = blocks("current", norm=Norm())
    ours = make(model, grid=Grid(fraction_bits=12)).eval()
    plain = make(model, grid=Grid(fraction_bits=12, arithmetic="float")).eval()
    assert set(plain.state_dict()) == set(ours.state_dict())
    x = torch.randint(0, 17, (3, 2, 1, 8, 8)) / 16
    with torch.no_grad():
        one, other = ours.conv1(x), plain.conv1(x)
    assert torch.allclose(one, other, atol=0.05)
    assert not torch.equal(one, other)
    plain.train()
    plain(x).sum().backward()
    assert plain.conv1.weight.grad.abs().sum() > 0


def test_branches_that_cannot_be_are_refused():
    conv, dense = Layer("conv", channels=2, kernel=3), Layer("dense", features=10)
    for layers, message in (
        (
            (conv, Layer("add", inputs=("lif1", "lif7")), dense),
            r"reads 'lif7'; .*input, conv1, lif1",
        ),
        ((conv, Layer("add", inputs=("lif1", "input")), dense), "shapes must be alike"),
        ((replace(conv, neurons=False), conv, dense), "reads the currents of conv1"),
        ((Layer("max_pool", kernel=2), dense), "whose maximum is no OR"),
        ((conv, Layer("concat", inputs=("lif1", "input")), dense), "reads side by side lif1"),
        ((conv, replace(dense, neurons=False)), "is the last layer, which must have neurons"),
        ((replace(conv, name="lif2"), conv, dense), "a layer 'lif2' already"),
        (
            (conv, Layer("residual", channels=4, shortcut="identity"), dense),
            "keeps 2 channels",
        ),
        ((conv, Layer("residual", channels=4, stride=3, shortcut="pool"), dense), "power of two"),
        ((conv, Layer("residual", channels=4, kernel=2), dense), "it must be odd"),
    ):
        with pytest.raises(ConfigError, match=message):
            make(Model(layers=layers))
    with pytest.raises(ConfigError, match="activation is 'clip'"):
        Model("mlp", activation="clip")
    with pytest.raises(ConfigError, match="levels goes with"):
        Model("mlp", kind="ann", levels=4)


def test_a_name_resolves_to_its_layers():
    assert make(Model("mlp").resolved()).dense1.out_features == 256
    layers = Model(layers=(Layer("dense", features=2),))
    assert layers.resolved() is layers


@pytest.mark.parametrize(
    ("describe", "message"),
    [
        (lambda: Model(), "either name"),
        (lambda: Model("mlp", (Layer("dense", features=1),)), "either name"),
        (lambda: Model("resnet"), "conv_digits, conv_mnist, mlp"),
        (lambda: Model(layers=()), "end with a dense one"),
        (lambda: Model(layers=(Layer("conv", channels=1, kernel=1),)), "end with a dense one"),
        (lambda: Model("mlp", readout="first_spike"), "spike_count, last_potential"),
        (lambda: Model("mlp", gain=0.0), "gain is 0.0"),
        (lambda: Layer("lstm"), "conv, dense, transposed_conv, average_pool"),
        (
            lambda: Layer("dense", features=3, kernel=2),
            "kernel is given; with kind 'dense' it must be one of features, bias, recurrent",
        ),
        (lambda: Layer("conv", channels=3), "kernel is missing"),
        (lambda: Layer("dense", features=0), "features is 0"),
        (lambda: Neuron(beta=1.5), "beta is 1.5"),
        (lambda: Neuron(reset="soft"), "zero, subtract, none"),
        (lambda: Surrogate("linear"), "triangle, rectangle"),
        (lambda: Surrogate(parameter=0.0), "parameter is 0.0"),
    ],
)
def test_unusable_descriptions_are_refused(describe, message):
    with pytest.raises(ConfigError, match=message):
        describe()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            (
                Layer("dense", features=4),
                Layer("conv", channels=1, kernel=1),
                Layer("dense", features=1),
            ),
            "layer 2 .* behind a dense layer",
        ),
        (
            (Layer("dense", features=4), Layer("sum_pool", kernel=2), Layer("dense", features=1)),
            "layer 2 .* behind a dense layer",
        ),
        (
            (Layer("conv", channels=1, kernel=20), Layer("dense", features=1)),
            "layer 1 .* does not fit a map",
        ),
        (
            (Layer("conv", channels=3, kernel=1, groups=2), Layer("dense", features=1)),
            "cannot be divided into 2 groups",
        ),
    ],
)
def test_layers_that_do_not_fit_together_are_refused(layers, message):
    with pytest.raises(ConfigError, match=message):
        make(Model(layers=layers))


def test_what_no_format_holds_is_refused():
    with pytest.raises(
        ConfigError, match="grid: weight_bits is 17; it must be a whole number from"
    ):
        make(Model("mlp"), grid=Grid(weight_bits=17))
    with pytest.raises(ConfigError, match="granularity is 'row'; it must be one of layer, channel"):
        Grid(granularity="row")
    with pytest.raises(LayerError, match="power of two"):
        make(Model(layers=(Layer("average_pool", kernel=3), Layer("dense", features=1))))
    with pytest.raises(ConfigError, match="recurrent"):
        make(Model(layers=(Layer("dense", features=1, recurrent=True),), readout="last_potential"))


def test_width_scales_all_but_the_last_layer():
    net = make(Model("vgg5", width=0.125), dataset="cifar10")
    sizes = [m.weight.shape[0] for m in net.modules() if hasattr(m, "weight_bits")]
    assert sizes == [8, 16, 16, 128, 128, 10]
    assert Model("vgg5", width=0.125).resolved() == Model(
        layers=Model("vgg5", width=0.125).resolved().layers
    )
    assert [
        m.weight.shape[0]
        for m in make(Model("mlp", width=1e-3)).modules()
        if hasattr(m, "weight_bits")
    ] == [1, 10]


@pytest.mark.parametrize("name", ["vgg5", "vgg9", "vgg11", "vgg11_hybrid"])
def test_vgg_shapes_have_no_bias_and_fit_cifar10(name):
    net = make(Model(name, width=0.05), dataset="cifar10", encoding=Encoding("poisson_signed", 2))
    assert all(m.bias is None for m in net.modules() if hasattr(m, "weight_bits"))
    assert net(torch.randint(-1, 2, (2, 1, 3, 32, 32)).float()).shape == (2, 1, 10)


def test_the_integrator_at_the_end_may_leak_differently():
    net = make(Model("mlp", readout="last_potential", readout_beta=1.0), Neuron(beta=0.5))
    assert (float(net.lif1.beta), float(net.readout.beta)) == (0.5, 1.0)
    with pytest.raises(ConfigError, match="readout_beta goes with"):
        Model("mlp", readout_beta=1.0)


def test_dropout_keeps_mean_and_variance_and_one_mask_for_all_steps():
    layer = snn.Dropout(0.2)
    torch.manual_seed(0)
    x = torch.ones(3, 200, 500)
    y = layer(x, sequence=True)
    assert set(y.unique().tolist()) == {0.0, 1.0, 2.0}  # on every grid that x is on
    assert torch.equal(y[0], y[2])
    assert abs(float(y.mean()) - 1) < 0.01
    assert abs(float(y.var()) - 0.25) < 0.01  # as the usual mask: rate / (1 - rate)
    assert layer.eval()(x) is x
    half = snn.Dropout(0.5)(x, sequence=True)
    assert set(half.unique().tolist()) == {0.0, 2.0}


def test_dropout_refuses_what_it_cannot_do():
    with pytest.raises(LayerError, match=r"from 0 to 0\.5"):
        snn.Dropout(0.6)
    with pytest.raises(LayerError, match="one mask holds for all steps"):
        snn.Dropout(0.2)(torch.ones(2, 3))


def test_an_ann_has_the_same_layers_and_weights_with_rectifiers():
    model, encoding = Model("conv_digits", kind="ann"), Encoding("direct", 1)
    ann, net = make(model, encoding=encoding), make(Model("conv_digits"), encoding=encoding)
    assert torch.equal(ann.conv3.weight, net.conv3.weight)
    x = torch.rand(1, 2, 1, 8, 8)
    h = torch.nn.functional.avg_pool2d(
        torch.relu(torch.nn.functional.conv2d(x[0], ann.conv1.weight, ann.conv1.bias, padding=1)), 2
    )
    h = torch.nn.functional.avg_pool2d(
        torch.relu(torch.nn.functional.conv2d(h, ann.conv3.weight, ann.conv3.bias, padding=1)), 2
    )
    assert torch.allclose(
        ann(x)[0],
        torch.nn.functional.linear(h.flatten(1), ann.dense5.weight, ann.dense5.bias),
        atol=1e-5,
    )
    assert ann.macs() == {"conv1": 9 * 24 * 64, "conv3": 9 * 24 * 48 * 16, "dense5": 48 * 4 * 10}
    io = ann.spikeport_io()
    assert io["program"] is False
    assert io["data"] == {"name": "digits", "encoding": "direct", "steps": 1}


@pytest.mark.parametrize(
    ("model", "encoding", "message"),
    [
        (Model("mlp", kind="ann"), Encoding("direct", 2), "steps = 1"),
        (Model("mlp", kind="ann"), Encoding("poisson", 1), "an ann knows no time"),
        (
            Model(layers=(Layer("dense", features=10, recurrent=True),), kind="ann"),
            Encoding("direct", 1),
            "no recurrent layers",
        ),
        (Model("vgg11"), Encoding("direct", 1), "does not fit"),
    ],
)
def test_what_cannot_be_built_is_refused(model, encoding, message):
    with pytest.raises(ConfigError, match=message):
        make(model, encoding=encoding)
