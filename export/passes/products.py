"""What is left of a chain multiplied out: into one matrix where one of its parts is a matrix, else
into single synapses. Always exact."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from export.errors import UnsupportedError
from export.operators import MAX_SYNAPSES, Gain, Kernel, Matrix, Operator, Triples, Wait, room
from export.passes.scales import per_channel
from export.shapes import Shape
from hardware.program import Projection


def identity(shape: Shape) -> Operator:
    """Each element to itself: a convolution of one tap where the shape has channels, else single
    synapses."""
    return _single(Gain(shape, shape, np.ones(shape)))


def multiply(chain: list[Operator]) -> Operator:
    """One Kernel, Matrix or Triples for the whole chain, which is not empty. Raises
    UnsupportedError where it would be too large."""
    product = chain[0]
    for operator in chain[1:]:
        product = _times(operator, product)
    return _single(product)


def _single(operator: Operator) -> Operator:
    """An operator of a kind that a projection has."""
    if (
        isinstance(operator, Gain)
        and len(operator.in_shape) > 1
        and (factor := per_channel(operator.factor)) is not None
    ):
        dims = len(operator.in_shape) - 1
        weight = factor.reshape(-1, 1, *(1,) * dims)
        return Kernel(
            operator.in_shape,
            operator.out_shape,
            weight,
            (1,) * dims,
            ((0, 0),) * dims,
            (1,) * dims,
            len(factor),
        )
    return operator if isinstance(operator, (Kernel, Matrix, Triples)) else operator.triples()


def _times(second: Operator, first: Operator) -> Operator:
    """``second(first(x))``; not for a pair of kernels that ``pooling`` has fused."""
    shapes = (first.in_shape, second.out_shape)
    if (
        isinstance(second, Matrix)
        and isinstance(first, Matrix)
        and not np.ndim(second.delay)
        and not np.ndim(first.delay)
    ):
        return Matrix(*shapes, second.weight @ first.weight, _sum(second.delay, first.delay))

    if isinstance(second, Matrix) and isinstance(first, Wait):
        return replace(
            second,
            in_shape=first.in_shape,
            delay=_sum(
                np.broadcast_to(second.delay, second.weight.shape), first.steps.ravel()[None, :]
            ),
        )
    if isinstance(second, Wait) and isinstance(first, Matrix):
        return replace(
            first,
            out_shape=second.out_shape,
            delay=_sum(
                np.broadcast_to(first.delay, first.weight.shape), second.steps.ravel()[:, None]
            ),
        )

    if (
        isinstance(second, Matrix)
        and isinstance(first, (Kernel, Gain, Triples))
        and not np.ndim(second.delay)
    ):
        inner = first.triples()
        if not np.ndim(inner.delay):
            room(second.weight.shape[0] * math.prod(first.in_shape))
            weight = np.zeros((second.weight.shape[0], math.prod(first.in_shape)))
            for row, out in zip(second.weight, weight):
                out += np.bincount(
                    inner.columns, row[inner.rows] * inner.values, minlength=len(out)
                )
            return Matrix(*shapes, weight, _sum(second.delay, inner.delay))

    if isinstance(first, Matrix) and not np.ndim(first.delay):
        outer = second.triples()
        if not np.ndim(outer.delay):
            room(math.prod(second.out_shape) * first.weight.shape[1])
            weight = np.zeros((math.prod(second.out_shape), first.weight.shape[1]))
            for start in range(0, outer.values.size, 4096):  # bounds memory
                part = slice(start, start + 4096)
                np.add.at(
                    weight,
                    outer.rows[part],
                    outer.values[part, None] * first.weight[outer.columns[part]],
                )
            return Matrix(*shapes, weight, _sum(outer.delay, first.delay))

    return _join(second.triples(), first.triples(), shapes)


def _sum(one: Any, other: Any) -> Any:
    """Sum of delays; raises where it is longer than the chip's."""
    total = one + other
    if np.max(total, initial=0) > Projection.MAX_DELAY:
        raise UnsupportedError(
            f"delays in a row add up to {int(np.max(total))} steps; they must be at most "
            f"{Projection.MAX_DELAY}"
        )
    return total


def _join(second: Triples, first: Triples, shapes: tuple[Shape, Shape]) -> Triples:
    """Product of two sets of single synapses; synapses between the same two ends are added up."""
    order = np.argsort(first.rows, kind="stable")
    middle = first.rows[order]
    start, stop = (
        np.searchsorted(middle, second.columns, "left"),
        np.searchsorted(middle, second.columns, "right"),
    )

    counts = stop - start
    total = int(counts.sum())
    if total > MAX_SYNAPSES:
        room(total)

    # every synapse of the second meets those of the first that end in its source
    outer = np.repeat(np.arange(len(counts)), counts)
    inner = order[
        np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(start, counts)
    ]
    rows, columns, values = (
        second.rows[outer],
        first.columns[inner],
        second.values[outer] * first.values[inner],
    )

    if not np.ndim(second.delay) and not np.ndim(first.delay):
        delay = _sum(second.delay, first.delay)
    else:
        each = [np.broadcast_to(part.delay, part.values.shape) for part in (second, first)]
        delay = _sum(each[0][outer], each[1][inner])
    return merged(Triples(*shapes, rows, columns, values, delay))


def merged(triples: Triples) -> Triples:
    """One synapse for each pair of ends, sorted. Raises UnsupportedError where one pair is joined
    with different delays."""
    order = np.lexsort((triples.columns, triples.rows))
    rows, columns, values = triples.rows[order], triples.columns[order], triples.values[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    first = np.flatnonzero(new)
    delay = triples.delay
    if isinstance(delay, np.ndarray) and delay.ndim:
        delay = delay[order]
        if np.any(delay != delay[first][np.cumsum(new) - 1]):
            raise UnsupportedError(
                "two ways between the same two neurons have different delays; there must be one "
                "delay for a synapse"
            )
        delay = delay[first]
    sums = np.add.reduceat(values, first) if len(first) else values
    return Triples(triples.in_shape, triples.out_shape, rows[first], columns[first], sums, delay)
