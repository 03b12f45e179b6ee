"""The few parts that every inline SVG of our pages is made of; colours and fonts come from the
page's stylesheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape


def number(value: float) -> str:
    """A coordinate as short text."""
    return (
        f"{value:.2f}".rstrip("0").rstrip(".") if not float(value).is_integer() else str(int(value))
    )


def svg(
    width: float,
    height: float,
    name: str,
    title: str,
    description: str,
    body: Sequence[str],
    role: str = "img",
) -> str:
    """The element itself; ``name`` must be unique on the page. ``role``: "group" where parts of it
    can be reached one by one."""
    return (
        f'<svg viewBox="0 0 {number(width)} {number(height)}" role="{role}" '
        f'aria-labelledby="{name}-title {name}-text">'
        f'<title id="{name}-title">{escape(title)}</title><desc '
        f'id="{name}-text">{escape(description)}</desc>' + "".join(body) + "</svg>"
    )


def text(
    x: float, y: float, content: str, css: str = "", anchor: str = "start", rotate: bool = False
) -> str:
    """A line of text; ``rotate`` turns it to read upwards."""
    turn = f' transform="rotate(-90 {number(x)} {number(y)})"' if rotate else ""
    at = f'x="{number(x)}" y="{number(y)}"'
    return f'<text {at} text-anchor="{anchor}" class="{css}"{turn}>{escape(content)}</text>'


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], about ``most`` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
