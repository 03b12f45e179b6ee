"""Sections of the page that are a picture and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from toolchain.pages import formats, marks
from toolchain.pages.html import details, figure, items, render
from toolchain.pages.table import Table
from toolchain.report import battery, legends, pictures, rate
from toolchain.report import methods as trainings
from toolchain.report.facts import Facts, PlacedModel
from toolchain.report.legends import sign
from toolchain.report.pareto import CROWDED

Tables = Mapping[str, Table]
"""Name → table, see ``tables.build``."""

NO_ERROR = (
    "How far the estimate is from measurement, this run does not say: it was made by an earlier "
    "version. Run bench on it again."
)
"""Instead of the error, where a run does not hold it."""

MEASURED = (
    ("measured", "The estimate beside measured tasks"),
    ("measured_tasks", "Whole tasks that others measured"),
)
"""Tables about measurement, and their headings."""


def plain(found: Tables, name: str, heading: str) -> str:
    """A table, where the run has it."""
    return render(found[name], heading, most_open=30) if name in found else ""


def _folded(facts: Facts, drawn: str) -> str:
    """What has a part for each network: behind a click where there are many."""
    return details("Every network", drawn, "more") if len(facts.models) > CROWDED else drawn


def methods(facts: Facts, found: Tables) -> str:
    """Networks that differ in the seed of their training alone, together; where there are such."""
    if "methods" not in found:
        return ""
    numbers = render(found["methods"], "Every method and target", most_open=60)
    if not facts.radii:
        return numbers

    caption = battery.caption(facts.battery) + (
        "Up and to the left is better. Mean over trainings; vertical bars: smallest to largest "
        "training (one training: 95 % interval), horizontal bars: band (tables, and the error "
        "against measurement). Energy is dynamic, of one inference on clean inputs. Dashed: no "
        "method beats those on the line in both. On the target that ran most samples."
    )
    together = trainings.merged(facts)
    drawn = pictures.pareto(together, "methods", "smallest to largest training")
    kinds = render(found["methods_masking"], "What each kind of attack sees", most_open=60)
    return figure(drawn, caption, legends.legend(together)) + numbers + kinds


def pareto(facts: Facts, found: Tables) -> str:
    """Energy against accuracy in the worst case."""
    if not facts.radii:
        return ""
    caption = battery.caption(facts.battery) + (
        "Up and to the left is better. Vertical bars are 95 % intervals, horizontal bars the band "
        "(tables, and the error against measurement; both are the same for all models, so that "
        "the models differ more surely than the bars suggest). Energy is dynamic, of one "
        "inference on clean inputs. Dashed: no model beats those on the line in both. Marks inside "
        "each other: targets that agree."
    )
    if len(facts.models) > CROWDED:
        if "methods" in found:
            return render(found["worst_case"], "Every network and target")
        caption += " With so many models, targets that ran fewer samples are in the table alone."
    drawn = figure(pictures.pareto(facts), caption, legends.legend(facts))
    return drawn + render(found["worst_case"], "Energy against robustness")


def curves(facts: Facts, found: Tables) -> str:
    """Accuracy under every attack."""
    if not facts.radii:
        return ""
    caption = battery.caption(facts.battery) + (
        "Thin: single attacks, mean over seeds. Thick: the per-sample worst case over all of them, "
        "the number that counts, with its 95 % interval."
    )
    drawn = figure(pictures.curves(facts), caption, legends.families(facts))
    added = plain(found, "cascade", "What each attack added, and at which cost")
    return _folded(facts, drawn) + added + render(found["attacks"], "Every attack by itself")


def adaptive(facts: Facts, found: Tables) -> str:
    """What a usual publication would report, beside the whole battery."""
    if "published" not in found:
        return ""
    text = (
        "<p>What a publication that stops at FGSM and PGD with the training surrogate would "
        "report, and what the whole battery leaves of it. Where something stands before a network, "
        "the usual attack is made on the network alone.</p>"
    )
    both = render(found["published"], "As usually published, and adaptive", most_open=30)
    return text + both + render(found["masking"], "What each kind of attack sees", most_open=30)


def scatter(facts: Facts, found: Tables) -> str:
    """Software against hardware."""
    cells = [
        row for model in facts.models for compared in model.comparisons for row in compared.cells
    ]
    if not cells:
        return ""
    same = (
        f"In {sum(row.identical for row in cells):,} of {len(cells):,} comparisons every "
        "prediction and every count of spikes and synaptic operations is the same."
    )
    ticks = "".join(f"<li>{escape(text)}</li>" for text in legends.repeated(facts))
    numbers = render(found["software_hardware"], "Software against hardware")
    drawn = pictures.scatter(facts)
    if not drawn:
        return f'<p>{same}</p><ul class="legend">{ticks}</ul>' + numbers

    caption = (
        "Every mark is one attack at one radius and seed, or the clean samples, on the same "
        f"samples in both. {same}"
    )
    legend = legends.models(facts) + (f'<ul class="legend">{ticks}</ul>' if ticks else "")
    return figure(drawn, caption, legend) + numbers


def energy(facts: Facts, found: Tables) -> str:
    """Energy and time, and how far they are from measurement."""
    estimate = facts.about["energy"] or {}
    steps = formats.listed(map(str, sorted({model.steps for model in facts.models})))
    on_chip = [model for model in facts.models if model.program is not None] or facts.models
    table = on_chip[0].targets[0].energy[0].table

    parts = [
        f"<p>Estimates for one inference of {steps} time steps, from the counts of each run and "
        "published tables; single figures use the table "
        f"<code>{escape(table)}</code>. No energy of an operation of Loihi 2 is public: the "
        "constants are of Loihi 1, for comparing networks, inputs and targets with each other. "
        "Clean and attacked inputs, static and dynamic energy are kept apart; "
        f"{rate.said(facts)}.</p>",
        f"<p><strong>{escape(estimate.get('measured_text') or NO_ERROR)}</strong> "
        f"{escape(estimate.get('static_text') or '')}</p>",
        render(found["energy"], "Energy and time", most_open=20),
        *(plain(found, name, heading) for name, heading in MEASURED),
    ]

    if estimate.get("not_covered"):
        parts.append(f"<p>Not covered by any figure:</p>{items(estimate['not_covered'])}")
    if estimate.get("assumptions"):
        parts.append(details("What the estimate assumes", items(estimate["assumptions"])))

    return "".join(parts) + render(found["devices"], "Device tables and their sources")


def layers(facts: Facts, found: Tables) -> str:
    """Spikes of each layer."""
    near = plain(found, "near_threshold", "Potentials near threshold")
    rows = [row for model in facts.models for entry in model.targets for row in entry.layers]
    if all(row.spikes is None for row in rows):
        return render(found["layers"], "Layer by layer") + near

    kinds = {
        "clean": "clean",
        "attacked": "attack that leaves least accuracy",
        "costly": "costliest energy attack",
    }
    legend = "".join(f"<li>{marks.bar_key(css)} {name}</li>" for css, name in kinds.items())
    radius = ""
    if facts.radii:
        radius = f"; attacks at {formats.radius(facts.norm, max(facts.radii))}"
    caption = f"Mean spikes of one inference, inputs included{radius}. One scale for each model."
    drawn = figure(pictures.layers(facts), caption, f'<ul class="legend">{legend}</ul>')
    return _folded(facts, drawn) + render(found["layers"], "Spikes layer by layer") + near


def chip(facts: Facts, found: Tables) -> str:
    """Whether each Program fits the chip."""
    lines = "".join(_on_chip(facts, model) for model in facts.models)
    listed = _folded(facts, f'<ul class="plain">{lines}</ul>')
    placed = [model.placement for model in facts.models if model.placement is not None]
    if not placed:
        return listed
    estimates = list(dict.fromkeys(text for placement in placed for text in placement["estimates"]))
    table = render(found["chip"], "On the chip", most_open=40)
    return listed + table + details("What these counts estimate", items(estimates))


def _on_chip(facts: Facts, model: PlacedModel) -> str:
    named, placement = f"{sign(facts, model)} {escape(model.name)}", model.placement
    if placement is None:
        return f"<li>{named} <strong>no Program</strong>: {escape(model.no_program)}</li>"
    verdict = "fits" if placement["fits"] else "does not fit"
    cores = f"{placement['cores']:,} of {placement['cores_per_chip']:,} neurocores"
    broken = [
        f"{v['severity']}: {formats.words(v['rule'])}, {v['where']}: {v['message']}"
        for v in placement["violations"]
    ]
    what = f"<strong>{verdict} {escape(placement['chip']['title'])}: {cores}</strong>"
    return f"<li>{named} {what}{items(broken) if broken else ''}</li>"
