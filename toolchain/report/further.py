"""Tables that not every run has: published against adaptive, corruptions, detectors, seeds of the
inference, samples that are shown, flags, and what is not there."""

from __future__ import annotations

from typing import NamedTuple

from toolchain.pages import formats
from toolchain.pages.table import SEEDS, Column, Interval, Table
from toolchain.report import battery
from toolchain.report.facts import Analysis, Facts, ReportedAbsent, ReportedModel
from toolchain.report.rows import (
    MASKING,
    MODEL,
    RADIUS,
    TARGET,
    ZERO,
    Row,
    every,
    item,
    measured,
    rows,
)
from toolchain.report.worst_cases import KINDS


def published(facts: Analysis) -> Table:
    """One row for each model, target and radius: what usual publications report beside the worst
    case."""
    entries = rows(
        measured(facts), lambda entry: (r for r in entry.worst if r.published is not None)
    )

    columns = (
        MODEL,
        TARGET,
        RADIUS,
        item("published_attacks_leave", "as usually published", "share", "published"),
        item("worst_case", "worst case of all", "share", "share"),
        item("published_minus_worst_case", "published − worst case", "points", "flattered"),
        Column(
            "published_attacks",
            "the usual attacks",
            get=lambda row: "; ".join(row.item.published_attacks),
        ),
        item("attacks", "attacks in all", "count"),
    )

    caption = (
        "Accuracy under the attacks that most publications stop at, together, and in the worst "
        "case of the whole battery."
    )
    return Table.of("published", battery.caption(facts.battery) + caption, columns, entries)


def masking(facts: Analysis) -> Table:
    """One row for each model, target and radius: the worst case of every kind of attack alone."""
    columns = (
        MODEL,
        TARGET,
        RADIUS,
        ZERO,
        *map(_of_kind, KINDS),
        item("worst_case", "all together", "share", "share"),
    )
    entries = rows(measured(facts), lambda entry: entry.worst)
    return Table.of("masking", battery.caption(facts.battery) + MASKING, columns, entries)


def _of_kind(name: str) -> Column:
    return Column(name, name, "share", get=lambda row: row.item.kinds[name])


class _Near(NamedTuple):
    model: ReportedModel
    layer: str
    share: float


def near_threshold(facts: Analysis) -> Table:
    """One row for each model and layer of spiking neurons, and one for all its layers together."""
    pairs = [(model, model.near_threshold) for model in facts.models if model.near_threshold]
    entries = [
        _Near(model, layer, share)
        for model, near in pairs
        for layer, share in {"all layers": near.share, **near.layers}.items()
    ]
    columns = (
        MODEL,
        Column("layer", "layer", get=lambda row: row.layer),
        Column("share", "near threshold", "plain share", get=lambda row: row.share),
    )
    within = pairs[0][1].within if pairs else 0.0
    caption = (
        "Share of potentials (clean inputs, every step and neuron, before the reset) that are less "
        f"than {within:g} of the threshold away from it: what threshold guarding makes smaller."
    )
    return Table.of("near_threshold", caption, columns, entries)


def detector(facts: Analysis) -> Table:
    """One row for each model with a detector and attack, and one for clean inputs."""
    columns = (
        MODEL,
        item("attack", "attack", name="name"),
        RADIUS,
        item("seed", "seed", "count"),
        item("crafted_on", "made on"),
        item("auc", "AUC", "number"),
        item("caught", "taken for perturbed", "share"),
    )
    caption = (
        "What the detector makes of clean inputs (its false-positive rate) and of attacked ones "
        "(its true-positive rate), at the threshold of its gate; AUC: the area under the curve "
        "over all thresholds, 0.5 is chance. Attacks that know of it hold it down."
    )
    return Table.of("detector", caption, columns, rows(every(facts), lambda entry: entry.detector))


def corruptions(facts: Analysis) -> Table:
    """One row for each model, target, corruption and severity."""
    columns = (
        MODEL,
        TARGET,
        item("corruption", "corruption", name="name"),
        item("severity", "severity", "count"),
        item("accuracy", "accuracy", "share", "share"),
        item("accuracy_change", "against clean", "points", "change"),
        item("mean_margin", "mean margin", "number"),
        item("dynamic_change", "dynamic energy", "change", "energy_change"),
    )
    caption = (
        "Common corruptions, which nobody chose to fool the network: a second axis of robustness. "
        "Severity 1 to 5."
    )
    entries = rows(measured(facts), lambda entry: entry.corruptions)
    return Table.of("corruptions", caption, columns, entries)


def _each(row: Row) -> str:
    pairs = zip(row.item.numbers, row.item.each)
    return ", ".join(f"{seed}: {formats.percent(value)}" for seed, value in pairs)


def inference(facts: Analysis) -> Table:
    """One row for each model that is random, target and radius."""
    columns = (
        MODEL,
        TARGET,
        Column("inputs", "inputs", get=lambda row: "worst case" if row.item.epsilon else "clean"),
        RADIUS,
        item("inference_seeds", "inference seeds", "count", "seeds"),
        Column(
            "accuracy",
            "accuracy: mean, smallest, largest",
            "share",
            SEEDS,
            lambda row: Interval(row.item.mean, row.item.low, row.item.high),
        ),
        item("deviation", "standard deviation", "plain share"),
        Column("each", "each seed", get=_each),
    )

    caption = (
        "Networks whose inference is random, over the seeds of the inference: the same samples, "
        "other noise or other input spikes."
    )
    entries = rows(measured(facts), lambda entry: entry.inference)
    return Table.of("inference", battery.caption(facts.battery) + caption, columns, entries)


def examples(facts: Facts) -> Table:
    """One row for each sample shown and target."""
    entries = [
        (shown, target, pair)
        for shown in facts.examples
        for target, pair in shown.predictions.items()
    ]
    columns = (
        Column("model", "model", get=lambda row: row[0].model),
        Column("index", "sample", "count", get=lambda row: row[0].index),
        Column("label", "label", "count", get=lambda row: row[0].label),
        Column("attack", "attack", get=lambda row: row[0].attack),
        Column("epsilon", "radius", "number", get=lambda row: row[0].epsilon),
        Column("seed", "seed", "count", get=lambda row: row[0].seed),
        Column("distance", "change", "number", get=lambda row: row[0].distance),
        Column("target", "target", get=lambda row: row[1]),
        Column("before", "predicted before", "count", get=lambda row: row[2][0]),
        Column("after", "predicted after", "count", get=lambda row: row[2][1]),
    )
    caption = "The samples that are shown, and what every target made of them."
    return Table.of("examples", caption, columns, entries)


class _Finding(NamedTuple):
    model: ReportedModel
    flag: str
    target: str
    text: str


def flags(facts: Analysis) -> Table:
    """One row for each finding."""
    entries = [
        _Finding(model, name, target, text)
        for model in facts.models
        for name, findings in model.findings().items()
        for target, text in findings
    ]
    columns = (
        MODEL,
        Column("flag", "flag", get=lambda row: row.flag),
        Column("target", "target", get=lambda row: row.target),
        Column("finding", "finding", get=lambda row: row.text),
    )
    return Table.of("flags", "What the checks of honesty found.", columns, entries)


class _Gap(NamedTuple):
    model: ReportedModel
    item: ReportedAbsent


def _what(row: _Gap) -> str:
    return f"target {row.item.what}" if row.item.kind == "target" else row.item.what


def _made_on(row: _Gap) -> str | None:
    return "; ".join(row.item.crafted_on) if row.item.kind == "attack" else None


def absent(facts: Analysis) -> Table:
    """One row for each thing that could not be measured, and why."""
    columns = (
        MODEL,
        Column("what", "not there", get=_what),
        Column("crafted_on", "to be made on", get=_made_on),
        item("reason", "not applicable, because"),
        item("cells", "cells", "count"),
    )
    gaps = [_Gap(model, gap) for model in facts.models for gap in model.absent]
    caption = "Cells that cannot be: no figure is missing elsewhere without a row here."
    return Table.of("absent", caption, columns, gaps)
