"""Networks from their description: names, geometry, grids, and descriptions that do not fit
together."""

from __future__ import annotations

import pytest
import torch

import toolchain.layers as snn
from toolchain.data import Encoding
from toolchain.errors import ConfigError, LayerError
from toolchain.models import MODELS, Grid, Layer, Model, Neuron, Surrogate, build


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
        (lambda: Layer("lstm"), "conv, dense, average_pool, sum_pool"),
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
    with pytest.raises(LayerError, match="weight_bits is 9"):
        make(Model("mlp"), grid=Grid(weight_bits=9))
    with pytest.raises(LayerError, match="powers of two"):
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
