"""Energy of one inference against accuracy in the worst case, a panel for each radius."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toolchain.pages import formats
from toolchain.pages.marks import WIDTH, Panel, flag, grid, mark, number_ticks, shape
from toolchain.pages.svg import number, svg, text
from toolchain.report.facts import Analysis, Energy, ReportedModel, ReportedTarget, Worst
from toolchain.report.legends import letters_of
from toolchain.robustness.statistics import Share

CROWDED = 6
"""Networks beyond which a report speaks of all of them together first, and leaves targets that ran
fewer samples out of its pictures."""

LEFT, GAP, TOP, HEIGHT, BELOW = 64.0, 34.0, 30.0, 250.0, 34.0
"""Of the panels, in units of the plot."""


@dataclass(frozen=True)
class ParetoPoint:
    """A network on a target. ``chosen``: the target that the answer is about. ``said``: the same in
    words."""

    target: str
    chosen: bool
    letter: str
    css: str
    energy: float
    low: float
    high: float
    share: Share
    flags: tuple[str, ...]
    said: str


def pareto(facts: Analysis, name: str = "pareto", bars: str = "95 % intervals") -> str:
    """The plot. ``bars``: what the vertical ones are."""
    points = [points_at(facts, radius) for radius in facts.radii]
    ends = [
        value
        for panel in points
        for point in panel
        for value in (point.low, point.high, point.energy)
        if value
    ]
    log = max(ends) / min(ends) > 12
    x_range = (min(ends) / 1.25, max(ends) * 1.25) if log else (0.0, max(ends) * 1.08)
    factor, prefix = formats.prefix(ends)

    columns, rows = grid(len(facts.radii), 2)
    width = (WIDTH - LEFT - 12 - GAP * (columns - 1)) / columns
    labels = [(v, f"{v / factor:g}") for v in number_ticks(*x_range, log, 6)]
    body: list[str] = []
    for place, (radius, panel_points) in enumerate(zip(facts.radii, points)):
        column, row = place % columns, place // columns
        left, top = LEFT + column * (width + GAP), TOP + row * (HEIGHT + BELOW + TOP)
        panel = Panel(left, top, width, HEIGHT, x_range, log=log)
        body += panel.frame(labels, column == 0, formats.radius(facts.norm, radius))
        body += _front(panel, panel_points)
        body += _points(panel, panel_points)

    bottom = TOP + rows * (HEIGHT + BELOW) + (rows - 1) * TOP
    below = f"dynamic energy of one inference ({prefix}J)"
    body.append(text(LEFT + (WIDTH - LEFT - 12) / 2, bottom + 12, below, "label", "middle"))
    beside = "accuracy in the worst case"
    body.append(text(16, (bottom - BELOW + TOP) / 2, beside, "label", "middle", rotate=True))
    return svg(
        WIDTH,
        bottom + 20,
        f"plot-{name}",
        "Energy of one inference against worst-case accuracy",
        f"Up and to the left is better. Vertical bars: {bars}; horizontal bars: band of the "
        "energy. The values are in the table below.",
        body,
        "group",
    )


def points_at(facts: Analysis, radius: float) -> list[ParetoPoint]:
    """Every network and target that was attacked at a radius; targets that only repeat another are
    said beside the picture."""
    letters, points = letters_of(facts), []
    for place, model in enumerate(facts.models):
        most = max(entry.samples for entry in model.targets)
        for entry in model.measured:
            worst = entry.worst_at(radius)
            if worst is None or (len(facts.models) > CROWDED and entry.samples < most):
                continue

            spent = entry.energy[0]
            points.append(
                ParetoPoint(
                    target=entry.target,
                    chosen=entry.target == model.answer.target,
                    letter=letters[model.name],
                    css=f"c{place % 8}",
                    energy=spent.dynamic_j.value,
                    low=spent.band_low_j,
                    high=spent.band_high_j,
                    share=worst.share,
                    flags=worst.flags,
                    said=_said(model, entry, worst, spent),
                )
            )

    return points


def _said(model: ReportedModel, entry: ReportedTarget, worst: Worst, spent: Energy) -> str:
    share = worst.share
    energy, low, high = (
        formats.quantity(value, "J")
        for value in (spent.dynamic_j.value, spent.band_low_j, spent.band_high_j)
    )
    flags = f"; flags: {', '.join(map(formats.words, worst.flags))}" if worst.flags else ""
    return (
        f"{model.name}, {formats.TARGET_NAMES[entry.target]}: {formats.percent(share.value)} "
        f"({formats.interval(share.low, share.high)}) of {share.samples} samples, "
        f"{energy} ({low} to {high}){flags}"
    )


def _front(panel: Panel, points: Sequence[ParetoPoint]) -> list[str]:
    """Steps along the networks that no other beats in both."""
    chosen = sorted((p for p in points if p.chosen), key=lambda p: (p.energy, -p.share.value))
    if len(chosen) < 2:
        return []

    best, front = -1.0, []
    for point in chosen:
        if point.share.value > best:
            best = point.share.value
            front.append(point)
    path = f"M{number(panel.x(front[0].energy))} {number(panel.top + panel.height)}"
    for point in front:
        path += f"H{number(panel.x(point.energy))}V{number(panel.y(point.share.value))}"
    return [f'<path d="{path}H{number(panel.left + panel.width)}" class="front"/>']


def _points(panel: Panel, points: Sequence[ParetoPoint]) -> list[str]:
    body: list[str] = []
    labelled: list[tuple[str, float, float]] = []
    for p in sorted(points, key=lambda p: not p.chosen):
        x, y = panel.x(p.energy), panel.y(p.share.value)
        low, high = number(panel.y(p.share.low)), number(panel.y(p.share.high))
        drawn = f'<path d="M{number(x)} {low}V{high}" class="whisker"/>'
        if p.chosen:
            low, high = number(panel.x(p.low)), number(panel.x(p.high))
            drawn += f'<path d="M{low} {number(y)}H{high}" class="band"/>'
        body.append(mark(drawn + shape(p.target, x, y), p.said, p.css))

        # one letter for marks of one network that lie inside each other
        if any(
            letter == p.letter and abs(x - a) < 16 and abs(y - b) < 24 for letter, a, b in labelled
        ):
            continue
        labelled.append((p.letter, x, y))
        body.append(text(x + 11, y - 9, p.letter, f"letter {p.css}"))
        if p.flags:
            body.append(flag(x + 14 + 9 * len(p.letter), y - 7))
    return body
