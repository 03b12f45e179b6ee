"""What an attack is given and what it returns: victims, threat models, results.

    victim = PixelVictim(model, encoder)                 toolchain.attacks.victims
    result = attack(victim, images, labels, threat, seed=0)
    result.adversarial                                   verified to lie within the threat model

An optimiser (FGSM, PGD, APGD …) asks the victim for scores and gradients; which gradient it gets is
the estimator's choice, switched on around the call. So optimisers × estimators × victims combine
freely.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import nn

from toolchain.errors import ToolchainError


class AttackError(ToolchainError):
    """An attack was asked for something it cannot do, or returned a sample outside its threat
    model."""


class NotApplicable(AttackError):
    """An attack cannot be made on this network (another kind of neuron, no gradient, no purifier):
    no failure, a cell that is not there."""


PIXELS, EVENTS = ("linf", "l2"), ("flips", "shift")
"""Threats of an adversary, by what they change: grey levels of images, or binary events."""


@dataclass(frozen=True)
class Threat:
    """What an adversary may change.

    norm      "linf" or "l2": distance in pixel space, images in [low, high], before any
              normalisation or encoding; "flips": number of event cells (step, channel, row, column)
              that change between 0 and 1; "shift": largest number of steps by which an event may be
              moved (events are neither made nor lost); "corruption": a common corruption, whose
              severity, 1 to 5, says how much
    epsilon   the radius, in pixel units for linf and l2; a whole number for the event threats and
              severities
    """

    norm: str
    epsilon: float
    low: float = 0.0
    high: float = 1.0

    NORMS = ("linf", "l2", "flips", "shift", "corruption")

    def __post_init__(self) -> None:
        if self.norm not in self.NORMS:
            raise AttackError(
                f"threat norm is {self.norm!r}; it must be one of {', '.join(self.NORMS)}"
            )
        number = isinstance(self.epsilon, (int, float, np.number))
        if not number or not np.isfinite(self.epsilon) or self.epsilon < 0:
            raise AttackError(
                f"threat epsilon is {self.epsilon!r}; it must be a finite number from 0"
            )
        if self.norm in ("flips", "shift", "corruption") and self.epsilon != int(self.epsilon):
            raise AttackError(f"threat {self.norm!r} needs a whole number, not {self.epsilon!r}")
        if not self.low < self.high:
            raise AttackError(f"threat range [{self.low}, {self.high}] is empty")


class Victim(Protocol):
    """A network as an attack sees it: samples in, one score for each class out.

    events         True: samples are binary events; False (and where a victim does not say): images
    sample_shape   (channels, height, width) of an image in [0, 1], or (step, channels, height,
                   width) of binary events
    classes        number of scores
    stochastic     True where two calls with different seeds differ (Poisson encoder, noisy
                   neurons): attacks then average gradients over several seeds (EOT) or carry the
                   flag "randomness without EOT"
    """

    @property
    def sample_shape(self) -> tuple[int, ...]: ...

    @property
    def classes(self) -> int: ...

    @property
    def stochastic(self) -> bool: ...

    @property
    def model(self) -> nn.Module:
        """What gradients flow through, for estimators; NotApplicable is raised where none do."""
        ...

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Scores [sample, class], differentiable with respect to ``samples`` for white-box
        victims."""
        ...

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Scores [sample, class] without gradient; the only call that black-box attacks make.
        Counts as one query each."""
        ...


def check_kind(victim: Victim, threat: Threat) -> None:
    """Raises AttackError where a threat changes pixels and the victim reads events, or the other
    way round.

    A pixel attack on events would leave fractions of events, which no chip can be given.
    """
    events = bool(getattr(victim, "events", False))
    if events != (threat.norm in EVENTS):
        kind, fitting = ("events", EVENTS) if events else ("images", (*PIXELS, "corruption"))
        raise AttackError(
            f"the network reads {kind}, and the threat is {threat.norm!r}; with {kind} go "
            f"{', '.join(fitting)}"
        )


@dataclass(frozen=True, eq=False)
class AttackResult:
    """Adversarial samples and what it took.

    adversarial   float32 (images) or uint8 (events), shape of the clean samples; inside the threat
                  model, verified
    success       bool [sample]: the victim's own prediction differs from the label (or, for energy
                  attacks, activity rose)
    queries       int [sample]: forward evaluations used
    history       name → float array [iteration, …] that the honesty checks read, e.g. "loss"
                  [iteration, sample], "zero_gradient" [iteration, sample] (gradient exactly zero
                  everywhere)
    """

    adversarial: np.ndarray
    success: np.ndarray
    queries: np.ndarray
    history: Mapping[str, np.ndarray] = field(default_factory=dict)


Attack = Callable[..., AttackResult]
"""attack(victim, samples, labels, threat, *, seed=0, estimator=None, eot=1, progress=None) ->
AttackResult."""


def verify(clean: np.ndarray, adversarial: np.ndarray, threat: Threat) -> None:
    """Raise AttackError unless every sample lies within the threat model (float32 rounding of one
    part in 10**6 allowed).

    Every attack calls this on what it returns; the harness calls it again.
    """
    if adversarial.shape != clean.shape:
        raise AttackError(
            f"adversarial samples have shape {adversarial.shape}, the clean ones {clean.shape}"
        )
    if not np.all(np.isfinite(adversarial)):
        raise AttackError("adversarial samples hold NaN or infinite values")

    flat = (adversarial.astype(np.float64) - clean.astype(np.float64)).reshape(len(clean), -1)
    slack = 1e-6 * max(1.0, threat.epsilon)
    if threat.norm in ("linf", "l2"):
        distance = (
            np.abs(flat).max(axis=1) if threat.norm == "linf" else np.sqrt((flat**2).sum(axis=1))
        )
        if distance.max() > threat.epsilon + slack:
            raise AttackError(
                f"sample {int(distance.argmax())} is {distance.max():.8f} from the clean one; "
                f"allowed is {threat.epsilon} ({threat.norm})"
            )

    if threat.norm in ("linf", "l2", "corruption"):
        if adversarial.min() < threat.low - 1e-6 or adversarial.max() > threat.high + 1e-6:
            raise AttackError(
                f"values from {adversarial.min()} to {adversarial.max()}; allowed are {threat.low} "
                f"to {threat.high}"
            )
        return

    if not np.all((adversarial == 0) | (adversarial == 1)):
        raise AttackError("event samples hold values other than 0 and 1")
    if threat.norm == "flips":
        flips = np.count_nonzero(flat, axis=1)
        if flips.max() > threat.epsilon:
            raise AttackError(
                f"sample {int(flips.argmax())} has {int(flips.max())} changed event cells; allowed "
                f"are {int(threat.epsilon)}"
            )
        return

    _, moved = steps_moved(clean, adversarial)
    if moved.size and moved.max() > threat.epsilon:
        raise AttackError(
            f"an event moved by {int(moved.max())} steps; allowed are {int(threat.epsilon)}"
        )


def steps_moved(clean: np.ndarray, adversarial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sample, number of steps that it moved) of every event, int64 [event] each; events [sample,
    step, ...].

    On each line (channel, row, column) the k-th event before is the k-th after. Raises AttackError
    where one was made or lost.
    """

    def lines(events: np.ndarray) -> np.ndarray:
        """[sample, line, step]"""
        return events.reshape(*events.shape[:2], -1).transpose(0, 2, 1)

    before, after = lines(clean) > 0, lines(adversarial) > 0
    if np.any(before.sum(axis=2) != after.sum(axis=2)):
        raise AttackError("an event was made or lost; the threat 'shift' only moves events in time")
    sample, _, step = np.nonzero(before)
    return sample, np.abs(step.astype(np.int64) - np.nonzero(after)[2].astype(np.int64))
