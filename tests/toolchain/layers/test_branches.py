"""Networks of branches, pools and layers that move elements compute what their Programs do; and the
layers themselves."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import export
import toolchain.layers as snn
from export.frameworks import trace
from hardware import targets
from tests.examples import many
from tests.export.interpreter import linear
from tests.toolchain.layers.branches import graphs
from tests.toolchain.layers.test_exported import assert_equal
from toolchain.errors import CurrentRangeError, GridError, LayerError


@settings(max_examples=many(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.sampled_from(["fast", "fast", "reference"]))
def test_random_networks_of_branches_equal_their_programs(drawn, target):
    network, inputs = drawn
    try:
        assert_equal(network, inputs, target)
    except CurrentRangeError:
        reject()


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_many_of_them_equal_their_programs(drawn):
    network, inputs = drawn
    try:
        assert_equal(network, inputs)
    except CurrentRangeError:
        reject()


@pytest.mark.lava
@pytest.mark.parametrize("seed", range(2))
def test_a_u_net_equals_its_program_on_lava(seed):
    network = u_net(seed)
    inputs = np.random.default_rng(seed).integers(-4, 4, (1, 4, 2, 8, 8))
    assert_equal(network, inputs, "lava")


def u_net(seed: int, channels: int = 4, size: int = 8, bits: int = 3) -> snn.Network:
    """Down by max pooling, up by a transposed convolution and by upsampling, with skips that are
    concatenated and added."""
    torch.manual_seed(seed)
    grid = {"fraction_bits": 11}

    def conv(a: int, b: int, kind=snn.Conv2d, **more) -> nn.Module:
        options = {"padding": 1, "kernel_size": 3} | grid | more
        layer = kind(a, b, norm=True, **options)
        with torch.no_grad():
            layer.norm.weight.uniform_(0.5, 1.5)
            layer.norm.bias.uniform_(-0.2, 0.4)
            layer.norm.running_var.uniform_(0.2, 1.0)
        return layer

    def lif() -> nn.Module:
        return snn.LIF(threshold=0.5, beta=0.5, reset="subtract", **grid)

    n = channels
    return snn.Network(
        {
            "conv1": conv(2, n, source_fraction_bits=2),
            "lif1": lif(),
            "down1": snn.MaxPool2d(2),
            "conv2": conv(n, 2 * n),
            "lif2": lif(),
            "down2": snn.MaxPool2d(3, 2, 1),
            "conv3": conv(2 * n, 2 * n),
            "lif3": lif(),
            "up1": conv(2 * n, 2 * n, snn.ConvTranspose2d, kernel_size=2, stride=2, padding=0),
            "lif4": lif(),
            "skip1": snn.Concat(),
            "conv4": conv(4 * n, n),
            "lif5": lif(),
            "up2": snn.Upsample(2),
            "conv5": conv(n, n),
            "lif6": lif(),
            "conv6": conv(n, n),
            "lif7": lif(),
            "head": snn.Conv2d(n, 2, 1, **grid),
            "out": snn.LI(beta=0.9, **grid),
        },
        inputs={"skip1": ("lif4", "lif2"), "conv6": ("lif6", "lif1")},
        input_shape=(2, size, size),
        message_bits=bits,
        fraction_bits=2,
        decode="mean_potential",
    ).eval()


def test_a_u_net_equals_its_program():
    network = u_net(0)
    inputs = np.random.default_rng(0).integers(-4, 4, (2, 5, 2, 8, 8))
    assert_equal(network, inputs, "reference")
    graph = trace(network, dt=1e-3)
    program, audit = export.lower(graph)
    assert audit.verdict == "faithful"
    assert program.metadata["maxima"] == ["down1", "down2"]
    recording = targets.run(program, inputs, "fast")
    activity = {name: spikes.mean() for name, spikes in recording.spikes.items()}
    assert all(0.02 < mean < 0.98 for name, mean in activity.items() if "lif" in name), activity
    kinds = {p.name: type(p).__name__ for p in program.projections}
    assert kinds["up1"] == "Sparse"
    assert kinds["conv6"] == "Convolution"


@pytest.mark.slow
def test_a_u_net_of_32_by_32_is_lowered_in_bounded_memory(tmp_path):
    """Its NIR file is one that nir reads, of a few megabytes."""
    network = u_net(1, channels=16, size=32)
    graph = trace(network, dt=1e-3)
    program = export.lower(graph).program
    synapses = sum(p.weights.size for p in program.projections)
    assert 1e5 < synapses < 4e7
    path = tmp_path / "net.nir"
    export.write(graph, path)
    assert path.stat().st_size < 8e6
    nir.read(path, type_check=False)


LAYERS = {
    "upsampling": (snn.Upsample((2, 3)), lambda x: functional.interpolate(x, scale_factor=(2, 3))),
    "padding": (snn.ZeroPad2d((1, 0, 2, 1)), nn.ZeroPad2d((1, 0, 2, 1))),
    "crop": (
        snn.Crop((1, 4), slice(None, None, 2), (1, -1)),
        lambda x: x[:, 1:4, ::2, 1:-1],
    ),
    "shuffle": (snn.PixelShuffle(2), nn.PixelShuffle(2)),
    "even averages": (snn.AdaptiveAvgPool2d((3, 2)), nn.AdaptiveAvgPool2d((3, 2))),
    "uneven averages": (snn.AdaptiveAvgPool2d((5, 3)), nn.AdaptiveAvgPool2d((5, 3))),
    "maximum": (snn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, 1)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_what_pytorchs_do(name):
    """Values, gradients, and what their nodes compute, for a sequence and for a step."""
    layer, plain = LAYERS[name]
    x = (torch.rand(3, 2, 4, 6, 4) < 0.3).float().requires_grad_()
    expected = plain(x.flatten(0, 1)).unflatten(0, (3, 2))
    factor = torch.randn(expected.shape)
    found = layer(x)
    assert torch.equal(found, expected)
    assert torch.equal(layer(x[0]), expected[0])
    wanted = torch.autograd.grad((expected * factor).sum(), x)[0]
    assert torch.allclose(torch.autograd.grad((found * factor).sum(), x)[0], wanted, atol=1e-5)

    parts = layer.nir_parts((4, 6, 4))
    value = x[0, 0].detach().numpy()
    for node, _ in parts["nodes"].values():
        fires = isinstance(node, nir.Threshold)
        value = value > node.threshold if fires else linear(node, value)
    np.testing.assert_allclose(value, expected[0, 0].detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("norm", [None, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_and_its_gradients_are_those_of_pytorch(groups, norm):
    torch.manual_seed(0)
    geometry = {"stride": (2, 1), "padding": (1, 0), "output_padding": (1, 0), "dilation": (1, 2)}
    layer = snn.ConvTranspose2d(4, 6, 3, groups=groups, norm=norm, fraction_bits=12, **geometry)
    x = (torch.rand(2, 3, 4, 5, 4) < 0.3).float().requires_grad_()
    flat = x.flatten(0, 1)
    plain = functional.conv_transpose2d(flat, layer.weight, layer.bias, groups=groups, **geometry)
    if norm:
        assert layer.bias is None
        fresh = {"training": True, "eps": layer.norm.eps}
        scale = (layer.norm.weight, layer.norm.bias)
        plain = functional.batch_norm(plain, torch.zeros(6), torch.ones(6), *scale, **fresh)
    plain = plain.unflatten(0, (2, 3))
    found = layer(x)
    assert torch.allclose(found, plain, atol=0.05)
    units = found.detach().double() * 2**12
    assert torch.equal(units, units.round())
    factor = torch.randn(plain.shape)
    for mine, theirs in zip(
        torch.autograd.grad((found * factor).sum(), [x, layer.weight]),
        torch.autograd.grad((plain * factor).sum(), [x, layer.weight]),
    ):
        assert torch.allclose(mine, theirs, atol=0.02 * float(theirs.abs().max()))


def test_one_layer_under_two_names():
    torch.manual_seed(0)
    shared = snn.Linear(6, 6)
    with torch.no_grad():
        shared.weight.mul_(4)
    network = snn.Network(
        {
            "fc": shared,
            "lif1": snn.LIF(beta=0.5),
            "again": shared,
            "lif2": snn.LIF(beta=0.5),
            "both": shared,
            "lif3": snn.LIF(beta=0.5),
        },
        inputs={"both": ("lif1", "lif2")},
        input_shape=(6,),
    )
    assert len(list(network.parameters())) == 2
    inputs = np.random.default_rng(0).integers(0, 2, (3, 9, 6))
    assert_equal(network, inputs)
    program, _ = export.lower(trace(network))
    assert [p.name for p in program.projections] == ["fc", "fc_2", "fc_3", "lif2>lif3"]


def test_max_pooling_costs_a_population_and_nothing_else():
    network = snn.Network(
        {"pool": snn.MaxPool2d(2), "flatten": snn.Flatten(), "fc": snn.Linear(4, 3),
         "lif": snn.LIF()},
        input_shape=(1, 4, 4),
    )  # fmt: skip
    program, audit = export.lower(trace(network))
    assert [(p.name, p.shape) for p in program.populations] == [("pool", (1, 2, 2)), ("lif", (3,))]
    assert "population of 4 neurons without memory" in audit.table()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: snn.MaxPool2d(2)(torch.full((1, 1, 2, 2), 0.5)), GridError, "value of 0.5"),
        (lambda: snn.MaxPool2d(2, padding=2), LayerError, "more than half of the kernel"),
        (lambda: snn.MaxPool2d(2)(torch.zeros(2, 2)), LayerError, "it must be"),
        (lambda: snn.Upsample(0), LayerError, "scale_factor is 0"),
        (lambda: snn.ZeroPad2d((1, 2)), LayerError, r"padding is \(1, 2\)"),
        (lambda: snn.ZeroPad2d(-1), LayerError, "padding is -1"),
        (lambda: snn.Crop(height=(0, 2, -1)), LayerError, "step of at least 1"),
        (lambda: snn.Crop(width=(3, 4))(torch.zeros(1, 1, 2, 2)), LayerError, "nothing is left"),
        (lambda: snn.PixelShuffle(0), LayerError, "upscale_factor is 0"),
        (lambda: snn.PixelShuffle(2)(torch.zeros(1, 3, 2, 2)), LayerError, "multiple of 4"),
        (
            lambda: snn.AdaptiveAvgPool2d(2)(torch.zeros(1, 1, 6, 6)),
            LayerError,
            "6 values in 2 windows of 3; sizes must be powers of two",
        ),
        (
            lambda: snn.Concat()(torch.zeros(1, 2, 3), torch.zeros(1, 2, 4)),
            LayerError,
            "must differ in dimension 1, the channels, alone",
        ),
        (
            lambda: snn.ConvTranspose2d(1, 1, 2, padding_mode="reflect"),
            LayerError,
            "mode 'reflect'",
        ),
        (
            lambda: snn.ConvTranspose2d(1, 1, 2)(torch.zeros(1, 1, 2, 2), [3, 3]),
            LayerError,
            "use output_padding",
        ),
        (lambda: snn.ConvTranspose2d(2, 1, 2).nir_parts((1, 2, 2)), LayerError, "2 channels"),
    ],
)
def test_what_layers_do_not_take(make, error, message):
    with pytest.raises(error, match=message):
        make()
