"""Accuracy against radius, a line for every attack; a row for each network, a panel for each
target."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.pages import formats
from toolchain.pages.marks import WIDTH, Panel, dot, flag, mark, short
from toolchain.pages.svg import number, svg, text
from toolchain.report.facts import Analysis, ReportedAttack, ReportedModel, ReportedTarget, Worst
from toolchain.report.legends import letters_of

LEFT, GAP, TOP, HEIGHT, BELOW = 64.0, 26.0, 44.0, 170.0, 28.0
"""Of the panels, in units of the plot."""

_UNITS = {
    "linf": "ε, pixels from 0 to 1",
    "l2": "ε₂, pixels from 0 to 1",
    "flips": "changed events",
    "shift": "time steps",
}


def curves(facts: Analysis) -> str:
    """The plot; targets that only repeat another are a tick beside the network's name."""
    radii, letters = [0.0, *facts.radii], letters_of(facts)
    columns = max(len(model.measured) for model in facts.models)
    width = (WIDTH - LEFT - 12 - GAP * (columns - 1)) / columns
    labels = [(r, f"{r:g}") for r in radii]
    body: list[str] = []
    for row, model in enumerate(facts.models):
        y = TOP + row * (HEIGHT + BELOW + TOP)
        letter = letters[model.name]
        body.append(text(LEFT, y - 26, letter, f"letter c{row % 8}"))
        body.append(text(LEFT + 8 + 9 * len(letter), y - 26, _named(model), "label strong"))
        for column, entry in enumerate(model.measured):
            left = LEFT + column * (width + GAP)
            panel = Panel(left, y, width, HEIGHT, (0.0, radii[-1] * 1.03))
            title = f"{formats.TARGET_NAMES[entry.target]}, {entry.samples} samples"
            body += panel.frame(labels, column == 0)
            body.append(text(panel.left + 1, y - 7, title, "small"))
            body += _panel(panel, model, entry)

    bottom = TOP + len(facts.models) * (HEIGHT + BELOW + TOP) - TOP
    below = f"radius ({_UNITS[facts.norm]})"
    body.append(text(LEFT + (WIDTH - LEFT - 12) / 2, bottom + 10, below, "label", "middle"))
    body.append(text(16, (bottom + TOP - BELOW) / 2, "accuracy", "label", "middle", rotate=True))
    return svg(
        WIDTH,
        bottom + 18,
        "plot-curves",
        "Accuracy against radius for every attack",
        "Thin lines: single attacks, mean over seeds. Thick line: per-sample worst case with its "
        "95 % interval. The values are in the tables below.",
        body,
        "group",
    )


def _named(model: ReportedModel) -> str:
    """The network, and a tick for each target that computes the same in all its samples."""
    ticks = [
        f"{formats.TARGET_NAMES[entry.target]} ✓ {entry.samples} of {entry.samples} identical"
        for entry in model.repeated
    ]
    return "   ".join([short(model.name, 60), *ticks])


def _panel(panel: Panel, model: ReportedModel, entry: ReportedTarget) -> list[str]:
    left, chance = number(panel.left), number(panel.y(1 / model.classes))
    body = [f'<path d="M{left} {chance}h{number(panel.width)}" class="chance"/>']
    start = f"M{number(panel.x(0))} {number(panel.y(entry.clean.value))}"

    lines: dict[tuple[str, str, str], dict[float, list[ReportedAttack]]] = {}
    for row in entry.attacks:
        if row.family != "energy":
            line = lines.setdefault((row.name, row.crafted_on, row.family), {})
            line.setdefault(row.epsilon, []).append(row)
    for (name, _, family), at in lines.items():
        body += _line(panel, start, name, family, at)
    return body + _worst(panel, start, entry.worst)


def _line(
    panel: Panel, start: str, name: str, family: str, at: dict[float, list[ReportedAttack]]
) -> list[str]:
    """One attack: its mean over seeds at every radius."""
    means = {
        epsilon: sum(row.attacked_accuracy.value for row in rows) / len(rows)
        for epsilon, rows in sorted(at.items())
    }
    path = start + "".join(
        f"L{number(panel.x(epsilon))} {number(panel.y(value))}" for epsilon, value in means.items()
    )
    body = [f'<path d="{path}" class="line {family}"/>']
    for epsilon, value in means.items():
        x, y = panel.x(epsilon), panel.y(value)
        body.append(mark(dot(x, y, 2.4, "dot"), _said(name, epsilon, value, at[epsilon])))
    return body


def _said(name: str, epsilon: float, value: float, rows: Sequence[ReportedAttack]) -> str:
    each = sorted(row.attacked_accuracy.value for row in rows)
    ends = formats.interval(each[0], each[-1])
    spread = f", {ends} over {len(each)} seeds" if len(each) > 1 else ""
    flags = sorted({flag for row in rows for flag in row.flags})
    title = f"{name} at {epsilon:g}: {formats.percent(value)}{spread}"
    return title + (f"; flags: {', '.join(map(formats.words, flags))}" if flags else "")


def _worst(panel: Panel, start: str, rows: Sequence[Worst]) -> list[str]:
    path = start + "".join(
        f"L{number(panel.x(row.epsilon))} {number(panel.y(row.share.value))}" for row in rows
    )
    body = [f'<path d="{path}" class="line worst"/>']
    for row in rows:
        share = row.share
        x, y = panel.x(row.epsilon), panel.y(share.value)
        low, high = number(panel.y(share.low)), number(panel.y(share.high))
        whisker = f'<path d="M{number(x)} {low}V{high}" class="whisker"/>'
        title = (
            f"worst case of {row.attacks} attacks at {row.epsilon:g}: "
            f"{formats.percent(share.value)} ({formats.interval(share.low, share.high)})"
        )
        body.append(mark(whisker + dot(x, y, 4, "solid"), title, "worstmark"))
        if row.flags:
            beside = x + 4 if x + 16 < panel.left + panel.width else x - 12
            body.append(flag(beside, y - 5))
    return body
