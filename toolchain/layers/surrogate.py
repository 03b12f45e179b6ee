"""Surrogate gradients: what stands for the derivative of the spike in the backward pass.

Each is a plain object; ``lif.spike_grad = surrogate.triangle(width=0.5)`` swaps it at any time
without touching the forward pass. Names, parameters and shapes of atan, sigmoid and fast_sigmoid
are snnTorch's. The functions of ``snntorch.surrogate`` are accepted in their place, as is any
callable that maps ``potential - threshold`` to spikes and can be differentiated.

``x`` is potential minus threshold, in volts. Each formula is built from operators alone, so the
same line runs on tensors and inside a compiled kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch

from toolchain.errors import LayerError

SpikeFunction: TypeAlias = Callable[[torch.Tensor], torch.Tensor]
"""Potential minus threshold, in volts → spikes, with a gradient."""


def _triangle(x: torch.Tensor, width: float) -> torch.Tensor:
    return (width - abs(x)) * (abs(x) < width) / (width * width)


def _rectangle(x: torch.Tensor, width: float) -> torch.Tensor:
    return (2 * abs(x) < width) / width


def _atan(x: torch.Tensor, alpha: float) -> torch.Tensor:
    return alpha / 2 / (1 + (alpha * 1.5707963267948966 * x) * (alpha * 1.5707963267948966 * x))


def _fast_sigmoid(x: torch.Tensor, slope: float) -> torch.Tensor:
    return 1 / ((1 + slope * abs(x)) * (1 + slope * abs(x)))


def _sigmoid(x: torch.Tensor, slope: float) -> torch.Tensor:
    # with exp(-slope |x|), which is the same on both sides and cannot overflow
    decayed = 2.718281828459045 ** (-slope * abs(x))
    return slope * decayed / ((1 + decayed) * (1 + decayed))


def _gaussian(x: torch.Tensor, sigma: float) -> torch.Tensor:
    return 0.3989422804014327 / sigma * 2.718281828459045 ** (-x * x / (2 * sigma * sigma))


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * ctx.surrogate.derivative(x), None


@dataclass(frozen=True)
class Surrogate:
    """One surrogate with its parameter; callable as a spike function, like those of
    ``snntorch.surrogate``."""

    parameter: float
    formula: ClassVar[staticmethod[[torch.Tensor, float], torch.Tensor]]

    def __post_init__(self) -> None:
        if not self.parameter > 0:
            raise LayerError(
                f"surrogate {type(self).__name__}: the parameter is {self.parameter!r}; it must "
                f"be above 0"
            )

    def derivative(self, x: torch.Tensor) -> torch.Tensor:
        """dS/dx at ``x`` = potential - threshold (volts); shape of ``x``."""
        return type(self).formula(x, self.parameter)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes (x > 0) with this surrogate's gradient."""
        spikes: torch.Tensor = _Spike.apply(x, self)  # type: ignore[no-untyped-call]  # torch's
        return spikes


class Triangle(Surrogate):
    """max(0, 1 - |x| / width) / width; area 1."""

    formula = staticmethod(_triangle)


class Rectangle(Surrogate):
    """1 / width within |x| < width / 2; area 1."""

    formula = staticmethod(_rectangle)


class ATan(Surrogate):
    """(alpha / 2) / (1 + (pi alpha x / 2)**2); area 1. Fang et al., ICCV 2021."""

    formula = staticmethod(_atan)


class FastSigmoid(Surrogate):
    """1 / (1 + slope |x|)**2; height 1. Zenke & Ganguli, Neural Computation 2018."""

    formula = staticmethod(_fast_sigmoid)


class Sigmoid(Surrogate):
    """slope e / (1 + e)**2 with e = exp(-slope |x|): the derivative of the logistic function; area
    1."""

    formula = staticmethod(_sigmoid)


class Gaussian(Surrogate):
    """The normal density with standard deviation sigma; area 1. With noise of that sigma in the
    comparison it is the derivative of the firing probability Phi((potential - threshold) / sigma):
    Ma et al., arXiv 2305.16044."""

    formula = staticmethod(_gaussian)


def triangle(width: float = 1.0) -> Triangle:
    """Triangle of half width ``width`` volts."""
    return Triangle(width)


def rectangle(width: float = 1.0) -> Rectangle:
    """Rectangle of full width ``width`` volts."""
    return Rectangle(width)


def atan(alpha: float = 2.0) -> ATan:
    """Arctangent; snnTorch's default."""
    return ATan(alpha)


def fast_sigmoid(slope: float = 25.0) -> FastSigmoid:
    """Fast sigmoid."""
    return FastSigmoid(slope)


def sigmoid(slope: float = 25.0) -> Sigmoid:
    """Logistic sigmoid."""
    return Sigmoid(slope)


def gaussian(sigma: float = 0.3) -> Gaussian:
    """Normal density of ``sigma`` volts."""
    return Gaussian(sigma)


SURROGATES: dict[str, Callable[[float], Surrogate]] = {
    "triangle": triangle,
    "rectangle": rectangle,
    "atan": atan,
    "fast_sigmoid": fast_sigmoid,
    "sigmoid": sigmoid,
    "gaussian": gaussian,
}
"""Name → factory that takes the parameter."""


def derivative(spike_grad: SpikeFunction, x: torch.Tensor) -> torch.Tensor:
    """dS/dx of any spike function: by its formula where it has one, else by differentiating it."""
    if isinstance(spike_grad, Surrogate):
        return spike_grad.derivative(x)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        spikes = spike_grad(x)
        if (
            not isinstance(spikes, torch.Tensor)
            or spikes.shape != x.shape
            or not spikes.requires_grad
        ):
            raise LayerError(
                "spike_grad must map potential - threshold to spikes of the same shape and be "
                "differentiable"
            )
        return torch.autograd.grad(spikes, x, torch.ones_like(spikes))[0]
