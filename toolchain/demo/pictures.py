"""Inline SVG for the demo page: no scripts, no fonts, no outside files; colours are the page's CSS
variables.

Every function returns one ``<svg>`` with a title and a description for screen readers. Coordinates
are rounded to 0.01, so that the same run gives the same page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toolchain.pages.svg import number, svg, text, ticks


def image(pixels: np.ndarray, name: str, title: str, size: float = 120) -> str:
    """A grey picture, [height, width] from 0 (paper) to 1 (ink)."""
    height, width = pixels.shape
    cell = size / width
    body = [
        f'<rect x="{number(x * cell)}" y="{number(y * cell)}" width="{number(cell)}" '
        f'height="{number(cell)}" '
        f'class="ink" fill-opacity="{number(float(pixels[y, x]))}"/>'
        for y in range(height)
        for x in range(width)
        if pixels[y, x] > 0
    ]
    inner = f'width="{number(size - 1)}" height="{number(cell * height - 1)}"'
    frame = f'<rect x="0.5" y="0.5" {inner} class="frame"/>'
    return svg(size, cell * height, name, title, f"{width} by {height} pixels", [*body, frame])


def raster(
    layers: Mapping[str, np.ndarray], name: str, title: str, description: str, width: float = 760
) -> str:
    """Spikes of one sample, layer → [step, row, column]: time runs to the right, every mark is one
    spike of one neuron.

    In each step a layer is a small map: an image's rows and columns, a layer's channels and pixels,
    or simply its neurons.
    """
    left, right, gap, bottom = 118.0, 10.0, 12.0, 34.0
    steps = next(iter(layers.values())).shape[0]
    step_width = (width - left - right) / steps

    body, y = [], 4.0
    for layer, spikes in layers.items():
        _, rows, columns = spikes.shape
        height = min(max(5.0 * rows, 72.0), 190.0)
        row, column = height / rows, step_width * 0.9 / columns
        size = f'width="{number(step_width * 0.9)}" height="{number(height)}"'
        body += [
            f'<rect x="{number(left + (t + 0.05) * step_width)}" y="{number(y)}" {size} '
            f'class="panel"/>'
            for t in range(steps)
        ]

        wide, high = max(column * 0.86, 0.8), max(row * 0.86, 0.8)
        path = "".join(
            f"M{number(left + (t + 0.05) * step_width + c * column)} "
            f"{number(y + r * row)}h{number(wide)}v{number(high)}h-{number(wide)}z"
            for t, r, c in np.argwhere(spikes != 0)
        )
        body.append(f'<path d="{path}" class="spike"/>')
        body.append(text(left - 10, y + height / 2 - 2, layer, "label", "end"))
        body.append(
            text(
                left - 10,
                y + height / 2 + 13,
                f"{rows} × {columns}" if columns > 1 else f"{rows} neurons",
                "small",
                "end",
            )
        )
        y += height + gap

    for t in ticks(0, steps, 8):
        if t < steps and float(t).is_integer():
            body.append(text(left + (t + 0.5) * step_width, y + 4, number(t), "small", "middle"))
    body.append(
        text(left + step_width * steps / 2, y + bottom - 12, "time step", "label", "middle")
    )

    return svg(width, y + bottom - 4, name, title, description, body)


def traces(
    panels: Sequence[tuple[str, np.ndarray, np.ndarray, float | None, Sequence[int]]],
    name: str,
    title: str,
    description: str,
    width: float = 760,
) -> str:
    """Two runs on top of each other, one panel for each (label, one [step], other [step], threshold
    or None, steps with a spike).

    The first run is a line, the second are open circles on it; a spike is a diamond on the
    threshold.
    """
    left, right, height, gap = 118.0, 10.0, 96.0, 30.0
    steps = len(panels[0][1])
    plot = width - left - right
    body, y = [], 24.0

    def x_of(t: float) -> float:
        return left + (t + 0.5) * plot / steps

    for label, one, other, threshold, fired in panels:
        values = np.concatenate([one, other, [0.0], [] if threshold is None else [threshold]])
        low, high = float(values.min()), float(values.max())
        low, high = low - 0.08 * (high - low or 1), high + 0.08 * (high - low or 1)

        def y_of(v: float, y: float = y, low: float = low, high: float = high) -> float:
            return y + height * (high - v) / (high - low)

        body.append(
            f'<rect x="{number(left)}" y="{number(y)}" width="{number(plot)}" '
            f'height="{number(height)}" class="panel"/>'
        )
        for v in ticks(low, high, 3):
            body.append(
                f'<path d="M{number(left)} {number(y_of(v))}h{number(plot)}" '
                f'class="{"axis" if v == 0 else "grid"}"/>'
            )
            body.append(text(left - 8, y_of(v) + 4, f"{v:g}", "small", "end"))
        if threshold is not None:
            body.append(
                f'<path d="M{number(left)} {number(y_of(threshold))}h{number(plot)}" '
                f'class="threshold"/>'
            )
            body += [
                f'<path d="M{number(x_of(t))} {number(y_of(threshold) - 5)}l5 5l-5 5l-5 -5z" '
                f'class="spike"/>'
                for t in fired
            ]
        line = " ".join(f"{number(x_of(t))},{number(y_of(v))}" for t, v in enumerate(one))
        body.append(f'<polyline points="{line}" class="first"/>')
        body += [
            f'<circle cx="{number(x_of(t))}" cy="{number(y_of(v))}" r="3.6" class="second"/>'
            for t, v in enumerate(other)
        ]
        body.append(text(left, y - 7, label, "label"))
        y += height + gap
    for t in ticks(0, steps, 8):
        if t < steps and float(t).is_integer():
            body.append(text(x_of(t), y - 12, number(t), "small", "middle"))
    body.append(text(left + plot / 2, y + 8, "time step", "label", "middle"))
    middle = (y - gap + 24) / 2
    body.append(text(18, middle, "membrane potential (V)", "label", "middle", rotate=True))
    return svg(width, y + 16, name, title, description, body)


def kernels(
    before: np.ndarray,
    after: np.ndarray,
    name: str,
    title: str,
    description: str,
    width: float = 760,
    most: int = 16,
) -> str:
    """Convolution kernels [count, height, width] before and after quantisation, one above the
    other, on one colour scale."""
    before, after = before[:most], after[:most]
    count, rows, columns = before.shape
    left, gap = 118.0, 6.0
    each = (width - left - 10 - gap * (count - 1)) / count
    cell = each / columns
    limit = float(max(np.abs(before).max(), np.abs(after).max())) or 1.0

    body, y = [], 4.0
    for label, weights in (("trained", before), ("on the chip", after)):
        for k, kernel in enumerate(weights):
            x0 = left + k * (each + gap)
            body.append(
                f'<rect x="{number(x0)}" y="{number(y)}" width="{number(each)}" '
                f'height="{number(rows * cell)}" class="panel"/>'
            )
            for (r, c), weight in np.ndenumerate(kernel):
                css = "positive" if weight > 0 else "negative"
                body.append(
                    f'<rect x="{number(x0 + c * cell)}" y="{number(y + r * cell)}" '
                    f'width="{number(cell)}" height="{number(cell)}" '
                    f'class="{css}" fill-opacity="{number(abs(float(weight)) / limit)}"/>'
                )
        body.append(text(left - 10, y + rows * cell / 2 + 4, label, "label", "end"))
        y += rows * cell + 10

    return svg(width, y, name, title, description, body)


def rounding(
    before: np.ndarray,
    after: np.ndarray,
    step: np.ndarray,
    name: str,
    title: str,
    description: str,
    width: float = 760,
) -> str:
    """How far every weight moved when it was rounded, in steps of its own grid; dashed: half a step
    either way.

    ``step``: size of one step on the chip, broadcastable to the weights.
    """
    left, right, height, bottom = 118.0, 10.0, 120.0, 42.0
    moved = ((after - before) / step).ravel()
    values = before.ravel()
    limit = float(np.abs(values).max()) * 1.04 or 1.0
    span = max(0.62, 1.1 * float(np.abs(moved).max()))
    plot = width - left - right

    def x_of(v: float) -> float:
        return left + plot * (v + limit) / (2 * limit)

    def y_of(v: float) -> float:
        return 4 + height * (span - v) / (2 * span)

    body = [
        f'<rect x="{number(left)}" y="4" width="{number(plot)}" height="{number(height)}" '
        f'class="panel"/>'
    ]
    for v, css in ((0.0, "axis"), (0.5, "threshold"), (-0.5, "threshold")):
        body.append(f'<path d="M{number(left)} {number(y_of(v))}h{number(plot)}" class="{css}"/>')
        body.append(text(left - 8, y_of(v) + 4, f"{v:g}", "small", "end"))
    body += [
        f'<circle cx="{number(x_of(v))}" cy="{number(y_of(m))}" r="2.2" class="weight"/>'
        for v, m in zip(values, moved)
    ]
    for v in ticks(-limit, limit, 7):
        body.append(text(x_of(v), height + 19, f"{v:g}", "small", "middle"))
    body.append(
        text(left + plot / 2, height + 37, "trained weight (V per spike)", "label", "middle")
    )
    body.append(text(18, 4 + height / 2, "moved by (steps)", "label", "middle", rotate=True))
    return svg(width, height + bottom, name, title, description, body)
