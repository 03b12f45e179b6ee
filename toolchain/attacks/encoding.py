"""From images in [0, 1] to what a network reads over time, with the gradient that attacks use.

An encoder is the one place where this is defined: the differentiable values for PyTorch and the integers for a Program are
the same numbers. Random numbers come from the seed alone and are shared by all samples of a batch, so a sample's input does
not depend on its batch mates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from toolchain.attacks.base import AttackError


class Encoder(Protocol):
    """steps: time steps. stochastic: the seed matters. fraction_bits: integers are values * 2**fraction_bits."""

    steps: int
    stochastic: bool
    fraction_bits: int

    def __call__(self, images: torch.Tensor, seed: int) -> torch.Tensor:
        """Images [sample, *shape] → values [step, sample, *shape] in real units, differentiable."""
        ...


def integers(encoder: Encoder, images: np.ndarray, seed: int) -> np.ndarray:
    """What a Program is given: int32 [sample, step, *shape]."""
    with torch.no_grad():
        values = encoder(torch.from_numpy(np.ascontiguousarray(images, np.float32)), seed)
    return np.rint(values.numpy().astype(np.float64) * 2.0**encoder.fraction_bits).astype(np.int32).swapaxes(0, 1)


def _check_steps(steps: int) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise AttackError(f"steps is {steps!r}; accepted is a number of time steps from 1")


@dataclass(frozen=True)
class Direct:
    """The image's grey levels as graded spikes, the same in every step.

    Levels are whole multiples of 2**-fraction_bits, at most the largest message; the gradient passes the rounding straight
    through, and is summed over the steps.
    """

    steps: int
    message_bits: int
    fraction_bits: int

    stochastic = False

    def __post_init__(self):
        _check_steps(self.steps)
        if not 2 <= self.message_bits <= 24 or self.fraction_bits < 0:
            raise AttackError(f"direct encoding with {self.message_bits} message bits and {self.fraction_bits} fraction bits; accepted are 2 to 24, and from 0")

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        scale, largest = 2.0**self.fraction_bits, 2.0 ** (self.message_bits - 1) - 1
        levels = torch.round(images.detach() * scale).clamp(-largest - 1, largest) / scale
        return StraightThrough.apply(images, levels).expand(self.steps, *images.shape)


@dataclass(frozen=True)
class Poisson:
    """Rate coding: in every step and pixel independently a spike with probability = pixel value.

    signed     pixels are first mapped to [-1, 1]; a spike of the pixel's sign with probability = magnitude (the encoder of
               Sharmin et al., ECCV 2020)

    Backward: the identity, averaged over the steps (times 2 where signed, the derivative of the mapping). This is the gradient
    of Sharmin et al.: the expected spike is the pixel, and what reaches the first layer is summed over time.
    """

    steps: int
    signed: bool = False

    stochastic = True
    fraction_bits = 0

    def __post_init__(self):
        _check_steps(self.steps)

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed & (2**63 - 1))
        chance = torch.rand((self.steps, 1, *images.shape[1:]), generator=generator).to(images.device)
        rate = images.detach() * 2 - 1 if self.signed else images.detach()
        spikes = (chance < rate.abs()).to(images.dtype) * rate.sign()
        return _Expected.apply(images, spikes, 2.0 if self.signed else 1.0)


class StraightThrough(torch.autograd.Function):
    """Forward: the given values. Backward: the identity."""

    @staticmethod
    def forward(ctx, images, values):
        return values

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class _Expected(torch.autograd.Function):
    """Forward: spikes [step, sample, *shape]. Backward: mean over steps, times the slope of the expectation."""

    @staticmethod
    def forward(ctx, images, spikes, slope):
        ctx.slope = slope
        return spikes

    @staticmethod
    def backward(ctx, gradient):
        return gradient.mean(dim=0) * ctx.slope, None, None
