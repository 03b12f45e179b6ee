"""Windows over maps, as PyTorch counts them: averages over windows of different sizes, and the
maximum of spikes.

The maximum of a window of spikes is their OR: a neuron that forgets everything in each step fires
where at least one of them arrives, in the same step. So max pooling is a population of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from export.rearranging import NodeRow, selection
from export.shapes import Shape

FIRES_ABOVE = 0.5
"""Volts; each spike of a window brings one."""

GRID: Mapping[str, Any] = {
    "fraction_bits": 1,
    "current_decay": 4096,
    "voltage_decay": 0,  # what arrives fires and is reset, so nothing is ever left to decay
    "threshold": 1,
    "overflow": "error",
}
"""A volt is two integer steps, so that a weight of one volt is even and the threshold is one."""


@dataclass(frozen=True)
class Geometry:
    """Kernel, stride, padding and dilation along each spatial axis; ``ceil``: PyTorch's
    ceil_mode."""

    kernel: Shape
    stride: Shape
    padding: Shape
    dilation: Shape
    ceil: bool = False

    def counts(self, size: Shape) -> Shape:
        """How many windows there are along each axis of a map."""
        return tuple(
            _count(*item, self.ceil)
            for item in zip(size, self.kernel, self.stride, self.padding, self.dilation)
        )


def _count(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (-(-room // stride) if ceil else room // stride) + 1
    # with ceil_mode the last one must start inside the map or the padding before it
    return count - 1 if ceil and (count - 1) * stride >= size + padding else count


def averages(geometry: Geometry, size: Shape, count_padding: bool) -> list[np.ndarray]:
    """[window, place] for each axis: the weights of average pooling.

    count_padding   PyTorch's count_include_pad
    """
    matrices = []
    counts = geometry.counts(size)
    for axis, (length, count) in enumerate(zip(size, counts)):
        kernel, stride, padding = (
            part[axis] for part in (geometry.kernel, geometry.stride, geometry.padding)
        )
        matrix = np.zeros((count, length))
        for window in range(count):
            start = window * stride - padding
            low, high = max(start, 0), min(start + kernel, length)
            counted = min(start + kernel, length + padding) - start
            matrix[window, low:high] = 1.0 / (counted if count_padding else high - low)
        matrices.append(matrix)
    return matrices


def adaptive(size: Shape, out: Shape) -> list[np.ndarray]:
    """The same of adaptive average pooling to ``out`` windows along each axis."""
    matrices = []
    for length, count in zip(size, out):
        matrix = np.zeros((count, length))
        for window in range(count):
            start, end = window * length // count, -(-(window + 1) * length // count)
            matrix[window, start:end] = 1.0 / (end - start)
        matrices.append(matrix)
    return matrices


def or_of_windows(
    shape: Shape, geometry: Geometry
) -> list[tuple[str, nir.NIRNode, dict[str, Any]]]:
    """Max pooling of spikes of ``shape`` [channels, *size] as nodes in a row, by name, each with
    its metadata: sums of windows, then "fires", the neurons."""
    channels, *size = shape
    counts = geometry.counts(tuple(size))
    row = _reaching(shape, geometry, counts)
    length, out = row.out_shape[1:], (channels, *counts)

    if len(size) == 2 and set(geometry.dilation) == {1}:
        parts = (geometry.kernel, geometry.stride, geometry.padding)
        window: nir.NIRNode = nir.SumPool2d(*(np.array(part) for part in parts))
    else:
        ones = np.ones((channels, 1, *geometry.kernel), np.float32)
        parts = (geometry.stride, geometry.padding, geometry.dilation)
        bias = np.zeros(channels, np.float32)
        if len(size) == 1:
            window = nir.Conv1d(length[0], ones, *(part[0] for part in parts), channels, bias)
        else:
            window = nir.Conv2d(length, ones, *parts, channels, bias)

    entry = {"pooling": "maximum", "threshold_comparison": ">", "grid": dict(GRID)}
    return [
        *((name, node, {"moves": "zeros behind the border"}) for name, node in row.nodes),
        ("windows", window, {}),
        ("fires", nir.Threshold(threshold=np.full(out, FIRES_ABOVE)), entry),
    ]


def _reaching(shape: Shape, geometry: Geometry, counts: Shape) -> NodeRow:
    """Zeros behind the border where the last windows reach beyond it (ceil_mode)."""
    beyond = [
        max(0, (count - 1) * s + d * (k - 1) + 1 - (length + 2 * p))
        for count, length, k, s, p, d in zip(
            counts,
            shape[1:],
            geometry.kernel,
            geometry.stride,
            geometry.padding,
            geometry.dilation,
        )
    ]
    index = np.arange(int(np.prod(shape))).reshape(shape)
    wider = np.pad(index, [(0, 0), *((0, n) for n in beyond)], constant_values=-1)
    return selection(wider, shape)
