"""Two targets on the same samples: clean, attack by attack, and in the worst case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.report.counts import attacks, change, dynamic
from toolchain.report.facts import Compared, ComparedWorst, ReportedComparison
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import Share, align, paired_difference

Pair = tuple[Scored, Scored]


def inference_seed(record: Scored) -> int:
    """Seed of the inference; 0 of records of before there were several."""
    seed: int = record.description.get("inference_seed", 0)
    return seed


def compare(
    one: str, other: str, first: Sequence[Scored], second: Sequence[Scored]
) -> ReportedComparison:
    """Software against hardware on the same samples, with the same inference seed."""
    theirs = {(r.description["crafted"], inference_seed(r)): r for r in second}
    keys = [(r.description["crafted"], inference_seed(r)) for r in first]
    pairs = [(a, theirs[key]) for a, key in zip(first, keys) if key in theirs]
    rows = tuple(_cell(a, b) for a, b in pairs)

    seed = min(map(inference_seed, first))
    attacked = [(a, b) for a, b in pairs if attacks(a) and inference_seed(a) == seed]
    radii = sorted({a.description["epsilon"] for a, _ in attacked})
    worst = tuple(
        _worst(epsilon, [pair for pair in attacked if pair[0].description["epsilon"] == epsilon])
        for epsilon in radii
    )

    clean = next((row for row in rows if row.family == "clean"), None)
    return ReportedComparison(
        targets=(one, other),
        cells=rows,
        worst=worst,
        energy_change=None if clean is None else clean.energy_change,
        identical=bool(rows) and all(row.identical for row in rows),
    )


def _cell(a: Scored, b: Scored) -> Compared:
    _, (i, j) = align([a, b])
    one, other = a.classified[1][i], b.classified[1][j]
    same = np.array_equal(one, other) and all(
        np.array_equal(a.activity[c][i], b.activity[c][j]) for c in a.activity
    )
    names = ("name", "family", "norm", "epsilon", "seed", "crafted_on")
    return Compared(
        **{name: a.description[name] for name in names},
        accuracy=(float(a.correct[i].mean()), float(b.correct[j].mean())),
        identical=bool(same),
        predictions_that_differ=int(np.count_nonzero(one != other)),
        energy_change=change(dynamic(a)[i], dynamic(b)[j]),
        **_target_minus_baseline(a.correct[i], b.correct[j]),
    )


def _worst(epsilon: float, pairs: Sequence[Pair]) -> ComparedWorst:
    _, where = align([record for pair in pairs for record in pair])
    left = np.logical_and.reduce([a.correct[i] for (a, _), i in zip(pairs, where[0::2])])
    right = np.logical_and.reduce([b.correct[j] for (_, b), j in zip(pairs, where[1::2])])
    return ComparedWorst(
        epsilon=epsilon,
        shares=(Share.of(left), Share.of(right)),
        **_target_minus_baseline(left, right),
    )


def _target_minus_baseline(baseline: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """Difference of two correctness records of the same samples, and which of the two has what
    right, as fields of ``Compared``."""
    pair = paired_difference(target, baseline)
    return {
        "difference": pair.difference,
        "low": pair.low,
        "high": pair.high,
        "right_only_on_baseline": pair.right_only_second,
        "right_only_on_target": pair.right_only_first,
        "p_value": pair.p_value,
        "samples": pair.samples,
    }
