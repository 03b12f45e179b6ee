"""Plots as inline SVG. Colours are the page's variables; shape, letter and texture say the same without colour.

Every mark can be reached by mouse and keyboard and says in words what it shows (``aria-label``, which the page's script also shows beside
it). The numbers of each plot are in a table of the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from toolchain.drawing import number, svg, text, ticks
from toolchain.report import facts as known
from toolchain.report import formats

WIDTH = 960.0
FAMILIES = {"noise": "random noise", "single_step": "one gradient step", "iterative": "many gradient steps", "black_box": "no gradient"}
"""Family of attacks → what the legend says."""


def shape(target: str, x: float, y: float) -> str:
    """The mark of a target; those that lie on one point are seen inside each other."""
    at = f"{number(x)} {number(y)}"
    if target == "software":
        return f'<circle cx="{number(x)}" cy="{number(y)}" r="6.5" class="ring"/>'
    if target == "fast":
        return f'<rect x="{number(x - 3)}" y="{number(y - 3)}" width="6" height="6" class="solid"/>'
    path = {"lava": "m0-10.5 10.5 10.5-10.5 10.5-10.5-10.5z", "loihi2": "m0-8 7 12h-14z", "reference": "m-4.5-4.5 9 9m0-9-9 9"}[target]
    return f'<path d="M{at}{path}" class="{"solid" if target == "loihi2" else "ring"}"/>'


def flag(x: float, y: float) -> str:
    """A small flag whose pole stands at a point."""
    return f'<path d="M{number(x)} {number(y)}v-13h8l-2.2 3 2.2 3h-8" class="flagmark"/>'


def mark(content: str, said: str, css: str = "") -> str:
    """Something that can be pointed at."""
    return f'<g class="mark {css}" tabindex="-1" role="img" aria-label="{escape(said)}">{content}</g>'


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

    def frame(self, x_ticks: Iterable[tuple[float, str]], y_labels: bool, title: str = "") -> list[str]:
        """Ground, grid and tick labels; y is a share."""
        body = [f'<rect x="{number(self.left)}" y="{number(self.top)}" width="{number(self.width)}" height="{number(self.height)}" class="panel"/>']
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            body.append(f'<path d="M{number(self.left)} {number(self.y(share))}h{number(self.width)}" class="grid"/>')
            if y_labels:
                body.append(text(self.left - 8, self.y(share) + 4, f"{100 * share:.0f} %", "small", "end"))
        for value, label in x_ticks:
            body.append(f'<path d="M{number(self.x(value))} {number(self.top + self.height)}v5" class="axis"/>')
            body.append(text(self.x(value), self.top + self.height + 18, label, "small", "middle"))
        if title:
            body.append(text(self.left, self.top - 8, title, "label strong"))
        return body


def _number_ticks(low: float, high: float, log: bool, most: int) -> list[float]:
    if not log:
        return ticks(low, high, most)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return found if len(found) <= most + 3 else [v for v in found if f"{v:e}"[0] == "1"]


def _grid(panels: int, most: int) -> tuple[int, int]:
    """(columns, rows)."""
    columns = min(panels, most)
    return columns, -(-panels // columns)


def pareto(facts: dict) -> str:
    """Energy of one inference against worst-case accuracy, a panel for each radius."""
    letters, radii = known.letters(facts["models"]), facts["radii"]
    points = [_pareto_points(facts, letters, radius) for radius in radii]
    ends = [value for panel in points for point in panel for value in (point["low"], point["high"], point["energy"]) if value]
    log = max(ends) / min(ends) > 12
    x_range = (min(ends) / 1.25, max(ends) * 1.25) if log else (0.0, max(ends) * 1.08)
    factor, prefix = formats.prefix(ends)
    columns, rows = _grid(len(radii), 2)
    left, gap, top, height, below = 64.0, 34.0, 30.0, 250.0, 34.0
    width = (WIDTH - left - 12 - gap * (columns - 1)) / columns
    body: list[str] = []
    for place, (radius, panel_points) in enumerate(zip(radii, points)):
        column, row = place % columns, place // columns
        panel = Panel(left + column * (width + gap), top + row * (height + below + top), width, height, x_range, log=log)
        labels = [(v, f"{v / factor:g}") for v in _number_ticks(*x_range, log, 6)]
        body += panel.frame(labels, column == 0, formats.radius(facts["norm"], radius))
        body += _front(panel, panel_points)
        body += _points(panel, panel_points)
    bottom = top + rows * (height + below) + (rows - 1) * top
    body.append(text(left + (WIDTH - left - 12) / 2, bottom + 12, f"dynamic energy of one inference ({prefix}J)", "label", "middle"))
    body.append(text(16, (bottom - below + top) / 2, "accuracy in the worst case", "label", "middle", rotate=True))
    return svg(
        WIDTH,
        bottom + 20,
        "pareto",
        "Energy of one inference against worst-case accuracy",
        "Up and to the left is better. Vertical bars: 95 % intervals; horizontal bars: band over the device tables. The values are in the table below.",
        body,
        "group",
    )


def _pareto_points(facts: dict, letters: Mapping[str, str], radius: float) -> list[dict]:
    found = []
    for place, model in enumerate(facts["models"]):
        for entry in model["targets"]:
            worst = next((row for row in entry["worst"] if row["epsilon"] == radius), None)
            if worst is None:
                continue
            spent, share = entry["energy"][0], worst["share"]
            flags = f"; flags: {', '.join(map(formats.words, worst['flags']))}" if worst["flags"] else ""
            said = (
                f"{model['name']}, {formats.TARGET_NAMES[entry['target']]}: {formats.percent(share['value'])} "
                f"({formats.interval(share['low'], share['high'])}) of {share['samples']} samples, "
                f"{formats.quantity(spent['dynamic_j']['value'], 'J')} "
                f"({formats.quantity(spent['band_low_j'], 'J')} to {formats.quantity(spent['band_high_j'], 'J')}){flags}"
            )
            found.append(
                {
                    "target": entry["target"],
                    "chosen": entry["target"] == model["answer"]["target"],
                    "letter": letters[model["name"]],
                    "css": f"c{place % 8}",
                    "energy": spent["dynamic_j"]["value"],
                    "low": spent["band_low_j"],
                    "high": spent["band_high_j"],
                    "share": share,
                    "flags": worst["flags"],
                    "said": said,
                }
            )
    return found


def _front(panel: Panel, points: Sequence[dict]) -> list[str]:
    """Steps along the models that no other beats in both."""
    chosen = sorted((p for p in points if p["chosen"]), key=lambda p: (p["energy"], -p["share"]["value"]))
    best, front = -1.0, []
    for point in chosen:
        if point["share"]["value"] > best:
            best = point["share"]["value"]
            front.append(point)
    if len(chosen) < 2:
        return []
    path = f"M{number(panel.x(front[0]['energy']))} {number(panel.top + panel.height)}"
    for point in front:
        path += f"H{number(panel.x(point['energy']))}V{number(panel.y(point['share']['value']))}"
    return [f'<path d="{path}H{number(panel.left + panel.width)}" class="front"/>']


def _points(panel: Panel, points: Sequence[dict]) -> list[str]:
    body, labelled = [], set()
    for p in points:
        x, y = panel.x(p["energy"]), panel.y(p["share"]["value"])
        whiskers = (
            f'<path d="M{number(x)} {number(panel.y(p["share"]["low"]))}V{number(panel.y(p["share"]["high"]))}" class="whisker"/>'
            f'<path d="M{number(panel.x(p["low"]))} {number(y)}H{number(panel.x(p["high"]))}" class="band"/>'
        )
        body.append(mark(whiskers + shape(p["target"], x, y), p["said"], p["css"]))
        place = (p["letter"], round(x / 14), round(y / 14))
        if place not in labelled:
            labelled.add(place)
            body.append(text(x + 10, y - 8, p["letter"], f"letter {p['css']}"))
        if p["flags"]:
            body.append(flag(x - 12, y - 6))
    return body


def curves(facts: dict) -> str:
    """Accuracy against radius, a line for every attack; a row for each model, a panel for each target."""
    radii, letters = [0.0, *facts["radii"]], known.letters(facts["models"])
    columns = max(len(model["targets"]) for model in facts["models"])
    left, gap, top, height, below = 64.0, 26.0, 44.0, 170.0, 28.0
    width = (WIDTH - left - 12 - gap * (columns - 1)) / columns
    body: list[str] = []
    for row, model in enumerate(facts["models"]):
        y = top + row * (height + below + top)
        body.append(text(left, y - 26, letters[model["name"]], f"letter c{row % 8}"))
        body.append(text(left + 8 + 9 * len(letters[model["name"]]), y - 26, short(model["name"], 70), "label strong"))
        for column, entry in enumerate(model["targets"]):
            panel = Panel(left + column * (width + gap), y, width, height, (0.0, radii[-1] * 1.03))
            said = f"{formats.TARGET_NAMES[entry['target']]}, {entry['samples']} samples"
            body += panel.frame([(r, f"{r:g}") for r in radii], column == 0)
            body.append(text(panel.left + 1, y - 7, said, "small"))
            body += _curves(panel, model, entry)
    bottom = top + len(facts["models"]) * (height + below + top) - top
    body.append(text(left + (WIDTH - left - 12) / 2, bottom + 10, f"radius ({_unit(facts['norm'])})", "label", "middle"))
    body.append(text(16, (bottom + top - below) / 2, "accuracy", "label", "middle", rotate=True))
    return svg(
        WIDTH,
        bottom + 18,
        "curves",
        "Accuracy against radius for every attack",
        "Thin lines: single attacks, mean over seeds. Thick line: per-sample worst case with its 95 % interval. The values are in the tables below.",
        body,
        "group",
    )


def _unit(norm: str) -> str:
    return {"linf": "ε, pixels from 0 to 1", "l2": "ε₂, pixels from 0 to 1", "flips": "changed events", "shift": "time steps"}[norm]


def _curves(panel: Panel, model: dict, entry: dict) -> list[str]:
    body, clean = [], entry["clean"]["value"]
    chance = 1 / model["classes"]
    body.append(f'<path d="M{number(panel.left)} {number(panel.y(chance))}h{number(panel.width)}" class="chance"/>')
    lines: dict[tuple[str, str, str], dict[float, list[dict]]] = {}
    for row in entry["attacks"]:
        if row["family"] != "energy":
            lines.setdefault((row["name"], row["crafted_on"], row["family"]), {}).setdefault(row["epsilon"], []).append(row)
    for (name, _, family), at in lines.items():
        means = {e: sum(r["attacked_accuracy"]["value"] for r in rows) / len(rows) for e, rows in sorted(at.items())}
        path = f"M{number(panel.x(0))} {number(panel.y(clean))}" + "".join(f"L{number(panel.x(e))} {number(panel.y(v))}" for e, v in means.items())
        body.append(f'<path d="{path}" class="line {family}"/>')
        for epsilon, value in means.items():
            rows = at[epsilon]
            each = sorted(r["attacked_accuracy"]["value"] for r in rows)
            spread = f", {formats.interval(each[0], each[-1])} over {len(each)} seeds" if len(each) > 1 else ""
            flags = sorted({f for r in rows for f in r["flags"]})
            said = f"{name} at {epsilon:g}: {formats.percent(value)}{spread}"
            said += f"; flags: {', '.join(map(formats.words, flags))}" if flags else ""
            x, y = panel.x(epsilon), panel.y(value)
            dot = f'<circle cx="{number(x)}" cy="{number(y)}" r="8" class="hit"/><circle cx="{number(x)}" cy="{number(y)}" r="2.4" class="dot"/>'
            body.append(mark(dot, said))
    path = f"M{number(panel.x(0))} {number(panel.y(clean))}"
    path += "".join(f"L{number(panel.x(row['epsilon']))} {number(panel.y(row['share']['value']))}" for row in entry["worst"])
    body.append(f'<path d="{path}" class="line worst"/>')
    for row in entry["worst"]:
        share = row["share"]
        x, y = panel.x(row["epsilon"]), panel.y(share["value"])
        said = f"worst case of {row['attacks']} attacks at {row['epsilon']:g}: {formats.percent(share['value'])} ({formats.interval(share['low'], share['high'])})"
        whisker = f'<path d="M{number(x)} {number(panel.y(share["low"]))}V{number(panel.y(share["high"]))}" class="whisker"/>'
        body.append(mark(f'{whisker}<circle cx="{number(x)}" cy="{number(y)}" r="4" class="solid"/>', said, "worstmark"))
        if row["flags"]:
            body.append(flag(x + 4, y - 5) if x + 16 < panel.left + panel.width else flag(x - 12, y - 5))
    return body


def scatter(facts: dict) -> str:
    """Every attack's accuracy in software against hardware; a panel for each hardware target."""
    letters = known.letters(facts["models"])
    pairs: dict[tuple[str, str], list] = {}
    for place, model in enumerate(facts["models"]):
        for compared in model["comparisons"]:
            pairs.setdefault(tuple(compared["targets"]), []).append((place, model, compared))
    if not pairs:
        return ""
    columns, rows = _grid(len(pairs), 3)
    left, gap, top, below = 64.0, 40.0, 30.0, 50.0
    width = min(290.0, (WIDTH - left - 12 - gap * (columns - 1)) / columns)
    body: list[str] = []
    for number_, ((one, other), found) in enumerate(pairs.items()):
        column, row = number_ % columns, number_ // columns
        panel = Panel(left + column * (width + gap), top + row * (width + below + top), width, width, (0.0, 1.0))
        samples = {cell["samples"] for _, _, compared in found for cell in compared["cells"]}
        title = f"{formats.TARGET_NAMES[other]}, {formats.listed(map(str, sorted(samples)))} samples"
        body += panel.frame([(v, f"{100 * v:.0f} %") for v in (0, 0.25, 0.5, 0.75, 1)], column == 0, title)
        body.append(f'<path d="M{number(panel.left)} {number(panel.y(0))}L{number(panel.left + width)} {number(panel.y(1))}" class="axis"/>')
        for place, model, compared in found:
            for cell in compared["cells"]:
                difference = f"{formats.signed(cell['difference'])} points ({formats.interval(cell['low'], cell['high'])})"
                same = "every count the same" if cell["identical"] else difference
                what = cell["name"] if cell["family"] == "clean" else f"{cell['name']} at {cell['epsilon']:g}, seed {cell['seed']}"
                first, second = cell["accuracy"]
                said = f"{model['name']}, {what}: {one} {formats.percent(first)}, {other} {formats.percent(second)}; {same}"
                body.append(mark(shape(other, panel.x(first), panel.y(second)), said, f"c{place % 8}"))
        body.append(text(panel.left + width / 2, panel.top + width + 38, f"accuracy, {formats.TARGET_NAMES[one]}", "label", "middle"))
    height = top + rows * (width + below) + (rows - 1) * top
    body.append(text(16, top + width / 2, "accuracy, hardware", "label", "middle", rotate=True))
    described = ", ".join(f"{letter} {name}" for name, letter in letters.items())
    return svg(
        WIDTH,
        height,
        "scatter",
        "Accuracy in software against accuracy on hardware",
        f"On the diagonal both are equal. Models: {described}. The values are in the table below.",
        body,
        "group",
    )


def layers(facts: dict) -> str:
    """Spikes of each layer in one inference: clean, attacked, under the energy attack; on the target that the answer is about."""
    letters = known.letters(facts["models"])
    left, right, bar, gap = 210.0, 90.0, 9.0, 9.0
    body = [
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0v6" class="hatchline"/></pattern>'
        '<pattern id="dots" width="5" height="5" patternUnits="userSpaceOnUse"><circle cx="1.6" cy="1.6" r="1.3" class="hatchdot"/></pattern></defs>'
    ]
    y = 8.0
    for place, model in enumerate(facts["models"]):
        entry = next(e for e in model["targets"] if e["target"] == model["answer"]["target"])
        rows = [row for row in entry["layers"] if row["spikes"] is not None]
        most = max((row["spikes"] for row in rows), default=0.0) or 1.0
        body.append(text(left, y + 14, letters[model["name"]], f"letter c{place % 8}"))
        body.append(text(left + 8 + 9 * len(letters[model["name"]]), y + 14, short(model["name"], 70), "label strong"))
        y += 26
        for layer in dict.fromkeys(row["layer"] for row in rows):
            here = [row for row in rows if row["layer"] == layer]
            body.append(text(left - 12, y + bar * len(here) / 2 + 4, short(layer, 26), "label", "end"))
            for row in here:
                wide = (WIDTH - left - right) * row["spikes"] / most
                said = f"{model['name']}, {layer}, {row['inputs']}{'' if row['inputs'] == 'clean' else ' (' + row['attack'] + ')'}: {formats.count(row['spikes'])} spikes"
                css = {"clean": "clean", "attacked": "attacked", "energy attack": "costly"}[row["inputs"]]
                body.append(mark(f'<rect x="{number(left)}" y="{number(y)}" width="{number(wide)}" height="{number(bar - 1)}" class="bar {css}"/>', said))
                body.append(text(left + wide + 7, y + bar - 1, formats.count(row["spikes"]), "tiny"))
                y += bar
            y += gap
        y += 12
    return svg(
        WIDTH,
        y,
        "layers",
        "Spikes of each layer in one inference, clean and attacked",
        "One scale for each model. The values are in the table below.",
        body,
        "group",
    )


def legend(facts: dict) -> str:
    """Models and targets as a list: which letter, colour and shape is which."""
    letters = known.letters(facts["models"])
    entries = [
        f'<li><span class="letter c{place % 8}">{letters[model["name"]]}</span> {escape(model["name"])}</li>' for place, model in enumerate(facts["models"])
    ]
    seen = dict.fromkeys(entry["target"] for model in facts["models"] for entry in model["targets"])
    entries += [
        f'<li><svg viewBox="-12 -12 24 24" class="key" aria-hidden="true">{shape(target, 0, 0)}</svg> {escape(formats.TARGET_NAMES[target])}</li>'
        for target in seen
    ]
    if any(row["flags"] for model in facts["models"] for entry in model["targets"] for row in entry["worst"]):
        entries.append(f'<li><svg viewBox="-12 -14 24 24" class="key" aria-hidden="true">{flag(-4, 4)}</svg> flagged: the number may flatter</li>')
    return f'<ul class="legend">{"".join(entries)}</ul>'


def families(facts: dict) -> str:
    """Which line of the curves is which."""
    seen = {row["family"] for model in facts["models"] for entry in model["targets"] for row in entry["attacks"]}
    keys = [("worst", "worst case over all, sample by sample"), *((f, name) for f, name in FAMILIES.items() if f in seen), ("chance", "chance")]
    entries = [
        f'<li><svg viewBox="0 0 34 12" class="key wide" aria-hidden="true"><path d="M1 6h32" class="{"chance" if css == "chance" else "line " + css}"/></svg> {name}</li>'
        for css, name in keys
    ]
    return f'<ul class="legend">{"".join(entries)}</ul>'
