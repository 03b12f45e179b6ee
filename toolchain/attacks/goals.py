"""What an attack wants: a loss to climb, whether the goal is reached, and how well.

Decisions are made as ``numpy.argmax`` makes them, the first of equal scores: spike counts tie
often, and a tie that the label wins is no success.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from toolchain.attacks.base import AttackError
from toolchain.attacks.readings import Reading

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(scores [sample, class], labels [sample]) → what the attack climbs, [sample]."""


def others(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Scores with the label's own put out of the running."""
    return scores.masked_fill(functional.one_hot(labels, scores.shape[1]).bool(), float("-inf"))


def margin(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Best other score minus the label's; positive where the label has lost. Carlini & Wagner 2017,
    f6."""
    return others(scores, labels).max(dim=1).values - scores.gather(1, labels[:, None])[:, 0]


def cross_entropy(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy of softmax(scores)."""
    return functional.cross_entropy(scores, labels, reduction="none")


def dlr(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Difference of logits ratio: margin / (first - third score). Croce & Hein, ICML 2020.

    Spike counts tie, and the three best may be equal; the denominator is then 1e-6 instead of the
    1e-12 of the paper, so that its square stays a float32.
    """
    if scores.shape[1] < 3:
        raise AttackError(
            f"the DLR loss needs at least 3 classes, not {scores.shape[1]}; with fewer it must be "
            f"ce or margin"
        )
    ordered = scores.sort(dim=1, descending=True).values
    return margin(scores, labels) / (ordered[:, 0] - ordered[:, 2]).clamp_min(1e-6)


def dlr_targeted(scores: torch.Tensor, labels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Targeted DLR: (target - label) / (first - mean of third and fourth score). Croce & Hein, ICML
    2020."""
    if scores.shape[1] < 4:
        raise AttackError(
            f"the targeted DLR loss needs at least 4 classes, not {scores.shape[1]}; with "
            f"fewer it must be ce or margin"
        )
    ordered = scores.sort(dim=1, descending=True).values
    climb = scores.gather(1, targets[:, None])[:, 0] - scores.gather(1, labels[:, None])[:, 0]
    return climb / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2).clamp_min(1e-6)


LOSSES: dict[str, Loss] = {"ce": cross_entropy, "dlr": dlr, "margin": margin}
"""Of scores."""

CURRENT = "current"
"""The margin of the current into the neurons that are counted: it passes no surrogate of the
read-out, and is not flat. Where scores are potentials it is their margin."""


@dataclass(frozen=True)
class Outcome:
    """What a goal says of a point.

    loss      [sample], differentiable
    reached   bool [sample]
    rank      [sample]: of two points that both reached the goal, or both did not, the larger is
              better
    """

    loss: torch.Tensor
    reached: torch.Tensor
    rank: torch.Tensor


class Goal(Protocol):
    """What ``Search`` needs to know."""

    def watching(self) -> AbstractContextManager[object]:
        """Entered around every forward pass, for goals that look at more than scores."""
        ...

    def outcome(self, reading: Reading, rows: torch.Tensor) -> Outcome:
        """Judge the reading [row, class] of the samples with numbers ``rows``."""
        ...


class Misclassify:
    """Any class but the label.

    targets       the class that the targeted DLR loss climbs; any other class still counts
    temperature   what scores are divided by in the loss (only the cross entropy changes with it)
    """

    def __init__(
        self,
        labels: torch.Tensor,
        loss: str = "ce",
        targets: torch.Tensor | None = None,
        temperature: float = 1.0,
    ) -> None:
        if loss not in (*LOSSES, CURRENT):
            raise AttackError(
                f"loss is {loss!r}; it must be one of {', '.join((*LOSSES, CURRENT))}"
            )
        self.labels, self.loss, self.targets, self.temperature = labels, loss, targets, temperature

    def watching(self) -> AbstractContextManager[object]:
        return nullcontext()

    def outcome(self, reading: Reading, rows: torch.Tensor) -> Outcome:
        labels, seen = self.labels[rows], reading.detach()
        reached = seen.scores.argmax(dim=1) != labels
        return Outcome(self._loss(reading, rows), reached, margin(seen.ranked, labels))

    def _loss(self, reading: Reading, rows: torch.Tensor) -> torch.Tensor:
        labels = self.labels[rows]
        if self.loss == CURRENT and self.targets is None:
            return margin(reading.scores if reading.ties is None else reading.ties, labels)
        cool = reading.scores / self.temperature
        return (
            LOSSES[self.loss](cool, labels)
            if self.targets is None
            else dlr_targeted(cool, labels, self.targets[rows])
        )
