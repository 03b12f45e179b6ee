"""What one record says by itself: an attack, a corruption, what a detector made of it, and the
seeds of a random inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from scipy import stats

from toolchain.pages.table import Interval
from toolchain.report.cascades import stages
from toolchain.report.comparing import inference_seed
from toolchain.report.counts import attacks, change, dynamic, spikes, total
from toolchain.report.facts import Detected, Flagged, Inference, ReportedAttack, ReportedCorruption
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import (
    Share,
    align,
    paired_difference,
    robustness,
    spread,
    worst_case,
)


def attack(record: Scored, base: Scored, found: Sequence[Flagged]) -> ReportedAttack:
    """One attack; ``base``: the clean record that it is compared with."""
    _, (a, b) = align([base, record])
    measured = robustness(base.correct[a], record.correct[b])
    description = record.description
    cell = (description["name"], description["epsilon"], description["seed"])
    queries = record.history.get("queries")

    return ReportedAttack(
        name=description["name"],
        family=description["family"],
        norm=description["norm"],
        epsilon=description["epsilon"],
        seed=description["seed"],
        crafted_on=description["crafted_on"],
        iterations=description["iterations"],
        estimator=description["estimator"],
        eot=description["eot"],
        crafted=description["crafted"],
        front=description.get("front", "through"),
        samples=len(b),
        attacked_accuracy=measured.attacked_accuracy,
        drop=measured.drop,
        success_over_all=measured.success_over_all,
        success_over_correct=measured.success_over_correct,
        mean_margin=float(record.margin.mean()),
        largest_distance=float(record.distance.max()),
        mean_queries=None if queries is None else float(np.mean(queries)),
        spikes=spikes(record),
        syn_ops=total(record, "syn_ops"),
        dynamic_j=float(dynamic(record).mean()),
        flags=tuple(flag.name for flag in found if cell in flag.cells),
        stages=tuple(stages(record)),
        optimiser=description["optimiser"],
        known_seed=description.get("known_seed") is not None,
    )


def corruption(record: Scored, clean: Scored) -> ReportedCorruption:
    """A common corruption against clean inputs."""
    _, (a, b) = align([clean, record])
    difference = paired_difference(record.correct[b], clean.correct[a])
    return ReportedCorruption(
        name=record.description["params"]["name"],
        severity=int(record.description["epsilon"]),
        share=Share.of(record.correct[b]),
        change=Interval(difference.difference, difference.low, difference.high),
        mean_margin=float(record.margin.mean()),
        energy_change=change(dynamic(clean)[a], dynamic(record)[b]),
    )


def inference(records: Sequence[Scored]) -> tuple[Inference, ...]:
    """Over the seeds of the inference: clean accuracy, and for each radius the worst case of each
    seed's inferences. Empty for one seed."""
    seeds = sorted(set(map(inference_seed, records)))
    if len(seeds) < 2:
        return ()

    rows = []
    for epsilon in [0.0, *sorted({r.description["epsilon"] for r in records if attacks(r)})]:
        here = [
            r for r in records if (attacks(r) if epsilon else r.description["family"] == "clean")
        ]
        here = [r for r in here if r.description["epsilon"] == epsilon]
        each = [
            float(worst_case([r for r in here if inference_seed(r) == seed]).mean())
            for seed in seeds
        ]
        rows.append(Inference(epsilon, tuple(seeds), tuple(each), **asdict(spread(each))))
    return tuple(rows)


def detector(clean: Scored, records: Sequence[Scored]) -> tuple[Detected, ...]:
    """What a detector makes of clean inputs (the share is its false-positive rate) and of each
    attack (its true-positive rate), and how well its reading tells the one from the other at any
    threshold: the area under the receiver operating characteristic. Empty without a detector."""
    if clean.detector is None:
        return ()

    threshold, rows = clean.description["detector_threshold"], []
    for record in [clean, *(r for r in records if attacks(r))]:
        if record.detector is None:
            continue  # on a target that is not asked
        description = record.description
        names = ("name", "family", "epsilon", "seed", "crafted_on")
        rows.append(
            Detected(
                **{name: description[name] for name in names},
                front=description.get("front", "through"),
                auc=None if record is clean else auc(clean.detector, record.detector),
                caught=Share.of(record.detector > threshold),
            )
        )
    return tuple(rows)


def auc(clean: np.ndarray, attacked: np.ndarray) -> float:
    """Probability that a reading of an attacked sample is above one of a clean sample (half of the
    ties): the area under the curve, by Mann and Whitney."""
    return float(stats.mannwhitneyu(attacked, clean).statistic / (len(attacked) * len(clean)))
