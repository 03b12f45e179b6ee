"""The plots of the report as inline SVG, see ``marks``. The numbers of each are in a table of the
page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toolchain.pages import formats
from toolchain.pages.marks import (
    WIDTH,
    Panel,
    dot,
    flag,
    grid,
    letters_of,
    mark,
    model_shape,
    number_ticks,
    shape,
    short,
)
from toolchain.pages.svg import number, svg, text
from toolchain.report.facts import CROWDED


def pareto(facts: dict, name: str = "pareto", bars: str = "95 % intervals") -> str:
    """Energy of one inference against worst-case accuracy, a panel for each radius. ``bars``: what
    the vertical ones are."""
    letters, radii = letters_of(facts["models"]), facts["radii"]
    points = [_pareto_points(facts, letters, radius) for radius in radii]
    ends = [
        value
        for panel in points
        for point in panel
        for value in (point["low"], point["high"], point["energy"])
        if value
    ]
    log = max(ends) / min(ends) > 12
    x_range = (min(ends) / 1.25, max(ends) * 1.25) if log else (0.0, max(ends) * 1.08)
    factor, prefix = formats.prefix(ends)
    columns, rows = grid(len(radii), 2)
    left, gap, top, height, below = 64.0, 34.0, 30.0, 250.0, 34.0
    width = (WIDTH - left - 12 - gap * (columns - 1)) / columns
    body: list[str] = []
    for place, (radius, panel_points) in enumerate(zip(radii, points)):
        column, row = place % columns, place // columns
        panel = Panel(
            left + column * (width + gap),
            top + row * (height + below + top),
            width,
            height,
            x_range,
            log=log,
        )
        labels = [(v, f"{v / factor:g}") for v in number_ticks(*x_range, log, 6)]
        body += panel.frame(labels, column == 0, formats.radius(facts["norm"], radius))
        body += _front(panel, panel_points)
        body += _points(panel, panel_points)
    bottom = top + rows * (height + below) + (rows - 1) * top
    body.append(
        text(
            left + (WIDTH - left - 12) / 2,
            bottom + 12,
            f"dynamic energy of one inference ({prefix}J)",
            "label",
            "middle",
        )
    )
    body.append(
        text(
            16,
            (bottom - below + top) / 2,
            "accuracy in the worst case",
            "label",
            "middle",
            rotate=True,
        )
    )
    return svg(
        WIDTH,
        bottom + 20,
        f"plot-{name}",
        "Energy of one inference against worst-case accuracy",
        f"Up and to the left is better. Vertical bars: {bars}; horizontal bars: band of the "
        f"energy. The values are in the table "
        "below.",
        body,
        "group",
    )


def _pareto_points(facts: dict, letters: Mapping[str, str], radius: float) -> list[dict]:
    found = []
    for place, model in enumerate(facts["models"]):
        most = max(entry["samples"] for entry in model["targets"])
        for entry in model["targets"]:
            worst = next((row for row in entry["worst"] if row["epsilon"] == radius), None)
            if worst is None or (len(facts["models"]) > CROWDED and entry["samples"] < most):
                continue
            spent, share = entry["energy"][0], worst["share"]
            flags = (
                f"; flags: {', '.join(map(formats.words, worst['flags']))}"
                if worst["flags"]
                else ""
            )
            said = (
                f"{model['name']}, {formats.TARGET_NAMES[entry['target']]}: "
                f"{formats.percent(share['value'])} "
                f"({formats.interval(share['low'], share['high'])}) of {share['samples']} samples, "
                f"{formats.quantity(spent['dynamic_j']['value'], 'J')} "
                f"({formats.quantity(spent['band_low_j'], 'J')} to "
                f"{formats.quantity(spent['band_high_j'], 'J')}){flags}"
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
    chosen = sorted(
        (p for p in points if p["chosen"]), key=lambda p: (p["energy"], -p["share"]["value"])
    )
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
    body: list[str] = []
    labelled: list[tuple[str, float, float]] = []
    for p in sorted(points, key=lambda p: not p["chosen"]):
        x, y = panel.x(p["energy"]), panel.y(p["share"]["value"])
        drawn = f'<path d="M{number(x)} {number(panel.y(p["share"]["low"]))}V{number(panel.y(p["share"]["high"]))}" class="whisker"/>'
        if p["chosen"]:
            drawn += f'<path d="M{number(panel.x(p["low"]))} {number(y)}H{number(panel.x(p["high"]))}" class="band"/>'
        body.append(mark(drawn + shape(p["target"], x, y), p["said"], p["css"]))
        if not any(
            letter == p["letter"] and abs(x - a) < 16 and abs(y - b) < 24
            for letter, a, b in labelled
        ):
            labelled.append((p["letter"], x, y))
            body.append(text(x + 11, y - 9, p["letter"], f"letter {p['css']}"))
            if p["flags"]:
                body.append(flag(x + 14 + 9 * len(p["letter"]), y - 7))
    return body


def curves(facts: dict) -> str:
    """Accuracy against radius, a line for every attack; a row for each model, a panel for each
    target."""
    radii, letters = [0.0, *facts["radii"]], letters_of(facts["models"])
    columns = max(len(model["targets"]) for model in facts["models"])
    left, gap, top, height, below = 64.0, 26.0, 44.0, 170.0, 28.0
    width = (WIDTH - left - 12 - gap * (columns - 1)) / columns
    body: list[str] = []
    for row, model in enumerate(facts["models"]):
        y = top + row * (height + below + top)
        body.append(text(left, y - 26, letters[model["name"]], f"letter c{row % 8}"))
        body.append(
            text(
                left + 8 + 9 * len(letters[model["name"]]),
                y - 26,
                short(model["name"], 70),
                "label strong",
            )
        )
        for column, entry in enumerate(model["targets"]):
            panel = Panel(left + column * (width + gap), y, width, height, (0.0, radii[-1] * 1.03))
            said = f"{formats.TARGET_NAMES[entry['target']]}, {entry['samples']} samples"
            body += panel.frame([(r, f"{r:g}") for r in radii], column == 0)
            body.append(text(panel.left + 1, y - 7, said, "small"))
            body += _curves(panel, model, entry)
    bottom = top + len(facts["models"]) * (height + below + top) - top
    body.append(
        text(
            left + (WIDTH - left - 12) / 2,
            bottom + 10,
            f"radius ({_unit(facts['norm'])})",
            "label",
            "middle",
        )
    )
    body.append(text(16, (bottom + top - below) / 2, "accuracy", "label", "middle", rotate=True))
    return svg(
        WIDTH,
        bottom + 18,
        "plot-curves",
        "Accuracy against radius for every attack",
        "Thin lines: single attacks, mean over seeds. Thick line: per-sample worst case with its "
        "95 % interval. The values are in the "
        "tables below.",
        body,
        "group",
    )


def _unit(norm: str) -> str:
    return {
        "linf": "ε, pixels from 0 to 1",
        "l2": "ε₂, pixels from 0 to 1",
        "flips": "changed events",
        "shift": "time steps",
    }[norm]


def _curves(panel: Panel, model: dict, entry: dict) -> list[str]:
    body, clean = [], entry["clean"]["value"]
    chance = 1 / model["classes"]
    body.append(
        f'<path d="M{number(panel.left)} {number(panel.y(chance))}h{number(panel.width)}" '
        f'class="chance"/>'
    )
    lines: dict[tuple[str, str, str], dict[float, list[dict]]] = {}
    for row in entry["attacks"]:
        if row["family"] != "energy":
            lines.setdefault((row["name"], row["crafted_on"], row["family"]), {}).setdefault(
                row["epsilon"], []
            ).append(row)
    for (name, _, family), at in lines.items():
        means = {
            e: sum(r["attacked_accuracy"]["value"] for r in rows) / len(rows)
            for e, rows in sorted(at.items())
        }
        path = f"M{number(panel.x(0))} {number(panel.y(clean))}" + "".join(
            f"L{number(panel.x(e))} {number(panel.y(v))}" for e, v in means.items()
        )
        body.append(f'<path d="{path}" class="line {family}"/>')
        for epsilon, value in means.items():
            rows = at[epsilon]
            each = sorted(r["attacked_accuracy"]["value"] for r in rows)
            spread = (
                f", {formats.interval(each[0], each[-1])} over {len(each)} seeds"
                if len(each) > 1
                else ""
            )
            flags = sorted({f for r in rows for f in r["flags"]})
            said = f"{name} at {epsilon:g}: {formats.percent(value)}{spread}"
            said += f"; flags: {', '.join(map(formats.words, flags))}" if flags else ""
            x, y = panel.x(epsilon), panel.y(value)
            body.append(mark(dot(x, y, 2.4, "dot"), said))
    path = f"M{number(panel.x(0))} {number(panel.y(clean))}"
    path += "".join(
        f"L{number(panel.x(row['epsilon']))} {number(panel.y(row['share']['value']))}"
        for row in entry["worst"]
    )
    body.append(f'<path d="{path}" class="line worst"/>')
    for row in entry["worst"]:
        share = row["share"]
        x, y = panel.x(row["epsilon"]), panel.y(share["value"])
        ends = formats.interval(share["low"], share["high"])
        said = f"worst case of {row['attacks']} attacks at {row['epsilon']:g}: {formats.percent(share['value'])} ({ends})"
        whisker = f'<path d="M{number(x)} {number(panel.y(share["low"]))}V{number(panel.y(share["high"]))}" class="whisker"/>'
        body.append(mark(whisker + dot(x, y, 4, "solid"), said, "worstmark"))
        if row["flags"]:
            body.append(
                flag(x + 4, y - 5) if x + 16 < panel.left + panel.width else flag(x - 12, y - 5)
            )
    return body


def scatter(facts: dict) -> str:
    """Every attack's accuracy in software against hardware; a panel for each hardware target."""
    letters = letters_of(facts["models"])
    pairs: dict[tuple[str, str], list] = {}
    for place, model in enumerate(facts["models"]):
        for compared in model["comparisons"]:
            pairs.setdefault(tuple(compared["targets"]), []).append((place, model, compared))
    if not pairs:
        return ""
    columns, rows = grid(len(pairs), 3)
    left, gap, top, below = 64.0, 40.0, 30.0, 50.0
    width = min(290.0, (WIDTH - left - 12 - gap * (columns - 1)) / columns)
    body: list[str] = []
    for number_, ((one, other), found) in enumerate(pairs.items()):
        column, row = number_ % columns, number_ // columns
        panel = Panel(
            left + column * (width + gap),
            top + row * (width + below + top),
            width,
            width,
            (0.0, 1.0),
        )
        samples = {cell["samples"] for _, _, compared in found for cell in compared["cells"]}
        title = (
            f"{formats.TARGET_NAMES[other]}, {formats.listed(map(str, sorted(samples)))} samples"
        )
        body += panel.frame(
            [(v, f"{100 * v:.0f} %") for v in (0, 0.25, 0.5, 0.75, 1)], column == 0, title
        )
        body.append(
            f'<path d="M{number(panel.left)} {number(panel.y(0))}L{number(panel.left + width)} '
            f'{number(panel.y(1))}" class="axis"/>'
        )
        for place, model, compared in found:
            for cell in compared["cells"]:
                difference = f"{formats.signed(cell['difference'])} points ({formats.interval(cell['low'], cell['high'])})"
                same = "every count the same" if cell["identical"] else difference
                what = (
                    cell["name"]
                    if cell["family"] == "clean"
                    else f"{cell['name']} at {cell['epsilon']:g}, seed {cell['seed']}"
                )
                first, second = cell["accuracy"]
                said = f"{model['name']}, {what}: {one} {formats.percent(first)}, {other} {formats.percent(second)}; {same}"
                body.append(
                    mark(model_shape(place, panel.x(first), panel.y(second)), said, f"c{place % 8}")
                )
        body.append(
            text(
                panel.left + width / 2,
                panel.top + width + 38,
                f"accuracy, {formats.TARGET_NAMES[one]}",
                "label",
                "middle",
            )
        )
    height = top + rows * (width + below) + (rows - 1) * top
    body.append(text(16, top + width / 2, "accuracy, hardware", "label", "middle", rotate=True))
    described = ", ".join(f"{letter} {name}" for name, letter in letters.items())
    return svg(
        WIDTH,
        height,
        "plot-scatter",
        "Accuracy in software against accuracy on hardware",
        f"On the diagonal both are equal. Models: {described}. The values are in the table below.",
        body,
        "group",
    )


def layers(facts: dict) -> str:
    """Spikes of each layer in one inference: clean, attacked, under the energy attack; on the
    target that the answer is about."""
    letters = letters_of(facts["models"])
    left, right, bar, gap = 210.0, 90.0, 12.0, 9.0
    body = [
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)">'
        '<path d="M0 0v6" class="hatchline"/></pattern><pattern id="dots" width="5" height="5" '
        'patternUnits="userSpaceOnUse">'
        '<circle cx="1.6" cy="1.6" r="1.3" class="hatchdot"/></pattern></defs>'
    ]
    y = 8.0
    for place, model in enumerate(facts["models"]):
        entry = next(e for e in model["targets"] if e["target"] == model["answer"]["target"])
        rows = [row for row in entry["layers"] if row["spikes"] is not None]
        if not rows:
            continue
        most = max((row["spikes"] for row in rows), default=0.0) or 1.0
        body.append(text(left, y + 14, letters[model["name"]], f"letter c{place % 8}"))
        body.append(
            text(
                left + 8 + 9 * len(letters[model["name"]]),
                y + 14,
                short(model["name"], 70),
                "label strong",
            )
        )
        y += 26
        for layer in dict.fromkeys(row["layer"] for row in rows):
            here = [row for row in rows if row["layer"] == layer]
            body.append(
                text(left - 12, y + bar * len(here) / 2 + 4, short(layer, 26), "label", "end")
            )
            for row in here:
                wide = (WIDTH - left - right) * row["spikes"] / most
                how = (
                    row["inputs"]
                    if row["inputs"] == "clean"
                    else f"{row['inputs']} ({row['attack']})"
                )
                said = f"{model['name']}, {layer}, {how}: {formats.count(row['spikes'])} spikes"
                css = {"clean": "clean", "attacked": "attacked", "energy attack": "costly"}[
                    row["inputs"]
                ]
                body.append(
                    mark(
                        f'<rect x="{number(left)}" y="{number(y)}" width="{number(wide)}" '
                        f'height="{number(bar - 1)}" class="bar {css}"/>',
                        said,
                    )
                )
                body.append(
                    text(left + wide + 7, y + bar - 2.5, formats.count(row["spikes"]), "tiny")
                )
                y += bar
            y += gap
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
