"""The answer in words: what was measured, and a few plain sentences for every network. Everything
here returns HTML."""

from __future__ import annotations

import re
from html import escape

from toolchain.pages import formats
from toolchain.pages.html import details, flag_links
from toolchain.report import battery, methods
from toolchain.report.facts import (
    AgainstSoftware,
    Answer,
    Energy,
    Facts,
    Inference,
    Mean,
    ReportedModel,
    ReportedTarget,
    Worst,
)
from toolchain.report.legends import title
from toolchain.report.pareto import CROWDED
from toolchain.report.trainings import several
from toolchain.robustness.statistics import Share
from toolchain.targets import TARGETS

_UNIT = re.compile(r"(?<=\d) (?=(?:points|[pnµm]?[Js])\b|%)")
"""A space that must not break: between a number and its unit."""


HEADING = (
    "Attacked accuracy and energy: the same networks and inputs in software and on the chip’s "
    "arithmetic"
)


def head(facts: Facts) -> list[str]:
    """What was measured, and a warning where it is not finished."""
    sweep = facts.about["sweep"] or {}
    data, preset = sweep.get("data") or {}, (sweep.get("attacks") or {}).get("preset")
    entries = [entry for model in facts.models for entry in model.targets]
    samples = max(entry.samples for entry in entries)
    targets = dict.fromkeys((entry.target, entry.samples) for entry in entries)
    ran = formats.listed(
        f"{formats.TARGET_NAMES[t]}{'' if n == samples else f' (the first {n})'}"
        for t, n in targets
    )

    models = f"{len(facts.models)} networks" if len(facts.models) > 1 else "One network"
    named = escape(str(data.get("name") or "unnamed data"))
    lead = f"{models} on {samples} test samples of {named}, run in {escape(ran)}."
    weak = battery.title(facts.battery)

    parts = [
        '<header><p class="eyebrow">spikeport report</p>',
        f"<h1>{escape(weak)}. {HEADING}</h1>" if weak else f"<h1>{HEADING}</h1>",
        f'<p class="lead">{lead} {_attacked(facts, entries, preset)}</p></header>',
    ]
    if weak:
        parts.append(
            f'<p class="warning" role="note"><strong>Smoke test.</strong> '
            f"{escape(battery.warning(facts.battery))}</p>"
        )
    if facts.unfinished:
        parts.append(
            f'<p class="warning" role="note"><strong>Unfinished.</strong> {facts.unfinished} of '
            f"{facts.about['cells']['planned']} cells are missing; worst cases may still fall. The "
            "same “spikeport bench” goes on where it stopped.</p>"
        )
    return parts


def _attacked(facts: Facts, entries: list[ReportedTarget], preset: object) -> str:
    if not facts.radii:
        return "No attack was run."
    ways = max((row.attacks for entry in entries for row in entry.worst), default=0)
    seeds = {row.seed for entry in entries for row in entry.attacks}
    radii = formats.listed(formats.radius(facts.norm, e) for e in facts.radii)
    chosen = f"preset {escape(str(preset))}" if preset else "a list of one’s own"
    named = f" ({chosen}; battery: {battery.mark(facts.battery)})"
    drawn = f", with {len(seeds)} seeds" if len(seeds) > 1 else ""
    return f"Attacked in {ways} ways{named} at {radii}{drawn}: {formats.threat(facts.norm)}."


def answer(facts: Facts) -> str:
    """A few plain sentences for every network; of more than ``CROWDED`` networks, for all of them
    together, the others behind a click."""
    if len(facts.models) > CROWDED:
        return overall(facts) + details("Every network in words", _articles(facts), "more")
    return _articles(facts)


def _articles(facts: Facts) -> str:
    return "".join(
        f'<article class="model">{title(facts, model)}'
        + "".join(map(_paragraph, sentences(facts, model)))
        + "</article>"
        for model in facts.models
    )


def _paragraph(sentence: str) -> str:
    return f"<p>{_UNIT.sub(chr(160), sentence)}</p>"


def overall(facts: Facts) -> str:
    """All networks in a few sentences: where there are many, their own would hide the answer."""
    parts = [*_same(facts), *_kept(facts), *_flagged(facts)]
    return "".join(map(_paragraph, parts))


def _same(facts: Facts) -> list[str]:
    """How many compute as in software, by their answer or by a target that repeats it."""
    compared = [
        (model.name, model.answer.software.identical)
        for model in facts.models
        if model.answer.software is not None
    ]
    if not compared:
        return []
    differ = [name for name, identical in compared if not identical]
    text = (
        f"{len(compared) - len(differ)} of {len(compared)} networks with a Program compute "
        "<strong>exactly as in software</strong>: every prediction, spike and synaptic operation."
    )
    if differ:
        text += f" {escape(formats.listed(differ))} {'differ' if len(differ) > 1 else 'differs'}."
    return [text]


def _kept(facts: Facts) -> list[str]:
    worst = sorted(_worst(facts), key=lambda w: w[:2])
    if not worst:
        return []
    (_, low, least), (_, high, most) = worst[0], worst[-1]
    of_trainings = ": means over trainings, smallest to largest" if several(facts) else ""
    return [
        f"Under the worst of all attacks at {formats.radius(facts.norm, facts.radius)}, "
        f"they keep from {_share(least)} ({escape(low)}) to {_share(most)} "
        f"({escape(high)}){of_trainings}."
    ]


def _flagged(facts: Facts) -> list[str]:
    if not facts.radii:
        return []
    flagged = sum(bool(model.answer.flags) for model in facts.models)
    text = (
        f"On {flagged or 'none'} of {len(facts.models)}, a check says that the attacks may have "
        "failed; see the flags in the table."
    )
    if battery.weak(facts.battery):
        text += " That there is none on the others means nothing: the battery is a smoke test."
    return [text]


def _worst(facts: Facts) -> list[tuple[float, str, Share]]:
    """(share, name, share with its ends) in the worst case of every method, or, where each has one
    training, of every network."""
    if several(facts):
        shares = [
            (model.name, row.share)
            for model in methods.merged(facts).models
            if (row := model.targets[0].worst_at(facts.radius)) is not None
        ]
    else:
        answers = [(model.name, model.answer.worst) for model in facts.models]
        shares = [(name, worst.share) for name, worst in answers if worst is not None]
    return [(share.value, name, share) for name, share in shares]


def sentences(facts: Facts, model: ReportedModel) -> list[str]:
    """Accuracy, energy and flags of a network in words."""
    chosen = model.answer
    parts = (
        _accuracy(facts, chosen),
        _form(model),
        _cost(chosen, facts.rate_hz),
        _doubt(facts, model),
    )
    return [sentence for sentence in parts if sentence]


def _form(model: ReportedModel) -> str:
    """What the form of a defence has otherwise than its paper."""
    if not model.differs:
        return ""
    return f"Its form differs from its paper in: {escape('; '.join(model.differs))}."


def _share(share: Share, strong: bool = True) -> str:
    value = formats.percent(share.value)
    shown = f"<strong>{value}</strong>" if strong else value
    return f"{shown} ({formats.interval(share.low, share.high)})"


def _accuracy(facts: Facts, told: Answer) -> str:
    clean = _share(told.clean, told.worst is None)
    text = (
        f"{TARGETS[told.target].phrase} ({told.target}) it gets {clean} of {told.samples} clean "
        "samples right"
    )
    if told.inference:
        first = told.inference[0]
        text += f" (over {first.seeds} inference seeds {_over_seeds(first)})"
    if told.worst is not None:
        text += _attacked_accuracy(facts, told, told.worst)

    others = [
        f"{formats.TARGET_NAMES[target]}, on the first {samples} samples"
        for target, samples in told.also_identical.items()
    ]
    if told.software is None:
        same = "every prediction, spike and synaptic operation is the same"
        return text + (f"; in {formats.listed(others)}, {same}." if others else ".")
    if told.software.identical:
        also = f"; in {formats.listed(others)}, too" if others else ""
        return (
            f"{text}, <strong>exactly as in software</strong>: every prediction, spike and "
            f"synaptic operation of all {told.software.cells} sets of inputs is the same{also}."
        )
    return text + _difference(told.software)


def _attacked_accuracy(facts: Facts, told: Answer, worst: Worst) -> str:
    radius = formats.radius(facts.norm, facts.radius)
    keeps = "keeps at most" if battery.weak(worst.battery) else "keeps"
    text = (
        f" and {keeps} {_share(worst.share)} under the worst of {worst.attacks} attacks at {radius}"
    )
    over = next((row for row in told.inference if row.epsilon == worst.epsilon), None)
    if over is not None:
        text += f" (over inference seeds {_over_seeds(over)})"
    flattered = worst.flattered is not None and worst.flattered.value > 0
    if worst.published is not None and flattered:
        text += (
            f", where {escape(formats.listed(worst.published_attacks))}, as usually published, "
            f"would leave {formats.percent(worst.published.value)}"
        )
    return text


def _difference(software: AgainstSoftware) -> str:
    """Hardware against software, where they differ."""
    row = software.worst or software.clean
    if row is None:
        return ""
    keeps = ""
    if software.worst is not None:
        keeps = f"; in software it keeps {_share(software.worst.shares[0], False)}"
    return (
        f"{keeps}. Hardware minus software: "
        f"<strong>{formats.signed(row.difference)} points</strong> "
        f"({formats.interval(row.low, row.high)}; "
        f"{row.right_only_on_baseline} samples only software gets right, "
        f"{row.right_only_on_target} only hardware; McNemar p = {row.p_value:.2g})."
    )


def _over_seeds(row: Inference) -> str:
    return f"{formats.percent(row.mean)}, {formats.interval(row.low, row.high)}"


def _change(change: Mean | None) -> str:
    if change is None:
        return formats.NOTHING
    ends = formats.interval(change.low, change.high)
    return f"{formats.signed(change.value)} %" + (f" ({ends})" if ends else "")


def _cost(told: Answer, rate: float | None) -> str:
    clean = told.energy["clean"]
    if clean.static_j is None:
        return (
            "There is no Program of it, so nothing of the chip: one inference is estimated at "
            f"<strong>{formats.quantity(clean.dynamic_j.value, 'J')}</strong> of "
            f"multiply-accumulate operations ({escape(clean.table)})."
        )
    dynamic, low, high = (
        formats.quantity(v, "J")
        for v in (clean.dynamic_j.value, clean.band_low_j, clean.band_high_j)
    )
    pace = (
        "without a pause between inferences"
        if rate is None
        else f"at {rate:g} inferences in a second"
    )
    text = (
        f"One inference is estimated at <strong>{dynamic}</strong> of dynamic energy on clean "
        f"inputs (band {low} to {high}), and {_static(clean)} of static energy {pace}; it takes "
        f"{_time(clean)}"
    )
    if clean.time_limit is not None:
        text += f", limited by {escape(clean.time_limit)}"
    if told.software is not None:
        change = told.software.energy_change
        same = change is not None and change.value == 0 and change.no_interval is not None
        text += (
            "; software’s spikes would cost the same"
            if same
            else f"; that is {_change(change)} against the spikes of software"
        )

    attacks = {
        "attacked": "under the attack that leaves least accuracy",
        "energy attack": "under the costliest energy attack",
    }
    parts = [
        f"{_change(row.change)} {what}"
        for inputs, what in attacks.items()
        if (row := told.energy.get(inputs))
    ]
    return text + (f". Dynamic energy changes by {formats.listed(parts)}." if parts else ".")


def _static(row: Energy) -> str:
    return _banded(row.static_j, row.static_low_j, row.static_high_j, "J")


def _time(row: Energy) -> str:
    return _banded(row.time_s, row.time_low_s, row.time_high_s, "s")


def _banded(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """A quantity with its band, where the run holds one."""
    shown = formats.quantity(value, unit)
    if low is None:
        return shown
    return f"{shown} ({formats.quantity(low, unit)} to {formats.quantity(high, unit)})"


def _doubt(facts: Facts, model: ReportedModel) -> str:
    if not facts.radii:
        return ""
    flags = model.answer.flags
    if not flags:
        return battery.no_flag(len(facts.checks), model.battery)
    number = f"{len(flags)} flag{'s' if len(flags) > 1 else ''}"
    return f"<strong>{number}</strong> on the attacks behind these numbers: {flag_links(flags)}"
