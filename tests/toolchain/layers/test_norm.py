"""Batch normalisation: what is quantised is what is folded, what is trained is what autograd says,
and what is exported is what evaluation computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import toolchain.layers as snn
from tests.toolchain.layers.test_exported import assert_equal
from toolchain.errors import CurrentRangeError, LayerError

F = 12
"""Fraction bits."""


def settled(layer, seed: int = 0):
    """A layer whose norm has seen something: gains of both signs, offsets, statistics."""
    rng = np.random.default_rng(seed)
    n = layer.norm.features
    with torch.no_grad():
        layer.norm.weight.copy_(torch.from_numpy(rng.normal(0, 1, n)))
        layer.norm.bias.copy_(torch.from_numpy(rng.normal(0, 0.3, n)))
        layer.norm.running_mean.copy_(torch.from_numpy(rng.normal(0, 0.2, n)))
        layer.norm.running_var.copy_(torch.from_numpy(rng.uniform(0.1, 2, n)))
    return layer


def plain(layer, x: torch.Tensor, training: bool) -> torch.Tensor:
    """The same without any grid, as PyTorch computes it; running statistics stay as they are."""
    norm = layer.norm
    weight = layer.weight
    if isinstance(layer, nn.Linear):
        z = functional.linear(x.flatten(0, -2), weight, layer.bias)
    else:
        z = functional.conv2d(x.flatten(0, -4), weight, layer.bias, layer.stride, layer.padding)
    y = functional.batch_norm(
        z,
        norm.running_mean.clone(),
        norm.running_var.clone(),
        norm.weight,
        norm.bias,
        training=training,
        eps=norm.eps,
    )
    return y.reshape(*x.shape[: x.dim() - layer.weight.dim() + 1], *y.shape[1:])


def layers(bias: bool = False, **norm):
    torch.manual_seed(1)
    return [
        (
            snn.Conv2d(
                3, 5, 3, stride=2, padding=1, bias=bias, fraction_bits=F,
                norm=snn.BatchNorm(5, **norm),
            ),
            (4, 6, 3, 7, 7),
        ),
        (
            snn.Linear(12, 5, bias=bias, fraction_bits=F, norm=snn.BatchNorm(5, **norm)),
            (4, 6, 12),
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_a_training_step_and_its_gradients_are_those_of_plain_autograd(which, frozen, bias):
    """On a fine grid; the straight-through gradient leaves the rounding out."""
    layer, shape = layers(bias)[which]
    settled(layer).train()
    snn.freeze_norms(layer, frozen)
    x = torch.randint(0, 2, shape).float().requires_grad_()
    factor = torch.randn(layer(x.detach())[..., :1].shape)
    settled(layer)

    def gradients(y):
        leaves = [x, layer.weight, layer.norm.weight, layer.norm.bias]
        leaves += [layer.bias] if bias else []
        return torch.autograd.grad((y * factor).square().sum(), leaves)

    expected = plain(layer, x, training=not frozen)
    wanted = gradients(expected)
    y = layer(x)
    # 8-bit weights are rounded to 1/128 of the largest
    assert torch.allclose(y, expected, atol=0.1)
    for ours, theirs in zip(gradients(y), wanted):
        scale = max(float(theirs.abs().max()), 1.0)
        assert torch.allclose(ours / scale, theirs / scale, atol=0.05)
    units = y.detach().double() * 2.0**F
    assert torch.equal(units, units.round())


@pytest.mark.parametrize("which", [0, 1])
def test_frozen_training_computes_what_evaluation_does(which):
    layer, shape = layers()[which]
    x = torch.randint(0, 2, shape).float()
    settled(layer)
    evaluated = layer.eval()(x)
    layer.train()
    assert not torch.equal(layer(x), evaluated)
    settled(layer)
    assert snn.freeze_norms(layer) == 1
    assert torch.equal(layer(x), evaluated)
    before = layer.norm.running_mean.clone()
    assert torch.equal(layer.norm.running_mean, before)


def test_the_weights_that_are_quantised_are_the_folded_ones():
    layer = settled(layers(bias=True)[0][0]).eval()
    factor = layer.norm.weight / torch.sqrt(layer.norm.running_var + layer.norm.eps)
    expected = layer.weight * factor.reshape(-1, 1, 1, 1)
    weight, exponent = layer.quantised_weight()
    step = 2.0 ** (1 - F + exponent.float())
    assert exponent.shape == (5,)  # one for each channel, which the gains set apart
    assert bool(((weight - expected).abs() <= step.reshape(-1, 1, 1, 1) / 2 + 1e-9).all())
    offset = (layer.bias - layer.norm.running_mean) * factor + layer.norm.bias
    assert torch.allclose(layer.quantised_bias(), offset, atol=2.0 ** (1 - F))


@pytest.mark.parametrize("which", [0, 1])
def test_statistics_for_each_step_are_those_of_a_loop_over_time(which):
    one, shape = layers(per_step=True)[which]
    two = layers()[which][0]
    density = torch.linspace(0.2, 0.9, shape[0]).reshape(-1, *(1,) * (len(shape) - 1))
    x = (torch.rand(shape) < density).float()
    looped, together = torch.stack([two(step) for step in x]), layers()[which][0](x)
    # the loop rounds its weights anew in each step, to up to 1/128 of the largest
    assert torch.allclose(one(x), looped, atol=0.1)
    assert not torch.allclose(together, looped, atol=0.5)
    assert torch.allclose(one.norm.running_var, two.norm.running_var, rtol=1e-2)
    assert int(one.norm.num_batches_tracked) == len(x)


def test_measured_statistics_are_the_mean_over_the_batches():
    layer, shape = layers()[0]
    batches = [torch.randint(0, 2, shape).float() for _ in range(3)]
    assert snn.measure_norms(layer, batches) == 3
    layer.norm.momentum = 0.5
    z = [functional.conv2d(b.flatten(0, 1), layer.weight, None, 2, 1) for b in batches]
    expected = torch.stack([t.mean(dim=(0, 2, 3)) for t in z]).mean(0)
    assert torch.allclose(layer.norm.running_mean, expected, atol=0.02)
    assert layer.training
    assert layer.norm.momentum == 0.5
    assert not layer.norm.frozen

    before = layer.norm.running_mean.clone()
    with pytest.raises(LayerError, match="no batches"):
        snn.measure_norms(layer, [])
    assert torch.equal(layer.norm.running_mean, before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.BatchNorm(3, gain=0.0), "gain is 0.0 V; it must be above 0"),
        (lambda: snn.BatchNorm(3, momentum=2.0), "momentum is 2.0"),
        (lambda: snn.BatchNorm(3, eps=-1.0), "eps is -1.0"),
        (lambda: snn.Linear(4, 5, norm=snn.BatchNorm(3)), "it must have 5, one for each"),
        (lambda: snn.Linear(4, 5, norm=True)(torch.ones(1, 4)), "need more: a larger batch"),
    ],
)
def test_what_cannot_be_normalised_is_refused(make, message):
    with pytest.raises(LayerError, match=message):
        make()


def residual(seed: int, **norm) -> snn.Network:
    """Identity, 1 x 1 and pooled shortcuts; currents that add, and spikes that add."""
    torch.manual_seed(seed)

    def conv(a, b, kernel=3, k=0):
        return settled(
            snn.Conv2d(
                a, b, kernel, padding=kernel // 2, fraction_bits=F, source_fraction_bits=k,
                norm=snn.BatchNorm(b, **norm),
            ),
            seed + a + b,
        )  # fmt: skip

    def lif(beta, reset="subtract"):
        return snn.LIF(beta=beta, fraction_bits=F, reset=reset)

    return snn.Network(
        {
            "conv1": conv(2, 4, k=3),
            "lif1": lif(0.5),
            "conv2": conv(4, 4),
            "lif2": lif(0.75, "zero"),
            "conv3": conv(4, 4),
            "lif3": lif(0.5),
            "pool": snn.AvgPool2d(2),
            "conv4": conv(4, 6, k=2),
            "shortcut": conv(4, 6, kernel=1, k=2),
            "lif4": lif(0.9),
            "flatten": snn.Flatten(),
            "dense": snn.Linear(6 * 9, 5, fraction_bits=F),
            "readout": snn.LI(beta=0.9, fraction_bits=F),
        },
        inputs={
            "lif3": ("conv3", "lif1"),
            "pool": ("lif3", "lif2"),
            "shortcut": "pool",
            "lif4": ("conv4", "shortcut"),
        },
        input_shape=(2, 6, 6),
        message_bits=3,
        fraction_bits=3,
        decode="mean_potential",
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_network_of_blocks_computes_what_its_program_does(seed):
    network = residual(seed).eval()
    inputs = np.random.default_rng(seed).integers(-4, 4, (3, 6, 2, 6, 6))
    assert_equal(network, inputs, "reference" if seed == 0 else "fast")


def test_a_bias_of_two_branches_beyond_13_bits_comes_from_a_constant_source():
    network = residual(0).eval()
    with torch.no_grad():
        network.conv4.norm.bias.fill_(1.5)
        network.shortcut.norm.bias.fill_(1.5)
    inputs = np.random.default_rng(5).integers(-4, 4, (2, 6, 2, 6, 6))
    assert_equal(network, inputs)


def test_a_network_says_what_its_branches_cannot_be():
    layers = {"a": snn.Linear(3, 4), "b": snn.LIF(), "c": snn.Linear(4, 4), "d": snn.LIF()}

    def make(**inputs):
        return snn.Network(layers, inputs=inputs, input_shape=(3,))

    assert make(d=("c", "b")).plan.branches() == {"d": ("c", "b")}
    assert make().plan.row
    assert not make(d=("c", "b")).plan.row
    for inputs, message in (
        ({"x": "a"}, "'x' is no layer; there are a, b, c, d"),
        ({"b": "c"}, "'b' reads 'c'; it must read layers listed before it"),
        ({"d": "b"}, "nothing reads 'c'"),
        ({"d": ()}, "'d' reads nothing"),
    ):
        with pytest.raises(LayerError, match=message):
            make(**inputs)
    with pytest.raises(LayerError, match="the sum of results of shape"):
        make(c=("b", "input"))(torch.zeros(2, 1, 3))


def test_a_network_of_sparse_inputs_that_takes_no_dense_ones_is_exported():
    """Statistics of sparse inputs make weights that wrap on dense ones, which nobody sends."""
    network = snn.Network(
        {
            "dense": snn.Linear(256, 4, fraction_bits=F, norm=True),
            "lif": snn.LIF(beta=0.5, fraction_bits=F),
        },
        input_shape=(256,),
    )
    inputs = (np.random.default_rng(0).random((3, 8, 256)) < 0.004).astype(np.int64)
    x = torch.from_numpy(np.moveaxis(inputs, 0, 1)).float()
    network.dense.norm.running_var.fill_(1e-4)
    network.eval()
    with pytest.raises(CurrentRangeError):
        network(torch.ones(2, 1, 256))
    network(x)
    assert_equal(network, inputs)


def test_wrong_arguments_are_errors_of_the_layers():
    with pytest.raises(LayerError, match="norm is BatchNorm2d; it must be True or"):
        snn.Conv2d(1, 4, 3, norm=nn.BatchNorm2d(4))
    layer, shape = layers()[0]
    with pytest.raises(LayerError, match="a batch is list; it must be a tensor"):
        snn.measure_norms(layer, [[torch.zeros(shape), torch.zeros(6)]])
    with pytest.raises(LayerError, match="'d' reads 'b' twice"):
        snn.Network(
            {"a": snn.Linear(3, 4), "b": snn.LIF(), "c": snn.Linear(4, 4), "d": snn.LIF()},
            inputs={"d": ("c", "b", "b")},
            input_shape=(3,),
        )
