"""What the parts of a Program share: checks of what they are given, each of which names the part,
the value and what it must be."""

from __future__ import annotations

import operator
from typing import Any, NoReturn

import numpy as np

from hardware.errors import ProgramError

MAX_NEURONS = 1 << 26
"""Largest population, so that a damaged file cannot ask for all memory."""


ZERO: Any = 0
"""Default of a field that may be given as a number, and is declared as what it is once its part is
made: an array."""


def fail(where: str, message: str) -> NoReturn:
    raise ProgramError(f"{where}: {message}")


def check_shape(where: str, value: Any) -> tuple[int, ...]:
    try:
        shape = tuple(operator.index(n) for n in value)
    except TypeError:
        fail(where, f"shape must be a tuple of positive integers, not {value!r}")
    if not shape or len(shape) > 3 or any(n < 1 for n in shape):
        fail(
            where,
            f"shape must have 1 to 3 positive dimensions (features; channels, length; or channels, "
            f"height, width), not {shape}",
        )
    if np.prod(shape, dtype=object) > MAX_NEURONS:
        fail(where, f"shape {shape} has more than {MAX_NEURONS} neurons")
    return shape


def check_integers(where: str, name: str, value: Any, low: int, high: int) -> np.ndarray:
    """A read-only int32 array of whole numbers within [low, high]; floats and out-of-range values
    are refused."""
    try:
        array = np.asarray(value)
    except ValueError:
        fail(where, f"{name} is not an array: its rows differ in length")
    if array.dtype == bool or not np.issubdtype(array.dtype, np.integer):
        fail(where, f"{name} must be integers, not {array.dtype}")
    if array.size:
        smallest, largest = int(array.min()), int(array.max())
        if smallest < low or largest > high:
            fail(
                where,
                f"{name} is {smallest if smallest < low else largest}; it must be from {low} to "
                f"{high}",
            )
    array = np.array(array, dtype=np.int32, order="C")
    array.setflags(write=False)
    return array


def check_integer(where: str, name: str, value: Any, low: int, high: int) -> int:
    """One whole number within [low, high]."""
    array = check_integers(where, name, value, low, high)
    if array.ndim:
        fail(where, f"{name} has shape {array.shape}; it must be one number")
    return int(array)


def check_parameter(
    where: str, name: str, value: Any, low: int, high: int, shape: tuple[int, ...]
) -> np.ndarray:
    """A parameter that is one number for the population, or one per neuron (shape of the
    population)."""
    array = check_integers(where, name, value, low, high)
    if array.ndim and array.shape != shape:
        if array.size != 1:
            fail(
                where,
                f"{name} has shape {array.shape}; it must be one number, or have the population's "
                f"shape {shape}",
            )
        array = array.reshape(())
    return array


def check_name(kind: str, value: object) -> str:
    if (
        not isinstance(value, str)
        or not value
        or len(value) > 200
        or "/" in value
        or value in (".", "..")
        or not value.isprintable()
    ):
        raise ProgramError(
            f"{kind}: a name is 1 to 200 printable characters without '/', not {value!r}"
        )
    return value


class ProgramPart:
    """Shared by the frozen parts of a Program: assignment during construction."""

    name: str
    shape: tuple[int, ...]

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))
