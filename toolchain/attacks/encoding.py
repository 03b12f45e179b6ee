"""From images in [0, 1] to what a network reads over time, with the gradient that attacks use.

An encoder is the one place where this is defined: the differentiable values for PyTorch and the
integers for a Program are the same numbers. Random numbers come from the seed alone and are shared
by all samples of a batch, so a sample's input does not depend on its batch mates. A Poisson encoder
draws other numbers than ``toolchain.data.encoders`` does, of the same distribution; why is said
there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from toolchain.attacks.base import AttackError
from toolchain.whole import whole


class Encoder(Protocol):
    """steps: time steps. stochastic: the seed matters. fraction_bits: integers are values *
    2**fraction_bits."""

    @property
    def steps(self) -> int: ...

    @property
    def stochastic(self) -> bool: ...

    @property
    def fraction_bits(self) -> int: ...

    def __call__(self, images: torch.Tensor, seed: int) -> torch.Tensor:
        """Images [sample, *shape] → values [step, sample, *shape] in real units, differentiable."""
        ...


def integers(encoder: Encoder, images: np.ndarray, seed: int) -> np.ndarray:
    """What a Program is given: int32 [sample, step, *shape]. Raises DataError where the encoder
    leaves its own grid."""
    with torch.no_grad():
        values = encoder(torch.from_numpy(np.ascontiguousarray(images, np.float32)), seed)
    scaled = values.numpy().astype(np.float64) * 2.0**encoder.fraction_bits
    return whole(
        scaled,
        np.int32,
        f"values of {type(encoder).__name__} in units of 2**-{encoder.fraction_bits}",
    ).swapaxes(0, 1)


def _check(encoder: str, steps: int, **others: tuple[float, float, float]) -> None:
    """Refuse steps below 1, and others outside of (value, low, high)."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise AttackError(
            f"{encoder} encoding: steps is {steps!r}; it must be a whole number of time steps from "
            "1"
        )
    for name, (value, low, high) in others.items():
        if not low <= value <= high:
            raise AttackError(
                f"{encoder} encoding: {name} is {value!r}; it must be from {low} to {high}"
            )


@dataclass(frozen=True)
class Direct:
    """The image's grey levels as graded spikes, the same in every step.

    Levels are whole multiples of 2**-fraction_bits, at most the largest message; the gradient
    passes the rounding straight through, and is summed over the steps. ``dropped_bits``: the sensor
    has so many bits more, which are cut off.
    """

    steps: int
    message_bits: int
    fraction_bits: int
    dropped_bits: int = 0

    stochastic = False

    def __post_init__(self) -> None:
        _check(
            "direct",
            self.steps,
            message_bits=(self.message_bits, 2, 24),
            fraction_bits=(self.fraction_bits, 0, 23),
            dropped_bits=(self.dropped_bits, 0, 23),
        )

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        largest = 2.0 ** (self.message_bits - 1) - 1
        read = torch.round(images.detach() * 2.0 ** (self.fraction_bits + self.dropped_bits))
        levels = (
            torch.floor(read * 2.0**-self.dropped_bits).clamp(-largest - 1, largest)
            * 2.0**-self.fraction_bits
        )
        return straight_through(images, levels).expand(self.steps, *images.shape)


@dataclass(frozen=True)
class Poisson:
    """Rate coding: in every step and pixel independently a spike with probability = rate * pixel
    value.

    signed     pixels are first mapped to [-1, 1]; a spike of the pixel's sign with probability =
               rate * magnitude (the encoder of Sharmin et al., ECCV 2020)

    Backward: the identity, averaged over the steps, times the slope of the expected spike (rate; 2
    * rate where signed). This is the gradient of Sharmin et al.: what reaches the first layer is
    summed over time, the expected spike is the pixel.

    reach      None; or how far an adversary who knows the draws can move a pixel: backward, a step
               counts only where that is far enough to change its spike (a rectangular surrogate
               about the draw, of half width ``reach``)

    What is drawn is a function of the seed, the step and the pixel: all samples of a seed share it.
    """

    steps: int
    signed: bool = False
    rate: float = 1.0
    reach: float | None = None

    stochastic = True
    fraction_bits = 0

    def __post_init__(self) -> None:
        _check("poisson", self.steps, rate=(self.rate, 0.0, 1.0))

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed & (2**63 - 1))
        chance = torch.rand((self.steps, 1, *images.shape[1:]), generator=generator).to(
            images.device
        )
        level = images.detach() * 2 - 1 if self.signed else images.detach()
        spikes = (chance < self.rate * level.abs()).to(images.dtype) * level.sign()
        slope = self.rate * (2.0 if self.signed else 1.0)
        if self.reach is None:
            return _expected(images, spikes, slope)
        near = (self.rate * level.abs() - chance).abs() <= self.reach * slope
        return _within(images, spikes, near.to(images.dtype) / (2 * self.reach))


@dataclass(frozen=True)
class Latency:
    """One spike for each pixel above 0, the brighter the earlier, as ``toolchain.data.encoders``;
    integer levels 0 to ``maximum`` are pixel * ``scale``, rounded.

    Backward (ours): a brighter pixel moves its spike (steps - 1) steps earlier for each unit, so
    the gradient is that rate times half the difference of the gradients one step earlier and one
    step later (at the ends: of the neighbour that exists). A silent pixel would spike in the last
    step: its gradient there, times the rate.
    """

    steps: int
    maximum: int = 255
    scale: float = 256.0

    stochastic = False
    fraction_bits = 0

    def __post_init__(self) -> None:
        _check(
            "latency",
            self.steps,
            maximum=(self.maximum, 1, 1 << 16),
            scale=(self.scale, self.maximum, 1 << 17),
        )

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        level = torch.round(images.detach() * self.scale).clamp(0, self.maximum).to(torch.int64)
        step = ((self.maximum - level) * (self.steps - 1) * 2 + self.maximum) // (2 * self.maximum)
        return _arrival(images, step, level > 0, self.steps)


@dataclass(frozen=True)
class Still:
    """The image itself, once: for networks without time and without an encoding (an ANN)."""

    steps = 1
    stochastic = False
    fraction_bits = 0

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        return images[None]


@dataclass(frozen=True)
class Around:
    """What stands around an encoder and changes its input or its values, but neither steps nor
    randomness."""

    encoder: Encoder

    @property
    def steps(self) -> int:
        return self.encoder.steps

    @property
    def stochastic(self) -> bool:
        return self.encoder.stochastic

    @property
    def fraction_bits(self) -> int:
        return self.encoder.fraction_bits


@dataclass(frozen=True)
class Reshaped(Around):
    """An encoder whose values are laid out anew for a network that reads another shape (pixels in a
    row)."""

    shape: tuple[int, ...]

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        return self.encoder(images, seed).reshape(self.steps, len(images), *self.shape)


class _Arrival(torch.autograd.Function):
    """Forward: a spike [step, sample, *shape] in its step where there is one. Backward: see
    ``Latency``."""

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, step: torch.Tensor, present: torch.Tensor, steps: int
    ) -> torch.Tensor:
        ctx.save_for_backward(step, present)
        times = torch.arange(steps, device=images.device).reshape(-1, *(1,) * images.dim())
        return ((times == step) & present).to(images.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        step, present = ctx.saved_tensors
        last = len(gradient) - 1
        earlier = gradient.gather(0, (step - 1).clamp_min(0)[None])[0]
        later = gradient.gather(0, (step + 1).clamp_max(last)[None])[0]
        inner = torch.where((step > 0) & (step < last), 0.5, 1.0)
        return (
            last * torch.where(present, inner * (earlier - later), gradient[last]),
            None,
            None,
            None,
        )


def _arrival(
    images: torch.Tensor, step: torch.Tensor, present: torch.Tensor, steps: int
) -> torch.Tensor:
    spikes: torch.Tensor = _Arrival.apply(  # type: ignore[no-untyped-call]  # torch's
        images, step, present, steps
    )
    return spikes


class _StraightThrough(torch.autograd.Function):
    """Forward: the given values. Backward: the identity."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return values

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def straight_through(images: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """``values``, whose gradient is that of ``images``."""
    output: torch.Tensor = _StraightThrough.apply(  # type: ignore[no-untyped-call]  # torch's
        images, values
    )
    return output


def revealed(encoder: Encoder, reach: float) -> Encoder:
    """The encoder as one who knows its draws sees it: the same values, another gradient where it
    draws any (``Poisson.reach``)."""
    if isinstance(encoder, Around):
        return replace(encoder, encoder=revealed(encoder.encoder, reach))
    return replace(encoder, reach=reach) if isinstance(encoder, Poisson) and reach > 0 else encoder


class _Within(torch.autograd.Function):
    """Forward: spikes [step, sample, *shape]. Backward: the sum over the steps, each with its
    slope."""

    @staticmethod
    def forward(
        ctx: Any, images: torch.Tensor, spikes: torch.Tensor, slopes: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(slopes)
        return spikes

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return (gradient * slopes).sum(dim=0), None, None


def _within(images: torch.Tensor, spikes: torch.Tensor, slopes: torch.Tensor) -> torch.Tensor:
    output: torch.Tensor = _Within.apply(  # type: ignore[no-untyped-call]  # torch's
        images, spikes, slopes
    )
    return output


class _Expected(torch.autograd.Function):
    """Forward: spikes [step, sample, *shape]. Backward: mean over steps, times the slope of the
    expectation."""

    @staticmethod
    def forward(ctx: Any, images: torch.Tensor, spikes: torch.Tensor, slope: float) -> torch.Tensor:
        ctx.slope = slope
        return spikes

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient.mean(dim=0) * ctx.slope, None, None


def _expected(images: torch.Tensor, spikes: torch.Tensor, slope: float) -> torch.Tensor:
    output: torch.Tensor = _Expected.apply(  # type: ignore[no-untyped-call]  # torch's
        images, spikes, slope
    )
    return output
