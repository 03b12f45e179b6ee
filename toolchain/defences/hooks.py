"""How a defence takes part in training: five moments of a step, each of which does nothing unless
the defence says so."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import nn

from toolchain.errors import ToolchainError


class Step(Protocol):
    """One training step, as a defence sees it (``toolchain.training.batches.BatchStep``).

    images    what the network is trained on, before the encoder, [sample, channels, height, width]
              in [0, 1]; a defence may replace them. None where no defence asks for images
    clean     the images as they were before a defence replaced them; None where none did
    labels    int64 [sample]
    progress  0 in the first step of the training, 1 in the last
    """

    images: torch.Tensor | None
    clean: torch.Tensor | None
    labels: torch.Tensor
    progress: float

    @property
    def model(self) -> nn.Module: ...

    def scores(self, images: torch.Tensor | None = None) -> torch.Tensor:
        """Scores [sample, class] of the step's own images or of others, through the encoder;
        differentiable in both."""
        ...

    def logits(self, scores: torch.Tensor) -> torch.Tensor:
        """What the softmax sees: scores times the recipe's logit_scale."""
        ...

    def loss(self, scores: torch.Tensor) -> torch.Tensor:
        """The recipe's loss of the scores, mean over the samples."""
        ...


def images_of(step: Step) -> torch.Tensor:
    """The images of a step, for a defence that asks for them."""
    if step.images is None:
        raise ToolchainError("defence: the step has no images; needs_images must be True")
    return step.images


class Hook:
    """A defence in the training loop.

    name           of its part of the loss
    needs_images   True: the step must be given as images, not as encoded values
    """

    name = ""
    needs_images = False

    def prepare(self, step: Step) -> None:
        """Before the forward pass; may replace ``step.images``."""

    def watching(self, step: Step) -> AbstractContextManager[None]:
        """Around the forward pass."""
        return nullcontext()

    def penalty(self, step: Step, scores: torch.Tensor) -> torch.Tensor | None:
        """What is added to the loss, after the forward pass; None: nothing."""
        return None

    def after_update(self, model: nn.Module) -> None:
        """After the optimiser's step; may change parameters."""

    def figures(self) -> dict[str, float]:
        """What the history keeps of the epoch that ends; starts the next one."""
        return {}

    def state(self) -> dict[str, Any]:
        """What it remembers between steps, as plain JSON values, so that a training that is stopped
        can go on: ``restore`` is given it."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up what ``state`` gave."""
