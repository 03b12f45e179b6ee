"""The report as one HTML file that needs nothing from outside: the answer first, then the pictures, the numbers and how it was made."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from toolchain import files
from toolchain.report import examples, formats, pictures, tables
from toolchain.report.examples import Example
from toolchain.report.facts import flags_of, gather, letters, unfinished
from toolchain.report.html import details, document, figure, flag_links, render
from toolchain.report.run import load
from toolchain.report.table import Table

WHERE = {
    "software": "In software",
    "reference": "In the chip’s integer arithmetic",
    "fast": "In the chip’s integer arithmetic",
    "lava": "In Lava",
    "loihi2": "On Loihi 2",
}
"""How a sentence about a target begins."""


def write(folder: str | Path, path: str | Path, *, force: bool = False) -> None:
    """The page of a run. Raises ReportError or StoreError for a run that cannot be reported, OutputError where ``path`` exists or cannot
    be written."""
    files.claim([path], force)
    facts, shown = gather(load(folder))
    files.write_text(path, build(facts, shown), force)


def build(facts: dict, shown: Sequence[Example]) -> str:
    """The page from ``facts.gather``."""
    made = {table.name: table for table in tables.build(facts)}
    attacked = bool(facts["radii"])
    sections = [
        ("answer", "The answer", answer(facts) + render(made["summary"], most_open=40)),
        ("pareto", "Energy against robustness", _pareto(facts, made) if attacked else ""),
        ("curves", "Accuracy under every attack", _curves(facts, made) if attacked else ""),
        ("scatter", "Software against hardware", _scatter(facts, made)),
        ("energy", "Energy and time", _energy(facts, made)),
        ("layers", "Spikes layer by layer", _layers(facts, made)),
        ("chip", "On the chip", _chip(facts, made)),
        ("examples", "What the attacks look like", _examples(facts, made, shown) if attacked else ""),
        ("flags", "Flags: how far to trust the attacks", _flags(facts, made)),
        ("made", "How it was made", _made(facts, made)),
    ]
    present = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in present[1:])
    body = [
        *_head(facts),
        *(f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>' for name, title, content in present[:1]),
        f'<nav aria-label="On this page"><ul>{links}</ul></nav>',
        *(f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>' for name, title, content in present[1:]),
        "<footer>Made by spikeport. Energy is an estimate from published tables; a flag accuses the evaluation, not the model.</footer>",
    ]
    return document(f"Energy and robustness of {_title(facts)}", body)


def _title(facts: dict) -> str:
    return formats.listed(pictures.short(model["name"], 60) for model in facts["models"][:3]) + (" and others" if len(facts["models"]) > 3 else "")


def _head(facts: dict) -> list[str]:
    data = (facts["about"].get("sweep") or {}).get("data") or {}
    preset = ((facts["about"].get("sweep") or {}).get("attacks") or {}).get("preset")
    samples = max(entry["samples"] for model in facts["models"] for entry in model["targets"])
    targets = dict.fromkeys((e["target"], e["samples"]) for m in facts["models"] for e in m["targets"])
    ran = formats.listed(f"{formats.TARGET_NAMES[t]}{'' if n == samples else f' (the first {n})'}" for t, n in targets)
    seeds = {row["seed"] for m in facts["models"] for e in m["targets"] for row in e["attacks"]}
    number = max((row["attacks"] for m in facts["models"] for e in m["targets"] for row in e["worst"]), default=0)
    attacks = (
        f" Attacked in {number} ways{f' (preset {escape(str(preset))})' if preset else ''} at {formats.listed(formats.radius(facts['norm'], e) for e in facts['radii'])}"
        f"{f', with {len(seeds)} seeds' if len(seeds) > 1 else ''}: {formats.threat(facts['norm'])}."
        if facts["radii"]
        else " No attack was run."
    )
    models = f"{len(facts['models'])} networks" if len(facts["models"]) > 1 else "One network"
    missing = unfinished(facts)
    head = [
        '<header><p class="eyebrow">spikeport report</p>',
        "<h1>The same network and the same inputs: attacked accuracy and energy, in software and on the chip’s arithmetic</h1>",
        f'<p class="lead">{models} on {samples} test samples of {escape(str(data.get("name") or "unnamed data"))}, run in {escape(ran)}.{attacks}</p></header>',
    ]
    if missing:
        head.append(
            f'<p class="warning" role="note"><strong>Unfinished.</strong> {missing} of {facts["about"]["cells"]["planned"]} cells are missing; worst '
            "cases may still fall. The same “spikeport bench” goes on where it stopped.</p>"
        )
    return head


def answer(facts: dict) -> str:
    """A few plain sentences for every model."""
    signs = letters(facts["models"])
    return "".join(
        f'<article class="model"><h3><span class="letter c{place % 8}">{signs[model["name"]]}</span> {escape(model["name"])}</h3>'
        + "".join(f"<p>{sentence}</p>" for sentence in sentences(facts, model))
        + "</article>"
        for place, model in enumerate(facts["models"])
    )


def sentences(facts: dict, model: dict) -> list[str]:
    """Accuracy, energy and flags of a model in words, as HTML."""
    told = model["answer"]
    return [s for s in (_accuracy(facts, told), _cost(facts, told), _doubt(facts, model, told)) if s]


def _share(share: Mapping, strong: bool = True) -> str:
    value = formats.percent(share["value"])
    return f"{f'<strong>{value}</strong>' if strong else value} ({formats.interval(share['low'], share['high'])})"


def _accuracy(facts: dict, told: dict) -> str:
    where, software, worst = WHERE[told["target"]], told["software"], told["worst"]
    said = f"{where} ({told['target']}) it gets {_share(told['clean'], worst is None)} of {told['samples']} clean samples right"
    if worst is not None:
        said += f" and keeps {_share(worst['share'])} under the worst of {worst['attacks']} attacks at {formats.radius(facts['norm'], facts['radius'])}"
    if software is None:
        return said + "."
    if software["identical"]:
        also = f"; in {formats.listed(formats.TARGET_NAMES[t] for t in told['also_identical'])}, too" if told["also_identical"] else ""
        return f"{said}, <strong>exactly as in software</strong>: every prediction, spike and synaptic operation of all {software['cells']} sets of inputs is the same{also}."
    if software["worst"] is not None:
        row = software["worst"]
        return (
            f"{said}; in software it keeps {_share(row['shares'][0], False)}. Hardware minus software: <strong>{formats.signed(row['difference'])} points</strong> "
            f"({formats.interval(row['low'], row['high'])}; {row['only_other']} samples only software gets right, {row['only_one']} only hardware; "
            f"McNemar p = {row['p_value']:.2g})."
        )
    row = software["clean"]
    return f"{said}; hardware minus software: {formats.signed(row['difference'])} points ({formats.interval(row['low'], row['high'])})."


def _change(change: Mapping | None) -> str:
    if change is None:
        return formats.NOTHING
    ends = formats.interval(change["low"], change["high"])
    return f"{formats.signed(change['value'])} %" + (f" ({ends})" if ends else "")


def _cost(facts: dict, told: dict) -> str:
    clean = told["energy"]["clean"]
    said = (
        f"One inference is estimated at <strong>{formats.quantity(clean['dynamic_j']['value'], 'J')}</strong> of dynamic energy on clean inputs "
        f"({formats.quantity(clean['band_low_j'], 'J')} to {formats.quantity(clean['band_high_j'], 'J')} over the device tables), and "
        f"{formats.quantity(clean['static_j'], 'J')} static in {formats.quantity(clean['time_s'], 's')}"
    )
    if told["software"] is not None:
        change = told["software"]["energy_change"]
        same = change is not None and change["value"] == change["low"] == change["high"] == 0
        said += "; software’s spikes would cost the same" if same else f"; that is {_change(change)} against the spikes of software"
    parts = [
        f"{_change(row['change'])} {what}"
        for inputs, what in (("attacked", "under the attack that leaves least accuracy"), ("energy attack", "under the costliest energy attack"))
        if (row := told["energy"].get(inputs))
    ]
    return said + (f". Dynamic energy changes by {formats.listed(parts)}." if parts else ".")


def _doubt(facts: dict, model: dict, told: dict) -> str:
    if not facts["radii"]:
        return ""
    if not told["flags"]:
        return f"No flag: none of {len(facts['checks'])} checks says that the attacks failed."
    number = len(told["flags"])
    return f'<strong>{number} flag{"s" if number > 1 else ""}</strong>, the accuracy under attack may flatter: {flag_links(told["flags"])}'


def _pareto(facts: dict, made: Mapping[str, Table]) -> str:
    caption = (
        "Up and to the left is better. Vertical bars are 95 % intervals, horizontal bars the band over device tables (one choice of table for all, so "
        "models differ by less doubt than the bars suggest). Energy is dynamic, of one inference on clean inputs. Dashed: no model beats "
        "those on the line in both. Marks inside each other: targets that agree."
    )
    return figure(pictures.pareto(facts), caption, pictures.legend(facts)) + render(made["worst_case"], "Energy against robustness")


def _curves(facts: dict, made: Mapping[str, Table]) -> str:
    caption = "Thin: single attacks, mean over seeds. Thick: the per-sample worst case over all of them, the number that counts, with its 95 % interval."
    return figure(pictures.curves(facts), caption, pictures.families(facts)) + render(made["attacks"], "Every attack by itself")


def _scatter(facts: dict, made: Mapping[str, Table]) -> str:
    compared = [c for model in facts["models"] for c in model["comparisons"]]
    if not compared:
        return ""
    cells = [row for c in compared for row in c["cells"]]
    same = sum(row["identical"] for row in cells)
    caption = (
        f"Every mark is one attack at one radius and seed, or the clean samples, on the same samples in both. In {same:,} of {len(cells):,} comparisons every "
        "prediction and every count of spikes and synaptic operations is the same."
    )
    return figure(pictures.scatter(facts), caption, pictures.legend(facts)) + render(made["software_hardware"], "Software against hardware")


def _energy(facts: dict, made: Mapping[str, Table]) -> str:
    told = facts["about"].get("energy") or {}
    steps = sorted({model["steps"] for model in facts["models"]})
    table = facts["models"][0]["targets"][0]["energy"][0]["table"]
    parts = [
        f"<p>Estimates for one inference of {formats.listed(map(str, steps))} time steps, from the counts of each run and published tables; single figures use the table "
        f"<code>{escape(table)}</code>. No energy of an operation of Loihi 2 is public: the constants are of Loihi 1, for comparing networks, inputs and "
        "targets with each other.</p>",
        render(made["energy"], most_open=60),
    ]
    if told.get("not_covered"):
        parts.append("<p>Not covered by any figure:</p><ul>" + "".join(f"<li>{escape(part)}</li>" for part in told["not_covered"]) + "</ul>")
    if told.get("assumptions"):
        parts.append(details("What the estimate assumes", "<ul>" + "".join(f"<li>{escape(part)}</li>" for part in told["assumptions"]) + "</ul>"))
    return "".join(parts) + render(made["devices"], "Device tables and their sources")


def _layers(facts: dict, made: Mapping[str, Table]) -> str:
    entries = [
        f'<li><svg viewBox="0 0 34 12" class="key wide" aria-hidden="true"><rect x="0" y="1" width="34" height="10" class="bar {css}"/></svg> {name}</li>'
        for css, name in (("clean", "clean"), ("attacked", "attack that leaves least accuracy"), ("costly", "costliest energy attack"))
    ]
    radius = formats.radius(facts["norm"], max(facts["radii"])) if facts["radii"] else ""
    caption = f"Mean spikes of one inference, inputs included{f'; attacks at {radius}' if radius else ''}. One scale for each model."
    return figure(pictures.layers(facts), caption, f'<ul class="legend">{"".join(entries)}</ul>') + render(made["layers"], "Spikes layer by layer")


def _chip(facts: dict, made: Mapping[str, Table]) -> str:
    signs, lines = letters(facts["models"]), []
    for place, model in enumerate(facts["models"]):
        told = model["placement"]
        fits = f"fits {escape(told['chip']['title'])}: {told['cores']:,} of {told['cores_per_chip']:,} neurocores" if told["fits"] else f"does not fit {escape(told['chip']['title'])}"
        broken = "".join(
            f"<li>{escape(v['severity'])}: {escape(formats.words(v['rule']))}, {escape(v['where'])}: {escape(v['message'])}</li>" for v in told["violations"]
        )
        lines.append(
            f'<li><span class="letter c{place % 8}">{signs[model["name"]]}</span> {escape(model["name"])} <strong>{fits}</strong>'
            f"{f'<ul>{broken}</ul>' if broken else ''}</li>"
        )
    estimates = dict.fromkeys(text for model in facts["models"] for text in model["placement"]["estimates"])
    notes = "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in estimates) + "</ul>"
    return f'<ul class="plain">{"".join(lines)}</ul>' + render(made["chip"], most_open=60) + details("What these counts estimate", notes)


def _image(pixels, alt: str) -> str:
    data = base64.b64encode(examples.png(pixels)).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" width="{pixels.shape[1]}" height="{pixels.shape[0]}">'


def _examples(facts: dict, made: Mapping[str, Table], shown: Sequence[Example]) -> str:
    parts, signs = [], letters(facts["models"])
    for place, model in enumerate(facts["models"]):
        mine = [e for e in shown if e.model == model["name"]]
        title = f'<h3><span class="letter c{place % 8}">{signs[model["name"]]}</span> {escape(model["name"])}</h3>'
        if not mine:
            parts.append(f"{title}<p>No attack made it misread a sample that it had right.</p>")
            continue
        first = mine[0]
        said = f"{escape(first.attack)} at {formats.radius(facts['norm'], first.epsilon)}, the first samples that it turned from right to wrong."
        parts.append(f'{title}<p>{said}</p><div class="examples">{"".join(map(_example, mine))}</div>')
    note = "<p>Middle grey in the change is none; black and white are a change by the scale under the picture. Events are summed over time, on minus off.</p>"
    return "".join(parts) + note + render(made["examples"], "The samples shown")


def _example(example: Example) -> str:
    clean, change, attacked, scale = examples.pictures(example)
    unit = "events" if example.clean.dtype.kind == "u" else ""
    before, after = ({t: pair[i] for t, pair in example.predictions.items()} for i in (0, 1))
    return (
        f'<figure class="example"><div class="three"><div>{_image(clean, f"sample {example.index}, clean, a {example.label}")}<span>clean</span></div>'
        f'<div>{_image(change, "what the attack changed")}<span>change, ± {scale:.3g} {unit}</span></div>'
        f'<div>{_image(attacked, "the attacked sample")}<span>attacked</span></div></div>'
        f"<figcaption>Sample {example.index}, label {example.label}. Read as {_readings(before)} before, <strong>{_readings(after)}</strong> after.</figcaption></figure>"
    )


def _readings(predictions: Mapping[str, int]) -> str:
    """One number where all targets agree, else each target's."""
    if len(set(predictions.values())) == 1:
        return str(next(iter(predictions.values())))
    return ", ".join(f"{value} ({target})" for target, value in predictions.items())


def _flags(facts: dict, made: Mapping[str, Table]) -> str:
    if not facts["radii"]:
        return ""
    found = {model["name"]: flags_of(model) for model in facts["models"]}
    tripped = [check for check in facts["checks"] if any(check["name"] in flags for flags in found.values())]
    parts = [
        f"<p>{len(facts['checks'])} checks look for signs that an attack failed, which makes a model look stronger than it is. "
        + (f"{len(tripped)} of them tripped." if tripped else "None of them tripped.")
        + "</p>"
    ]
    signs = letters(facts["models"])
    for check in tripped:
        rows = []
        for place, (model, flags) in enumerate(found.items()):
            texts: dict[str, list[str]] = {}
            for target, text in flags.get(check["name"], ()):
                texts.setdefault(text, []).append(target)
            shown = [f"<li>{escape(text)} <span class=ci>({', '.join(targets)})</span></li>" for text, targets in texts.items()]
            if shown:
                more = details(f"{len(shown) - 3} more", f"<ul>{''.join(shown[3:])}</ul>") if len(shown) > 3 else ""
                rows.append(
                    f'<li><span class="letter c{place % 8}">{signs[model]}</span> {escape(model)}<ul>{"".join(shown[:3])}</ul>{more}</li>'
                )
        parts.append(
            f'<div class="flagged" id="flag-{escape(check["name"])}"><h3>{escape(formats.words(check["name"]))}</h3><p>{escape(check["meaning"])}</p>'
            f'<ul class="plain">{"".join(rows)}</ul></div>'
        )
    rest = [check for check in facts["checks"] if check not in tripped]
    listed = "".join(f"<dt>{escape(formats.words(check['name']))}</dt><dd>{escape(check['meaning'])}</dd>" for check in rest)
    return "".join(parts) + (details(f"The {len(rest)} checks that did not trip", f"<dl>{listed}</dl>") if rest else "") + render(made["flags"], "Every finding")


def _made(facts: dict, made: Mapping[str, Table]) -> str:
    about = facts["about"]
    data = (about.get("sweep") or {}).get("data") or {}
    versions = ", ".join(f"{escape(str(name))} {escape(str(version))}" for name, version in (about.get("versions") or {}).items())
    seeds = sorted({row["seed"] for m in facts["models"] for e in m["targets"] for row in e["attacks"]})
    command = f"<pre>{escape(about['command'])}</pre>" if about.get("command") else "<p>Started from Python, not from the command line.</p>"
    sources = {entry["name"]: entry for entry in about.get("models") or []}
    models = "".join(
        f"<dt>{escape(m['name'])}</dt><dd>from <code>{escape(str(sources.get(m['name'], {}).get('source')))}</code>, content "
        f"<code>{escape(str(sources.get(m['name'], {}).get('key'))[:16])}</code>, Program <code>{escape(m['program'][:16])}</code>, {m['classes']} classes, "
        f"{m['steps']} time steps{', random: its accuracy depends on a seed' if m['stochastic'] else ''}</dd>"
        for m in facts["models"]
    )
    return (
        f"{command}<dl>{models}"
        f"<dt>data</dt><dd>{escape(str(data.get('name')))}, the first {data.get('samples')} of the test set, content <code>{escape(str(data.get('key'))[:16])}</code></dd>"
        f"<dt>attack seeds</dt><dd>{', '.join(map(str, seeds)) or formats.NOTHING}</dd>"
        f"<dt>code</dt><dd><code>{escape(str(about.get('code'))[:16])}</code> (SHA-256 over the sources that results depend on)</dd>"
        f"<dt>versions</dt><dd>{versions}; reported by spikeport {escape(facts['reported_by'])}</dd>"
        f"<dt>cells</dt><dd>{about['cells']['stored']:,} of {about['cells']['planned']:,}, each computed once and kept sample by sample</dd></dl>"
        + details("The sweep", f"<pre>{escape(_json(about.get('sweep')))}</pre>")
    )


def _json(value) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)
