"""Momentum sign steps: MI-FGSM. Dong et al., CVPR 2018."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


def climb(search: Search, steps: int, size: float, decay: float, start: torch.Tensor) -> None:
    """m <- decay m + g / mean|g|; x <- project(x + size steepest(m)), with ``size`` falling
    linearly to a tenth; the search keeps the best point. A gradient that is zero everywhere moves
    nothing."""
    x, momentum = start, torch.zeros_like(start)
    for step in range(steps):
        gradient, _ = search.gradient(x)
        scale = geometry.per_sample(gradient.abs().flatten(1).mean(dim=1), gradient)
        momentum = decay * momentum + torch.where(scale > 0, gradient / scale, 0)
        now = size * (1 - 0.9 * step / max(steps - 1, 1))
        x = search.project(x + now * geometry.steepest(momentum, search.threat.norm))
        search.tick(step + 1, steps)
    search.evaluate(x)


@dataclass(frozen=True)
class Momentum:
    """Momentum iterative steps.

    steps      iterations of each run
    step       size of the first step in units of epsilon
    decay      of the momentum; 1 as published keeps all of it
    restarts   runs; the first from the point that the attack was given (else a random one), others
               from random points
    loss       "margin", "current", "dlr" or "ce"
    """

    steps: int = 20
    step: float = 0.5
    decay: float = 0.9
    restarts: int = 1
    loss: str = "margin"

    def __post_init__(self) -> None:
        positive_number("momentum", "steps", self.steps)
        positive_number("momentum", "restarts", self.restarts)
        if not 0 < self.step <= 2 or not 0 <= self.decay <= 1:
            raise AttackError(
                f"momentum: step {self.step!r}, decay {self.decay!r}; the step must be above 0 and "
                f"at most 2, the decay 0 to 1"
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
        search.goal = search.misclassify(self.loss)
        for run in range(self.restarts if threat.epsilon > 0 else 0):
            search.estimator.begin()
            start = search.first(
                run,
                lambda r: geometry.uniform_in_ball(
                    search.clean, threat, search.generators(f"momentum {r}")
                ),
            )
            climb(search, self.steps, self.step * threat.epsilon, self.decay, start)
        return search.finish()
