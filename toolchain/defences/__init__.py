"""Defences: what makes a network harder to attack. One file each; those of training are switched on
in a recipe, in any combination:

[neuron]
noise = 0.2                                                     # volts; noisy neurons
    (toolchain.layers.noise)

[defence]
margin = { delta = 0.3, lambda_max = 0.6 }                      # threshold_guarding: potentials
away from the threshold adversarial = { attack = "pgd", epsilon = 0.0078 }              #
adversarial_training retraction = { beta = 0.004 }                                   #
weight_retraction; with adversarial: SNN-RAT sparsity = { weight = 0.1, h = 0.01 }
# sparsity: a small input gradient
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from toolchain.defences.adversarial_training import Adversarial, AdversarialTraining
from toolchain.defences.hooks import Hook, Step
from toolchain.defences.sparsity import Sparsity, SparsityRegularisation
from toolchain.defences.threshold_guarding import Margin, ThresholdGuarding
from toolchain.defences.weight_retraction import Retraction, WeightRetraction
from toolchain.tables import Settings

__all__ = ["Adversarial", "Defence", "Hooks", "Margin", "Retraction", "Sparsity"]


@dataclass(frozen=True)
class Defence(Settings):
    """The defences of a recipe; each is off unless it is given."""

    TABLE = "defence"

    margin: Margin | None = None
    adversarial: Adversarial | None = None
    retraction: Retraction | None = None
    sparsity: Sparsity | None = None

    def check(self) -> str | None:
        if self.margin is not None and self.margin.images == "both" and self.adversarial is None:
            return (
                'margin.images is "both", and without adversarial training there are no attacked '
                'images; it must be "trained", or [defence] must have adversarial'
            )
        return None

    def hooks(self) -> Hooks:
        """What takes part in the training."""
        # sparsity comes after adversarial: it regularises at the images that the network is trained
        # on
        kinds = (
            (self.adversarial, AdversarialTraining),
            (self.sparsity, SparsityRegularisation),
            (self.margin, ThresholdGuarding),
            (self.retraction, WeightRetraction),
        )
        return Hooks([kind(settings) for settings, kind in kinds if settings is not None])


class Hooks:
    """All defences of a training as one; see ``toolchain.defences.hooks.Hook``."""

    def __init__(self, hooks: list[Hook]):
        self._hooks = hooks

    @property
    def needs_images(self) -> bool:
        """True where a step must be given as images."""
        return any(hook.needs_images for hook in self._hooks)

    def prepare(self, step: Step) -> None:
        for hook in self._hooks:
            hook.prepare(step)

    @contextmanager
    def watching(self, step: Step):
        with ExitStack() as stack:
            for hook in self._hooks:
                stack.enter_context(hook.watching(step))
            yield

    def penalties(self, step: Step, scores: torch.Tensor) -> dict[str, torch.Tensor]:
        """Name of the defence → what it adds to the loss."""
        found = {hook.name: hook.penalty(step, scores) for hook in self._hooks}
        return {name: penalty for name, penalty in found.items() if penalty is not None}

    def after_update(self, model: nn.Module) -> None:
        for hook in self._hooks:
            hook.after_update(model)

    def figures(self) -> dict[str, float]:
        """Of the epoch that ends."""
        return {name: value for hook in self._hooks for name, value in hook.figures().items()}
