"""FGSM, R-FGSM, BIM and PGD. The steps and the projection are the Adversarial Robustness Toolbox's.

The adapter gives the toolbox our gradients (estimator, EOT) and keeps the best of every point that
it visits; the toolbox alone returns the last point. Random starts are ours, because the toolbox
draws them from numpy's global state for the whole batch, so that a sample's start would depend on
its batch mates.

Not from the toolbox (version 1.20), because it would cost correctness:
- Auto-PGD: loss_type "cross_entropy" and "difference_logits_ratio" build a classifier of their own
  from the PyTorch model, past our estimators; it returns the last point instead of the best; it
  counts new maxima where the paper counts increases; its targeted comparisons are inverted. Ours:
  ``apgd``
- Square: one tile for the whole batch; the tile's position excludes the last row and column; tiles
  as large as the image raise an error. Ours: ``square``
- Carlini-Wagner: a line search that accepts only strict decreases of a loss which, for spikes and
  quantised inputs, is constant around the clean sample, so it stops there; and it takes a tie of
  the two best scores for a success. Ours: ``carlini_wagner``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


def positive_number(attack: str, name: str, value: object, least: int = 1) -> None:
    """Refuse what is no whole number from ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise AttackError(f"{attack}: {name} is {value!r}; it must be a whole number from {least}")


def climb_with_toolbox(
    search: Search, steps: int, step_size: float, start: torch.Tensor | None
) -> None:
    """Projected gradient steps from ``start`` (None: from the clean sample) by the toolbox; the
    search keeps the best point.

    Raises AttackError where the toolbox is not installed.
    """
    try:
        from toolchain.attacks.toolbox import projected_gradient_descent
    except ImportError as error:
        raise AttackError(
            f"FGSM, BIM and PGD need the package adversarial-robustness-toolbox ({error})"
        ) from error

    last = projected_gradient_descent(search, steps, step_size, start)
    search.evaluate(search.project(last))


@dataclass(frozen=True)
class FGSM:
    """One step of size epsilon along the sign (linf) or the direction (l2) of the gradient.
    Goodfellow et al., ICLR 2015."""

    loss: str = "ce"

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
        if threat.epsilon > 0:
            climb_with_toolbox(search, 1, threat.epsilon, None)
        return search.finish()


@dataclass(frozen=True)
class RFGSM:
    """A random step, then FGSM with the rest of epsilon: x' = x + a sign(N(0, 1)), then epsilon - a
    along the gradient at x'.

    share    a / epsilon; 0.5 as in Tramer et al., ICLR 2018. l2: the random step is a normal
             direction of length a.
    """

    share: float = 0.5
    loss: str = "ce"

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise AttackError(f"R-FGSM: share is {self.share!r}; it must be between 0 and 1")

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
        if threat.epsilon > 0:
            drawn = np.stack(
                [g.standard_normal(search.samples.shape[1:]) for g in search.generators("rfgsm")]
            )
            step = geometry.steepest(torch.from_numpy(drawn).to(search.clean), threat.norm)
            start = search.project(search.clean + self.share * threat.epsilon * step)
            climb_with_toolbox(search, 1, (1 - self.share) * threat.epsilon, start)
        return search.finish()


@dataclass(frozen=True)
class PGD:
    """Projected gradient descent from random points of the ball. Madry et al., ICLR 2018.

    steps          iterations
    step           step size in units of epsilon; default 2.5 / steps. ``step_size``: the same in
                   pixel units instead
    restarts       random starts; 0: one run from the clean sample, which is BIM (Kurakin et al.,
                   2017)
    loss           "ce", "dlr" or "margin"
    """

    steps: int = 40
    step: float | None = None
    step_size: float | None = None
    restarts: int = 1
    loss: str = "ce"

    def __post_init__(self) -> None:
        positive_number("PGD", "steps", self.steps)
        positive_number("PGD", "restarts", self.restarts, 0)
        if self.step is not None and self.step_size is not None:
            raise AttackError("PGD: step and step_size say the same thing; give one")
        for name in ("step", "step_size"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise AttackError(
                    f"PGD: {name} is {getattr(self, name)!r}; it must be a positive number"
                )

    def _start(self, search: Search, run: int) -> torch.Tensor | None:
        if run == 0 and search.start is not None:
            return search.start
        if not self.restarts:
            return None
        return geometry.uniform_in_ball(
            search.clean, search.threat, search.generators(f"pgd {run}")
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
        size = (
            self.step_size
            if self.step_size is not None
            else (2.5 / self.steps if self.step is None else self.step) * threat.epsilon
        )
        runs = max(1, self.restarts) if threat.epsilon > 0 else 0
        for run in range(runs):
            start = self._start(search, run)
            search.estimator.begin()
            climb_with_toolbox(search, self.steps, size, start)
            search.tick(run + 1, runs)
        return search.finish()
