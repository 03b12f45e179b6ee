"""Arguments of the public calls: a wrong type is an error that names the argument, what came, and
what must be given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from hardware._text import shown
from toolchain.errors import ToolchainError


class ArgumentError(ToolchainError):
    """A public call was given an argument of the wrong type or value."""


def wrong(name: str, value: object, wanted: str) -> ArgumentError:
    """The error for an argument."""
    return ArgumentError(f"{name} is {_came(value)}; it must be {wanted}")


def _came(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of type {value.dtype} and shape {value.shape}"
    return f"{shown(value)} ({type(value).__name__})"


@overload
def whole(name: str, value: object, low: int = 1, *, optional: Literal[False]) -> int: ...


@overload
def whole(
    name: str, value: object, low: int = 1, *, optional: Literal[True] = True
) -> int | None: ...


def whole(name: str, value: object, low: int = 1, *, optional: bool = True) -> int | None:
    """A whole number from ``low``; None where that is allowed."""
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise wrong(name, value, f"a whole number from {low}{' or None' if optional else ''}")
    return int(value)


def number(name: str, value: object) -> float | None:
    """A positive number, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise wrong(name, value, "a positive number or None")
    return float(value)


def text(name: str, value: object, wanted: str) -> str:
    """A text, or a path."""
    if hasattr(value, "__fspath__"):
        return str(value)
    if not isinstance(value, str) or not value:
        raise wrong(name, value, wanted)
    return value


def one_of(name: str, value: object, known: Collection[str]) -> str:
    """One of some texts."""
    if not isinstance(value, str) or value not in known:
        raise wrong(name, value, f"one of {', '.join(known)}")
    return value


def several(name: str, value: object, known: Collection[str]) -> list[str]:
    """Two or more different ones of some texts."""
    wanted = f"two or more different ones of {', '.join(known)}"
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise wrong(name, value, wanted)
    every = [one_of(f"{name}[{number}]", item, known) for number, item in enumerate(value)]
    if len(every) < 2 or len(set(every)) != len(every):
        raise wrong(name, value, wanted)
    return every


def array(name: str, value: object, wanted: str, kinds: str = "biuf") -> np.ndarray:
    """An array of numbers; a tensor of PyTorch becomes one.

    Args:
        name: of the argument.
        value: an array, a tensor or nested lists.
        wanted: what it must be, for the error.
        kinds: numpy's letters for the types that are allowed.
    """
    values: Any = value.detach().cpu() if hasattr(value, "detach") else value
    if isinstance(values, (str, bytes, Mapping)) or values is None:
        raise wrong(name, value, wanted)
    try:
        converted = np.asarray(values)
    except ValueError:
        raise ArgumentError(
            f"{name} is no array: its rows differ in length; it must be {wanted}"
        ) from None
    if converted.dtype.kind not in kinds or not converted.ndim:
        raise wrong(name, converted if converted.ndim else value, wanted)
    return converted


@overload
def labels(value: object, samples: int, *, optional: Literal[False] = False) -> np.ndarray: ...


@overload
def labels(value: object, samples: int, *, optional: Literal[True]) -> np.ndarray | None: ...


def labels(value: object, samples: int, *, optional: bool = False) -> np.ndarray | None:
    """One whole number for each sample, int64."""
    if value is None and optional:
        return None
    wanted = f"one whole number for each of the {samples} samples"
    numbers = array("labels", value, wanted, "iu")
    if numbers.shape != (samples,):
        raise wrong("labels", numbers, wanted)
    return numbers.astype(np.int64)
