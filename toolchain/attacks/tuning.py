"""Choose an estimator's parameter by how well the attack does with it (HART's width, ASSG's
degree).

The choice is made on samples that are then attacked. That is fair for a worst case, and only for
that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.attacks.base import AttackError, AttackResult, Victim


@dataclass(frozen=True)
class Tuning:
    """What is tuned, and where.

    parameter   of the estimator
    values      tried one after the other; or
    between     (low, high), searched in three parts: ``rounds`` times the worse third is cut off
    samples     the first so many of the attacked samples are used
    steps       of the attack while tuning; None: as many as in the attack itself
    """

    parameter: str
    values: Sequence[float] | None = None
    between: Sequence[float] | None = None
    rounds: int = 8
    samples: int = 32
    steps: int | None = None

    def __post_init__(self) -> None:
        if (self.values is None) == (self.between is None):
            raise AttackError(f"tuning of {self.parameter!r} needs either values or between")
        if self.values is not None and not len(self.values):
            raise AttackError(f"tuning of {self.parameter!r}: no values")
        if self.between is not None and (
            len(self.between) != 2 or not self.between[0] < self.between[1]
        ):
            raise AttackError(
                f"tuning of {self.parameter!r} between {self.between!r}; it must be (low, high)"
            )
        if self.samples < 1 or self.rounds < 1:
            raise AttackError(
                f"tuning of {self.parameter!r}: {self.samples} samples, {self.rounds} rounds; "
                f"both must be at least 1"
            )

    def choose(
        self,
        attempt: Callable[[float, slice], AttackResult],
        victim: Victim,
        labels: np.ndarray,
        seed: int,
    ) -> float:
        """The value with the most successes, then the largest mean margin; the earlier one where
        both are equal."""
        part = slice(0, self.samples)
        known: dict[float, tuple[int, float]] = {}

        def quality(value: float) -> tuple[int, float]:
            if value not in known:
                result = attempt(value, part)
                scores = np.array(victim.predict(result.adversarial, seed=seed), np.float64)
                mine = np.asarray(labels[part])
                own = scores[np.arange(len(mine)), mine]
                scores[np.arange(len(mine)), mine] = -np.inf
                known[value] = int(result.success.sum()), float(np.mean(scores.max(axis=1) - own))
            return known[value]

        if self.values is not None:
            for value in self.values:
                quality(float(value))
        elif self.between is not None:
            low, high = map(float, self.between)
            for _ in range(self.rounds):
                left, right = low + (high - low) / 3, high - (high - low) / 3
                low, high = (left, high) if quality(left) < quality(right) else (low, right)
            quality((low + high) / 2)
        return max(known, key=lambda value: known[value])
