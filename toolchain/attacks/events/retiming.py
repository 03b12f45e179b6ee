"""Spike-retiming attack: move events in time, make and lose none. After "Spike-Retiming Attacks",
ICLR 2026."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


def offsets(largest: int) -> list[int]:
    """0, -1, 1, -2, 2 …: nearest first, so that equal preferences leave an event where it is."""
    return [0, *(sign * k for k in range(1, largest + 1) for sign in (-1, 1))]


def retimed(events: torch.Tensor, preference: torch.Tensor) -> torch.Tensor:
    """Events moved by the preferred offset, strictly within the budget: [sample, step, line] → the
    same shape.

    preference   [sample, step, line, offset], offsets in the order of ``offsets``

    On each line events keep their order (equal events make every other assignment the same), never
    share a step and never leave the sample; of the steps that leave room for the events before and
    after, each takes the one it prefers most.
    """
    shifts = torch.tensor(offsets((preference.shape[3] - 1) // 2), device=events.device)
    present = events > 0
    steps = events.shape[1]
    later = present.flip(1).cumsum(dim=1).flip(1) - present.long()
    last = torch.full_like(later[:, 0], -1)
    moved = torch.zeros_like(events)
    for t in range(steps):
        here = present[:, t]
        position = t + shifts
        allowed = (position > last[..., None]) & (position <= (steps - 1 - later[:, t])[..., None])
        chosen = position[preference[:, t].masked_fill(~allowed, float("-inf")).argmax(dim=-1)]
        moved.scatter_add_(1, chosen.clamp(0, steps - 1)[:, None], here[:, None].to(events))
        last = torch.where(here, chosen, last)
    return moved


@dataclass(frozen=True)
class Retiming:
    """Sign ascent on preferences phi for offsets up to the budget (threat "shift"); soft backwards,
    strict forwards.

    Every event has a distribution softmax(phi) over offsets. Forward: ``retimed``. Backward: the
    gradient of the soft spike train y[t + o] = sum of events times probability, and a penalty on
    soft trains above one event per cell.

    steps       iterations
    rate        ascent step on phi, which is clipped to [-10, 10]
    capacity    weight of the penalty, against the loss gradient scaled to a largest magnitude of 1
                for each sample
    """

    steps: int = 40
    rate: float = 1.0
    capacity: float = 0.1

    def __post_init__(self) -> None:
        positive_number("retiming", "steps", self.steps)
        if not self.rate > 0 or not self.capacity >= 0:
            raise AttackError(
                f"retiming: rate {self.rate!r}, capacity {self.capacity!r}; they must be positive, "
                f"capacity 0 or more"
            )

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        search = Search(victim, samples, labels, threat, norms=("shift",), **options)
        search.goal = search.misclassify("margin")
        if threat.epsilon > 0:
            self._climb(search)
        return search.finish()

    def _climb(self, search: Search) -> None:
        shape, steps = search.clean.shape, search.clean.shape[1]
        events = search.clean.flatten(2)
        shifts = offsets(min(int(search.threat.epsilon), steps - 1))
        phi = torch.zeros(*events.shape, len(shifts), device=events.device)
        inside = torch.tensor(
            [[0 <= t + o < steps for o in shifts] for t in range(steps)], device=events.device
        )[None, :, None]

        moved = events
        for iteration in range(self.steps):
            gradient, _ = search.gradient(moved.reshape(shape))
            gradient = gradient.flatten(2)
            gradient = (
                gradient / gradient.abs().flatten(1).amax(dim=1).clamp_min(1e-12)[:, None, None]
            )

            chance = torch.softmax(phi.masked_fill(~inside, float("-inf")), dim=3)
            soft = torch.zeros_like(events)
            for number, offset in enumerate(shifts):
                soft += _shifted(events * chance[..., number], offset)
            gradient = gradient - self.capacity * 2 * (soft - 1).clamp_min(0)

            seen = torch.stack([_shifted(gradient, -offset) for offset in shifts], dim=3)
            slope = chance * (seen - (chance * seen).sum(dim=3, keepdim=True)) * events[..., None]
            # the gradient's largest value is 1: what is smaller than its rounding has no sign
            phi = (phi + self.rate * slope.sign() * (slope.abs() > 1e-6)).clamp(-10, 10)
            moved = retimed(events, phi)
            search.tick(iteration + 1, self.steps)

        search.evaluate(moved.reshape(shape))


def _shifted(trace: torch.Tensor, offset: int) -> torch.Tensor:
    """y[t + offset] = trace[t]; what leaves the sample is dropped."""
    result = torch.zeros_like(trace)
    steps = trace.shape[1]
    low, high = max(offset, 0), min(steps + offset, steps)
    result[:, low:high] = trace[:, low - offset : high - offset]
    return result
