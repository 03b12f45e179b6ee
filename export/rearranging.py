"""Linear maps for which NIR has no node of their own, as rows of small convolutions.

What only moves elements (a slice, padding, nearest upsampling, pixel shuffle, a part of a
concatenation, the zeros between the inputs of a transposed convolution), or averages over windows
of different sizes, is a matrix; but a ``nir.Linear`` forgets channels and positions, so that no
convolution may follow it, and is as large as the map squared. Two convolutions do it instead, one
axis at a time:

    stack     the kernel is as high as the map: a row becomes a channel each, (channels * new
              height, 1, width)
    unstack   the kernel puts channels back into rows, by padding and one tap each: (channels, new
              height, width)

Their weights are few: for upsampling 16 maps of 16 x 16 by 2, some 50,000 in all. Every reader of
NIR computes the same with them; lowering multiplies them out (export.passes.products).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import nir
import numpy as np

from export.errors import UnsupportedError
from export.shapes import Shape

MOST_WEIGHTS = 1 << 24
"""Most weights of one of these nodes: 64 MiB of single precision."""


@dataclass(frozen=True, eq=False)
class NodeRow:
    """Nodes in a row by name, from a signal of one shape to one of another; none where nothing
    changes."""

    in_shape: Shape
    out_shape: Shape
    nodes: tuple[tuple[str, nir.NIRNode], ...]

    def __add__(self, other: NodeRow) -> NodeRow:
        return NodeRow(self.in_shape, other.out_shape, (*self.nodes, *other.nodes))


def selection(index: np.ndarray, in_shape: Shape) -> NodeRow:
    """Each output is one input, or zero.

    Args:
        index: of the output's shape: the flat number of the input, or -1 for zero.
        in_shape: (features,), (channels, length) or (channels, height, width). The output has as
            many dimensions.

    Raises:
        UnsupportedError: No small row of nodes does it.
    """
    out_shape = index.shape
    if index.size == math.prod(in_shape) and np.array_equal(
        index.reshape(-1), np.arange(index.size)
    ):
        return NodeRow(in_shape, in_shape, ())
    if len(in_shape) == 1:
        return _matrix(index, in_shape)
    at = np.unravel_index(np.maximum(index, 0), in_shape)
    valid = index >= 0
    whole = _window(at, valid, in_shape)
    if whole is not None:
        return NodeRow(in_shape, out_shape, whole)
    lines = [_along(at[axis], valid, axis) for axis in range(1, len(in_shape))]
    evenly = [line for line in lines if line is not None]
    if len(evenly) < len(lines):
        return _anything(index, in_shape)
    return _axis_by_axis(np.where(valid, at[0], -1), evenly, in_shape)


def along_axes(in_shape: Shape, matrices: list[np.ndarray]) -> NodeRow:
    """Each channel times one matrix [new size, size] in every spatial dimension."""
    row = NodeRow(in_shape, in_shape, ())
    channels = in_shape[0]
    for axis, matrix in enumerate(matrices, 1):
        shape, new = row.out_shape, len(matrix)
        if new == shape[axis] and np.array_equal(matrix, np.eye(new)):
            continue
        each = np.broadcast_to(matrix, (channels, *matrix.shape)).reshape(-1, 1, shape[axis])
        row += _stacked(shape, axis, each, channels, channels)
        row += _unstacked(row.out_shape, axis, new)
    return row


def _matrix(index: np.ndarray, in_shape: Shape) -> NodeRow:
    """Features to features, as a matrix of zeros and ones."""
    _room(index.size * in_shape[0], in_shape, index.shape)
    weight = np.zeros((index.size, in_shape[0]), np.float32)
    (rows,) = np.nonzero(index >= 0)
    weight[rows, index[rows]] = 1
    return NodeRow(in_shape, index.shape, (("elements", nir.Linear(weight=weight)),))


def _room(size: int, in_shape: Shape, out_shape: Shape) -> None:
    if size > MOST_WEIGHTS:
        raise UnsupportedError(
            f"rearranging elements of shape {in_shape} into {out_shape} takes a node of {size:,} "
            f"weights; it must have at most {MOST_WEIGHTS:,}"
        )


# one convolution


def _window(
    at: tuple[np.ndarray, ...], valid: np.ndarray, in_shape: Shape
) -> tuple[tuple[str, nir.NIRNode], ...] | None:
    """One convolution with one tap for each output channel (crops, padding, strided slices, parts
    of channels); None where it is none."""
    out_shape, dims = valid.shape, len(in_shape) - 1
    channels = out_shape[0]
    each = valid.reshape(channels, -1)
    used = each.any(axis=1)
    first = each.argmax(axis=1)
    source = at[0].reshape(channels, -1)[np.arange(channels), first]
    if np.any(valid & (at[0] != source.reshape(-1, *(1,) * dims))):
        return None

    strides, offsets = [], []
    inside = np.broadcast_to(used.reshape(-1, *(1,) * dims), out_shape).copy()
    for axis in range(1, dims + 1):
        line = _affine(at[axis], valid, axis)
        if line is None:
            return None
        stride, offset = line
        strides.append(stride)
        offsets.append(offset)
        place = _positions(out_shape[axis], axis, dims) * stride + _by_channel(offset, dims)
        inside &= (place >= 0) & (place < in_shape[axis])
        if np.any(valid & (at[axis] != place)):
            return None
    if np.any(inside != valid):
        return None

    kernel, padding = [], []
    for n_in, n_out, stride, offset in zip(in_shape[1:], out_shape[1:], strides, offsets):
        low = int(offset[used].min(initial=0))
        high = int(offset[used].max(initial=0))
        before = max(0, -low)
        while True:  # taps of zero behind the last one make the map smaller, padding larger
            size = max(high + before + 1, n_in + 2 * before - n_out * stride + 1)
            if size <= n_in + 2 * before - (n_out - 1) * stride:
                break
            before += 1
        kernel.append(size)
        padding.append(before)
    groups = _groups(np.where(used, source, -1)[:, None], in_shape[0])
    inner = in_shape[0] // groups
    _room(channels * inner * math.prod(kernel), in_shape, out_shape)
    weight = np.zeros((channels, inner, *kernel), np.float32)
    chosen = np.flatnonzero(used)
    taps = tuple(offset[chosen] + p for offset, p in zip(offsets, padding))
    weight[(chosen, source[chosen] % inner, *taps)] = 1
    return (("window", _convolution(in_shape[1:], weight, strides, padding, groups)),)


def _positions(size: int, axis: int, dims: int) -> np.ndarray:
    return np.arange(size).reshape(*(1,) * axis, -1, *(1,) * (dims - axis))


def _by_channel(values: np.ndarray, dims: int) -> np.ndarray:
    return values.reshape(-1, *(1,) * dims)


def _affine(at: np.ndarray, valid: np.ndarray, axis: int) -> tuple[int, np.ndarray] | None:
    """(stride, offset for each channel) of positions that rise evenly; None where they do not."""
    flat_at = np.moveaxis(at, axis, 1).reshape(at.shape[0], at.shape[axis], -1)
    flat_valid = np.moveaxis(valid, axis, 1).reshape(flat_at.shape)
    pairs = flat_valid[:, 1:] & flat_valid[:, :-1]
    steps = np.unique((flat_at[:, 1:] - flat_at[:, :-1])[pairs])
    if len(steps) > 1 or (len(steps) == 1 and steps[0] < 1):
        return None
    stride = int(steps[0]) if len(steps) else 1
    place = flat_at - np.arange(at.shape[axis])[None, :, None] * stride
    each = flat_valid.reshape(at.shape[0], -1)
    first = each.argmax(axis=1)
    offset = place.reshape(at.shape[0], -1)[np.arange(at.shape[0]), first]
    return stride, np.where(each.any(axis=1), offset, 0)


def _groups(sources: np.ndarray, channels: int) -> int:
    """Most groups in which each output channel reads its own group's input channels; ``sources``
    [output channel, n]: those that it reads, or -1."""
    count = len(sources)
    for groups in range(math.gcd(count, channels), 1, -1):
        if count % groups or channels % groups:
            continue
        own = np.arange(count)[:, None] // (count // groups)
        if np.all((sources // (channels // groups) == own) | (sources < 0)):
            return groups
    return 1


def _convolution(
    size: Shape, weight: np.ndarray, stride: list[int], padding: list[int], groups: int
) -> nir.NIRNode:
    bias = np.zeros(weight.shape[0], np.float32)
    weight = np.asarray(weight, np.float32)
    if len(size) == 1:
        return nir.Conv1d(size[0], weight, stride[0], padding[0], 1, groups, bias)
    return nir.Conv2d(size, weight, tuple(stride), tuple(padding), (1, 1), groups, bias)


# one axis after the other


def _along(at: np.ndarray, valid: np.ndarray, axis: int) -> np.ndarray | None:
    """The position that is read at each place of an axis, where it is the same in all of it; None
    where it is not. Places where nothing is read have position 0."""
    flat_at = np.moveaxis(at, axis, 0).reshape(at.shape[axis], -1)
    flat_valid = np.moveaxis(valid, axis, 0).reshape(flat_at.shape)
    first = flat_at[np.arange(len(flat_at)), flat_valid.argmax(axis=1)]
    if np.any(flat_valid & (flat_at != first[:, None])):
        return None
    return np.where(flat_valid.any(axis=1), first, 0)


def _axis_by_axis(source: np.ndarray, lines: list[np.ndarray], in_shape: Shape) -> NodeRow:
    """Where the position along each axis depends on that axis alone.

    The input channel, ``source`` [output channel, *position] (-1: none), may depend on all axes
    (pixel shuffle): what later axes need apart is kept in channels of its own.
    """
    row = NodeRow(in_shape, in_shape, ())
    for axis, line in enumerate(lines, 1):
        shape, new = row.out_shape, len(line)
        kept, source = _kept(source)
        if len(kept) == shape[0] and np.array_equal(line, np.arange(shape[axis])):
            own = np.arange(len(kept))[:, None]
            if np.array_equal(kept, np.broadcast_to(own, kept.shape)):
                continue  # this axis stays as it is

        groups = _groups(kept, shape[0])
        inner = shape[0] // groups
        _room(kept.size * inner * shape[axis], in_shape, shape)
        each = np.zeros((kept.size, inner, shape[axis]), np.float32)
        flat = kept.reshape(-1)
        (rows,) = np.nonzero(flat >= 0)
        each[rows, flat[rows] % inner, np.tile(line, len(kept))[rows]] = 1
        row += _stacked(shape, axis, each, groups, len(kept))
        row += _unstacked(row.out_shape, axis, new)
    return row


def _kept(source: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What an axis makes of ``source`` [output channel, this axis, *later axes].

    Returns (input channel of each channel that is kept [kept, this axis], kept channel that the
    later axes read [output channel, *later axes]).
    """
    channels, new, *later = source.shape
    if not later:
        return source, np.arange(channels)
    columns = source.reshape(channels, new, -1)
    kept: list[np.ndarray] = []
    which = np.full((channels, columns.shape[2]), -1)
    for channel in range(channels):
        kinds, inverse = np.unique(columns[channel].T, axis=0, return_inverse=True)
        inverse = inverse.reshape(-1)
        for number, kind in enumerate(kinds):
            if np.any(kind >= 0):
                which[channel, inverse == number] = len(kept)
                kept.append(kind)
    return np.stack(kept), which.reshape(channels, *later)


def _stacked(shape: Shape, axis: int, each: np.ndarray, groups: int, count: int) -> NodeRow:
    """An axis into channels: ``each`` [count * new, input channels of a group, size] are the
    weights along it."""
    dims = len(shape) - 1
    kernel = tuple(shape[axis] if a == axis else 1 for a in range(1, dims + 1))
    node = _convolution(
        shape[1:], each.reshape(*each.shape[:2], *kernel), [1] * dims, [0] * dims, groups
    )
    return NodeRow(shape, _with(shape, axis, len(each), 1), ((f"stack_{_name(axis, dims)}", node),))


def _unstacked(shape: Shape, axis: int, new: int) -> NodeRow:
    """Channels (channel, place along the axis) back into the axis."""
    if new == 1:
        return NodeRow(shape, shape, ())
    dims, channels = len(shape) - 1, shape[0] // new
    kernel = [new if a == axis else 1 for a in range(1, dims + 1)]
    _room(channels * new * new, shape, (channels, new))
    weight = np.zeros((new, new), np.float32)
    place = np.arange(new)
    weight[place, new - 1 - place] = 1
    weight = np.broadcast_to(weight, (channels, new, new)).reshape(channels, new, *kernel)
    padding = [k - 1 for k in kernel]
    node = _convolution(shape[1:], weight, [1] * dims, padding, channels)
    return NodeRow(shape, _with(shape, axis, channels, new), ((_name(axis, dims), node),))


def _with(shape: Shape, axis: int, channels: int, size: int) -> Shape:
    return (channels, *(size if a == axis else n for a, n in enumerate(shape) if a))


def _name(axis: int, dims: int) -> str:
    return "places" if dims == 1 else ("rows", "columns")[axis - 1]


# anything else


def _anything(index: np.ndarray, in_shape: Shape) -> NodeRow:
    """All elements into channels, and back: as many weights as pairs of elements."""
    out_shape, dims = index.shape, len(in_shape) - 1
    _room(index.size * math.prod(in_shape), in_shape, out_shape)
    order = index.transpose(0, *range(dims, 0, -1)).reshape(-1)  # the first axis is put back first
    weight = np.zeros((order.size, math.prod(in_shape)), np.float32)
    (rows,) = np.nonzero(order >= 0)
    weight[rows, order[rows]] = 1
    node = _convolution(
        in_shape[1:], weight.reshape(order.size, *in_shape), [1] * dims, [0] * dims, 1
    )
    row = NodeRow(in_shape, (order.size, *(1,) * dims), (("elements", node),))
    for axis, new in enumerate(out_shape[1:], 1):
        row += _unstacked(row.out_shape, axis, new)
    return row


def spread(
    in_shape: Shape,
    out_shape: Shape,
    weight: np.ndarray,
    bias: np.ndarray,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    groups: int,
) -> tuple[NodeRow, nir.NIRNode]:
    """A transposed convolution as nodes that put zeros between its inputs (and around them, where
    its padding and output_padding want it), and the convolution that follows.

    Args:
        weight: [output channel, input channel / groups, *kernel], its taps in PyTorch's order.
    """
    kernel = weight.shape[2:]
    wide, left = [], []
    for p, d, k, out in zip(padding, dilation, kernel, out_shape[1:]):
        # zeros before the first input, less than none where the padding cuts inputs off
        left.append(d * (k - 1) - p)
        wide.append(out + d * (k - 1))

    index = np.full((in_shape[0], *wide), -1)
    source = np.arange(math.prod(in_shape)).reshape(in_shape)

    target, taken = [], []
    for n, s, before, size in zip(in_shape[1:], stride, left, wide):
        place = np.arange(n) * s + before
        inside = (place >= 0) & (place < size)
        target.append(place[inside])
        taken.append(np.flatnonzero(inside))
    channels = np.arange(in_shape[0])
    index[np.ix_(channels, *target)] = source[np.ix_(channels, *taken)]

    flipped = np.flip(weight, tuple(range(2, weight.ndim))).copy()
    if len(kernel) == 1:
        node: nir.NIRNode = nir.Conv1d(wide[0], flipped, 1, 0, dilation[0], groups, bias)
    else:
        ones = (1,) * len(kernel)
        node = nir.Conv2d(tuple(wide), flipped, ones, (0, 0), tuple(dilation), groups, bias)
    return selection(index, in_shape), node
