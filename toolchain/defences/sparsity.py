"""Sparsity regularisation of the input gradient (Liu et al., ICML 2024, "SR").

    loss + weight * mean over samples of ((f(x + h sign(grad_x f(x))) - f(x)) / h) ** 2
    f = exp(z_y) / (exp(z_y) + exp(max over j != y of z_j))

with z the logits and y the label; the second evaluation keeps the competitor of the first. For
small h the quotient is the l1 norm of f's input gradient. The finite difference with a detached
sign is the authors' own form; nothing here needs a second derivative, which the scan over time does
not have (``toolchain.layers.scan`` is differentiable once). A noisy network, or a random encoder,
makes the same draws in both evaluations: their difference would drown the quotient.

h in units of the full range of pixels; the authors' 0.01 is 2.6 of 256 grey levels. An encoder that
rounds to fewer levels needs a larger h, at least half a level, or the second evaluation sees the
same image (refused when the recipe is read). The weight is ours: the paper's is not known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import torch
from msgspec import Meta

from toolchain.defences.hooks import Hook, Step, images_of
from toolchain.errors import ToolchainError
from toolchain.tables import Settings


@dataclass(frozen=True)
class Sparsity(Settings):
    """Sparsity regularisation of a recipe; see the module.

    weight   of the regulariser beside the loss
    h        size of the step of the finite difference, in units of the full range of pixels
    """

    TABLE = "defence.sparsity"

    weight: Annotated[float, Meta(ge=0, le=1e6)]
    h: Annotated[float, Meta(ge=1e-6, le=1)] = 0.01


def confidence(
    logits: torch.Tensor, labels: torch.Tensor, rival: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(f [sample], the competing class [sample]); ``rival``: take this one instead of the strongest
    other class."""
    if rival is None:
        rival = logits.detach().scatter(1, labels[:, None], float("-inf")).argmax(1)
    own, other = (logits.gather(1, classes[:, None])[:, 0] for classes in (labels, rival))
    return torch.sigmoid(own - other), rival


Random: TypeAlias = tuple[torch.Tensor, torch.Tensor | None]
"""States of the generators of the processor and of the device."""


class SparsityRegularisation(Hook):
    """The regulariser in training, at the images that the network is trained on."""

    name = "sparsity"
    needs_images = True

    def __init__(self, settings: Sparsity) -> None:
        self.settings = settings
        self._random: Random | None = None

    def prepare(self, step: Step) -> None:
        images = images_of(step).detach().requires_grad_()
        step.images = images
        self._random = _random_state(images.device)

    def penalty(self, step: Step, scores: torch.Tensor) -> torch.Tensor:
        h, images = self.settings.h, images_of(step)
        if self._random is None:
            raise ToolchainError("sparsity: prepare comes before penalty")
        here, rival = confidence(step.logits(scores), step.labels)
        (gradient,) = torch.autograd.grad(here.sum(), images, retain_graph=True)
        with _replayed(self._random, images.device):
            there, _ = confidence(
                step.logits(step.scores(images.detach() + h * gradient.sign())),
                step.labels,
                rival,
            )
        return self.settings.weight * ((there - here) / h).pow(2).mean()


def _random_state(device: torch.device) -> Random:
    return (
        torch.get_rng_state(),
        torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    )


@contextmanager
def _replayed(state: Random, device: torch.device) -> Iterator[None]:
    """Random numbers as they were when ``state`` was taken; afterwards as if nothing had been
    drawn."""
    now = _random_state(device)
    try:
        _set_random_state(state, device)
        yield
    finally:
        _set_random_state(now, device)


def _set_random_state(state: Random, device: torch.device) -> None:
    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)
