"""Threshold guarding: keep membrane potentials away from the threshold (Wang et al., arXiv
2602.20548, "TGO").

The membrane-potential constraint of the paper, its equation 12, is a hinge of half width delta
around the threshold:

    C_l = mean over steps and samples, mean or sum over neurons, of  max(0, delta - |V - V_th|) **
        power

with V the potential that is compared with the threshold, before the reset, with or without the
noise of a noisy neuron. The loss gains lambda * mean over layers of C_l, where lambda rises from 0
to ``lambda_max``. Its other half, the noisy neuron, is ``[neuron] noise``
(``toolchain.layers.noise``).

The paper's (as far as known): the hinge, its two sides, lambda_max 0.4 (WRN-16) and 0.6 (VGG-11), a
cosine schedule. Ours, because the paper says nothing, or not clearly: delta; power 1 (the formula;
its text calls the penalty quadratic: 2); the schedule as lambda_max / 2 * (1 - cos(pi * progress)),
step by step; the mean over neurons, under which lambda_max means the same for layers and networks
of any size. The equation divides by steps and layers alone, so read literally it is the sum
("sum"), whose lambda_max is smaller by the number of neurons of a layer. A lambda_max can be
compared under one normalisation only, and the paper's hardly at all (on digits, delta 0.3: a mean
with 0.6 changes nothing, a mean with 60 takes a third off the share near threshold, a sum with 0.1
half); what can is the share of potentials near threshold, which it reports to fall by about 40 %.
Also ours, each to be chosen in the recipe: V without its noise ("quiet"), and, with adversarial
training, the attacked images alone ("trained"). Refractory steps count like any other. Integrators
have no threshold and take no part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import nn

from toolchain.defences.hooks import Hook, Step
from toolchain.layers import observe
from toolchain.layers.observation import Observation
from toolchain.table_rules import one_of
from toolchain.tables import Settings

SCHEDULES = ("cosine", "constant")
NEURONS = ("mean", "sum")
POTENTIALS = ("quiet", "noisy")
IMAGES = ("trained", "both")


@dataclass(frozen=True)
class Margin(Settings):
    """The membrane-potential constraint of a recipe.

    delta       half width of the hinge in volts
    lambda_max  its weight in the loss at the end of the schedule
    power       1 or 2
    schedule    "cosine": from 0 to lambda_max over the training; "constant"
    neurons     "mean" or "sum" over the neurons of a layer
    potential   "quiet": without the noise of a noisy neuron; "noisy": with it, as it is compared
                with the threshold
    images      "trained": those that the network is trained on, with adversarial training the
                attacked ones alone; "both": the mean of those and of the clean ones
    """

    TABLE = "defence.margin"

    delta: Annotated[float, Meta(ge=1e-6, le=1e3)]
    lambda_max: Annotated[float, Meta(ge=0, le=1e6)]
    power: Annotated[int, one_of((1, 2))] = 1
    schedule: Annotated[str, one_of(SCHEDULES)] = "cosine"
    neurons: Annotated[str, one_of(NEURONS)] = "mean"
    potential: Annotated[str, one_of(POTENTIALS)] = "quiet"
    images: Annotated[str, one_of(IMAGES)] = "trained"

    def weight(self, progress: float) -> float:
        """lambda at ``progress`` of the training, 0 to 1."""
        if self.schedule == "constant":
            return self.lambda_max
        return self.lambda_max / 2 * (1 - math.cos(math.pi * progress))


def penalty(
    layers: Mapping[str, Observation],
    delta: float,
    power: int = 1,
    neurons: str = "mean",
    potential: str = "quiet",
) -> torch.Tensor:
    """Mean over layers of C_l (see above), differentiable, in volts**power; 0 for a network without
    spiking layers."""
    parts = []
    for layer in layers.values():
        compared = layer.compared if potential == "noisy" else layer.potential
        part = (delta - (compared - layer.threshold).abs()).clamp(min=0).pow(power).mean()
        parts.append(part * layer.potential[0, 0].numel() if neurons == "sum" else part)
    return torch.stack(parts).mean() if parts else torch.zeros(())


@dataclass(frozen=True)
class NearThreshold:
    """The share of potentials (of every step, sample and neuron) less than ``delta`` volts from
    their threshold, 0 to 1.

    layers  path of the neuron → share
    share   of all potentials together
    """

    delta: float
    layers: dict[str, float]
    share: float

    @classmethod
    def of(cls, delta: float, counts: Mapping[str, tuple[int, int]]) -> NearThreshold:
        """From (potentials near the threshold, all of them) of every layer."""
        near, total = (sum(count[i] for count in counts.values()) for i in (0, 1))
        return cls(
            delta, {name: n / size for name, (n, size) in counts.items()}, near / max(1, total)
        )


def near_counts(
    layers: Mapping[str, Observation], delta: float, *, relative: bool = False
) -> dict[str, tuple[int, int]]:
    """(potentials near the threshold, all of them) of every layer; ``relative``: delta is in
    thresholds, not in volts."""
    counts = {}
    for name, layer in layers.items():
        potential, threshold = layer.potential.detach(), layer.threshold.detach()
        away = potential / threshold - 1 if relative else potential - threshold
        counts[name] = int((away.abs() < delta).sum()), potential.numel()
    return counts


def near_threshold(layers: Mapping[str, Observation], delta: float) -> NearThreshold:
    """The statistic that the paper rests on, of one or more forward passes that
    ``toolchain.layers.observe`` saw."""
    return NearThreshold.of(delta, near_counts(layers, delta))


def near_threshold_of(model: nn.Module, x: torch.Tensor, delta: float) -> NearThreshold:
    """The same of a model for input x [time, batch, *shape], in the mode that the model is in.

    The layers compute the chip's integers, so the share is the Program's, too. A Recording does not
    show it: it holds potentials after the reset.
    """
    with torch.no_grad(), observe(model) as seen:
        model(x)
    return near_threshold(seen.layers(), delta)


class ThresholdGuarding(Hook):
    """The constraint in training. History: "lambda" (at the end of the epoch), "near_threshold"
    (mean over the epoch's batches)."""

    name = "margin"

    def __init__(self, settings: Margin) -> None:
        self.settings = settings
        self._lambda = 0.0
        self._shares: list[float] = []
        self._layers: dict[str, Observation] = {}

    @contextmanager
    def watching(self, step: Step) -> Iterator[None]:
        with observe(step.model) as seen:
            yield
        self._layers = seen.layers()

    def penalty(self, step: Step, scores: torch.Tensor) -> torch.Tensor:
        layers, self._layers = self._layers, {}
        self._lambda = self.settings.weight(step.progress)
        self._shares.append(near_threshold(layers, self.settings.delta).share)
        if self.settings.images == "trained":
            return self._lambda * self._penalty(layers)

        with observe(step.model) as seen:
            step.scores(step.clean)
        return self._lambda * (self._penalty(layers) + self._penalty(seen.layers())) / 2

    def _penalty(self, layers: Mapping[str, Observation]) -> torch.Tensor:
        chosen = self.settings
        return penalty(layers, chosen.delta, chosen.power, chosen.neurons, chosen.potential)

    def figures(self) -> dict[str, float]:
        shares, self._shares = self._shares, []
        return {"lambda": self._lambda, "near_threshold": sum(shares) / max(1, len(shares))}

    def state(self) -> dict[str, Any]:
        return {"lambda": self._lambda, "shares": list(self._shares)}

    def restore(self, state: dict[str, Any]) -> None:
        self._lambda, self._shares = state["lambda"], list(state["shares"])
