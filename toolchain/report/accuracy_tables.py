"""Tables of accuracy: at a glance, in the worst case, attack by attack, and between targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from toolchain.pages import formats
from toolchain.pages.table import BAND, SEEDS, Column, Interval, Table
from toolchain.report import battery, rate
from toolchain.report.facts import (
    Analysis,
    Compared,
    ComparedWorst,
    ReportedComparison,
    ReportedModel,
)
from toolchain.report.rows import (
    BATTERY,
    MODEL,
    RADIUS,
    TARGET,
    Row,
    agreement,
    band,
    difference,
    every,
    item,
    measured,
    rows,
    static,
)

REPEATED = (
    " A target that ran fewer samples than the others and agrees in all is in the summary alone."
)
"""Said by captions of tables that leave such targets out."""


def _note(facts: Analysis) -> str:
    return REPEATED if any(model.repeated for model in facts.models) else ""


def glance(facts: Analysis) -> Table:
    """One row for each model and target."""
    radius = facts.radius

    def clean(row: Row) -> object:
        return None if row.model.repeats(row.entry) else row.entry.clean

    def worst_at(epsilon: float) -> Callable[[Row], object]:
        def get(row: Row) -> object:
            entry = None if row.model.repeats(row.entry) else row.entry.worst_at(epsilon)
            return entry and entry.share

        return get

    def against(row: Row) -> Interval | None:
        compared = row.model.comparison("software", row.entry.target)
        if compared is None or row.model.repeats(row.entry):
            return None
        return difference(compared.worst_at(radius))

    def change(inputs: str) -> Callable[[Row], object]:
        def get(row: Row) -> object:
            entry = row.entry.energy_of(inputs, radius)
            return entry and entry.change

        return get

    columns = [
        MODEL,
        TARGET,
        Column("samples", "samples", "count", get=lambda row: row.entry.samples),
        Column("clean_accuracy", "clean", "share", get=clean),
        *(
            Column(
                f"worst_case_{e:g}",
                f"worst case, {formats.radius(facts.norm, e)}",
                "share",
                get=worst_at(e),
            )
            for e in facts.radii
        ),
        Column("target_minus_software", "against software", "points", get=against),
        Column("agreement", "the same as software in", get=_agreement),
        Column(
            "dynamic_j",
            "dynamic energy",
            "joules",
            BAND,
            lambda row: band(row.entry.energy_of("clean", radius)),
        ),
        Column(
            "static_j",
            "static energy",
            "joules",
            BAND,
            lambda row: static(row.entry.energy_of("clean", radius)),
        ),
        Column("dynamic_change_attacked", "dynamic, attacked", "change", get=change("attacked")),
        Column(
            "dynamic_change_energy_attack",
            "dynamic, energy attack",
            "change",
            get=change("energy attack"),
        ),
        Column("battery", "battery", get=_battery),
        Column("flags", "flags", "flags", get=_flags),
    ]
    if any(model.differs for model in facts.models):
        columns.append(
            Column(
                "differs",
                "differs from its paper in",
                get=lambda row: "; ".join(row.model.differs) or None,
            )
        )
    caption = (
        "Share of samples that are classified correctly, with 95 % intervals; worst case: correct "
        "under every attack, restart and seed. Energy is an estimate for one inference on clean "
        f"inputs with its band ({rate.said(facts)}); then its change under attack. "
        f"Against software, and changes under attack: {formats.radius(facts.norm, radius)}. The "
        "same: every prediction, spike and synaptic operation; a target that ran fewer samples "
        "than the others and agrees in all has no accuracy of its own."
    )
    items = [Row(model, entry) for model, entry in every(facts)]
    return Table.of("summary", battery.caption(facts.battery) + caption, columns, items)


def _agreement(row: Row) -> str | None:
    return agreement(row.model.agreement(row.entry))


def _battery(row: Row) -> str | None:
    return None if row.model.repeats(row.entry) else battery.mark(row.entry.battery)


def _flags(row: Row) -> list[str]:
    if row.model.repeats(row.entry):
        return []

    return battery.flags([flag.name for flag in row.entry.flags], row.entry.battery)


def _one_seed(row: Row) -> Interval:
    over = row.item.over_seeds
    return Interval(over.mean, over.low, over.high)


def worst(facts: Analysis) -> Table:
    """One row for each model, target and radius."""
    columns = (
        MODEL,
        TARGET,
        RADIUS,
        item("attacks", "attacks", "count"),
        Column("samples", "samples", "count", get=lambda row: row.item.share.samples),
        item("worst_case", "worst case", "share", "share"),
        Column("attack_seeds", "seeds", "count", get=lambda row: row.item.over_seeds.seeds),
        Column(
            "one_seed_alone", "each seed alone: mean, smallest, largest", "share", SEEDS, _one_seed
        ),
        item("strongest_attack", "strongest single attack", name="strongest"),
        item("strongest_attack_leaves", "alone it leaves", "share", "strongest_share"),
        Column(
            "dynamic_j",
            "dynamic energy",
            "joules",
            BAND,
            lambda row: band(row.entry.energy_of("clean", None)),
        ),
        BATTERY,
        Column(
            "flags",
            "flags",
            "flags",
            get=lambda row: battery.flags(row.item.flags, row.item.battery),
        ),
    )

    caption = "Accuracy in the per-sample worst case, and energy of one inference on clean inputs."
    return Table.of(
        "worst_case",
        battery.caption(facts.battery) + caption + _note(facts),
        columns,
        rows(measured(facts), lambda entry: entry.worst),
    )


def attacks(facts: Analysis) -> Table:
    """One row for each model, target, attack, radius and seed."""
    columns = (
        MODEL,
        TARGET,
        item("attack", "attack", name="name"),
        item("crafted_on", "made on"),
        RADIUS,
        item("eot", "draws in a gradient", "count"),
        item("seed", "seed", "count"),
        item("samples", "samples", "count"),
        item("attacked_accuracy", "accuracy", "share"),
        Column("drop", "drop from clean", "points", get=lambda row: Interval(row.item.drop)),
        item("success_over_all", "success over all", "share"),
        Column(
            "success_over_correct",
            "success over correct",
            "share",
            get=lambda row: row.item.success_over_correct,
        ),
        item("mean_margin", "mean margin", "number"),
        item("largest_distance", "largest change", "number"),
        item("mean_queries", "queries", "count"),
        item("spikes", "spikes", "count"),
        item("syn_ops", "synaptic operations", "count"),
        item("dynamic_j", "dynamic energy", "joule"),
        item("flags", "flags", "flags"),
    )

    caption = (
        "Every attack by itself. Drop: clean minus attacked accuracy. Success over all counts "
        "samples that are wrong afterwards, over correct only those that were right before. "
        "Margin: score of the label minus the best other. Draws in a gradient: where the network "
        "is random, as many are averaged (EOT)."
    )
    return Table.of(
        "attacks",
        caption + _note(facts),
        columns,
        rows(measured(facts), lambda entry: entry.attacks),
    )


class _Pair(NamedTuple):
    """A row of the comparison of two targets; ``item`` is a set of inputs, or the worst case."""

    model: ReportedModel
    compared: ReportedComparison
    item: Compared | ComparedWorst
    repeats: bool

    @property
    def cell(self) -> Compared | None:
        """None in the worst case."""
        return self.item if isinstance(self.item, Compared) else None

    def accuracy(self, place: int) -> float | None:
        """Of the baseline (0) or the target (1)."""
        if self.repeats:
            return None
        if isinstance(self.item, Compared):
            return self.item.accuracy[place]
        return self.item.shares[place].value


def _of_cell(key: str, label: str, kind: str, name: str | None = None) -> Column:
    """A column of single sets of inputs; empty in the worst case."""
    return Column(key, label, kind, get=lambda row: row.cell and getattr(row.cell, name or key))


def _same(row: _Pair) -> str | None:
    return None if row.cell is None else "yes" if row.cell.identical else "no"


_COMPARISONS = (
    MODEL,
    Column("baseline", "baseline", get=lambda row: row.compared.targets[0]),
    Column("target", "target", get=lambda row: row.compared.targets[1]),
    Column(
        "attack",
        "attack",
        get=lambda row: "worst case of all" if row.cell is None else row.cell.name,
    ),
    RADIUS,
    Column("seed", "seed", "count", get=lambda row: None if row.cell is None else row.cell.seed),
    item("samples", "samples", "count"),
    Column(
        "baseline_accuracy", "accuracy, baseline", "plain share", get=lambda row: row.accuracy(0)
    ),
    Column("target_accuracy", "accuracy, target", "plain share", get=lambda row: row.accuracy(1)),
    Column(
        "target_minus_baseline",
        "target − baseline",
        "points",
        get=lambda row: None if row.repeats else difference(row.item),
    ),
    item("right_only_on_baseline", "right on the baseline only", "count"),
    item("right_only_on_target", "right on the target only", "count"),
    item("mcnemar_p", "McNemar p", "number", "p_value"),
    Column(
        "predictions_that_differ",
        "predictions that differ",
        "count",
        get=lambda row: None if row.cell is None else row.cell.predictions_that_differ,
    ),
    _of_cell("dynamic_change", "dynamic energy", "change", "energy_change"),
    Column("every_count_the_same", "every count the same", get=_same),
)


def comparisons(facts: Analysis) -> Table:
    """One row for each model, hardware target and attack: the same samples in software and
    there."""
    pairs: list[_Pair] = []
    for model in facts.models:
        for compared in model.comparisons:
            repeats = model.repeats(model.target(compared.targets[1]))
            items: list[Compared | ComparedWorst] = [*compared.cells, *compared.worst]
            pairs += [_Pair(model, compared, comparison, repeats) for comparison in items]
    caption = (
        "The same samples on both. Difference with its 95 % interval (Newcombe’s, of paired "
        "shares), exact McNemar test. Every count the same: all predictions, and spikes and "
        "synaptic operations of every layer and sample. No accuracies where a target ran fewer "
        "samples than the others and agrees in all."
    )
    return Table.of(
        "software_hardware", battery.caption(facts.battery) + caption, _COMPARISONS, pairs
    )
