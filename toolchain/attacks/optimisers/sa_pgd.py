"""SA-PGD: projected gradient descent with per-pixel adaptive steps, stable over a thousand
iterations (CVPR 2026, with ASSG)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackResult, Threat, Victim
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


def halving_iterations(steps: int) -> list[int]:
    """Numbers of iterations after which the step size is halved: first 22 % of all, then 3 % less
    each time, never below 6 %."""
    period, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    marks, at = [], 0
    while at + period <= steps:
        at += period
        marks.append(at)
        period = max(period - less, least)
    return marks


def climb(search: Search, steps: int, start: torch.Tensor) -> None:
    """Run the update from ``start``; the search keeps the best point.

        m <- 0.5 m + g / mean|g|;  v <- 0.8 v + g**2 / mean(g**2);  step = clip(eta m / (sqrt(v) +
                                   1e-12), -eta, eta)

    eta starts at epsilon. A gradient that is zero everywhere moves nothing. l2 is ours: per-pixel
    steps would end where the change is parallel to a sign pattern, which is not the best point of a
    round ball; there the step has length eta along m.
    """
    eta, marks = search.threat.epsilon, set(halving_iterations(steps))
    x = start
    first = second = torch.zeros_like(x)

    for iteration in range(1, steps + 1):
        gradient, _ = search.gradient(x)
        square = gradient**2
        scale, square_scale = (
            geometry.per_sample(g.flatten(1).mean(dim=1), g) for g in (gradient.abs(), square)
        )
        first = 0.5 * first + torch.where(scale > 0, gradient / scale, 0)
        second = 0.8 * second + torch.where(square_scale > 0, square / square_scale, 0)

        if search.threat.norm == "linf":
            step = (eta * first / (second.sqrt() + 1e-12)).clamp(-eta, eta)
        else:
            step = eta * geometry.steepest(first, "l2")
        x = search.project(x + step)

        if iteration in marks:
            eta /= 2
        search.tick(iteration, steps)

    search.evaluate(x)


@dataclass(frozen=True)
class SAPGD:
    """Stable adaptive PGD.

    steps      iterations; 100 as published (linf)
    restarts   runs, each from a random point on the ball's surface
    loss       "ce", "dlr" or "margin"
    """

    steps: int = 100
    restarts: int = 1
    loss: str = "ce"

    def __post_init__(self) -> None:
        positive_number("SA-PGD", "steps", self.steps)
        positive_number("SA-PGD", "restarts", self.restarts)

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
                    search.clean, threat, search.generators(f"sa-pgd {r}")
                ),
            )
            climb(search, self.steps, start)
        return search.finish()
