"""The answer in words: what was measured, and a few plain sentences for every model. Everything
here returns HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from toolchain.deploy.targets import TARGETS
from toolchain.pages import formats
from toolchain.pages.html import details, flag_links, title
from toolchain.report import battery, methods
from toolchain.report.facts import CROWDED, unfinished

_UNIT = re.compile(r"(?<=\d) (?=(?:points|[pnµm]?[Js])\b|%)")
"""A space that must not break: between a number and its unit."""


def head(facts: dict) -> list[str]:
    """What was measured, and a warning where it is not finished."""
    sweep = facts["about"]["sweep"] or {}
    data, preset = sweep.get("data") or {}, (sweep.get("attacks") or {}).get("preset")
    entries = [entry for model in facts["models"] for entry in model["targets"]]
    samples = max(entry["samples"] for entry in entries)
    targets = dict.fromkeys((entry["target"], entry["samples"]) for entry in entries)
    ran = formats.listed(
        f"{formats.TARGET_NAMES[t]}{'' if n == samples else f' (the first {n})'}"
        for t, n in targets
    )
    models = f"{len(facts['models'])} networks" if len(facts["models"]) > 1 else "One network"
    what = f"{models} on {samples} test samples of {escape(str(data.get('name') or 'unnamed data'))}, run in {escape(ran)}."
    weak = battery.title(facts["battery"])
    heading = "Attacked accuracy and energy: the same networks and inputs in software and on the chip’s arithmetic"
    parts = [
        '<header><p class="eyebrow">spikeport report</p>',
        f"<h1>{escape(weak)}. {heading}</h1>" if weak else f"<h1>{heading}</h1>",
        f'<p class="lead">{what} {_attacked(facts, entries, preset)}</p></header>',
    ]
    if weak:
        parts.append(
            f'<p class="warning" role="note"><strong>Smoke test.</strong> '
            f"{escape(battery.warning(facts['battery']))}</p>"
        )
    if missing := unfinished(facts):
        parts.append(
            f'<p class="warning" role="note"><strong>Unfinished.</strong> {missing} of '
            f"{facts['about']['cells']['planned']} cells are "
            "missing; worst cases may still fall. The same “spikeport bench” goes on where it "
            "stopped.</p>"
        )
    return parts


def _attacked(facts: dict, entries: list[dict], preset) -> str:
    if not facts["radii"]:
        return "No attack was run."
    ways = max((row["attacks"] for entry in entries for row in entry["worst"]), default=0)
    seeds = {row["seed"] for entry in entries for row in entry["attacks"]}
    radii = formats.listed(formats.radius(facts["norm"], e) for e in facts["radii"])
    chosen = f"preset {escape(str(preset))}" if preset else "a list of one’s own"
    named = f" ({chosen}; battery: {battery.mark(facts['battery'])})"
    drawn = f", with {len(seeds)} seeds" if len(seeds) > 1 else ""
    return f"Attacked in {ways} ways{named} at {radii}{drawn}: {formats.threat(facts['norm'])}."


def answer(facts: dict) -> str:
    """A few plain sentences for every model; of more than ``CROWDED`` models, for all of them
    together, the others behind a click."""
    if len(facts["models"]) > CROWDED:
        return overall(facts) + details("Every network in words", _articles(facts), "more")
    return _articles(facts)


def _articles(facts: dict) -> str:
    return "".join(
        f'<article class="model">{title(facts, model)}'
        + "".join(f"<p>{_UNIT.sub(chr(160), sentence)}</p>" for sentence in sentences(facts, model))
        + "</article>"
        for model in facts["models"]
    )


def overall(facts: dict) -> str:
    """All models in a few sentences: where there are many, their own would hide the answer."""
    told = [(model["name"], model["answer"]) for model in facts["models"]]
    compared = [
        (name, answer["software"]) for name, answer in told if answer["software"] is not None
    ]
    parts = []
    if compared:
        differ = [name for name, software in compared if not software["identical"]]
        same = f"{len(compared) - len(differ)} of {len(compared)} networks with a Program compute <strong>exactly as in software</strong>"
        parts.append(
            f"{same}: every prediction, spike and synaptic operation."
            + (
                f" {escape(formats.listed(differ))} {'differ' if len(differ) > 1 else 'differs'}."
                if differ
                else ""
            )
        )
    worst = sorted(_worst(facts, told), key=lambda w: w[:2])
    if worst:
        (_, low, least), (_, high, most) = worst[0], worst[-1]
        parts.append(
            f"Under the worst of all attacks at {formats.radius(facts['norm'], facts['radius'])}, "
            f"they keep from {_share(least)} "
            f"({escape(low)}) to {_share(most)} ({escape(high)}){_of_trainings(facts)}."
        )
    flagged = sum(bool(answer["flags"]) for _, answer in told)
    if facts["radii"]:
        said = f"On {flagged or 'none'} of {len(told)}, a check says that the attacks may have failed; see the flags in the table."
        weak = (
            " That there is none on the others means nothing: the battery is a smoke test."
            if battery.weak(facts["battery"])
            else ""
        )
        parts.append(said + weak)
    return "".join(f"<p>{_UNIT.sub(chr(160), part)}</p>" for part in parts)


def _worst(facts: dict, told: list[tuple[str, dict]]) -> list[tuple[float, str, dict]]:
    """(share, name, share with its ends) in the worst case of every method, or, where each has one
    training, of every network."""
    if methods.several(facts):
        shares = [
            (model["name"], row["share"])
            for model in methods.merged(facts)["models"]
            for row in model["targets"][0]["worst"]
            if row["epsilon"] == facts["radius"]
        ]
    else:
        shares = [(name, answer["worst"]["share"]) for name, answer in told if answer["worst"]]
    return [(share["value"], name, share) for name, share in shares]


def _of_trainings(facts: dict) -> str:
    return ": means over trainings, smallest to largest" if methods.several(facts) else ""


def sentences(facts: dict, model: dict) -> list[str]:
    """Accuracy, energy and flags of a model in words."""
    told = model["answer"]
    said = (
        _accuracy(facts, told),
        _form(model),
        _cost(told, facts.get("rate_hz")),
        _doubt(facts, told, model["battery"]),
    )
    return [sentence for sentence in said if sentence]


def _form(model: dict) -> str:
    """What the form of a defence has otherwise than its paper."""
    return (
        f"Its form differs from its paper in: {escape('; '.join(model['differs']))}."
        if model["differs"]
        else ""
    )


def _share(share: Mapping, strong: bool = True) -> str:
    value = formats.percent(share["value"])
    return f"{f'<strong>{value}</strong>' if strong else value} ({formats.interval(share['low'], share['high'])})"


def _accuracy(facts: dict, told: dict) -> str:
    where, software, worst = TARGETS[told["target"]].phrase, told["software"], told["worst"]
    said = f"{where} ({told['target']}) it gets {_share(told['clean'], worst is None)} of {told['samples']} clean samples right"
    if told["inference"]:
        said += f" (over {told['inference'][0]['seeds']} inference seeds {_over_seeds(told['inference'][0])})"
    if worst is not None:
        radius = formats.radius(facts["norm"], facts["radius"])
        keeps = "keeps at most" if battery.weak(worst["battery"]) else "keeps"
        said += f" and {keeps} {_share(worst['share'])} under the worst of {worst['attacks']} attacks at {radius}"
        over = next((row for row in told["inference"] if row["epsilon"] == worst["epsilon"]), None)
        said += f" (over inference seeds {_over_seeds(over)})" if over else ""
        if worst["published"] is not None and worst["flattered"]["value"] > 0:
            usual = formats.percent(worst["published"]["value"])
            said += f", where {escape(formats.listed(worst['published_attacks']))}, as usually published, would leave {usual}"
    if software is None:
        return said + "."
    if software["identical"]:
        others = [
            f"{formats.TARGET_NAMES[t]}, on the first {n} samples"
            for t, n in told["also_identical"].items()
        ]
        also = f"; in {formats.listed(others)}, too" if others else ""
        counts = f"every prediction, spike and synaptic operation of all {software['cells']} sets of inputs is the same"
        return f"{said}, <strong>exactly as in software</strong>: {counts}{also}."
    row = software["worst"] or software["clean"]
    difference = f"<strong>{formats.signed(row['difference'])} points</strong> ({formats.interval(row['low'], row['high'])}"
    alone = (
        f"{row['right_only_on_baseline']} samples only software gets right, "
        f"{row['right_only_on_target']} only hardware; "
        f"McNemar p = {row['p_value']:.2g})"
    )
    keeps = f"; in software it keeps {_share(row['shares'][0], False)}" if software["worst"] else ""
    return f"{said}{keeps}. Hardware minus software: {difference}; {alone}."


def _over_seeds(row: Mapping) -> str:
    return f"{formats.percent(row['mean'])}, {formats.interval(row['low'], row['high'])}"


def _change(change: Mapping | None) -> str:
    if change is None:
        return formats.NOTHING
    ends = formats.interval(change["low"], change["high"])
    return f"{formats.signed(change['value'])} %" + (f" ({ends})" if ends else "")


def _cost(told: dict, rate: float | None) -> str:
    clean = told["energy"]["clean"]
    if clean["static_j"] is None:
        return (
            f"There is no Program of it, so nothing of the chip: one inference is estimated at "
            f"<strong>"
            f"{formats.quantity(clean['dynamic_j']['value'], 'J')}</strong> of multiply-accumulate "
            f"operations ({escape(clean['table'])})."
        )
    dynamic, low, high = (
        formats.quantity(v, "J")
        for v in (clean["dynamic_j"]["value"], clean["band_low_j"], clean["band_high_j"])
    )
    pace = (
        "without a pause between inferences"
        if rate is None
        else f"at {rate:g} inferences in a second"
    )
    said = (
        f"One inference is estimated at <strong>{dynamic}</strong> of dynamic energy on clean "
        f"inputs (band {low} to {high}), "
        f"and {_banded(clean, 'static', 'j')} of static energy {pace}; it takes "
        f"{_banded(clean, 'time', 's')}"
    )
    if clean["time_limit"] is not None:
        said += f", limited by {escape(clean['time_limit'])}"
    if told["software"] is not None:
        change = told["software"]["energy_change"]
        same = change is not None and change["value"] == 0 and change["no_interval"] is not None
        said += (
            "; software’s spikes would cost the same"
            if same
            else f"; that is {_change(change)} against the spikes of software"
        )
    attacks = {
        "attacked": "under the attack that leaves least accuracy",
        "energy attack": "under the costliest energy attack",
    }
    parts = [
        f"{_change(row['change'])} {what}"
        for inputs, what in attacks.items()
        if (row := told["energy"].get(inputs))
    ]
    return said + (f". Dynamic energy changes by {formats.listed(parts)}." if parts else ".")


def _banded(row: Mapping, name: str, unit: str) -> str:
    """A quantity with its band, where the run holds one."""
    value, low, high = (row[f"{name}{end}_{unit}"] for end in ("", "_low", "_high"))
    unit = unit.upper() if unit == "j" else unit
    ends = (
        "" if low is None else f" ({formats.quantity(low, unit)} to {formats.quantity(high, unit)})"
    )
    return formats.quantity(value, unit) + ends


def _doubt(facts: dict, told: dict, tried: Mapping | None) -> str:
    if not facts["radii"]:
        return ""
    if not told["flags"]:
        return battery.no_flag(len(facts["checks"]), tried)
    number = len(told["flags"])
    return f"<strong>{number} flag{'s' if number > 1 else ''}</strong> on the attacks behind these numbers: {flag_links(told['flags'])}"
