"""What an option or an argument takes. A value that cannot be is named in one plain sentence: the
option, what came, what it must be."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from typing import Any, NoReturn

import click


def refuse(
    value: object, wanted: str, param: click.Parameter | None, ctx: click.Context | None
) -> NoReturn:
    """Raises the error for a value."""
    if param is None:
        name = "a value"
    elif isinstance(param, click.Argument):
        name = str(param.name).upper()
    else:
        name = max(param.opts, key=len)
    raise click.UsageError(f"{name} is {value!r}; it must be {wanted}", ctx)


class Whole(click.IntRange):
    """A whole number of a range."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            refuse(value, "a whole number" + _range(self), param, ctx)


class Number(click.FloatRange):
    """A number of a range."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            number: float = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            refuse(value, "a number" + _range(self), param, ctx)
        return number


def _range(kind: click.IntRange | click.FloatRange) -> str:
    low = "" if kind.min is None else f" {'above' if kind.min_open else 'from'} {kind.min:,}"
    return low if kind.max is None else f"{low}{' up' if kind.min_open else ''} to {kind.max:,}"


class OneOf(click.Choice[str]):
    """One of some texts."""

    def __init__(self, known: Collection[str]) -> None:
        super().__init__(list(known))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            chosen: str = super().convert(value, param, ctx)
            return chosen
        except click.BadParameter:
            known = [str(choice) for choice in self.choices]
            refuse(value, f"one of {', '.join(known)}.{nearest(value, known)}", param, ctx)


class Shape(click.ParamType):  # type: ignore[type-arg]  # not generic in every click >= 8.2
    """A shape such as 2,34,34."""

    name = "shape"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            shape = tuple(int(n) for n in value.split(","))
        except ValueError:
            shape = ()
        if not shape or min(shape) < 1:
            refuse(value, "a shape, such as 2,34,34", param, ctx)
        return shape


def nearest(value: object, known: Collection[str]) -> str:
    """A further sentence on a name that is nearly one of the known ones; "" where none is near."""
    near = difflib.get_close_matches(str(value), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
