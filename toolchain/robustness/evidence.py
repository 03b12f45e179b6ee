"""What the checks of honesty look at: records of one model on one target, and comparisons that only
count beyond chance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import StatisticsError, align, paired_difference


@dataclass(frozen=True)
class Evidence:
    """Records of one model: ``scored`` on the target in question, ``others`` on other targets;
    ``classes`` of the task."""

    scored: Sequence[Scored]
    classes: int
    others: Sequence[Scored] = ()

    def attacked(self, *families: str) -> list[Scored]:
        """Attacked records, of some families only where given.

        Energy attacks and corruptions aim at something else and are left out; so are attacks on the
        network alone where something stands before it ("skip"), which are weak by design: they are
        shown as what is usually published.
        """
        return [
            r
            for r in self.scored
            if r.description["family"] not in ("clean", "energy", "corruption")
            and r.description.get("front") != "skip"
            and (not families or r.description["family"] in families)
        ]


def name(record: Scored) -> str:
    """Of the attack."""
    label: str = record.description["name"]
    return label


def same(one: Scored, other: Scored, *keys: str) -> bool:
    """Whether two descriptions say the same of these keys."""
    return all(one.description.get(key) == other.description.get(key) for key in keys)


def lower(one: np.ndarray, other: np.ndarray, tests: int = 1) -> bool:
    """Whether ``other`` is correct less often than ``one``, booleans [sample], beyond chance: exact
    McNemar test at 5 %, divided by the number of tests."""
    difference = paired_difference(one, other)
    return difference.difference > 0 and difference.p_value < 0.05 / tests


def better(one: Scored, other: Scored, tests: int = 1) -> tuple[float, float] | None:
    """(accuracy under one, under other) where the accuracy under ``other`` is lower beyond
    chance."""
    try:
        _, (a, b) = align([one, other])
    except StatisticsError:
        return None
    if not lower(one.correct[a], other.correct[b], tests):
        return None
    return float(one.correct[a].mean()), float(other.correct[b].mean())


def together(records: Iterable[Scored], *keys: str) -> list[list[Scored]]:
    """Records that share what the keys of their descriptions say, in order."""
    groups: dict[tuple[Any, ...], list[Scored]] = {}
    for record in records:
        groups.setdefault(tuple(record.description.get(key) for key in keys), []).append(record)
    return list(groups.values())


def pairs(
    stronger: Iterable[Scored], weaker: Sequence[Scored], *keys: str
) -> Iterator[tuple[Scored, Scored]]:
    """Every (record that should be at least as strong, record that should not be stronger) under
    the same conditions."""
    for one in stronger:
        for other in weaker:
            if one is not other and same(one, other, "known_seed", *keys):
                yield one, other


def worst_with_gradients(
    evidence: Evidence, other: Scored, *keys: str
) -> tuple[list[Scored], np.ndarray, np.ndarray] | None:
    """(attacks with gradients under the same conditions as ``other``, correct under all of them,
    correct under ``other``), sample by sample; None where there are none, or no shared samples."""
    white = [
        r
        for r in evidence.attacked("single_step", "iterative")
        if same(r, other, "norm", "epsilon", "seed", *keys)
    ]
    if not white:
        return None
    try:
        _, positions = align([other, *white])
    except StatisticsError:
        return None
    left = np.logical_and.reduce([r.correct[where] for r, where in zip(white, positions[1:])])
    return white, left, other.correct[positions[0]]
