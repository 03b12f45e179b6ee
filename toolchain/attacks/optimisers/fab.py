"""FAB: fast adaptive boundary attack of Croce & Hein, ICML 2020, in its targeted form (FAB-T)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.goals import Outcome, margin, others
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.readings import Reading
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

HALVINGS = 40
"""Of the interval in which the nearest point of a plane inside the box is searched; exact to
float32."""


class _Towards:
    """The goal: any class but the label; its gradient points from the label to one target."""

    def __init__(self, search: Search, targets: torch.Tensor) -> None:
        self.labels, self.targets, self.watching = search.labels, targets, search.goal.watching

    def outcome(self, reading: Reading, rows: torch.Tensor) -> Outcome:
        scores, seen = reading.scores, reading.detach()
        labels, targets = self.labels[rows], self.targets[rows]
        climb = scores.gather(1, targets[:, None])[:, 0] - scores.gather(1, labels[:, None])[:, 0]
        return Outcome(climb, seen.scores.argmax(dim=1) != labels, margin(seen.ranked, labels))


def onto_plane(
    x: torch.Tensor, gradient: torch.Tensor, climb: torch.Tensor, threat: Threat
) -> torch.Tensor:
    """The smallest change (linf or l2) of x [sample, *shape] inside the range that brings climb +
    gradient · change to zero.

    climb [sample] is below zero where the label still wins. Where the box ends before the plane,
    the corner of the box that comes nearest. The way is the norm's steepest one, cut off at the
    box; how far to go along it is found by halving.
    """
    way = (
        gradient.sign()
        if threat.norm == "linf"
        else gradient
        / geometry.per_sample(geometry.l2(gradient).clamp_min(geometry.TINY), gradient)
    )
    way = way * geometry.per_sample(torch.where(climb < 0, 1.0, -1.0), way)
    reach = (threat.high - threat.low) * (
        1.0 if threat.norm == "linf" else float(np.sqrt(x[0].numel())) * 4
    )
    low, high = torch.zeros_like(climb), torch.full_like(climb, reach)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        change = (x + geometry.per_sample(middle, x) * way).clamp(threat.low, threat.high) - x
        short = (climb + (gradient * change).flatten(1).sum(dim=1)) * torch.where(
            climb < 0, 1.0, -1.0
        ) < 0
        low, high = torch.where(short, middle, low), torch.where(short, high, middle)
    return (x + geometry.per_sample(high, x) * way).clamp(threat.low, threat.high)


@dataclass(frozen=True)
class FAB:
    """Walks along the linearised boundary of one target class after the other, towards the clean
    sample: small changes, not large ones.

    steps     iterations for each target
    targets   classes, those that score best on the clean sample; 9 as in AutoAttack
    alpha_max, eta, beta   as published: pull towards the clean sample, overshoot, step back after a
                           success

    Ours: it starts from the clean sample (one restart, as in AutoAttack), and the nearest
    misclassified point counts where it lies within epsilon; the projections are found by halving
    instead of sorting.
    """

    steps: int = 100
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9

    def __post_init__(self) -> None:
        positive_number("FAB", "steps", self.steps)
        positive_number("FAB", "targets", self.targets)
        if not 0 <= self.alpha_max <= 1 or not self.eta >= 1 or not 0 < self.beta <= 1:
            raise AttackError(
                f"FAB: alpha_max {self.alpha_max!r}, eta {self.eta!r}, beta {self.beta!r}; "
                f"they must be from 0 to 1, at least 1, and above 0 to 1"
            )

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        search = Search(victim, samples, labels, threat, **options)
        scores = torch.from_numpy(np.asarray(victim.predict(search.samples, seed=search.seed))).to(
            search.device
        )
        search.queries += 1
        ranked = others(scores, search.labels).argsort(dim=1, descending=True, stable=True)
        goal, number = (
            search.goal,
            min(self.targets, victim.classes - 1) if threat.epsilon > 0 else 0,
        )
        for place in range(number):
            search.goal = _Towards(search, ranked[:, place])
            search.estimator.begin()
            self._walk(search, place * self.steps, number * self.steps)
        search.goal = goal
        return search.finish()

    def _walk(self, search: Search, before: int, total: int) -> None:
        """Towards one target. ``before``: steps done towards others, of ``total``."""
        threat, clean = search.threat, search.clean
        length = (
            (lambda d: d.abs().flatten(1).amax(dim=1)) if threat.norm == "linf" else geometry.l2
        )

        x = clean
        for done in range(self.steps):
            gradient, outcome = search.gradient(x)
            near, far = (
                onto_plane(x, gradient, outcome.loss, threat) - x,
                onto_plane(clean, gradient, self._at_clean(x, gradient, outcome, clean), threat)
                - clean,
            )

            share = (
                length(near) / (length(near) + length(far)).clamp_min(geometry.TINY)
            ).clamp_max(self.alpha_max)
            pull = geometry.per_sample(share, x)
            moved = ((1 - pull) * (x + self.eta * near) + pull * (clean + self.eta * far)).clamp(
                threat.low, threat.high
            )

            broken = search.evaluate(moved).reached
            x = torch.where(
                geometry.per_sample(broken, x), clean + self.beta * (moved - clean), moved
            )
            search.tick(before + done + 1, total)

    @staticmethod
    def _at_clean(
        x: torch.Tensor, gradient: torch.Tensor, outcome: Outcome, clean: torch.Tensor
    ) -> torch.Tensor:
        """What the linearisation at x says of the clean sample."""
        return outcome.loss + (gradient * (clean - x)).flatten(1).sum(dim=1)
