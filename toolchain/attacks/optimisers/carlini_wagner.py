"""Carlini & Wagner, IEEE S&P 2017: Adam on the margin, under a change of variables that keeps
pixels in range."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.goals import Outcome
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

INSIDE = 0.999
"""Share of the box within which the search starts: at the very edge tanh is flat and a black pixel
would stay black."""


class _Box:
    """x = low + (high - low) (tanh(w) + 1) / 2."""

    def __init__(self, low: torch.Tensor, high: torch.Tensor) -> None:
        self.low, self.width = low, high - low

    def to_pixels(self, w: torch.Tensor) -> torch.Tensor:
        return self.low + self.width * (torch.tanh(w) + 1) / 2

    def from_pixels(self, x: torch.Tensor) -> torch.Tensor:
        share = torch.where(
            self.width > 0, (x - self.low) / self.width.clamp_min(geometry.TINY), 0.5
        )
        return torch.atanh((2 * share - 1) * INSIDE)


def _adam(
    search: Search,
    box: _Box,
    w: torch.Tensor,
    steps: int,
    rate: float,
    weight: torch.Tensor | None,
    confidence: float,
) -> Iterator[tuple[torch.Tensor, Outcome]]:
    """Yield (x, outcome) of every step. ``weight`` [sample]: of the margin against the squared
    distance; None: the margin alone."""
    w = w.clone().requires_grad_()
    optimiser = torch.optim.Adam([w], lr=rate)
    for _ in range(steps):
        x = box.to_pixels(w)
        gradient, outcome = search.gradient(x.detach())
        yield x.detach(), outcome
        if weight is None:
            objective = -(gradient * x).sum()
        else:
            # the margin counts until the goal is passed by ``confidence``
            pushing = geometry.per_sample(weight * (outcome.loss < confidence), x)
            objective = (-pushing * gradient * x).sum() + ((x - search.clean) ** 2).sum()
        optimiser.zero_grad()
        objective.backward()
        optimiser.step()


@dataclass(frozen=True)
class CarliniWagner:
    """Threat l2: minimise |x' - x|**2 + c max(-margin, -confidence), c by binary search for each
    sample; a sample counts as broken where a point within epsilon is misclassified (the nearest
    misclassified point is also tried after projection). Threat linf: the paper's linf form relaxes
    a penalty on the largest change; here the change of variables maps onto the linf ball itself, so
    that the margin alone is climbed.

    steps         Adam steps in each round
    rate          Adam's learning rate, in the space of the change of variables
    rounds        values of c (l2)
    initial_c     the first of them
    confidence    margin to reach, in units of the scores (l2)
    """

    steps: int = 100
    rate: float = 0.1
    rounds: int = 5
    initial_c: float = 1.0
    confidence: float = 0.0

    def __post_init__(self) -> None:
        positive_number("Carlini-Wagner", "steps", self.steps)
        positive_number("Carlini-Wagner", "rounds", self.rounds)
        if not self.rate > 0 or not self.initial_c > 0 or not self.confidence >= 0:
            raise AttackError(
                f"Carlini-Wagner: rate {self.rate!r}, initial_c {self.initial_c!r}, confidence "
                f"{self.confidence!r}; "
                "they must be positive, confidence 0 or more"
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
        search.goal = search.misclassify("margin")
        if threat.epsilon > 0:
            self._in_the_ball(search) if threat.norm == "linf" else self._nearest(search)
        return search.finish()

    def _in_the_ball(self, search: Search) -> None:
        threat = search.threat
        box = _Box(
            (search.clean - threat.epsilon).clamp_min(threat.low),
            (search.clean + threat.epsilon).clamp_max(threat.high),
        )
        for done, _ in enumerate(
            _adam(
                search,
                box,
                box.from_pixels(search.clean),
                self.steps,
                self.rate,
                None,
                self.confidence,
            )
        ):
            search.tick(done + 1, self.steps)

    def _nearest(self, search: Search) -> None:
        box = _Box(
            torch.full_like(search.clean, search.threat.low),
            torch.full_like(search.clean, search.threat.high),
        )
        start = box.from_pixels(search.clean)
        weight = torch.full((len(start),), self.initial_c, device=start.device)
        lowest, highest = torch.zeros_like(weight), torch.full_like(weight, float("inf"))
        nearest, distance = search.clean.clone(), torch.full_like(weight, float("inf"))

        for done in range(self.rounds):
            search.estimator.begin()
            broken = torch.zeros_like(search.best_reached)
            for x, outcome in _adam(
                search, box, start, self.steps, self.rate, weight, self.confidence
            ):
                nearest, distance, broken = _closer(search, x, outcome, nearest, distance, broken)

            highest, lowest = (
                torch.where(broken, weight, highest),
                torch.where(broken, lowest, weight),
            )
            weight = torch.where(highest.isinf(), weight * 10, (lowest + highest) / 2)
            search.tick(done + 1, self.rounds)

        search.evaluate(search.project(nearest))


def _closer(
    search: Search,
    x: torch.Tensor,
    outcome: Outcome,
    nearest: torch.Tensor,
    distance: torch.Tensor,
    broken: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    length = geometry.l2(x - search.clean)
    better = outcome.reached & (length < distance)
    return (
        torch.where(geometry.per_sample(better, x), x, nearest),
        torch.where(better, length, distance),
        broken | outcome.reached,
    )
