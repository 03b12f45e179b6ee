"""The plots of the report as inline SVG, see ``pages.marks``. The numbers of each are in a table of
the page."""

from __future__ import annotations

from toolchain.pages import formats
from toolchain.pages.marks import WIDTH, Panel, grid, mark, model_shape, short
from toolchain.pages.svg import number, svg, text
from toolchain.report.curves import curves
from toolchain.report.facts import (
    Analysis,
    Compared,
    ReportedComparison,
    ReportedLayer,
    ReportedModel,
)
from toolchain.report.legends import letters_of
from toolchain.report.pareto import pareto

__all__ = ["curves", "layers", "pareto", "scatter"]

Group = list[tuple[int, ReportedModel, ReportedComparison]]
"""Networks compared on one pair of targets, with their places in the report."""


def _groups(facts: Analysis) -> dict[tuple[str, str], Group]:
    """Pair of targets → its networks; without targets that only repeat another, which lie on the
    diagonal."""
    groups: dict[tuple[str, str], Group] = {}
    for place, model in enumerate(facts.models):
        for compared in model.comparisons:
            if not model.repeats(model.target(compared.targets[1])):
                groups.setdefault(compared.targets, []).append((place, model, compared))
    return groups


def scatter(facts: Analysis) -> str:
    """Every attack's accuracy in software against hardware; a panel for each hardware target. ""
    where nothing is to be drawn."""
    pairs = _groups(facts)
    if not pairs:
        return ""
    columns, rows = grid(len(pairs), 3)
    left, gap, top, below = 64.0, 40.0, 30.0, 50.0
    width = min(290.0, (WIDTH - left - 12 - gap * (columns - 1)) / columns)
    body: list[str] = []
    for place, (targets, members) in enumerate(pairs.items()):
        column, row = place % columns, place // columns
        x, y = left + column * (width + gap), top + row * (width + below + top)
        panel = Panel(x, y, width, width, (0.0, 1.0))
        body += _panel(panel, targets, members, column == 0)

    height = top + rows * (width + below) + (rows - 1) * top
    body.append(text(16, top + width / 2, "accuracy, hardware", "label", "middle", rotate=True))
    described = ", ".join(f"{letter} {name}" for name, letter in letters_of(facts).items())
    return svg(
        WIDTH,
        height,
        "plot-scatter",
        "Accuracy in software against accuracy on hardware",
        f"On the diagonal both are equal. Models: {described}. The values are in the table below.",
        body,
        "group",
    )


def _panel(panel: Panel, targets: tuple[str, str], found: Group, y_labels: bool) -> list[str]:
    one, other = targets
    samples = sorted({cell.samples for _, _, compared in found for cell in compared.cells})
    title = f"{formats.TARGET_NAMES[other]}, {formats.listed(map(str, samples))} samples"
    labels = [(v, f"{100 * v:.0f} %") for v in (0, 0.25, 0.5, 0.75, 1)]
    body = panel.frame(labels, y_labels, title)
    ends = (panel.left, panel.y(0), panel.left + panel.width, panel.y(1))
    body.append('<path d="M{} {}L{} {}" class="axis"/>'.format(*map(number, ends)))

    for place, model, compared in found:
        for cell in compared.cells:
            first, second = cell.accuracy
            drawn = model_shape(place, panel.x(first), panel.y(second))
            body.append(mark(drawn, _said(model, targets, cell), f"c{place % 8}"))
    below = f"accuracy, {formats.TARGET_NAMES[one]}"
    x, y = panel.left + panel.width / 2, panel.top + panel.width + 38
    body.append(text(x, y, below, "label", "middle"))
    return body


def _said(model: ReportedModel, targets: tuple[str, str], cell: Compared) -> str:
    """A mark of the scatter in words."""
    ends = formats.interval(cell.low, cell.high)
    difference = f"{formats.signed(cell.difference)} points ({ends})"
    same = "every count the same" if cell.identical else difference
    clean = cell.family == "clean"
    which = cell.name if clean else f"{cell.name} at {cell.epsilon:g}, seed {cell.seed}"
    both = ", ".join(
        f"{target} {formats.percent(value)}" for target, value in zip(targets, cell.accuracy)
    )
    return f"{model.name}, {which}: {both}; {same}"


BARS = {"clean": "clean", "attacked": "attacked", "energy attack": "costly"}
"""Inputs → class of a bar."""

_HATCHES = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)">'
    '<path d="M0 0v6" class="hatchline"/></pattern><pattern id="dots" width="5" height="5" '
    'patternUnits="userSpaceOnUse">'
    '<circle cx="1.6" cy="1.6" r="1.3" class="hatchdot"/></pattern></defs>'
)

_LEFT, _RIGHT, _BAR, _GAP = 210.0, 90.0, 12.0, 9.0


def layers(facts: Analysis) -> str:
    """Spikes of each layer in one inference: clean, attacked, under the energy attack; on the
    target that the answer is about."""
    letters = letters_of(facts)
    body, y = [_HATCHES], 8.0
    for place, model in enumerate(facts.models):
        entry = model.target(model.answer.target)
        rows = [(row, row.spikes) for row in entry.layers if row.spikes is not None]
        if not rows:
            continue
        letter = letters[model.name]
        beside = _LEFT + 8 + 9 * len(letter)
        body.append(text(_LEFT, y + 14, letter, f"letter c{place % 8}"))
        body.append(text(beside, y + 14, short(model.name, 70), "label strong"))
        y += 26

        most = max(spikes for _, spikes in rows) or 1.0
        for layer in dict.fromkeys(row.layer for row, _ in rows):
            here = [(row, spikes) for row, spikes in rows if row.layer == layer]
            middle = y + _BAR * len(here) / 2 + 4
            body.append(text(_LEFT - 12, middle, short(layer, 26), "label", "end"))
            for row, spikes in here:
                body += _bar(model, row, y, spikes / most)
                y += _BAR
            y += _GAP
        y += 12
    return svg(
        WIDTH,
        y,
        "plot-layers",
        "Spikes of each layer in one inference, clean and attacked",
        "One scale for each model. The values are in the table below.",
        body,
        "group",
    )


def _bar(model: ReportedModel, row: ReportedLayer, y: float, share: float) -> list[str]:
    """A bar of a share of the full width, and its number."""
    wide = (WIDTH - _LEFT - _RIGHT) * share
    how = row.inputs if row.inputs == "clean" else f"{row.inputs} ({row.attack})"
    title = f"{model.name}, {row.layer}, {how}: {formats.count(row.spikes)} spikes"
    drawn = (
        f'<rect x="{number(_LEFT)}" y="{number(y)}" width="{number(wide)}" '
        f'height="{number(_BAR - 1)}" class="bar {BARS[row.inputs]}"/>'
    )
    beside = text(_LEFT + wide + 7, y + _BAR - 2.5, formats.count(row.spikes), "tiny")
    return [mark(drawn, title), beside]
