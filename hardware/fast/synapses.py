"""Program → weight tables: what one spike of each source neuron adds to the accumulators of a
population.

Neurons have an internal order: [channel, y, x] populations are stored [y, x, channel], so that the
synapses of one spike in a convolution end in a few runs of neighbouring accumulators. Everything
here speaks internal order.

The exponent of a projection is folded into its weights wherever that is exact; such projections
share one accumulator, because sums modulo 2**32 may be taken in any order. A right shift that drops
bits, or a convolution that can leave 24 bits, gets an accumulator of its own for each delay, as in
the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hardware import arithmetic
from hardware.fast.vectors import ROW, RUN
from hardware.populations import CustomPopulation, Node
from hardware.program import Convolution, Dense, Input, Population, Program, Projection, Sparse

DENSE_FROM = 1 / 16
"""Share of stored synapses from which a whole padded row is faster than its single synapses."""

SHORTEST_RUN = 3
"""Fewer neighbouring synapses are added one by one."""


@dataclass(frozen=True)
class SynapsePart:
    """The synapses of one delay of one projection, by source neuron.

    lag        steps from the source's spike to its effect
    row        dense: length of a row, weights [source neuron, row]; 0: runs
    channels   runs: this many neighbouring source neurons share a row of ``pointers``
    pointers   runs: row → first and last run, int64 [rows + 1]
    runs       int32 [run, (target, block, blocks)]: blocks of RUN weights, from ``block + channel *
               blocks``, are added from ``target`` on; blocks 0: one synapse, whose weight stands in
               the place of ``block``
    weights    int16, padded with zeros
    """

    source: str
    lag: int
    weights: np.ndarray
    row: int = 0
    channels: int = 1
    pointers: np.ndarray = field(default_factory=lambda: np.zeros(1, np.int64))
    runs: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int32))


@dataclass(frozen=True)
class Group:
    """Parts that share an accumulator, and what happens to it before it joins the population's
    synaptic input."""

    parts: tuple[SynapsePart, ...]
    right_shift: np.ndarray | None = None
    wrap_int24: bool = False


def internal_order(shape: tuple[int, ...]) -> np.ndarray:
    """Internal index → index in C order, int32: channels last."""
    index = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    return np.ascontiguousarray(np.moveaxis(index, 0, -1)).ravel()


def inverse(order: np.ndarray) -> np.ndarray:
    """The other way round: index in C order → internal index, int32."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order), dtype=order.dtype)
    return places


def groups_into(program: Program, population: Population | CustomPopulation) -> tuple[Group, ...]:
    """All synapses of a population; the first group is the one that needs nothing more than a sum,
    perhaps without parts."""
    linear: list[SynapsePart] = []
    others: list[Group] = []
    for projection in program.into(population.name):
        source = program.nodes[projection.source]
        weights, right_shift = _fold_exponent(projection, population.shape)
        wraps = isinstance(projection, Convolution) and not _fits_24_bits(weights, source)
        for part in _parts(projection, weights, source, population):
            if right_shift is None and not wraps:
                linear.append(part)
            else:
                others.append(Group((part,), right_shift, wraps))
    return (Group(tuple(linear)), *others)


def _fold_exponent(
    projection: Projection, target_shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights times 2**exponent, and the right shift of each target neuron (internal order) that
    could not be folded in."""
    exponent = projection.exponent_per_neuron(target_shape)
    if isinstance(projection, Convolution):
        each = exponent[(slice(None),) + (0,) * (len(target_shape) - 1)].reshape(
            (-1,) + (1,) * (projection.weights.ndim - 1)
        )
    elif isinstance(projection, Dense):
        each = exponent.reshape(-1, 1)
    elif isinstance(projection, Sparse):
        each = exponent.ravel()[projection.rows]
    else:
        raise TypeError(f"a projection of type {type(projection).__name__}")

    each = each.astype(np.int32)
    weights = arithmetic.shift(
        projection.weights, np.maximum(each, 0)
    )  # at most 256 << 7: int32 is enough

    right = np.maximum(-each, 0)
    if np.any(weights & ((1 << right) - 1)):
        return weights, np.maximum(-exponent, 0).ravel()[internal_order(target_shape)].astype(
            np.int32
        )
    return weights >> right, None


def _fits_24_bits(weights: np.ndarray, source: Node) -> bool:
    largest = max(map(abs, source.value_range)) if isinstance(source, Input) else 1
    return int(np.abs(weights).reshape(len(weights), -1).sum(axis=1).max()) * largest < 1 << 23


def _parts(
    projection: Projection, weights: np.ndarray, source: Node, target: Population | CustomPopulation
) -> list[SynapsePart]:
    """One part for each delay."""
    if isinstance(projection, Convolution):
        return [_convolution(projection, weights, source, target)]

    if (
        isinstance(projection, Dense)
        and not projection.delay.ndim
        and np.count_nonzero(weights) >= DENSE_FROM * weights.size
    ):
        table = np.zeros((source.size, -(-target.size // ROW) * ROW), np.int16)
        table[:, : target.size] = weights[
            np.ix_(internal_order(target.shape), internal_order(source.shape))
        ].T
        return [
            SynapsePart(
                projection.source,
                projection.max_delay + projection.recurrent,
                table.ravel(),
                row=table.shape[1],
            )
        ]

    if isinstance(projection, Dense):
        rows, columns = np.nonzero(weights)
        weights, delay = (
            weights[rows, columns],
            projection.delay[rows, columns] if projection.delay.ndim else projection.delay,
        )
    elif isinstance(projection, Sparse):
        rows, columns, delay = projection.rows, projection.columns, projection.delay
    else:
        raise TypeError(f"a projection of type {type(projection).__name__}")

    rows, columns = (
        inverse(internal_order(target.shape))[rows],
        inverse(internal_order(source.shape))[columns],
    )

    parts = []
    for steps in np.unique(delay):
        chosen = np.broadcast_to(delay == steps, weights.shape)
        lag = int(steps) + projection.recurrent
        parts.append(
            _matrix(
                projection.source,
                lag,
                rows[chosen],
                columns[chosen],
                weights[chosen],
                target.size,
                source.size,
            )
        )
    return parts


def _matrix(
    name: str,
    lag: int,
    rows: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    targets: int,
    sources: int,
) -> SynapsePart:
    """Single synapses (no pair twice) as padded rows where they are many, else as runs."""
    if len(weights) >= DENSE_FROM * targets * sources:
        width = -(-targets // ROW) * ROW
        rectangle = np.zeros((sources, width), np.int16)
        rectangle[columns, rows] = weights
        return SynapsePart(name, lag, rectangle.ravel(), row=width)

    # a run: synapses of one source that end in neighbouring targets
    order = np.lexsort((rows, columns))
    rows, columns, weights = rows[order], columns[order], weights[order]
    first = np.ones(len(rows), bool)
    first[1:] = (columns[1:] != columns[:-1]) | (rows[1:] != rows[:-1] + 1)
    run = np.cumsum(first) - 1
    start = np.flatnonzero(first)
    length = np.diff(start, append=len(rows))

    # a long run is stored as whole blocks of RUN weights, padded with zeros
    is_long = np.asarray(length >= SHORTEST_RUN)
    blocks = np.where(is_long, -(-length // RUN), 0)
    block = np.cumsum(blocks) - blocks
    table = np.zeros(int(blocks.sum()) * RUN, np.int16)
    stored = is_long[run]
    table[(block[run] * RUN + np.arange(len(rows)) - start[run])[stored]] = weights[stored]

    # a long run is one entry, a short one an entry for each synapse
    entry = first | ~stored
    runs = np.stack([rows, np.where(stored, block[run], weights), blocks[run]], axis=1)[
        entry
    ].astype(np.int32)

    return SynapsePart(
        name,
        lag,
        table,
        pointers=np.searchsorted(columns[entry], np.arange(sources + 1)),
        runs=runs,
    )


def _convolution(
    projection: Convolution,
    weights: np.ndarray,
    source: Node,
    target: Population | CustomPopulation,
) -> SynapsePart:
    """Runs along x and the output channels; all channels of a source pixel (and group) share them,
    but for the weights."""
    groups, (outputs, inputs) = projection.groups, weights.shape[:2]
    outputs //= groups
    lead = (1,) * (3 - len(source.shape))  # one spatial dimension: a map of height 1
    height, width = lead + source.shape[1:]
    out_height, out_width = lead + target.shape[1:]

    vertical, horizontal = (
        _reach(n, out, k, s, p, d)
        for n, out, k, s, p, d in zip(
            (height, width),
            (out_height, out_width),
            lead + projection.kernel_size,
            lead + projection.stride,
            (0,) * len(lead) + projection.padding,
            lead + projection.dilation,
        )
    )

    # [group, kernel row, kernel column, input, output]
    kernel = weights.reshape(groups, outputs, inputs, *(lead + projection.kernel_size)).transpose(
        0, 3, 4, 2, 1
    )

    # A pixel's effects along x, joined where they are neighbours: groups lie apart, and are never
    # joined.
    joined = [
        run
        for x, o, k in horizontal
        for run in (_join(x, o, k) if groups == 1 else [(x, a, (b,)) for a, b in zip(o, k)])
    ]

    # runs with the same taps share their weights, wherever their pixel lies
    shapes = sorted({taps for _, _, taps in joined})
    blocks_of = np.array([-(-len(taps) * outputs // RUN) for taps in shapes], np.int64)
    tables, offset, block_of = [], 0, np.zeros((groups, kernel.shape[1], len(shapes)), np.int64)
    for group, row, shape in np.ndindex(block_of.shape):
        table = np.zeros((inputs, blocks_of[shape] * RUN), np.int16)
        table[:, : len(shapes[shape]) * outputs] = (
            kernel[group, row][list(shapes[shape])].transpose(1, 0, 2).reshape(inputs, -1)
        )
        tables.append(table.ravel())
        block_of[group, row, shape], offset = offset, offset + inputs * blocks_of[shape]

    y, out_y, tap_y = (
        np.array([(y, a, b) for y, o, k in vertical for a, b in zip(o, k)], np.int64)
        .reshape(-1, 3)
        .T[:, :, None, None]
    )
    x, out_x, shape = (
        np.array([(x, o, shapes.index(taps)) for x, o, taps in joined], np.int64)
        .reshape(-1, 3)
        .T[:, None, :, None]
    )

    group = np.arange(groups)
    row = ((y * width + x) * groups + group).ravel()
    at = ((out_y * out_width + out_x) * groups + group) * outputs
    block = block_of[group, tap_y, shape]
    runs = np.stack(
        [at.ravel(), block.ravel(), np.broadcast_to(blocks_of[shape], block.shape).ravel()], axis=1
    ).astype(np.int32)

    order = np.argsort(row, kind="stable")
    return SynapsePart(
        projection.source,
        int(projection.delay) + projection.recurrent,
        np.concatenate(tables) if tables else np.zeros(0, np.int16),
        channels=inputs,
        pointers=np.searchsorted(row[order], np.arange(height * width * groups + 1)),
        runs=runs[order],
    )


def _reach(
    size: int, out: int, kernel: int, stride: int, padding: int, dilation: int
) -> list[tuple[int, list[int], list[int]]]:
    """For each source position: output positions in rising order, and the kernel tap that leads to
    each."""
    reach = []
    for position in range(size):
        pairs = sorted(
            ((position + padding - tap * dilation) // stride, tap)
            for tap in range(kernel)
            if (position + padding - tap * dilation) % stride == 0
            and 0 <= position + padding - tap * dilation < out * stride
        )
        reach.append((position, [o for o, _ in pairs], [tap for _, tap in pairs]))
    return reach


def _join(
    position: int, outputs: list[int], taps: list[int]
) -> list[tuple[int, int, tuple[int, ...]]]:
    """Neighbouring output positions as runs (position, first output, taps)."""
    runs: list[tuple[int, int, tuple[int, ...]]] = []
    for output, tap in zip(outputs, taps):
        if runs and runs[-1][1] + len(runs[-1][2]) == output:
            runs[-1] = (position, runs[-1][1], (*runs[-1][2], tap))
        else:
            runs.append((position, output, (tap,)))
    return runs
