"""Attacks in a row, each on the samples that those before it left, from the best point that they
found.

A network is as robust as the worst of all attacks, sample by sample: a sample that has fallen needs
no further attack, and a point that nearly fools a network is where the next attack should begin. So
a cascade costs less than its attacks one by one, and finds more. What an attack did within a
cascade is conditional on those before it: it says what the attack *added*, and at which cost. How
strong an attack is by itself is measured by making it alone.

    result.history["felled_by"]     float [1, sample]: 0 wrong before any attack, k: fell to stage k
                                    (from 1), -1: stands
    result.history["passes.k"]      float [1, sample]: forward passes that stage k spent on the
                                    sample; -1: the stage cannot be made on this network (it has no
                                    such neurons, or nothing stands before it)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from toolchain.attacks.base import AttackResult, NotApplicable, Threat, Victim, verify
from toolchain.attacks.goals import margin
from toolchain.attacks.randomness import derived_seed
from toolchain.attacks.readings import ask

Progress = Callable[[int, int], None]

STANDS, WRONG_BEFORE, NOT_MADE = -1, 0, -1.0
"""Values of "felled_by" and of "passes.k"."""


@dataclass(frozen=True)
class CascadeStage:
    """One attack of a cascade.

    attack   (samples, labels, seed, start) → AttackResult; start: the best points so far, None for
             the first stage and for one that is to begin elsewhere. Raises NotApplicable where the
             network does not have it
    warm     begin at the best points so far
    """

    attack: Callable[[np.ndarray, np.ndarray, int, np.ndarray | None], AttackResult]
    warm: bool


class _Course:
    """Where every sample of a cascade is."""

    def __init__(self, judge: Victim, samples: np.ndarray, labels: np.ndarray, seed: int) -> None:
        self.judge, self.samples, self.labels, self.seed = judge, samples, labels, seed
        self.best, self.ranks = samples.copy(), np.full(len(samples), -np.inf)
        self.felled_by = np.full(len(samples), STANDS)
        self.queries = np.zeros(len(samples), np.int64)
        self.take(np.arange(len(samples)), samples, WRONG_BEFORE)

    @property
    def left(self) -> np.ndarray:
        """Numbers of the samples that stand."""
        return np.flatnonzero(self.felled_by == STANDS)

    def take(self, rows: np.ndarray, points: np.ndarray, stage: int) -> None:
        """Judge one point of each row; what fools the judge fells the sample, what is better than
        the best so far takes its place."""
        reading, labels = ask(self.judge, points, self.seed), torch.from_numpy(self.labels[rows])
        fell = (reading.scores.argmax(dim=1).cpu() != labels).numpy()
        rank = margin(reading.ranked.cpu(), labels).numpy()
        better = fell | (rank >= self.ranks[rows])
        self.best[rows[better]], self.ranks[rows[better]] = points[better], rank[better]
        self.felled_by[rows[fell]] = stage
        self.queries[rows] += 1


def run(
    stages: list[CascadeStage],
    judge: Victim,
    samples: np.ndarray,
    labels: np.ndarray,
    threat: Threat,
    seed: int,
    batch: int | None = None,
    progress: Progress | None = None,
) -> AttackResult:
    """All stages, in order.

    judge   whose prediction says what has fallen: the integer Program where there is one
    batch   samples of one call of an attack, which bounds memory; None: all that stand

    Every stage has a seed of its own, so that the same attack twice begins at two points. A
    sample's result does not depend on which others have fallen.
    """
    labels = np.asarray(labels, np.int64)
    course = _Course(judge, np.ascontiguousarray(samples), labels, seed)
    spent: dict[str, np.ndarray] = {}

    for number, stage in enumerate(stages, 1):
        passes = np.zeros(len(samples))
        left = course.left
        for start in range(0, len(left), batch or max(len(left), 1)):
            rows = left[start : start + (batch or len(left))]
            begin = course.best[rows] if stage.warm and number > 1 else None
            try:
                result = stage.attack(
                    course.samples[rows], labels[rows], derived_seed(seed, "stage", number), begin
                )
            except NotApplicable:
                passes[:] = NOT_MADE
                break
            course.take(rows, result.adversarial, number)
            passes[rows] = result.queries + 1
            course.queries[rows] += result.queries
        spent[f"passes.{number}"] = passes[None]
        if progress is not None:
            progress(number, len(stages))

    verify(course.samples, course.best, threat)
    history = {"felled_by": course.felled_by[None].astype(np.float64), **spent}
    return AttackResult(course.best, course.felled_by != STANDS, course.queries, history)
