"""The Adversarial Robustness Toolbox's attacks on our victims; imported only where one is used
(importing it takes seconds)."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import torch
from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_numpy import (
    ProjectedGradientDescentNumpy,
)
from art.estimators.classification.classifier import ClassifierMixin
from art.estimators.estimator import BaseEstimator, LossGradientsMixin

from toolchain.attacks.search import Search


class ToolboxClassifier(ClassifierMixin, LossGradientsMixin, BaseEstimator):
    """A Search as the toolbox's classifier: its gradient is the search's, estimator and EOT
    included.

    Works for attacks that always hand over all samples in order, as the projected gradient ones do.
    """

    def __init__(self, search: Search) -> None:
        super().__init__(model=None, clip_values=(search.threat.low, search.threat.high))
        self.search = search
        self.nb_classes = search.victim.classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.search.samples.shape[1:])

    def loss_gradient(self, x: np.ndarray, y: np.ndarray, **kwargs: Any) -> np.ndarray:
        """Gradient of the search's goal at x; the goal knows the labels, y is not read."""
        gradient, _ = self.search.gradient(
            torch.from_numpy(x.astype(np.float32)).to(self.search.device)
        )
        array: np.ndarray = gradient.cpu().numpy()
        return array

    def predict(self, x: np.ndarray, batch_size: int = 0, **kwargs: Any) -> np.ndarray:
        """The clean labels, one-hot. The toolbox asks only to log a success rate, which the search
        knows better."""
        classes: np.ndarray = np.eye(self.nb_classes, dtype=np.float32)
        labels: np.ndarray = self.search.labels.cpu().numpy()
        one_hot: np.ndarray = classes[labels]
        return one_hot

    def fit(self, x: np.ndarray, y: np.ndarray, **kwargs: Any) -> NoReturn:
        """Refused: an attack trains nothing."""
        raise NotImplementedError("a victim is not trained by an attack")


class _StartedDescent(ProjectedGradientDescentNumpy):
    """The toolbox's projected gradient descent, from a start that is given instead of drawn."""

    start: np.ndarray | None = None

    def _compute(
        self,
        x: Any,
        x_init: Any,
        y: Any,
        mask: Any,
        eps: Any,
        eps_step: Any,
        project: Any,
        random_init: Any,
        batch_id_ext: Any = None,
        decay: Any = None,
        momentum: Any = None,
    ) -> Any:
        first = self._i_max_iter == 0 and self.start is not None
        return super()._compute(
            self.start if first else x,
            x_init,
            y,
            mask,
            eps,
            eps_step,
            project,
            False,
            batch_id_ext,
            decay,
            momentum,
        )


def projected_gradient_descent(
    search: Search, steps: int, step_size: float, start: torch.Tensor | None
) -> torch.Tensor:
    """The last point of ``steps`` steps from ``start`` (None: the clean samples)."""
    attack = _StartedDescent(
        ToolboxClassifier(search),
        norm=np.inf if search.threat.norm == "linf" else 2,
        eps=float(search.threat.epsilon),
        eps_step=float(step_size),
        max_iter=steps,
        num_random_init=0,
        batch_size=len(search.samples),
        verbose=False,
    )
    attack.start = None if start is None else start.cpu().numpy()
    last = attack.generate(search.samples, search.labels.cpu().numpy())
    return torch.from_numpy(last.astype(np.float32)).to(search.device)
