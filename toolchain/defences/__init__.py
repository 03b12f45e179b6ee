"""Defences: what makes a network harder to attack. One file each; those of training are switched on
in a recipe, in any combination:

    [neuron]
    noise = 0.2                                        # volts; noisy neurons: layers.noise

    [defence]
    margin = { delta = 0.3, lambda_max = 0.6 }         # threshold_guarding
    adversarial = { attack = "pgd", epsilon = 0.0078 } # adversarial_training
    retraction = { beta = 0.004 }                      # weight_retraction; with the former SNN-RAT
    sparsity = { weight = 0.1, h = 0.01 }              # sparsity: a small input gradient

    [defence.plugins]
    quiet = { weight = 0.1 }                           # of another distribution, by its name

Other distributions add defences by entry points of the group "spikeport.defences"
(docs/extending.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hardware.registry import Registry
from toolchain.defences.adversarial_training import Adversarial, AdversarialTraining
from toolchain.defences.hooks import Hook, Step
from toolchain.defences.sparsity import Sparsity, SparsityRegularisation
from toolchain.defences.threshold_guarding import Margin, ThresholdGuarding
from toolchain.defences.weight_retraction import Retraction, WeightRetraction
from toolchain.errors import ConfigError
from toolchain.tables import Settings, from_table

__all__ = [
    "DEFENCES",
    "Adversarial",
    "Defence",
    "DefenceKind",
    "Hooks",
    "Margin",
    "Retraction",
    "Sparsity",
]


@dataclass(frozen=True)
class DefenceKind:
    """What a defence of training is.

    Attributes:
        settings: A frozen dataclass, filled from the defence's table in a recipe.
        hook: Settings → what takes part in the training (``toolchain.defences.hooks.Hook``).
    """

    settings: type[Settings]
    hook: Callable[[Any], Hook]


# sparsity comes after adversarial: it regularises at the images that the network is trained on
_OWN = {
    "adversarial": DefenceKind(Adversarial, AdversarialTraining),
    "sparsity": DefenceKind(Sparsity, SparsityRegularisation),
    "margin": DefenceKind(Margin, ThresholdGuarding),
    "retraction": DefenceKind(Retraction, WeightRetraction),
}

DEFENCES: Registry[DefenceKind] = Registry(
    "defence", "spikeport.defences", DefenceKind, _OWN, ConfigError
)
"""Name → defence, in the order in which they take part in a step."""


@dataclass(frozen=True)
class Defence(Settings):
    """The defences of a recipe; each is off unless it is given.

    margin        threshold guarding: potentials are pushed away from the threshold
    adversarial   adversarial training
    retraction    weight retraction
    sparsity      a small gradient with respect to the input
    plugins  defences of other distributions: name → table of its settings
    """

    TABLE = "defence"

    margin: Margin | None = None
    adversarial: Adversarial | None = None
    retraction: Retraction | None = None
    sparsity: Sparsity | None = None
    plugins: dict[str, dict[str, Any]] | None = None

    def check(self) -> str | None:
        if self.margin is not None and self.margin.images == "both" and self.adversarial is None:
            return (
                'margin.images is "both", and without adversarial training there are no attacked '
                'images; it must be "trained", or [defence] must have adversarial'
            )
        for name in self.plugins or {}:
            if name in _OWN or name not in DEFENCES:
                known = ", ".join(n for n in DEFENCES if n not in _OWN) or "none"
                return f"plugins has no defence {name!r} of another distribution; there are {known}"
        try:
            self._added()
        except ConfigError as error:  # the caller names the file
            return str(error)
        return None

    def _added(self) -> dict[str, Settings]:
        """Name → settings of the defences of other distributions. Raises ConfigError and
        PluginError."""
        return {
            name: from_table(DEFENCES[name].settings, table, f"plugins.{name}")
            for name, table in (self.plugins or {}).items()
        }

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules of the plug-ins among them, whose code a training rests on."""
        return DEFENCES.modules(self.plugins or {})

    def hooks(self) -> Hooks:
        """What takes part in the training."""
        settings = {name: getattr(self, name) for name in _OWN} | self._added()
        return Hooks(
            [DEFENCES[n].hook(settings[n]) for n in DEFENCES if settings.get(n) is not None]
        )


class Hooks:
    """All defences of a training as one; see ``toolchain.defences.hooks.Hook``."""

    def __init__(self, hooks: list[Hook]) -> None:
        self._hooks = hooks

    @property
    def needs_images(self) -> bool:
        """True where a step must be given as images."""
        return any(hook.needs_images for hook in self._hooks)

    def prepare(self, step: Step) -> None:
        for hook in self._hooks:
            hook.prepare(step)

    @contextmanager
    def watching(self, step: Step) -> Iterator[None]:
        with ExitStack() as stack:
            for hook in self._hooks:
                stack.enter_context(hook.watching(step))
            yield

    def penalties(self, step: Step, scores: torch.Tensor) -> dict[str, torch.Tensor]:
        """Name of the defence → what it adds to the loss."""
        terms = {hook.name: hook.penalty(step, scores) for hook in self._hooks}
        return {name: penalty for name, penalty in terms.items() if penalty is not None}

    def after_update(self, model: nn.Module) -> None:
        for hook in self._hooks:
            hook.after_update(model)

    def figures(self) -> dict[str, float]:
        """Of the epoch that ends."""
        return {name: value for hook in self._hooks for name, value in hook.figures().items()}

    def state(self) -> list[dict[str, Any]]:
        """What they remember between steps, in plain JSON values."""
        return [hook.state() for hook in self._hooks]

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Take up what ``state`` gave."""
        for hook, state in zip(self._hooks, states, strict=True):
            hook.restore(state)
