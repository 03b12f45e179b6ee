"""Every rewrite keeps what a chain of nodes computes; where it cannot, it leaves the chain
alone."""

from __future__ import annotations

import math

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export.errors import GraphError, MissingInformationError, UnsupportedError
from export.operators import Gain, Kernel, Matrix, Reshape, Triples, Wait, symmetric
from export.passes import delays, pooling, products, reshapes, scales, subgraphs, threshold
from export.passes.reset import shifted
from export.shapes import window_output
from export.simulate import by_delay
from tests.examples import many


def kernel(rng, shape, out, size, stride, padding, dilation, groups) -> Kernel | None:
    """A random kernel on ``shape``; None where it does not fit."""
    pads = tuple(p if isinstance(p, tuple) else (p, p) for p in padding)
    spatial = tuple(
        window_output(n, k, s, p, d)
        for n, k, s, p, d in zip(shape[1:], size, stride, pads, dilation)
    )
    if min(spatial) < 1:
        return None
    weight = rng.integers(-3, 4, (out, shape[0] // groups, *size)).astype(float)
    return Kernel(shape, (out, *spatial), weight, tuple(stride), pads, tuple(dilation), groups)


@st.composite
def kernels(draw, shape, *, depthwise=False):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dims = len(shape) - 1
    groups = (
        shape[0] if depthwise else draw(st.sampled_from([g for g in (1, 2) if shape[0] % g == 0]))
    )
    out = shape[0] if depthwise else groups * draw(st.integers(1, 2))
    numbers = [
        draw(st.lists(st.integers(low, high), min_size=dims, max_size=dims))
        for low, high in ((1, 3), (1, 3), (0, 2), (1, 2))
    ]
    return kernel(rng, shape, out, *numbers, groups)


def in_a_row(chain, x):
    for operator in chain:
        x = operator.apply(x)
    return x


@settings(max_examples=many(80), deadline=None)
@given(st.data())
def test_kernel_is_pytorch_convolution(data):
    shape = data.draw(st.sampled_from([(2, 7), (2, 6, 5)]))
    k = data.draw(kernels(shape))
    if k is None:
        return
    x = np.random.default_rng(1).integers(-3, 4, (3, *shape)).astype(float)
    convolve = torch.nn.functional.conv1d if len(shape) == 2 else torch.nn.functional.conv2d
    wanted = convolve(
        torch.tensor(x),
        torch.tensor(k.weight),
        None,
        k.stride,
        [p for p, _ in k.padding],
        k.dilation,
        k.groups,
    ).numpy()
    np.testing.assert_array_equal(k.apply(x), wanted)
    np.testing.assert_array_equal(k.triples().apply(x), wanted)
    assert np.all(np.abs(k.apply(np.sign(x))) <= k.absolute_sums())


@settings(max_examples=many(400), deadline=None)
@given(st.data())
def test_fused_windows_equal_the_windows_in_a_row(data):
    shape = data.draw(st.sampled_from([(2, 9), (2, 8, 7), (4, 6, 6), (1, 5, 9)]))
    first = data.draw(kernels(shape, depthwise=data.draw(st.booleans())))
    second = first and data.draw(kernels(first.out_shape, depthwise=data.draw(st.booleans())))
    if not second:
        return
    x = np.random.default_rng(2).integers(-3, 4, (2, *shape)).astype(float)
    wanted = in_a_row([first, second], x)
    chain = pooling.fuse([first, second])
    np.testing.assert_array_equal(in_a_row(chain, x), wanted)
    # what is not fused is multiplied out, exactly too
    np.testing.assert_array_equal(products.multiply([first, second]).apply(x), wanted)
    if len(chain) == 1 and (even := symmetric(chain[0])) is not None:
        assert all(before == after for before, after in even.padding)
        np.testing.assert_array_equal(even.apply(x), wanted)


def pool(shape, size, stride=None, padding=0) -> Kernel:
    rng = np.random.default_rng(0)
    k = kernel(
        rng, shape, shape[0], (size, size), (stride or size,) * 2, (padding,) * 2, (1, 1), shape[0]
    )
    return Kernel(
        k.in_shape, k.out_shape, np.ones_like(k.weight), k.stride, k.padding, k.dilation, k.groups
    )


def test_pool_and_padded_convolution_become_one_larger_kernel():
    first = pool((3, 16, 16), 2)
    second = kernel(np.random.default_rng(0), first.out_shape, 5, (3, 3), (1, 1), (1, 1), (1, 1), 1)
    fused = pooling.fuse_two(first, second)
    assert (fused.weight.shape, fused.stride, fused.padding) == (
        (5, 3, 6, 6),
        (2, 2),
        ((2, 2), (2, 2)),
    )


@pytest.mark.parametrize(
    ("side", "stride", "pool_padding", "conv_padding", "exact"),
    [
        (16, 2, 0, 1, True),
        (15, 2, 0, 0, True),
        (15, 2, 0, 1, False),
        (16, 2, 1, 1, True),
        (16, 1, 0, 0, True),
        (16, 1, 0, 1, False),
        (16, 1, 1, 1, True),
    ],
)
def test_windows_are_fused_only_where_the_border_is_exact(
    side, stride, pool_padding, conv_padding, exact
):
    first = pool((2, side, side), 2, stride=stride, padding=pool_padding)
    second = kernel(
        np.random.default_rng(0), first.out_shape, 3, (3, 3), (1, 1), (conv_padding,) * 2, (1, 1), 1
    )
    assert (pooling.fuse_two(first, second) is not None) == exact


def test_overlapping_pools_and_grouped_kernels_fuse():
    first = pool((4, 9, 9), 3, stride=2)
    second = kernel(np.random.default_rng(0), first.out_shape, 4, (2, 2), (1, 1), (0, 0), (1, 1), 2)
    fused = pooling.fuse_two(first, second)
    assert fused.groups == 2
    back = pooling.fuse_two(
        kernel(np.random.default_rng(0), (4, 9, 9), 6, (3, 3), (1, 1), (1, 1), (1, 1), 2),
        pool((6, 9, 9), 3),
    )
    assert back.groups == 2
    assert back.weight.shape == (6, 2, 5, 5)


@settings(max_examples=many(150), deadline=None)
@given(st.data())
def test_scales_reshapes_and_products_keep_the_map(data):
    """Any chain of Gain, Reshape, Matrix and Kernel, through all passes in their order."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(st.sampled_from([(6,), (2, 5), (2, 4, 4)]))
    start, chain = shape, []
    for _ in range(data.draw(st.integers(1, 4))):
        kind = data.draw(st.sampled_from(["gain", "channel gain", "reshape", "matrix", "kernel"]))
        operator = None
        if kind == "gain":
            operator = Gain(shape, shape, rng.integers(-2, 3, shape).astype(float))
        elif kind == "channel gain":
            each = rng.integers(-2, 3, shape[0]).astype(float).reshape(-1, *(1,) * (len(shape) - 1))
            operator = Gain(shape, shape, np.broadcast_to(each, shape))
        elif kind == "reshape":
            operator = Reshape(shape, (math.prod(shape),))
        elif kind == "matrix" and len(shape) == 1:
            size = data.draw(st.integers(1, 5))
            operator = Matrix(shape, (size,), rng.integers(-2, 3, (size, shape[0])).astype(float))
        elif kind == "kernel" and len(shape) > 1:
            operator = data.draw(kernels(shape))
        if operator is not None:
            chain.append(operator)
            shape = operator.out_shape
    if not chain:
        return
    x = rng.integers(-2, 3, (2, *start)).astype(float)
    wanted = in_a_row(chain, x)
    folded = scales.fold(chain)
    np.testing.assert_array_equal(in_a_row(folded, x), wanted)
    folded = reshapes.fold(folded)
    np.testing.assert_array_equal(in_a_row(folded, x), wanted)
    folded = scales.fold(pooling.fuse(folded))
    np.testing.assert_array_equal(in_a_row(folded, x), wanted)
    product = products.multiply(folded) if folded else products.identity(start)
    assert isinstance(product, (Kernel, Matrix, Triples))
    np.testing.assert_array_equal(product.apply(x), wanted)


def test_scale_between_weights_costs_no_synapse():
    a, b = Matrix((3,), (4,), np.ones((4, 3))), Gain((4,), (4,), np.arange(4.0))
    assert [type(o) for o in scales.fold([a, b])] == [Matrix]
    np.testing.assert_array_equal(
        scales.fold([a, b])[0].weight, np.repeat(np.arange(4.0)[:, None], 3, axis=1)
    )


def test_scale_before_a_grouped_kernel_finds_its_channels():
    rng = np.random.default_rng(0)
    gain = Gain((4, 5), (4, 5), np.broadcast_to(np.array([1.0, 2, 3, 4])[:, None], (4, 5)))
    grouped = kernel(rng, (4, 5), 6, (2,), (1,), (0,), (1,), 2)
    x = rng.integers(-3, 4, (2, 4, 5)).astype(float)
    folded = scales.fold([gain, grouped])
    assert [type(o) for o in folded] == [Kernel]
    np.testing.assert_array_equal(folded[0].apply(x), in_a_row([gain, grouped], x))


def test_identity_is_a_convolution_where_there_are_channels():
    assert isinstance(products.identity((2, 5, 5)), Kernel)
    assert isinstance(products.identity((7,)), Triples)


# delays


def test_equal_delays_move_out_and_others_stay():
    wait = Wait((3,), (3,), np.array([2, 2, 2]))
    uneven = Wait((3,), (3,), np.array([0, 1, 2]))
    weight = Matrix((3,), (2,), np.ones((2, 3)))
    assert delays.take_out([wait, weight, wait]) == ([weight], 4)
    chain, steps = delays.take_out([wait, uneven, weight])
    assert steps == 2
    assert chain == [uneven, weight]


def test_delays_that_differ_go_into_the_synapses():
    uneven = Wait((3,), (3,), np.array([0, 1, 2]))
    weight = Matrix((3,), (2,), np.array([[1.0, 2, 3], [4, 5, 6]]))
    np.testing.assert_array_equal(products.multiply([uneven, weight]).delay, [[0, 1, 2], [0, 1, 2]])
    out = Wait((2,), (2,), np.array([5, 7]))
    np.testing.assert_array_equal(products.multiply([weight, out]).delay, [[5, 5, 5], [7, 7, 7]])
    both = products.multiply([uneven, weight, out])
    np.testing.assert_array_equal(both.delay, [[5, 6, 7], [7, 8, 9]])
    parts = dict(by_delay(both))
    assert sorted(parts) == [5, 6, 7, 8, 9]
    np.testing.assert_array_equal(parts[7].weight, [[0, 0, 3], [4, 0, 0]])


def test_one_synapse_cannot_have_two_delays():
    spread = Kernel((1, 2), (1, 2), np.ones((1, 1, 2)), (1,), ((0, 1),), (1,), 1)
    uneven = Wait((1, 2), (1, 2), np.array([[0, 1]]))
    with pytest.raises(UnsupportedError, match="different delays"):
        products.multiply(
            [spread, uneven, Kernel((1, 2), (1, 1), np.ones((1, 1, 2)), (1,), ((0, 0),), (1,), 1)]
        )


def test_delay_must_be_whole_steps():
    node = nir.Delay(np.array([0.002, 0.003]))
    np.testing.assert_array_equal(delays.of_node("d", node, (2,), 1e-3).steps, [2, 3])
    np.testing.assert_array_equal(
        delays.of_node("d", nir.Delay(np.array([0.002], np.float32)), (1,), 1e-3).steps, [2]
    )
    with pytest.raises(UnsupportedError, match=r"'d' \(Delay\): 0.002 s is 1.33333 steps"):
        delays.of_node("d", node, (2,), 1.5e-3)
    with pytest.raises(UnsupportedError, match="3000 steps; it must be at most 62"):
        delays.of_node("d", node, (2,), 1e-6)
    with pytest.raises(MissingInformationError, match="say it with dt"):
        delays.of_node("d", node, (2,), None)
    assert not delays.of_node("d", nir.Delay(np.zeros(2)), (2,), None).steps.any()


def test_delays_in_a_row_are_added_and_limited():
    wait = Wait((2,), (2,), np.array([40, 40]))
    with pytest.raises(UnsupportedError, match="add up to 80"):
        delays.take_out([wait, wait])
    uneven = Wait((2,), (2,), np.array([40, 39]))
    with pytest.raises(UnsupportedError, match="add up to 80"):
        products.multiply([uneven, Matrix((2,), (2,), np.eye(2)), uneven])


# whole graphs


def lif(n):
    return nir.LIF(tau=np.ones(n), r=np.ones(n), v_leak=np.zeros(n), v_threshold=np.ones(n))


def test_subgraphs_flatten_to_canonical_names():
    inner = nir.NIRGraph(
        {
            "in": nir.Input(np.array([2])),
            "lif": lif(2),
            "w": nir.Linear(np.eye(2)),
            "out": nir.Output(np.array([2])),
        },
        [("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out")],
        type_check=False,
    )
    graph = nir.NIRGraph(
        {"a": nir.Input(np.array([2])), "sub": inner, "b": nir.Output(np.array([2]))},
        [("a", "sub"), ("sub", "b")],
        type_check=False,
    )
    flat = subgraphs.flatten(graph)
    assert flat.virtual == {"sub.in", "sub.out"}
    flat = subgraphs.without_virtual(flat)
    assert sorted(flat.nodes) == ["a", "b", "sub.lif", "sub.w"]
    assert sorted(flat.edges) == [
        ("a", "sub.lif"),
        ("sub.lif", "b"),
        ("sub.lif", "sub.w"),
        ("sub.w", "sub.lif"),
    ]


def test_subgraph_with_two_inputs_is_refused():
    inner = nir.NIRGraph(
        {
            "x": nir.Input(np.array([2])),
            "y": nir.Input(np.array([2])),
            "o": nir.Output(np.array([2])),
        },
        [],
        type_check=False,
    )
    graph = nir.NIRGraph({"sub": inner}, [], type_check=False)
    with pytest.raises(UnsupportedError, match="subgraph 'sub' has 2 Input nodes"):
        subgraphs.flatten(graph)


def test_names_that_collide_after_flattening_are_refused():
    inner = nir.NIRGraph(
        {"i": nir.Input(np.array([2])), "o": nir.Output(np.array([2]))},
        [("i", "o")],
        type_check=False,
    )
    graph = nir.NIRGraph({"sub.i": lif(2), "sub": inner}, [], type_check=False)
    with pytest.raises(GraphError, match=r"two nodes are called 'sub.i'"):
        subgraphs.flatten(graph)


@pytest.mark.parametrize(
    ("integrator", "joined"),
    [
        (nir.I(r=np.ones(2)), nir.IF),
        (nir.LI(tau=np.ones(2), r=np.ones(2), v_leak=np.ones(2)), nir.LIF),
        (
            nir.CubaLI(
                tau_syn=np.ones(2),
                tau_mem=np.ones(2),
                r=np.ones(2),
                v_leak=np.ones(2),
                w_in=np.full(2, 3.0),
            ),
            nir.CubaLIF,
        ),
    ],
)
def test_integrator_and_threshold_become_one_population(integrator, joined):
    nodes = {"a": integrator, "t": nir.Threshold(np.full(2, 0.5)), "w": nir.Linear(np.eye(2))}
    flat, fused = threshold.fuse(subgraphs.Flat(nodes, [("a", "t"), ("t", "w")]))
    assert fused == {"a": "t"}
    assert type(flat.nodes["a"]) is joined
    assert flat.edges == [("a", "w")]
    np.testing.assert_array_equal(flat.nodes["a"].v_threshold, [0.5, 0.5])
    for field in ("r", "v_leak", "w_in", "tau", "tau_syn", "tau_mem"):
        if hasattr(integrator, field):
            np.testing.assert_array_equal(
                getattr(flat.nodes["a"], field), getattr(integrator, field)
            )


def test_reset_potential_is_shifted_only_where_a_sample_starts_there():
    two, zero = np.full(3, 2.0), np.zeros(3)
    assert shifted("n", zero, None, two, "subtract")[0] is two
    theta, leak, offset = shifted("n", np.full(3, -1.0), np.full(3, -1.0), two, "zero")
    assert theta.tolist() == [3, 3, 3]
    assert leak.tolist() == [0, 0, 0]
    assert offset.tolist() == [-1, -1, -1]
    with pytest.raises(UnsupportedError, match="v_reset is -1 V and v_leak is 0 V"):
        shifted("n", np.full(3, -1.0), zero, two, "zero")
    with pytest.raises(UnsupportedError, match="there is no leak"):
        shifted("n", np.full(3, -1.0), None, two, "zero")
    with pytest.raises(UnsupportedError, match="reset 'subtract'"):
        shifted("n", np.full(3, -1.0), np.full(3, -1.0), two, "subtract")
