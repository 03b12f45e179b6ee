"""Axis order: our arrays are features; channels, length; channels, height, width. Lava's maps are
X, Y, channels.

The only place where the two meet. Flattened indices are in C order of the array on either side. The
kernel of Lava's Conv is [output channel, X, Y, input channel] and is convolved, ours is [output
channel, input channel, Y, X] and is correlated.
"""

from __future__ import annotations

import numpy as np


def frame_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Our shape with a height of one where there is a length alone; the same order of elements."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else tuple(shape)


def axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Permutation that turns a frame into a Lava map; it is its own inverse."""
    return tuple(reversed(range(len(frame_shape(shape)))))


def lava_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of a Lava port for a population of our shape."""
    return tuple(reversed(frame_shape(shape)))


def to_lava(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array over the neurons (our shape, or flattened) as a Lava map."""
    return np.ascontiguousarray(np.reshape(array, frame_shape(shape)).transpose(axes(shape)))


def positions(shape: tuple[int, ...]) -> np.ndarray:
    """Our flattened index of the neuron at each flattened Lava position, int64 [neuron]."""
    return to_lava(np.arange(int(np.prod(shape))), shape).ravel()


def kernel(weights: np.ndarray) -> np.ndarray:
    """Convolution weights [out, in, *kernel] in Lava's form."""
    if weights.ndim == 3:
        weights = weights[:, :, None, :]
    return np.ascontiguousarray(weights[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))


def spatial(values: tuple[int, ...], missing: int) -> tuple[int, int]:
    """Stride, padding or dilation as (X, Y); ``missing`` stands for the height that a 1-D
    convolution does not have."""
    return (values[0], missing) if len(values) == 1 else (values[1], values[0])
