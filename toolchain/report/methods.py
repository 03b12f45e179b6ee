"""Networks that differ in the seed of their training alone are one method: means and spreads over
its trainings (``trainings``).

A share over several trainings is an ``Interval`` (mean, smallest, largest); of one training it is
that training's own, with its interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolchain.pages.table import EITHER, Column, Interval, Table
from toolchain.report import battery
from toolchain.report.facts import Analysis, ReportedAttack, ReportedModel, ReportedTarget, Worst
from toolchain.report.rows import MASKING, ZERO, agreement, bare
from toolchain.report.trainings import grouped
from toolchain.report.worst_cases import KINDS
from toolchain.robustness.statistics import Share
from toolchain.robustness.strength import Strength
from toolchain.robustness.traits import estimator_of


@dataclass(frozen=True)
class TrainedMethod:
    """All trainings of a method on one target, at one radius (None: not attacked).

    repeats   the target ran fewer samples than another and agrees in all, for every training
    """

    run: Analysis
    method: str
    models: tuple[ReportedModel, ...]
    entries: tuple[ReportedTarget, ...]
    epsilon: float | None
    repeats: bool

    @property
    def worst(self) -> list[Worst | None]:
        """Worst case of each training; None where it was not attacked at the radius."""
        return [entry.worst_at(self.epsilon) for entry in self.entries]

    @property
    def battery(self) -> Strength | None:
        """The weakest of the trainings; none of a target that only repeats another."""
        if self.repeats:
            return None

        return battery.weakest(row.battery for row in self.worst if row is not None)

    @property
    def flags(self) -> list[str]:
        """Of all trainings together; none of a target that only repeats another."""
        judged = [] if self.repeats else [row for row in self.worst if row is not None]
        return sorted({flag for row in judged for flag in row.flags})

    def over(self, share: Callable[[Worst], Interval | Share | None]) -> Interval | None:
        """A share of the worst case, over the trainings."""
        return over([None if row is None else share(row) for row in self.worst])

    def accuracy(self, shares: Sequence[Interval | Share | None]) -> Interval | None:
        """Over the trainings; none of a target that only repeats another."""
        return None if self.repeats else over(shares)

    @property
    def agreement(self) -> str | None:
        """How many samples agree with the first target in everything, over all trainings."""
        each = [model.agreement(entry) for model, entry in zip(self.models, self.entries)]
        counts = [count for count in each if count is not None]
        return agreement(sum(counts)) if len(counts) == len(each) else None


def over(shares: Sequence[Interval | Share | None]) -> Interval | None:
    """Mean, smallest and largest of several shares; one share as it is, with its interval. None
    where one is not there."""
    known = [share for share in shares if share is not None]
    if not known or len(known) < len(shares):
        return None
    if len(known) == 1:
        return Interval(known[0].value, known[0].low, known[0].high)
    each = [share.value for share in known]
    return Interval(float(np.mean(each)), min(each), max(each))


def merged(facts: Analysis) -> Analysis:
    """Facts with one network for each method, on the target that its answer is about: all that a
    picture of energy and worst case needs."""
    models = tuple(_merged(name, models) for name, models in grouped(facts.models).items())
    return replace(facts, models=models)


def _merged(method: str, models: Sequence[ReportedModel]) -> ReportedModel:
    target = models[0].answer.target
    entries = [entry for model in models for entry in model.targets if entry.target == target]
    worst = []
    for row in entries[0].worst:
        every = [entry.worst_at(row.epsilon) for entry in entries]
        rows = [found for found in every if found is not None]
        if len(rows) < len(every):
            continue  # a run that is not finished: a training may not be attacked there yet
        if len(rows) == 1:
            share = row.share
        else:
            each = [r.share.value for r in rows]
            share = Share(float(np.mean(each)), min(each), max(each), row.share.samples)
        flags = tuple(sorted({flag for r in rows for flag in r.flags}))
        worst.append(replace(row, share=share, flags=flags))

    spent = [entry.energy[0] for entry in entries]
    mean = float(np.mean([row.dynamic_j.value for row in spent]))
    energy = replace(
        spent[0],
        dynamic_j=replace(spent[0].dynamic_j, value=mean),
        band_low_j=min(row.band_low_j for row in spent),
        band_high_j=max(row.band_high_j for row in spent),
    )
    trainings = f", {len(entries)} trainings" if len(entries) > 1 else ""
    entry = replace(entries[0], worst=tuple(worst), energy=(energy,))
    return replace(models[0], name=f"{method}{trainings}", targets=(entry,), comparisons=())


def _trained(run: Analysis, everywhere: bool = True) -> Iterator[TrainedMethod]:
    """Every method, target and radius; not ``everywhere``: the first target alone."""
    for method, models in grouped(run.models).items():
        targets = list(dict.fromkeys(e.target for model in models for e in model.targets))
        for target in targets if everywhere else targets[:1]:
            here = [(m, entry) for m in models for entry in m.targets if entry.target == target]
            own, entries = zip(*here)
            repeats = all(model.repeats(entry) for model, entry in here)
            for epsilon in run.radii or (None,):
                yield TrainedMethod(run, method, own, entries, epsilon, repeats)


_ENDS = Column(
    "ends",
    "the two ends",
    get=lambda row: "95 % interval" if len(row.entries) == 1 else "smallest and largest training",
)
"""What ``EITHER`` is in a row."""

_METHOD = Column("method", "method", get=lambda row: row.method)
_DATA = Column("data", "data", get=lambda row: row.run.data)
_RADIUS = Column("epsilon", "radius", "number", get=lambda row: row.epsilon)
_TRAININGS = Column("trainings", "trainings", "count", get=lambda row: len(row.entries))


def _clean(row: TrainedMethod) -> Interval | None:
    return row.accuracy([entry.clean for entry in row.entries])


def _worst_case(row: TrainedMethod) -> Interval | None:
    return None if row.repeats else row.over(lambda worst: worst.share)


def _spikes(row: TrainedMethod) -> float | None:
    counts = [e.energy[0].spikes for e in row.entries if e.energy[0].spikes is not None]
    return float(np.mean(counts)) if counts else None


def _differs(row: TrainedMethod) -> str | None:
    return "; ".join(dict.fromkeys(text for model in row.models for text in model.differs)) or None


_RESULTS = (
    _METHOD,
    _DATA,
    Column("samples", "samples", "count", get=lambda row: row.entries[0].samples),
    Column("steps", "time steps", "count", get=lambda row: row.models[0].steps),
    Column("target", "target", get=lambda row: row.entries[0].target),
    _RADIUS,
    _TRAININGS,
    _ENDS,
    Column("clean", "clean", "share", EITHER, _clean),
    Column("fgsm", "FGSM", "share", EITHER, lambda row: _usual(row, "fgsm")),
    Column("pgd", "PGD", "share", EITHER, lambda row: _usual(row, "pgd")),
    Column("worst_case", "worst case", "share", EITHER, _worst_case),
    Column("agreement", "against software", get=lambda row: row.agreement),
    Column("spikes", "spikes", "count", get=_spikes),
    Column(
        "dynamic_j",
        "dynamic energy",
        "joule",
        get=lambda row: float(np.mean([e.energy[0].dynamic_j.value for e in row.entries])),
    ),
    Column("battery", "battery", get=lambda row: battery.mark(row.battery)),
    Column("differs", "differs from its paper in", get=_differs),
    Column("flags", "flags", "flags", get=lambda row: battery.flags(row.flags, row.battery)),
)


def results(runs: Sequence[Analysis]) -> Table:
    """Every method's numbers: one row for each, target and radius."""
    rows = [row for run in runs for row in _trained(run)]
    caption = battery.caption(battery.weakest(run.battery for run in runs)) + (
        "Mean over trainings (and attack seeds), with the smallest and the largest; for one "
        "training its 95 % interval. FGSM and PGD: with the training surrogate, on the whole "
        "model. Worst case: correct under every attack of the battery. Against software: samples "
        "in which every prediction, spike and synaptic operation is the same; a target that ran "
        "fewer samples than the others and agrees in all has no accuracy of its own. Spikes and "
        "energy of one clean inference; energy is an estimate (for a model without a Program, of "
        "multiply-accumulate operations in 45 nm)."
    )
    errors = dict.fromkeys((run.about.get("energy") or {}).get("measured_text") for run in runs)
    caption += "".join(f" {error}" for error in errors if error)
    table = Table.of("results", caption, _RESULTS, rows)
    if any(row["differs"] for row in table.rows):
        return table
    return replace(table, columns=tuple(c for c in table.columns if c.key != "differs"))


def _usual(row: TrainedMethod, optimiser: str) -> Interval | None:
    """A plain attack on the whole model: mean over the attack's seeds; of several lengths the one
    with the most iterations."""
    return row.accuracy([_single(entry, row.epsilon, optimiser) for entry in row.entries])


def _single(entry: ReportedTarget, epsilon: float | None, optimiser: str) -> Interval | None:
    rows = [row for row in entry.attacks if row.epsilon == epsilon and _plain(row, optimiser)]
    if not rows:
        return None
    most = max(row.iterations for row in rows)
    return over([row.attacked_accuracy for row in rows if row.iterations == most])


def _plain(row: ReportedAttack, optimiser: str) -> bool:
    """Whether it is the attack that publications make: with the training surrogate, through all
    that the network is, by an adversary who does not know the seed of the inference."""
    return (
        row.optimiser == optimiser
        and estimator_of({"estimator": row.estimator}) == "training"
        and row.front == "through"
        and not row.known_seed
    )


def masking(runs: Sequence[Analysis]) -> Table:
    """What each kind of attack sees: one row for each method and radius, in software, where attacks
    are made."""
    rows = [row for run in runs if run.radii for row in _trained(run, everywhere=False)]

    near_by = [model.near_threshold for run in runs for model in run.models]
    within = sorted({entry.within for entry in near_by if entry is not None})
    near = (
        f" Near threshold: share of potentials less than {within[0]:g} of it away, on clean inputs."
        if within
        else ""
    )
    caption = battery.caption(battery.weakest(run.battery for run in runs)) + MASKING + near

    columns = (
        _METHOD,
        _DATA,
        _RADIUS,
        _TRAININGS,
        _ENDS,
        Column("near_threshold", "near threshold", "share", EITHER, _near),
        replace(
            ZERO,
            kind="share",
            ends=EITHER,
            get=lambda row: row.over(lambda worst: bare(worst.zero_gradient)),
        ),
        *(Column(name, name, "share", EITHER, _of_kind(name)) for name in KINDS),
        Column(
            "published_attacks_leave",
            "as usually published",
            "share",
            EITHER,
            lambda row: row.over(lambda worst: worst.published),
        ),
        Column(
            "worst_case",
            "worst case",
            "share",
            EITHER,
            lambda row: row.over(lambda worst: worst.share),
        ),
    )

    return Table.of("masking", caption, columns, rows)


def _of_kind(name: str) -> Callable[[TrainedMethod], Interval | None]:
    return lambda row: row.over(lambda worst: worst.kinds[name])


def _near(row: TrainedMethod) -> Interval | None:
    near = [model.near_threshold for model in row.models]
    return over([None if entry is None else bare(entry.share) for entry in near])
