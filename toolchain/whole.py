"""The border between real numbers and integers: nothing crosses it by being cut, rounded or
wrapped.

Samples, spikes and potentials are floating point in PyTorch and integers on every target. A cast
such as ``astype(np.uint8)`` makes 0 of 0.9 and 0 of 256 without a word; every place where such
values become integers calls ``whole`` instead.
"""

from __future__ import annotations

import numpy as np

from toolchain.errors import DataError


def whole(
    values: np.ndarray,
    dtype: type[np.integer],
    what: str,
    low: int | None = None,
    high: int | None = None,
) -> np.ndarray:
    """Values as integers of ``dtype``, equal to what they were.

    what        names the values in an error, such as "events for target fast"
    low, high   smallest and largest value that is allowed; None: those of ``dtype``

    Raises DataError, which names the first value that is no whole number of the range, and its
    place.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{what}: type {array.dtype}; they must be numbers")
    limits = np.iinfo(dtype)
    low, high = limits.min if low is None else low, limits.max if high is None else high

    wrong = (array < low) | (array > high)
    if array.dtype.kind == "f":
        wrong |= array != np.trunc(
            array
        )  # NaN differs from itself, and infinities are out of the range
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        where = f" at [{', '.join(map(str, map(int, place)))}]" if place else ""
        raise DataError(
            f"{what}: {array[place]:g}{where}, and {int(wrong.sum()):,} such values in all; they "
            f"must be whole, {low} to {high}"
        )
    return array.astype(dtype)
