"""Two windows in a row become one: a pooling (or a convolution) followed by a convolution is one
convolution with a larger kernel.

Exact or not at all. Where the first window's padding or a remainder at the border would let the
larger kernel see what the second never saw, nothing is fused here, and ``products`` unfolds the
chain into single synapses.
"""

from __future__ import annotations

import math

import numpy as np

from export.operators import Kernel, Operator
from export.shapes import window_output


def fuse(chain: list[Operator]) -> list[Operator]:
    """The chain with neighbouring kernels fused wherever that is exact."""
    result: list[Operator] = []
    for operator in chain:
        if result and isinstance(operator, Kernel) and isinstance(result[-1], Kernel):
            fused = fuse_two(result[-1], operator)
            if fused is not None:
                result[-1] = fused
                continue
        result.append(operator)
    return result


def fuse_two(first: Kernel, second: Kernel) -> Kernel | None:
    """One kernel that computes ``second(first(x))`` for every x, or None."""
    weight = _weights(first, second)
    if weight is None or not all(_exact(first, second, axis) for axis in range(len(first.stride))):
        return None

    padding, stride, dilation = [], [], []
    for axis, (s1, s2) in enumerate(zip(first.stride, second.stride)):
        before = first.padding[axis][0] + second.padding[axis][0] * s1
        size, out, n = weight.shape[axis + 2], second.out_shape[axis + 1], first.in_shape[axis + 1]
        needed = max(0, (out - 1) * s1 * s2 - before + size - n)
        fitting = [
            after
            for after in (before, needed)
            if after >= needed and window_output(n, size, s1 * s2, (before, after)) == out
        ]
        if not fitting:
            return None
        padding.append((before, fitting[0]))
        stride.append(s1 * s2)

        step = math.gcd(
            *(second.dilation[axis] * s1,) * (second.weight.shape[axis + 2] > 1),
            *(first.dilation[axis],) * (first.weight.shape[axis + 2] > 1),
        )
        dilation.append(max(step, 1))

    thinned = weight[(slice(None), slice(None), *(slice(None, None, d) for d in dilation))]
    groups = second.groups if _depthwise(first) else first.groups
    return Kernel(
        first.in_shape,
        second.out_shape,
        thinned,
        tuple(stride),
        tuple(padding),
        tuple(dilation),
        groups,
    )


def _depthwise(kernel: Kernel) -> bool:
    return kernel.groups == kernel.in_shape[0] == kernel.out_shape[0]


def _weights(first: Kernel, second: Kernel) -> np.ndarray | None:
    """Weights of the fused kernel at dilation 1; None where groups of both cannot be joined."""
    one, two = first.weight, second.weight
    sizes = [
        (k2 - 1) * d2 * s1 + (k1 - 1) * d1 + 1
        for k1, k2, s1, d1, d2 in zip(
            one.shape[2:], two.shape[2:], first.stride, first.dilation, second.dilation
        )
    ]

    if _depthwise(first):
        shape = two.shape[:2]
        per_group = np.arange(two.shape[0]) // (two.shape[0] // second.groups)
        middle = per_group[:, None] * two.shape[1] + np.arange(two.shape[1])[None, :]
    elif _depthwise(second):
        shape = one.shape[:2]
    elif first.groups == second.groups == 1:
        shape = (two.shape[0], one.shape[1])
    else:
        return None

    weight = np.zeros((*shape, *sizes))
    for tap2 in np.ndindex(two.shape[2:]):
        for tap1 in np.ndindex(one.shape[2:]):
            place = tuple(
                t2 * d2 * s1 + t1 * d1
                for t1, t2, s1, d1, d2 in zip(
                    tap1, tap2, first.stride, first.dilation, second.dilation
                )
            )
            a, b = one[(slice(None), slice(None), *tap1)], two[(slice(None), slice(None), *tap2)]
            if _depthwise(first):
                part = b * a[middle, 0]
            elif _depthwise(second):
                part = b * a
            else:
                part = b @ a
            weight[(slice(None), slice(None), *place)] += part
    return weight


def _exact(first: Kernel, second: Kernel, axis: int) -> bool:
    """Whether, along one dimension, no window of ``second`` that reaches into its padding would see
    real input through ``first``."""
    n, middle, out = first.in_shape[axis + 1], first.out_shape[axis + 1], second.out_shape[axis + 1]
    j = np.add.outer(
        np.arange(out) * second.stride[axis] - second.padding[axis][0],
        np.arange(second.weight.shape[axis + 2]) * second.dilation[axis],
    )
    outside = j[(j < 0) | (j >= middle)]
    x = np.add.outer(
        outside * first.stride[axis] - first.padding[axis][0],
        np.arange(first.weight.shape[axis + 2]) * first.dilation[axis],
    )
    return not np.any((x >= 0) & (x < n))
