"""From the stored records of a sweep to every number of the report (``facts``).

The page, the tables and the command line show what is here and compute nothing of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolchain.report import battery, single
from toolchain.report.comparing import compare, inference_seed
from toolchain.report.counts import attacks, base, energies, layers
from toolchain.report.facts import (
    AgainstSoftware,
    Analysis,
    Answer,
    Flagged,
    ReportedAbsent,
    ReportedComparison,
    ReportedModel,
    ReportedNearThreshold,
    ReportedTarget,
    ReportedTwin,
    finite,
    repeating,
)
from toolchain.report.run import ReportError
from toolchain.report.trainings import methods_of
from toolchain.report.worst_cases import worst
from toolchain.robustness import flags
from toolchain.robustness.evidence import Evidence
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import Share, spread
from toolchain.robustness.strength import Strength
from toolchain.targets import in_order, nearest_to_chip


def analyse(
    records: Sequence[Scored], about: Mapping[str, Any], absent: Sequence[Mapping[str, Any]] = ()
) -> Analysis:
    """Every number of the report.

    Args:
        records: every scored cell of the sweep.
        about: how the run was made, see ``run.ABOUT``.
        absent: descriptions of the cells that cannot be.

    Raises:
        ReportError: a model has not been run on clean inputs yet.
        TargetError: a record is of a target that is not known here.
    """
    ordered = sorted(records, key=_order)
    stated = {entry["name"]: entry for entry in about.get("models") or []}
    names = list(dict.fromkeys(r.description["model"] for r in ordered))
    order = list(stated)
    names.sort(key=lambda name: order.index(name) if name in stated else len(order))

    attacked = [r for r in ordered if attacks(r)]
    radii = tuple(sorted({r.description["epsilon"] for r in attacked}))
    norm = (attacked or ordered)[0].description["norm"]
    radius = _middle(norm, radii)

    methods = methods_of(names, about)
    models = tuple(
        _model(
            [r for r in ordered if r.description["model"] == name],
            radius,
            tuple(stated.get(name, {}).get("differs") or ()),
            _absent([entry for entry in absent if entry["model"] == name]),
            methods[name],
        )
        for name in names
    )
    weakest = battery.weakest(model.battery for model in models)
    return finite(Analysis(norm, radii, radius, weakest, dict(about), models))


def _order(record: Scored) -> tuple[float, int, str, str, str]:
    d = record.description
    return d["epsilon"], d["seed"], d["name"], d["crafted_on"], d["crafted"]


def _middle(norm: str, radii: Sequence[float]) -> float | None:
    """The middle radius, the smaller of two; radii at which every pixel is free are a check of the
    attack, not an answer."""
    some = [r for r in radii if norm != "linf" or r < 1] or list(radii)
    return some[(len(some) - 1) // 2] if some else None


def _model(
    records: list[Scored],
    radius: float | None,
    differs: tuple[str, ...],
    absent: tuple[ReportedAbsent, ...],
    method: str,
) -> ReportedModel:
    targets = in_order(r.description["target"] for r in records)
    per_target = {t: [r for r in records if r.description["target"] == t] for t in targets}
    entries = tuple(
        _target(t, per_target[t], [r for r in records if r.description["target"] != t])
        for t in targets
    )
    baseline = targets[0]
    comparisons = tuple(
        compare(baseline, other, per_target[baseline], per_target[other]) for other in targets[1:]
    )

    description = records[0].description
    near = next(
        (r.description["near_threshold"] for r in records if r.description.get("near_threshold")),
        None,
    )
    return ReportedModel(
        name=description["model"],
        program=description["program"],
        steps=description["steps"],
        chip=description["chip"],
        cores=description["cores"],
        classes=description["classes"],
        stochastic=any(r.description["stochastic"] for r in records),
        no_program=description.get("no_program", ""),
        has_front=description.get("has_front", False),
        exact=description.get("exact", True),
        near_threshold=None
        if near is None
        else ReportedNearThreshold(near["layers"], near["share"], near["within"]),
        twin=ReportedTwin(description["twin_macs"], description["twin_energy_j"]),
        battery=_battery(entries, comparisons),
        answer=_answer(entries, comparisons, radius),
        targets=entries,
        comparisons=comparisons,
        differs=differs,
        absent=absent,
        method=method,
    )


def _answer(
    entries: Sequence[ReportedTarget],
    comparisons: Sequence[ReportedComparison],
    radius: float | None,
) -> Answer:
    """What the first sentence about a model says: hardware with most samples, against software
    where that was run. Hardware that ran fewer samples than software and agrees in all only says
    that it computes the same."""
    copies = repeating(entries, comparisons)
    hardware = [e for e in entries if e.target != "software" and e.target not in copies]
    hardware = hardware or list(entries[:1])
    most = max(e.samples for e in hardware)
    whole = {e.target: e for e in hardware if e.samples == most}
    chosen = whole[nearest_to_chip(whole)]
    samples = {entry.target: entry.samples for entry in entries}
    others = (c.targets[1] for c in comparisons if c.identical)

    pair = ("software", chosen.target)
    compared = next((c for c in comparisons if c.targets == pair), None)
    return Answer(
        target=chosen.target,
        samples=chosen.samples,
        clean=chosen.clean,
        worst=chosen.worst_at(radius),
        inference=chosen.inference,
        energy={row.inputs: row for row in chosen.energy if row.epsilon in (0.0, radius)},
        software=None if compared is None else _against_software(compared, radius),
        also_identical={name: samples[name] for name in others if name != chosen.target},
        flags=tuple(sorted({flag.name for entry in entries for flag in entry.flags})),
    )


def _battery(
    entries: Sequence[ReportedTarget], comparisons: Sequence[ReportedComparison]
) -> Strength | None:
    """The weakest of all targets, but for one that only repeats what others measured: a few samples
    on Lava show that it computes the same, not how strong the attacks were."""
    copies = repeating(entries, comparisons)
    return battery.weakest(e.battery for e in entries if e.target not in copies)


def _against_software(compared: ReportedComparison, radius: float | None) -> AgainstSoftware:
    return AgainstSoftware(
        clean=next((row for row in compared.cells if row.family == "clean"), None),
        worst=compared.worst_at(radius),
        energy_change=compared.energy_change,
        identical=compared.identical,
        cells=len(compared.cells),
    )


def _absent(found: Sequence[Mapping[str, Any]]) -> tuple[ReportedAbsent, ...]:
    """One row for each thing that is not there: a target for everything, or an attack."""
    targets = {
        entry["target"]: entry["reason"]
        for entry in found
        if entry.get("target") and entry["family"] == "clean"
    }
    cells: dict[tuple[str, str, str], list[str]] = {}
    for entry in found:
        target = entry.get("target")
        if target is not None and target in targets:
            key = ("target", target, targets[target])
        elif target is None:
            key = ("attack", entry["name"], entry["reason"])
        else:
            continue  # follows from the attack that could not be made
        cells.setdefault(key, []).append(entry["crafted_on"])

    return tuple(
        ReportedAbsent(kind, what, tuple(dict.fromkeys(crafted_on)), reason, len(crafted_on))
        for (kind, what, reason), crafted_on in cells.items()
    )


def _of_first_seed(records: Iterable[Scored], seed: int) -> list[Scored]:
    return [r for r in records if inference_seed(r) == seed]


def _target(target: str, every: list[Scored], others: list[Scored]) -> ReportedTarget:
    """One model on one target; ``others``: records of the other targets, which some checks need."""
    first = min(map(inference_seed, every))
    records, others = _of_first_seed(every, first), _of_first_seed(others, first)
    clean = [r for r in records if r.description["family"] == "clean"]
    if not clean:
        raise ReportError(
            f"model {records[0].description['model']!r} has no clean record on target {target!r} "
            f"yet; let 'spikeport bench' finish"
        )

    reference = clean[0]
    evidence = Evidence(records, reference.description["classes"], others)
    flagged = tuple(Flagged(f.name, f.findings, f.cells, f.finding) for f in flags.check(evidence))
    worst_cases = worst(records, flagged)
    return ReportedTarget(
        target=target,
        samples=int(reference.correct.size),
        clean=Share.of(reference.correct),
        clean_over_seeds=spread([c.accuracy for c in clean]),
        attacks=tuple(
            single.attack(r, base(r, clean), flagged)
            for r in records
            if attacks(r) or r.description["family"] == "energy"
        ),
        worst=worst_cases,
        battery=battery.weakest(row.battery for row in worst_cases),
        energy=energies(reference, records),
        layers=layers(reference, records),
        flags=flagged,
        inference=single.inference(every),
        detector=single.detector(reference, records),
        corruptions=tuple(
            single.corruption(r, base(r, clean))
            for r in records
            if r.description["family"] == "corruption"
        ),
    )
