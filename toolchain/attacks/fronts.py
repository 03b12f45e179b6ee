"""What stands before a network (a purifier, a gate), and the ways to treat it in an attack.

A front is a module ``front(images) -> images``; ``ways(victim, front, how)`` is the victim that an
attack is made on:

    through    end to end: the gradient flows through the front as the front defines it
    bpda       backwards the front is the identity (Athalye et al., ICML 2018), which attacks any
               front
    skip       the network alone, as most publications attack it; samples are then tried on the
               whole
    detector   through, with a penalty that keeps what the front's detector reads below its
               threshold, so that it passes the sample on
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from toolchain.attacks.base import AttackError, NotApplicable, Victim
from toolchain.attacks.encoding import straight_through
from toolchain.attacks.readings import Reading, ask, read
from toolchain.attacks.victims import as_attacked

FRONTS = ("through", "bpda", "skip", "detector")

PENALTY = 10.0
"""Weight of the detector's reading above its threshold, in thresholds, against the loss (ours)."""


def ways(victim: Victim, front: nn.Module | None, how: str) -> Victim:
    """The victim that an attack is made on. Raises NotApplicable where there is no front, or no
    detector, to treat in this way."""
    if how not in FRONTS:
        raise AttackError(f"front is {how!r}; it must be one of {', '.join(FRONTS)}")
    if front is None:
        if how != "through":
            raise NotApplicable(
                f"nothing stands before the network that an attack could treat as {how!r}"
            )
        return victim
    if how == "skip":
        return victim
    if how == "bpda":
        return Purified(victim, front, gradient="identity")
    return (
        Purified(victim, front, gradient="through")
        if how == "through"
        else DetectorAware(victim, front)
    )


def has_detector(front: nn.Module | None) -> bool:
    """Whether a front names ``distance(images) -> [sample]``, what its detector reads, and
    ``gate.threshold``, up to which it passes an image on as it is (``toolchain.defences``)."""
    return (
        callable(getattr(front, "distance", None))
        and getattr(getattr(front, "gate", None), "threshold", None) is not None
    )


class Purified:
    """A purifier in front of a victim, attacked through it.

    purify     images [sample, *shape] → images
    gradient   "identity": BPDA, the purifier's backward pass is the identity (Athalye et al., ICML
               2018), which attacks any purifier; "through": its own derivative
    """

    def __init__(
        self,
        victim: Victim,
        purify: nn.Module | Callable[[torch.Tensor], torch.Tensor],
        *,
        gradient: str = "identity",
    ) -> None:
        if gradient not in ("identity", "through"):
            raise AttackError(f"purifier gradient is {gradient!r}; it must be identity or through")
        self.victim, self.purify, self.gradient = victim, purify, gradient
        self.sample_shape, self.classes, self.stochastic = (
            victim.sample_shape,
            victim.classes,
            victim.stochastic,
        )
        self.temperature: float = getattr(victim, "temperature", 1.0)

    @property
    def events(self) -> bool:
        """Of the victim behind."""
        return bool(getattr(self.victim, "events", False))

    @property
    def device(self) -> torch.device:
        device: torch.device = getattr(self.victim, "device", torch.device("cpu"))
        return device

    @property
    def model(self) -> nn.Module:
        """Every module that an estimator may change: the network, and the purifier where the
        gradient goes through it."""
        if isinstance(self.purify, nn.Module) and self.gradient == "through":
            return nn.ModuleList([self.victim.model, self.purify])
        return self.victim.model

    def read(self, samples: torch.Tensor, *, seed: int = 0) -> Reading:
        """Of the purified samples, differentiable as ``gradient`` says."""
        return read(self.victim, self._purified(samples), seed)

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Scores of the purified samples, differentiable as ``gradient`` says."""
        return self.read(samples, seed=seed).scores

    def ask(self, samples: np.ndarray, *, seed: int = 0) -> Reading:
        """Of the purified samples, without gradient."""
        with torch.no_grad():
            purified = self._purified(
                torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self.device)
            )
        return ask(self.victim, purified.cpu().numpy(), seed)

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Scores without gradient."""
        scores: np.ndarray = self.ask(samples, seed=seed).scores.cpu().numpy()
        return scores

    def _purified(self, samples: torch.Tensor) -> torch.Tensor:
        purify = self.purify

        def run(x: torch.Tensor) -> torch.Tensor:
            attacked = as_attacked(purify) if isinstance(purify, nn.Module) else nullcontext()
            with attacked:
                purified: torch.Tensor = purify(x)
            return purified

        if self.gradient == "through":
            return run(samples)
        with torch.no_grad():
            values = run(samples.detach())
        if values.shape != samples.shape:
            raise AttackError(
                f"the purifier turned shape {tuple(samples.shape)} into {tuple(values.shape)}; "
                f"it must keep the shape"
            )
        return straight_through(samples, values)


class DetectorAware(Purified):
    """End to end, with a penalty on what the detector reads above its threshold: see
    ``toolchain.attacks.search.Search``.

    The front names ``distance(images) -> [sample]``, differentiable, what its detector reads, and
    ``gate.threshold``, up to which it passes an image on as it is (``toolchain.defences``). Raises
    NotApplicable where it does not.
    """

    def __init__(self, victim: Victim, front: nn.Module) -> None:
        super().__init__(victim, front, gradient="through")
        if not has_detector(front):
            raise NotApplicable(
                f"{type(front).__name__} has no detector to evade; the front must have "
                f"distance(images) and a gate's threshold"
            )
        self._front: Any = front  # a module that has a detector
        self.penalty: torch.Tensor | None = None

    def read(self, samples: torch.Tensor, *, seed: int = 0) -> Reading:
        """As in ``Purified``; the penalty of the same samples, [sample], is left in ``penalty``."""
        with as_attacked(self._front):
            reading: torch.Tensor = self._front.distance(samples)
        threshold = float(self._front.gate.threshold)
        self.penalty = PENALTY * (reading - threshold).clamp_min(0) / max(threshold, 1e-6)
        return super().read(samples, seed=seed)
