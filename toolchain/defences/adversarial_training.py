"""Adversarial training: every batch is replaced by adversarial examples against the network as it
is at that moment.

The perturbation is made of pixels in [0, 1], before the encoder, with the gradient that training
itself uses (the surrogate, through the encoder as ``toolchain.attacks.encoding`` differentiates
it), in training mode: noisy neurons are noisy, a random encoder's draw is that of the step. Rules,
with g the gradient of the recipe's loss:

    fgsm    x + epsilon sign(g(x))                                                      Goodfellow
            et al., ICLR 2015
    rfgsm   x' = x + alpha sign(N(0, 1)), then x' + (epsilon - alpha) sign(g(x'))       Tramer et
            al., ICLR 2018
    pgd     from a uniformly random point of the ball, ``steps`` times + alpha sign(g), projected
            onto the ball of epsilon
                                                                                        Madry et
                                                                                            al.,
                                                                                            ICLR
                                                                                            2018

each clipped to [0, 1]. The convention of the literature on spiking networks is to train at epsilon
2/255 (pgd: alpha 1/255, 2 steps) and to attack at 8/255; reports print both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import nn

from toolchain.defences.hooks import Hook, Step, images_of
from toolchain.table_rules import one_of
from toolchain.tables import Settings

ATTACKS = ("fgsm", "rfgsm", "pgd")


@dataclass(frozen=True)
class Adversarial(Settings):
    """Adversarial training of a recipe.

    attack   that makes the training images
    epsilon  largest change of a pixel, in units of the full range of pixels (8/255: 0.0314)
    alpha    rfgsm: the random step; pgd: the size of a step. Not given: epsilon / 2
    steps    pgd; not given: 2
    """

    TABLE = "defence.adversarial"

    attack: Annotated[str, one_of(ATTACKS)]
    epsilon: Annotated[float, Meta(ge=1e-6, le=1)]
    alpha: Annotated[float, Meta(ge=1e-6, le=1)] | None = None
    steps: Annotated[int, Meta(ge=1, le=1000)] | None = None

    def check(self) -> str | None:
        if self.attack == "fgsm" and self.alpha is not None:
            return "alpha goes with rfgsm and pgd, not fgsm"
        if self.attack != "pgd" and self.steps is not None:
            return f"steps goes with pgd, not {self.attack}"
        if self.attack == "rfgsm" and self.alpha is not None and self.alpha > self.epsilon:
            return (
                f"alpha is {self.alpha:g}; with rfgsm it must be at most epsilon, {self.epsilon:g}"
            )
        return None


def perturb(settings: Adversarial, step: Step) -> torch.Tensor:
    """Adversarial examples of the step's images, [sample, *shape] in [0, 1], each pixel within
    epsilon of the original."""
    clean, epsilon = images_of(step).detach(), settings.epsilon
    alpha = epsilon / 2 if settings.alpha is None else settings.alpha
    if settings.attack == "fgsm":
        return (clean + epsilon * _sign(step, clean)).clamp(0, 1)
    if settings.attack == "rfgsm":
        start = (clean + alpha * torch.randn_like(clean).sign()).clamp(0, 1)
        return _projected(start + (epsilon - alpha) * _sign(step, start), clean, epsilon)
    attacked = _projected(clean + epsilon * (2 * torch.rand_like(clean) - 1), clean, epsilon)
    for _ in range(settings.steps or 2):
        attacked = _projected(attacked + alpha * _sign(step, attacked), clean, epsilon)
    return attacked


def _projected(images: torch.Tensor, clean: torch.Tensor, epsilon: float) -> torch.Tensor:
    return torch.minimum(torch.maximum(images, clean - epsilon), clean + epsilon).clamp(0, 1)


def _sign(step: Step, images: torch.Tensor) -> torch.Tensor:
    """Sign of the loss's gradient with regard to images."""
    images = images.detach().requires_grad_()
    with _constant_parameters(step.model):
        (gradient,) = torch.autograd.grad(step.loss(step.scores(images)), images)
    return gradient.sign()


@contextmanager
def _constant_parameters(model: nn.Module) -> Iterator[None]:
    """No gradient is computed for parameters that nobody asks for."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)


class AdversarialTraining(Hook):
    """Training on adversarial examples alone."""

    name = "adversarial"
    needs_images = True

    def __init__(self, settings: Adversarial) -> None:
        self.settings = settings

    def prepare(self, step: Step) -> None:
        step.clean, step.images = step.images, perturb(self.settings, step)
