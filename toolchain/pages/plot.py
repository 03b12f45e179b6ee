"""Plots of studies as inline SVG: a value with error bars over some setting, one line for each way
of measuring.

Colours and fonts are the house page's; shape and dash say the same without colour. The numbers of
each plot are in a table of the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from toolchain.pages.marks import SHARES, WIDTH, frame, grid, mark, model_shape, short
from toolchain.pages.svg import number, svg, text, ticks

DASHES = ("", "7 3", "1.5 3", "7 3 1.5 3", "12 4", "4 2 1 2")


@dataclass(frozen=True)
class Point:
    """low, high: ends of the error bar; None: no bar. said: the same in words."""

    x: float
    y: float
    low: float | None
    high: float | None
    said: str


@dataclass(frozen=True)
class Line:
    """A series of points. place: which colour, mark and dash it has, the same in all panels and the
    legend. joined: a line through them; False where x is no quantity."""

    name: str
    place: int
    points: tuple[Point, ...]
    strong: bool = False
    joined: bool = True


@dataclass(frozen=True)
class PlotPanel:
    """One coordinate system."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Axis:
    """label; kind "number", "log", "share" (0 to 1, shown in percent) or "category" (0, 1, 2, …;
    marks of several lines stand side by side); names: value -> text of its tick, in place of
    numbers."""

    label: str
    kind: str = "number"
    names: tuple[tuple[float, str], ...] = ()


def lines(name: str, title: str, panels: Sequence[PlotPanel], x: Axis, y: Axis) -> str:
    """The plot; all panels have the same axes. ``name`` must be unique on the page."""
    points = [point for panel in panels for line in panel.lines for point in line.points]
    if not points:
        return ""

    x_scale = _Scale(x, [p.x for p in points])
    y_scale = _Scale(y, [v for p in points for v in (p.y, p.low, p.high) if v is not None])
    columns, rows = grid(len(panels), 2)
    left, gap, top, height, below = 70.0, 30.0, 30.0, 250.0, 34.0
    width = (WIDTH - left - 12 - gap * (columns - 1)) / columns

    body: list[str] = []
    for place, panel in enumerate(panels):
        corner = (
            left + place % columns * (width + gap),
            top + place // columns * (height + below + top),
        )
        box = _Box(*corner, width, height, x_scale, y_scale)
        body += box.frame(panel.title, place % columns == 0)
        for which, line in enumerate(panel.lines):
            aside = (
                (which - (len(panel.lines) - 1) / 2) / (len(panel.lines) + 2)
                if x.kind == "category"
                else 0.0
            )
            body += _drawn(box, line, aside)

    bottom = top + rows * (height + below) + (rows - 1) * top
    body.append(text(left + (WIDTH - left - 12) / 2, bottom + 10, x.label, "label", "middle"))
    body.append(text(16, (bottom - below + top) / 2, y.label, "label", "middle", rotate=True))

    bars = any(point.low is not None for point in points)
    description = "Bars: smallest to largest of the seeds. " if bars else ""
    description += "The values are in the table below."
    return svg(WIDTH, bottom + 18, f"plot-{name}", title, description, body, "group")


def legend(panels: Sequence[PlotPanel]) -> str:
    """HTML list of the lines: which colour, mark and dash is which."""
    seen = {line.name: line for panel in panels for line in panel.lines}
    entries = "".join(
        f'<li><svg viewBox="0 0 34 12" class="key wide" aria-hidden="true"><g '
        f'class="c{line.place % 8}">'
        f"{_stroke('M1 6h32', line) if line.joined else ''}{_shape(line, 17, 6)}</g></svg> "
        f"{escape(name)}</li>"
        for name, line in seen.items()
    )
    return f'<ul class="legend">{entries}</ul>'


class _Scale:
    """Values of an axis -> 0 to 1, with ticks."""

    def __init__(self, axis: Axis, values: Sequence[float]):
        self.log = axis.kind == "log"
        low, high = min(values), max(values)
        if axis.kind == "share":
            low, high = 0.0, 1.0
            self.ticks = list(SHARES)
        elif axis.names:
            self.ticks = list(axis.names)
        elif self.log:
            powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            whole = [10.0**p for p in powers if low <= 10.0**p <= high] or sorted(set(values))
            self.ticks = [(v, f"{v:g}") for v in whole]
        else:
            self.ticks = [(v, f"{v:g}") for v in ticks(low, high, 6)]
        self.low, self.high = (math.log(low), math.log(high)) if self.log else (low, high)
        margin = {"share": 0.0, "category": 0.5}.get(
            axis.kind, 0.04 * (self.high - self.low) or 0.5
        )
        self.low, self.high = self.low - margin, self.high + margin

    def __call__(self, value: float) -> float:
        return ((math.log(value) if self.log else value) - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    width: float
    height: float
    x_scale: _Scale
    y_scale: _Scale

    def x(self, value: float) -> float:
        return self.left + self.width * self.x_scale(value)

    def y(self, value: float) -> float:
        return self.top + self.height * (1 - self.y_scale(value))

    def frame(self, title: str, y_labels: bool) -> list[str]:
        return frame(self, self.x_scale.ticks, self.y_scale.ticks, y_labels, short(title, 80))


def _stroke(path: str, line: Line) -> str:
    dash = DASHES[line.place % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    width = 2.6 if line.strong else 1.5
    return f'<path d="{path}" fill="none" stroke="var(--c)" stroke-width="{width}"{dashed}/>'


def _shape(line: Line, x: float, y: float) -> str:
    return model_shape(line.place, x, y)


def _drawn(box: _Box, line: Line, aside: float) -> list[str]:
    points = sorted((replace(p, x=p.x + aside) for p in line.points), key=lambda p: p.x)
    path = "".join(
        f"{'L' if i else 'M'}{number(box.x(p.x))} {number(box.y(p.y))}"
        for i, p in enumerate(points)
    )
    body = [f'<g class="c{line.place % 8}">{_stroke(path, line)}</g>'] if line.joined else []
    for p in points:
        bar = ""
        if p.low is not None and p.high is not None:
            low, high = number(box.y(p.low)), number(box.y(p.high))
            bar = f'<path d="M{number(box.x(p.x))} {low}V{high}" class="whisker"/>'
        body.append(mark(bar + _shape(line, box.x(p.x), box.y(p.y)), p.said, f"c{line.place % 8}"))
    return body
