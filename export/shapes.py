"""Shapes through a graph, inferred here because nir's own inference is wrong for non-square kernels
and for groups.

A shape is a tuple without batch or time: (features,), (channels, length) or (channels, height,
width). Rules are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError
from hardware._text import shown

Shape = tuple[int, ...]

NEURONS = (nir.IF, nir.LIF, nir.CubaLIF, nir.I, nir.LI, nir.CubaLI, nir.Threshold)
"""Nodes with a state (a Threshold has none, but sends spikes): they become populations."""

SPIKING = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)

LINEAR = (
    nir.Linear,
    nir.Affine,
    nir.Conv1d,
    nir.Conv2d,
    nir.Scale,
    nir.Flatten,
    nir.SumPool2d,
    nir.AvgPool2d,
    nir.Delay,
)
"""Nodes between populations: linear (or affine) maps, and delays."""

ENDS = (nir.Input, nir.Output)

PARAMETERS: Mapping[type, tuple[str, ...]] = {
    nir.IF: ("r", "v_threshold", "v_reset"),
    nir.LIF: ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    nir.CubaLIF: ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    nir.I: ("r",),
    nir.LI: ("tau", "r", "v_leak"),
    nir.CubaLI: ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    nir.Threshold: ("threshold",),
    nir.Scale: ("scale",),
    nir.Delay: ("delay",),
}
"""Parameters that have one value for each element."""


def tuple_of(value: Any, dimensions: int) -> tuple[int, ...]:
    """An integer, or one for each spatial dimension, as a tuple."""
    array = np.asarray(value)
    if array.ndim == 0 or array.size == 1:
        array = np.full(dimensions, array.reshape(-1)[0])
    return tuple(int(n) for n in array.reshape(-1))


def padding_of(node: nir.Conv1d | nir.Conv2d) -> tuple[tuple[int, int], ...]:
    """Zeros (before, after) in each spatial dimension; "same" puts the odd one after, as PyTorch
    does."""
    kernel = node.weight.shape[2:]
    if isinstance(node.padding, str):
        if node.padding == "valid":
            return ((0, 0),) * len(kernel)
        totals = [d * (k - 1) for d, k in zip(tuple_of(node.dilation, len(kernel)), kernel)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((p, p) for p in tuple_of(node.padding, len(kernel)))


def window_output(
    size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int = 1
) -> int:
    """Number of positions of a window along one dimension; 0 or less where it does not fit."""
    return (size + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def _convolution(name: str, node: nir.NIRNode, given: Shape) -> Shape:
    dimensions = node.weight.ndim - 2
    out, inner, *kernel = node.weight.shape
    if len(given) != dimensions + 1 or given[0] != inner * int(node.groups):
        axes = ", ".join(("length",) if dimensions == 1 else ("height", "width"))
        raise GraphError(
            f"node {name!r} ({type(node).__name__}) takes shape ({inner * int(node.groups)}, "
            f"{axes}); it is given {given}"
        )
    stated = getattr(node, "input_shape", None)
    if stated is not None and tuple_of(stated, dimensions) != given[1:]:
        raise GraphError(
            f"node {name!r} ({type(node).__name__}) states input_shape "
            f"{tuple_of(stated, dimensions)}; it is given {given[1:]}"
        )

    spatial = [
        window_output(*item)
        for item in zip(
            given[1:],
            kernel,
            tuple_of(node.stride, dimensions),
            padding_of(node),
            tuple_of(node.dilation, dimensions),
        )
    ]
    if min(spatial) < 1:
        raise GraphError(
            f"node {name!r} ({type(node).__name__}): the kernel {tuple(kernel)} does not fit into "
            f"{given}"
        )
    return (out, *spatial)


def _pool(name: str, node: nir.NIRNode, given: Shape) -> Shape:
    if len(given) != 3:
        raise GraphError(
            f"node {name!r} ({type(node).__name__}) takes shape (channels, height, width); it is "
            f"given {given}"
        )
    padding = ((p, p) for p in tuple_of(node.padding, 2))
    spatial = [
        window_output(*item)
        for item in zip(given[1:], tuple_of(node.kernel_size, 2), tuple_of(node.stride, 2), padding)
    ]
    if min(spatial) < 1:
        raise GraphError(
            f"node {name!r} ({type(node).__name__}): the window {tuple_of(node.kernel_size, 2)} "
            f"does not fit into {given}"
        )
    return (given[0], *spatial)


def flattened(name: str, node: nir.Flatten, given: Shape) -> Shape:
    """Shape after a Flatten; negative dimensions count from the end."""
    first, last = (
        int(d) + len(given) if int(d) < 0 else int(d) for d in (node.start_dim, node.end_dim)
    )
    if not 0 <= first <= last < len(given):
        raise GraphError(
            f"node {name!r} (Flatten) joins dimensions {node.start_dim} to {node.end_dim}; it is "
            f"given {given} (no batch dimension)"
        )
    stated = node.input_type.get("input") if node.input_type else None
    if stated is not None and tuple(int(n) for n in np.ravel(stated)) != given:
        raise GraphError(
            f"node {name!r} (Flatten) states input_type "
            f"{shown(tuple(int(n) for n in np.ravel(stated)))}; it is given {given}"
        )
    return (*given[:first], math.prod(given[first : last + 1]), *given[last + 1 :])


def own_shapes(node: nir.NIRNode) -> tuple[Shape | None, Shape | None]:
    """Input and output shape as far as the node alone says; () for scalar parameters, which take
    any shape."""
    if isinstance(node, nir.Input):
        shape = tuple(int(n) for n in np.ravel(node.input_type["input"]))
        return shape, shape
    if isinstance(node, nir.Output):
        shape = tuple(int(n) for n in np.ravel(node.output_type["output"]))
        return shape, shape
    if isinstance(node, (nir.Linear, nir.Affine)):
        return (node.weight.shape[1],), (node.weight.shape[0],)
    if type(node) in PARAMETERS:
        shape = getattr(node, PARAMETERS[type(node)][0]).shape
        return shape, shape
    return None, None


def _given(name: str, node: nir.NIRNode, given: Shape) -> tuple[Shape, Shape]:
    """Input and output shape of a node that is given a signal of this shape. Raises GraphError
    where it does not take it."""
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        return given, _convolution(name, node, given)
    if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
        return given, _pool(name, node, given)
    if isinstance(node, nir.Flatten):
        return given, flattened(name, node, given)
    takes, gives = own_shapes(node)
    if takes == () and type(node) in PARAMETERS:
        return given, given
    if takes is None or gives is None or takes != given:
        raise GraphError(
            f"node {name!r} ({type(node).__name__}) takes shape {takes}; it is given {given}"
        )
    return takes, gives


def infer(
    nodes: Mapping[str, nir.NIRNode], edges: Iterable[tuple[str, str]]
) -> dict[str, tuple[Shape, Shape]]:
    """Input and output shape of every node of a flat graph.

    Raises GraphError where two shapes do not fit, where a shape cannot be known, or where a loop
    passes through no neuron.
    """
    edges = list(edges)
    shapes: dict[str, tuple[Shape, Shape]] = {}
    for name, node in nodes.items():
        takes, gives = own_shapes(node)
        if takes and gives is not None:
            shapes[name] = (takes, gives)

    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in edges:
        sources[b].append(a)

    waiting = [name for name in nodes if name not in shapes]
    while waiting:
        left = []
        for name in waiting:
            known = [s for s in sources[name] if s in shapes]
            # scalar parameters inside a loop take their shape from whatever source is known
            if known and (len(known) == len(sources[name]) or type(nodes[name]) in PARAMETERS):
                shapes[name] = _given(name, nodes[name], shapes[known[0]][1])
            else:
                left.append(name)

        if len(left) == len(waiting):
            name = left[0]
            why = (
                "nothing is connected to it"
                if not sources[name]
                else f"the shape of {sources[name][0]!r} is unknown too"
            )
            raise GraphError(
                f"the shape of node {name!r} ({type(nodes[name]).__name__}) cannot be known: {why}"
            )
        waiting = left

    for a, b in edges:
        if shapes[a][1] != shapes[b][0]:
            kinds = [type(nodes[end]).__name__ for end in (a, b)]
            raise GraphError(
                f"the edge {a!r} → {b!r} joins shape {shapes[a][1]} ({kinds[0]}) to shape "
                f"{shapes[b][0]} ({kinds[1]})"
            )
    for name, (takes, gives) in shapes.items():
        if max(len(takes), len(gives)) > 3:
            raise UnsupportedError(
                f"node {name!r} ({type(nodes[name]).__name__}) has shape {takes}; it must be "
                f"(features,), (channels, length) or "
                "(channels, height, width), without batch or time"
            )
    return shapes
