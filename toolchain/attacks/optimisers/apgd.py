"""APGD: Auto-PGD of Croce & Hein, ICML 2020 (algorithm 1), with the CE, DLR and targeted DLR
losses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.goals import LOSSES, others
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

MOMENTUM = 0.75
INCREASES = 0.75


def checkpoints(steps: int) -> list[int]:
    """Iterations at which the step size may be halved: 0, 0.22, then 0.03 less each time but at
    least 0.06 of all apart."""
    percents = [0, 22]
    while percents[-1] < 100:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - 3, 6))
    return [math.ceil(percent * steps / 100) for percent in percents if percent <= 100]


def climb(search: Search, steps: int, start: torch.Tensor) -> None:
    """Algorithm 1 from ``start``; the search keeps the best point, every sample has its own step
    size."""
    epsilon, norm = search.threat.epsilon, search.threat.norm
    size = torch.full((len(start),), 2.0 * epsilon, device=start.device)
    marks = checkpoints(steps)

    x, before = start, start
    gradient, outcome = search.gradient(x)
    best, best_loss, best_gradient, loss = (
        x.clone(),
        outcome.loss.clone(),
        gradient.clone(),
        outcome.loss,
    )
    increases = torch.zeros_like(size)
    old_size, old_best_loss = size.clone(), best_loss.clone()

    for k in range(steps):
        ahead = search.project(x + geometry.per_sample(size, x) * geometry.steepest(gradient, norm))
        # the first step has no momentum
        share = MOMENTUM if k else 1.0
        x, before = search.project(x + share * (ahead - x) + (1 - share) * (x - before)), x
        gradient, outcome = search.gradient(x)
        increases += outcome.loss > loss
        loss = outcome.loss

        better = loss > best_loss
        best[better], best_loss[better], best_gradient[better] = (
            x[better],
            loss[better],
            gradient[better],
        )

        if k + 1 in marks[1:]:
            period = k + 1 - marks[marks.index(k + 1) - 1]
            stuck = (increases < INCREASES * period) | (
                (size == old_size) & (best_loss == old_best_loss)
            )
            old_size, old_best_loss = size.clone(), best_loss.clone()
            size = torch.where(stuck, size / 2, size)
            back = geometry.per_sample(stuck, x)
            # from the best point again, without momentum across the jump
            x, before = torch.where(back, best, x), torch.where(back, best, before)
            gradient, loss = (
                torch.where(back, best_gradient, gradient),
                torch.where(stuck, best_loss, loss),
            )
            increases.zero_()
        search.tick(k + 1, steps)


@dataclass(frozen=True)
class APGD:
    """Auto-PGD, untargeted.

    steps      iterations; 100 as published
    restarts   runs, each from a random point on the ball's surface
    loss       "ce" (APGD-CE), "dlr" (APGD-DLR) or "margin"
    """

    steps: int = 100
    restarts: int = 1
    loss: str = "ce"

    def __post_init__(self) -> None:
        positive_number("APGD", "steps", self.steps)
        positive_number("APGD", "restarts", self.restarts)
        if self.loss not in LOSSES:
            raise AttackError(f"APGD: loss is {self.loss!r}; it must be one of {', '.join(LOSSES)}")

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        search = Search(victim, samples, labels, threat, **options)
        search.goal = search.misclassify(self.loss)
        for run in range(self.restarts if threat.epsilon > 0 else 0):
            search.estimator.begin()
            start = search.first(
                run,
                lambda r: geometry.on_the_sphere(
                    search.clean, threat, search.generators(f"apgd {r}")
                ),
            )
            climb(search, self.steps, start)
        return search.finish()


@dataclass(frozen=True)
class TargetedAPGD:
    """APGD with the targeted DLR loss, once for each of the classes that score best on the clean
    sample (APGD-T).

    steps     iterations for each target
    targets   number of target classes; 9 as published (or all others, where there are fewer)
    """

    steps: int = 100
    targets: int = 9

    def __post_init__(self) -> None:
        positive_number("targeted APGD", "steps", self.steps)
        positive_number("targeted APGD", "targets", self.targets)

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
        for number in range(min(self.targets, victim.classes - 1) if threat.epsilon > 0 else 0):
            search.goal = search.misclassify(targets=ranked[:, number])
            search.estimator.begin()
            climb(
                search,
                self.steps,
                geometry.on_the_sphere(
                    search.clean, threat, search.generators(f"apgd target {number}")
                ),
            )
        return search.finish()
