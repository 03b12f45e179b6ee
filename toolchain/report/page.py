"""The report as one HTML file that needs nothing from outside: the answer first, then the pictures,
the numbers and how it was made."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from toolchain import files
from toolchain.pages import formats, marks
from toolchain.pages.html import details, document, figure, items, render, sign, title
from toolchain.pages.table import Table
from toolchain.report import battery, examples, methods, pictures, rate, tables
from toolchain.report.answer import answer, head
from toolchain.report.examples import Example
from toolchain.report.facts import CROWDED, flags_of, gather
from toolchain.report.run import load

APPENDIX = '<section id="appendix" aria-labelledby="appendix-title" hidden><h2 id="appendix-title">All numbers</h2></section>'
"""Where the script puts the tables in print, so that they do not interrupt the story."""

NO_ERROR = "How far the estimate is from measurement, this run does not say: it was made by an earlier version. Run bench on it again."
"""Instead of the error, where a run does not hold it."""

MEASURED = (
    ("measured", "The estimate beside measured tasks"),
    ("measured_tasks", "Whole tasks that others measured"),
)
"""Tables about measurement, and their headings."""

FINDINGS = 3
"""Findings of a flag on a model that are shown at once."""


def write(folder: str | Path, path: str | Path, *, force: bool = False) -> None:
    """Write the page of a run.

    Raises ReportError or StoreError for a run that cannot be reported, OutputError where ``path``
    exists or cannot be written.
    """
    files.claim([path], force)
    facts, shown = gather(load(folder))
    files.write_text(path, build(facts, shown), force)


def build(facts: dict, shown: Sequence[Example]) -> str:
    """The page from ``facts.gather``."""
    made = {table.name: table for table in tables.build(facts)}
    sections = [
        (
            "answer",
            "The answer",
            answer(facts)
            + render(made["summary"], "Every network and target", most_open=60, css="stacked"),
        ),
        ("methods", "Methods: energy against robustness", _methods(facts, made)),
        ("pareto", "Energy against robustness", _pareto(facts, made)),
        ("curves", "Accuracy under every attack", _curves(facts, made)),
        ("adaptive", "As usually published, and adaptive", _adaptive(facts, made)),
        ("scatter", "Software against hardware", _scatter(facts, made)),
        ("energy", "Energy and time", _energy(facts, made)),
        ("layers", "Spikes layer by layer", _layers(facts, made)),
        ("chip", "On the chip", _chip(facts, made)),
        ("corruptions", "Common corruptions", _plain(made, "corruptions", "Common corruptions")),
        (
            "detector",
            "Detectors",
            _plain(made, "detector", "What the detector takes for perturbed"),
        ),
        ("inference", "Random networks", _plain(made, "inference", "Over inference seeds")),
        ("examples", "What the attacks look like", _examples(facts, made, shown)),
        ("flags", "Flags: how far to trust the attacks", _flags(facts, made)),
        ("absent", "What is not there", _plain(made, "absent", "What is not there")),
        ("made", "How it was made", _made(facts)),
    ]
    present = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading, _ in present[1:])
    written = [
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 '
        f'id="{name}-title">{heading}</h2>{content}</section>'
        for name, heading, content in present
    ]
    body = [
        *head(facts),
        written[0],
        f'<nav aria-label="On this page"><ul>{links}</ul></nav>',
        *written[1:],
        APPENDIX,
        "<footer>Made by spikeport. Energy is an estimate from published tables; a flag accuses "
        "the evaluation, not the model.</footer>",
    ]
    names = [marks.short(model["name"], 60) for model in facts["models"]]
    said = formats.listed(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} others"
    weak = battery.title(facts["battery"])
    named = f"Energy and robustness of {said}"
    return document(
        f"{weak}. {named}" if weak else named,
        [part.replace("ε = ", "ε&nbsp;=&nbsp;") for part in body],
    )


def _methods(facts: dict, made: Mapping[str, Table]) -> str:
    """Networks that differ in the seed of their training alone, together; where there are such."""
    if "methods" not in made:
        return ""
    together, drawn = methods.merged(facts), ""
    if facts["radii"]:
        caption = battery.caption(facts["battery"]) + (
            "Up and to the left is better. Mean over trainings; vertical bars: smallest to largest "
            "training (one training: 95 % interval), "
            "horizontal bars: band (tables, and the error against measurement). Energy is dynamic, "
            "of one inference on clean inputs. "
            "Dashed: no method beats those on the line in both. On the target that ran most "
            "samples."
        )
        drawn = figure(
            pictures.pareto(together, "methods", "smallest to largest training"),
            caption,
            marks.legend(together),
        )
    numbers = render(made["methods"], "Every method and target", most_open=60)
    return (
        drawn
        + numbers
        + (
            render(made["methods_masking"], "What each kind of attack sees", most_open=60)
            if facts["radii"]
            else ""
        )
    )


def _pareto(facts: dict, made: Mapping[str, Table]) -> str:
    if not facts["radii"]:
        return ""
    caption = battery.caption(facts["battery"]) + (
        "Up and to the left is better. Vertical bars are 95 % intervals, horizontal bars the band "
        "(tables, and the error against "
        "measurement; both are the same for all models, which so differ by less doubt than the "
        "bars suggest). Energy is dynamic, of one "
        "inference on clean inputs. Dashed: no model beats those on the line in both. Marks inside "
        "each other: targets that agree."
    )
    if len(facts["models"]) > CROWDED:
        if "methods" in made:
            return render(made["worst_case"], "Every network and target")
        caption += " With so many models, targets that ran fewer samples are in the table alone."
    return figure(pictures.pareto(facts), caption, marks.legend(facts)) + render(
        made["worst_case"], "Energy against robustness"
    )


def _folded(facts: dict, drawn: str) -> str:
    """What has a part for each network: behind a click where there are many."""
    return details("Every network", drawn, "more") if len(facts["models"]) > CROWDED else drawn


def _curves(facts: dict, made: Mapping[str, Table]) -> str:
    if not facts["radii"]:
        return ""
    caption = battery.caption(facts["battery"]) + (
        "Thin: single attacks, mean over seeds. Thick: the per-sample worst case over all of them, "
        "the number that counts, with its 95 % "
        "interval."
    )
    drawn = figure(pictures.curves(facts), caption, marks.families(facts))
    added = _plain(made, "cascade", "What each attack added, and at which cost")
    return _folded(facts, drawn) + added + render(made["attacks"], "Every attack by itself")


def _plain(made: Mapping[str, Table], name: str, heading: str) -> str:
    """A section that is one table, where the run has it."""
    return render(made[name], heading, most_open=30) if name in made else ""


def _adaptive(facts: dict, made: Mapping[str, Table]) -> str:
    if "published" not in made:
        return ""
    said = (
        "<p>What a publication that stops at FGSM and PGD with the training surrogate would "
        "report, and what the whole battery leaves of "
        "it. Where something stands before a network, the usual attack is made on the network "
        "alone.</p>"
    )
    both = render(made["published"], "As usually published, and adaptive", most_open=30)
    return said + both + render(made["masking"], "What each kind of attack sees", most_open=30)


def _scatter(facts: dict, made: Mapping[str, Table]) -> str:
    cells = [
        row
        for model in facts["models"]
        for compared in model["comparisons"]
        for row in compared["cells"]
    ]
    if not cells:
        return ""
    same = sum(row["identical"] for row in cells)
    caption = (
        "Every mark is one attack at one radius and seed, or the clean samples, on the same "
        "samples in both. In "
        f"{same:,} of {len(cells):,} comparisons every prediction and every count of spikes and "
        f"synaptic operations is the same."
    )
    return figure(pictures.scatter(facts), caption, marks.models(facts)) + render(
        made["software_hardware"], "Software against hardware"
    )


def _energy(facts: dict, made: Mapping[str, Table]) -> str:
    told = facts["about"]["energy"] or {}
    steps = formats.listed(map(str, sorted({model["steps"] for model in facts["models"]})))
    on_chip = [model for model in facts["models"] if model["program"] is not None] or facts[
        "models"
    ]
    table = on_chip[0]["targets"][0]["energy"][0]["table"]
    parts = [
        f"<p>Estimates for one inference of {steps} time steps, from the counts of each run and "
        f"published tables; single figures use the "
        f"table <code>{escape(table)}</code>. No energy of an operation of Loihi 2 is public: the "
        f"constants are of Loihi 1, for comparing "
        "networks, inputs and targets with each other. Clean and attacked inputs, static and "
        "dynamic energy are kept apart; "
        f"{rate.said(facts)}.</p>",
        f"<p><strong>{escape(told.get('measured_text') or NO_ERROR)}</strong> "
        f"{escape(told.get('static_text') or '')}</p>",
        render(made["energy"], "Energy and time", most_open=20),
        *(_plain(made, name, heading) for name, heading in MEASURED),
    ]
    if told.get("not_covered"):
        parts.append(f"<p>Not covered by any figure:</p>{items(told['not_covered'])}")
    if told.get("assumptions"):
        parts.append(details("What the estimate assumes", items(told["assumptions"])))
    return "".join(parts) + render(made["devices"], "Device tables and their sources")


def _layers(facts: dict, made: Mapping[str, Table]) -> str:
    kinds = {
        "clean": "clean",
        "attacked": "attack that leaves least accuracy",
        "costly": "costliest energy attack",
    }
    legend = "".join(f"<li>{marks.bar_key(css)} {name}</li>" for css, name in kinds.items())
    radius = (
        f"; attacks at {formats.radius(facts['norm'], max(facts['radii']))}"
        if facts["radii"]
        else ""
    )
    caption = f"Mean spikes of one inference, inputs included{radius}. One scale for each model."
    if all(
        row["spikes"] is None
        for model in facts["models"]
        for entry in model["targets"]
        for row in entry["layers"]
    ):
        return render(made["layers"], "Layer by layer") + _plain(
            made, "near_threshold", "Potentials near threshold"
        )
    drawn = _folded(
        facts, figure(pictures.layers(facts), caption, f'<ul class="legend">{legend}</ul>')
    )
    return (
        drawn
        + render(made["layers"], "Spikes layer by layer")
        + _plain(made, "near_threshold", "Potentials near threshold")
    )


def _chip(facts: dict, made: Mapping[str, Table]) -> str:
    lines = []
    for model in facts["models"]:
        told = model["placement"]
        if told is None:
            lines.append(
                f"<li>{sign(facts, model)} {escape(model['name'])} <strong>no Program</strong>: "
                f"{escape(model['no_program'])}</li>"
            )
            continue
        verdict = "fits" if told["fits"] else "does not fit"
        cores = f"{told['cores']:,} of {told['cores_per_chip']:,} neurocores"
        found = [
            f"{v['severity']}: {formats.words(v['rule'])}, {v['where']}: {v['message']}"
            for v in told["violations"]
        ]
        what = f"<strong>{verdict} {escape(told['chip']['title'])}: {cores}</strong>"
        lines.append(
            f"<li>{sign(facts, model)} {escape(model['name'])} "
            f"{what}{items(found) if found else ''}</li>"
        )
    placed = [model["placement"] for model in facts["models"] if model["placement"] is not None]
    estimates = list(dict.fromkeys(text for told in placed for text in told["estimates"]))
    table = render(made["chip"], "On the chip", most_open=40, css="stacked") if placed else ""
    assumed = details("What these counts estimate", items(estimates)) if placed else ""
    return _folded(facts, f'<ul class="plain">{"".join(lines)}</ul>') + table + assumed


def _examples(facts: dict, made: Mapping[str, Table], shown: Sequence[Example]) -> str:
    if not facts["radii"]:
        return ""
    parts = []
    for model in facts["models"]:
        mine = [e for e in shown if e.model == model["name"]]
        parts.append(title(facts, model))
        if not mine:
            parts.append("<p>No attack made it misread a sample that it had right.</p>")
            continue
        radius = formats.radius(facts["norm"], mine[0].epsilon)
        parts.append(
            f"<p>{escape(mine[0].attack)} at {radius}, the first samples that it turned from right "
            f"to wrong.</p>"
        )
        parts.append(f'<div class="examples">{"".join(map(_example, mine))}</div>')
    parts.append(
        "<p>Middle grey in the change is none; black and white are a change by the scale under the "
        "picture. Events are summed over time, "
        "on minus off.</p>"
    )
    return _folded(facts, "".join(parts)) + render(made["examples"], "The samples shown")


def _example(example: Example) -> str:
    clean, change, attacked, scale = examples.pictures(example)
    unit = " events" if example.clean.dtype.kind == "u" else ""
    drawn = (
        (clean, f"sample {example.index}, clean, a {example.label}", "clean"),
        (change, "what the attack changed", f"change, ± {scale:.3g}{unit}"),
        (attacked, "the attacked sample", "attacked"),
    )
    three = "".join(
        f"<div>{_image(pixels, alt)}<span>{caption}</span></div>" for pixels, alt, caption in drawn
    )
    before, after = (
        _readings({t: pair[i] for t, pair in example.predictions.items()}) for i in (0, 1)
    )
    said = f"Sample {example.index}, label {example.label}. Read as {before} before, <strong>{after}</strong> after."
    return f'<figure class="example"><div class="three">{three}</div><figcaption>{said}</figcaption></figure>'


def _image(pixels, alt: str) -> str:
    data = base64.b64encode(examples.png(pixels)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{pixels.shape[1]}" height="{pixels.shape[0]}">'


def _readings(predictions: Mapping[str, int]) -> str:
    """One number where all targets agree, else each target's."""
    if len(set(predictions.values())) == 1:
        return str(next(iter(predictions.values())))
    return ", ".join(f"{value} ({target})" for target, value in predictions.items())


def _flags(facts: dict, made: Mapping[str, Table]) -> str:
    if not facts["radii"]:
        return ""
    found = [(model, flags_of(model)) for model in facts["models"]]
    tripped = [
        check for check in facts["checks"] if any(check["name"] in flags for _, flags in found)
    ]
    rest = [check for check in facts["checks"] if check not in tripped]
    verdict = f"{len(tripped)} of them tripped." if tripped else "None of them tripped."
    if battery.weak(facts["battery"]):
        verdict += " That the others did not means nothing here: the battery is a smoke test."
    number = len(facts["checks"])
    parts = [
        f"<p>{number} checks look for signs that an attack failed, which makes a model look "
        f"stronger than it is. {verdict}</p>"
    ]
    for check in tripped:
        rows = "".join(
            _findings(facts, model, flags[check["name"]])
            for model, flags in found
            if check["name"] in flags
        )
        parts.append(
            f'<div class="flagged" '
            f'id="flag-{escape(check["name"])}"><h3>{escape(formats.words(check["name"]))}</h3>'
            f'<p>{escape(check["meaning"])}</p><ul class="plain">{rows}</ul></div>'
        )
    if rest:
        listed = "".join(
            f"<dt>{escape(formats.words(check['name']))}</dt><dd>{escape(check['meaning'])}</dd>"
            for check in rest
        )
        parts.append(details(f"The {len(rest)} checks that did not trip", f"<dl>{listed}</dl>"))
    return "".join(parts) + render(made["flags"], "Every finding")


def _findings(facts: dict, model: dict, found: Sequence[tuple[str, str]]) -> str:
    """What a flag says about one model; the same finding on several targets once."""
    texts: dict[str, list[str]] = {}
    for target, text in found:
        texts.setdefault(text, []).append(target)
    lines = [
        f"<li>{escape(text)} <span class=ci>({', '.join(targets)})</span></li>"
        for text, targets in texts.items()
    ]
    more = ""
    if len(lines) > FINDINGS:
        more = details(
            f"{len(lines) - FINDINGS} more", f"<ul>{''.join(lines[FINDINGS:])}</ul>", "more"
        )
    return f"<li>{sign(facts, model)} {escape(model['name'])}<ul>{''.join(lines[:FINDINGS])}</ul>{more}</li>"


def _made(facts: dict) -> str:
    about = facts["about"]
    data = (about["sweep"] or {}).get("data") or {}
    command = (
        f"<pre>{escape(about['command'])}</pre>"
        if about["command"]
        else "<p>Started from Python, not from the command line.</p>"
    )
    sources = {entry.get("name"): entry for entry in about["models"] or []}
    rows = [
        (model["name"], _model(model, sources.get(model["name"], {}))) for model in facts["models"]
    ]
    seeds = sorted(
        {row["seed"] for m in facts["models"] for e in m["targets"] for row in e["attacks"]}
    )
    rows += [
        ("data", _data(data)),
        ("attack seeds", ", ".join(map(str, seeds)) or formats.NOTHING),
        *(("made by", _maker(maker)) for maker in about["makers"]),
        *_mixed(about["makers"]),
        ("reported by", f"spikeport {escape(facts['reported_by'])}"),
        (
            "cells",
            f"{about['cells']['stored']:,} of {about['cells']['planned']:,}, each computed once "
            f"and kept sample by sample",
        ),
    ]
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in rows)
    sweep = json.dumps(about["sweep"], indent=2, ensure_ascii=False)
    return f"{command}<dl>{listed}</dl>{details('The sweep', f'<pre>{escape(sweep)}</pre>')}"


def _maker(maker: Mapping) -> str:
    """What made some of the cells."""
    cells = f"{maker['cells']:,} {maker['kind']} cells"
    if maker["versions"] is None:
        return f"{cells}: unknown, kept by a version of spikeport whose cells do not say what made them"
    versions = ", ".join(f"{name} {version}" for name, version in maker["versions"].items())
    when = " to ".join(
        dict.fromkeys(str(maker[end])[:16].replace("T", " ") for end in ("first", "last"))
    )
    return f"{cells}: code {_code(maker['code'])} (all modules that compute them), {escape(versions)}; {escape(when)} UTC"


def _mixed(makers: Sequence[Mapping]) -> list[tuple[str, str]]:
    """A line where cells that stand beside each other were made by different versions of packages,
    or nobody knows."""
    versions = {
        json.dumps(maker["versions"], sort_keys=True) for maker in makers if maker["versions"]
    }
    if len(versions) < 2 and (not versions or all(maker["versions"] for maker in makers)):
        return []
    return [
        (
            "provenance",
            "<strong>differs from cell to cell</strong>: their numbers may differ for that reason "
            "alone",
        )
    ]


def _data(data: Mapping) -> str:
    name, samples = (escape(str(data.get(key))) for key in ("name", "samples"))
    return f"{name}, the first {samples} of the test set, content {_code(data.get('key'))}"


def _model(model: dict, source: Mapping) -> str:
    random = ", random: its accuracy depends on a seed" if model["stochastic"] else ""
    program = (
        f"Program {_code(model['program'])}"
        if model["program"]
        else f"no Program ({escape(model['no_program'])})"
    )
    options = source.get("options") or {}
    random += (
        f", made integers with {escape(json.dumps(options, sort_keys=True))}" if options else ""
    )
    front = "".join(
        f"<li>{escape(str(e.get('step')))} ({escape(str(e.get('where')))}): "
        f"{escape(str(e.get('what')))}</li>"
        for e in source.get("front") or []
    )
    random += f"; before it: <ul>{front}</ul>" if front else ""
    return (
        f"from <code>{escape(str(source.get('source')))}</code>, content "
        f"{_code(source.get('key'))}, {program}, "
        f"{model['classes']} classes, {model['steps']} time steps{random}"
    )


def _code(digits) -> str:
    """The beginning of a hash."""
    return f"<code>{escape(str(digits)[:16])}</code>"
