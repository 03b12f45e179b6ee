"""What plots are made of: marks of targets and models, panels with axes, legends.

Colours are the page's variables; shape, letter and texture say the same without colour. A mark can
be reached by mouse and keyboard and says in words what it shows (``aria-label``, which the page's
script also shows beside it).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Protocol

from toolchain.pages.svg import number, text, ticks
from toolchain.targets import TARGETS

WIDTH = 960.0
"""Of every plot, in its own units."""

MODEL_SHAPES = (
    "m0-5a5 5 0 1 0 .01 0z",
    "m-4.5-4.5h9v9h-9z",
    "m0-6 5.6 10h-11.2z",
    "m0-6.5 6 6.5-6 6.5-6-6.5z",
    "m0 6 5.6-10h-11.2z",
    "m-5-5 10 10m0-10-10 10",
)
"""Marks of models where a panel is about one target."""


def shape(target: str, x: float, y: float) -> str:
    """The mark of a target; those that lie on one point are seen inside each other. Raises
    TargetError."""
    chosen = TARGETS[target]
    css = "solid" if chosen.filled else "ring"
    return f'<path d="M{number(x)} {number(y)}{chosen.mark}" class="{css}"/>'


def model_shape(place: int, x: float, y: float) -> str:
    """The mark of the model in a place of the list."""
    drawn = MODEL_SHAPES[place % len(MODEL_SHAPES)]
    return f'<path d="M{number(x)} {number(y)}{drawn}" class="blob"/>'


def flag(x: float, y: float) -> str:
    """A small flag whose pole stands at a point."""
    return f'<path d="M{number(x)} {number(y)}v-13h8l-2.2 3 2.2 3h-8" class="flagmark"/>'


def dot(x: float, y: float, radius: float, css: str) -> str:
    """A small disc, with a larger one around it that can be pointed at."""
    at = f'cx="{number(x)}" cy="{number(y)}"'
    return f'<circle {at} r="8" class="hit"/><circle {at} r="{number(radius)}" class="{css}"/>'


def mark(content: str, said: str, css: str = "") -> str:
    """Something that can be pointed at."""
    return (
        f'<g class="mark {css}" tabindex="-1" role="img" aria-label="{escape(said)}">{content}</g>'
    )


def short(name: str, most: int = 24) -> str:
    """A name cut to fit."""
    return name if len(name) <= most else name[: most - 1] + "…"


@dataclass(frozen=True)
class Panel:
    """A rectangle with axes; x may be logarithmic."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float] = (0.0, 1.0)
    log: bool = False

    def x(self, value: float) -> float:
        """Where a value lies."""
        low, high = self.x_range
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.left + self.width * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Where a value lies; upwards."""
        low, high = self.y_range
        return self.top + self.height * (high - value) / (high - low)

    def frame(
        self, x_ticks: Iterable[tuple[float, str]], y_labels: bool, title: str = ""
    ) -> list[str]:
        """Ground, grid and tick labels; y is a share."""
        return frame(self, x_ticks, SHARES, y_labels, title)


class Box(Protocol):
    """A rectangle with axes."""

    @property
    def left(self) -> float: ...

    @property
    def top(self) -> float: ...

    @property
    def width(self) -> float: ...

    @property
    def height(self) -> float: ...

    def x(self, value: float) -> float:
        """Where a value lies."""

    def y(self, value: float) -> float:
        """Where a value lies; upwards."""


SHARES = tuple((share, f"{100 * share:.0f} %") for share in (0.0, 0.25, 0.5, 0.75, 1.0))
"""Ticks of an axis of shares: (value, text)."""


def frame(
    box: Box,
    x_ticks: Iterable[tuple[float, str]],
    y_ticks: Iterable[tuple[float, str]],
    y_labels: bool,
    title: str = "",
) -> list[str]:
    """Ground, grid and tick labels of a panel."""
    left, bottom = number(box.left), box.top + box.height
    size = f'width="{number(box.width)}" height="{number(box.height)}"'
    body = [f'<rect x="{left}" y="{number(box.top)}" {size} class="panel"/>']
    for value, label in y_ticks:
        y = box.y(value)
        body.append(f'<path d="M{left} {number(y)}h{number(box.width)}" class="grid"/>')
        if y_labels:
            body.append(text(box.left - 8, y + 4, label, "small", "end"))
    for value, label in x_ticks:
        x = box.x(value)
        body.append(f'<path d="M{number(x)} {number(bottom)}v5" class="axis"/>')
        body.append(text(x, bottom + 18, label, "small", "middle"))
    if title:
        body.append(text(box.left, box.top - 8, title, "label strong"))
    return body


def number_ticks(low: float, high: float, log: bool, most: int) -> list[float]:
    """Round numbers on an axis; of a logarithmic one 1, 2 and 5, or where these are too many 1."""
    if not log:
        return ticks(low, high, most)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return marks if len(marks) <= most + 3 else [v for v in marks if f"{v:e}"[0] == "1"]


def grid(panels: int, most: int) -> tuple[int, int]:
    """(columns, rows) of so many panels, with at most so many columns."""
    columns = min(panels, most)
    return columns, -(-panels // columns)


def letters(places: int) -> list[str]:
    """Letters that stand for so many networks in pictures: A to Z, then AA, AB, …"""
    labels = []
    for place in range(places):
        text, rest = "", place + 1
        while rest:
            rest, digit = divmod(rest - 1, 26)
            text = chr(65 + digit) + text
        labels.append(text)
    return labels


def key(drawn: str, css: str = "") -> str:
    """A mark of a legend."""
    return f'<svg viewBox="-12 -12 24 24" class="key {css}" aria-hidden="true">{drawn}</svg>'


def line_key(css: str) -> str:
    """A line of a legend."""
    return (
        '<svg viewBox="0 0 34 12" class="key wide" aria-hidden="true">'
        f'<path d="M1 6h32" class="{css}"/></svg>'
    )


def bar_key(css: str) -> str:
    """A bar of a legend."""
    return (
        '<svg viewBox="0 0 34 12" class="key wide" aria-hidden="true">'
        f'<rect x="0" y="1" width="34" height="10" class="bar {css}"/></svg>'
    )
