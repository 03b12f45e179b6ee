"""Estimators that give the derivative of every spike from the whole trace of a neuron: base, and
the plain surrogates.

With u = (potential - threshold) / threshold the derivative with respect to the potential is f(u) /
threshold, so that a width means the same for every neuron; for a threshold of 1 these are the
literature's formulas.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from toolchain.attacks.base import AttackError
from toolchain.attacks.estimators.base import NeuronEstimator, Undo, replace
from toolchain.layers import surrogate


class SlopeEstimator(NeuronEstimator):
    """Backpropagation through time with ``slope`` in the surrogate's place."""

    def slope(self, u: torch.Tensor, key: tuple[str, int], frozen: bool) -> torch.Tensor:
        """d spike / d u for u [step, sample, *shape]; ``key``: path of the neuron and number of the
        call in this forward pass (a neuron that is called step by step has one step in each call).
        Runs in the backward pass."""
        raise NotImplementedError

    def install(self, path: str, neuron: nn.Module, frozen: bool) -> Undo:
        calls = 0

        def before(module: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            nonlocal calls
            shape = arguments[0].shape[2 if named.get("sequence") else 1 :]
            threshold = torch.as_tensor(module.threshold).detach().to(arguments[0]).expand(shape)
            module.spike_grad = _SpikeFunction(self, (path, calls), threshold, frozen)
            calls += 1

        restore = replace(neuron, "spike_grad", neuron.spike_grad)
        hook = neuron.register_forward_pre_hook(before, with_kwargs=True)

        def undo() -> None:
            hook.remove()
            restore()

        return undo


class _SpikeFunction:
    """What takes the place of ``spike_grad`` for one call of a neuron: potential - threshold →
    spikes, with the estimator's slope."""

    def __init__(
        self, estimator: SlopeEstimator, key: tuple[str, int], threshold: torch.Tensor, frozen: bool
    ) -> None:
        self.estimator, self.key, self.threshold, self.frozen = estimator, key, threshold, frozen

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        spikes: torch.Tensor = _Spike.apply(x, self)  # type: ignore[no-untyped-call]  # torch's
        return spikes

    def derivative(self, x: torch.Tensor) -> torch.Tensor:
        # toolchain's neurons hand over [step, sample, neuron], snnTorch's [sample, *shape]
        u = x.detach().reshape(
            -1,
            x.shape[x.dim() - 2]
            if x.dim() == 3 and x.shape[2:] == (self.threshold.numel(),)
            else x.shape[0],
            *self.threshold.shape,
        )
        return (
            self.estimator.slope(u / self.threshold, self.key, self.frozen) / self.threshold
        ).reshape(x.shape)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, function: _SpikeFunction) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.function = function
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient * ctx.function.derivative(ctx.saved_tensors[0]), None


def _constant(x: torch.Tensor, height: float) -> torch.Tensor:
    return height + 0 * x


class StraightThrough(surrogate.Surrogate):
    """The same derivative everywhere."""

    formula = staticmethod(_constant)


SHAPES: dict[str, tuple[type[surrogate.Surrogate], int]] = {
    "triangle": (surrogate.Triangle, 1),
    "rectangle": (surrogate.Rectangle, 1),
    "atan": (surrogate.ATan, -1),
    "sigmoid": (surrogate.Sigmoid, -1),
    "straight_through": (StraightThrough, -1),
}
"""Name → formula, and the power of the threshold that its parameter scales with (a width 1, a
steepness or height -1)."""


@dataclass(frozen=True)
class Pointwise(SlopeEstimator):
    """Backpropagation through time with another surrogate.

    shape       triangle (half width ``parameter``), rectangle (full width), atan, sigmoid
                (steepness), straight_through (height)
    parameter   widths in thresholds, steepness and height per threshold
    """

    shape: str
    parameter: float = 1.0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise AttackError(
                f"surrogate shape is {self.shape!r}; it must be one of {', '.join(SHAPES)}"
            )
        if not self.parameter > 0:
            raise AttackError(
                f"surrogate {self.shape!r}: the parameter is {self.parameter!r}; it must be "
                f"positive"
            )
        object.__setattr__(self, "name", self.shape)

    def slope(self, u: torch.Tensor, key: tuple[str, int], frozen: bool) -> torch.Tensor:
        return SHAPES[self.shape][0](self.parameter).derivative(u)

    def install(self, path: str, neuron: nn.Module, frozen: bool) -> Undo:
        threshold = torch.as_tensor(neuron.threshold)
        if threshold.numel() != 1:
            return super().install(path, neuron, frozen)
        # one threshold: a plain surrogate, which the layers compile
        formula, power = SHAPES[self.shape]
        return replace(neuron, "spike_grad", formula(self.parameter * float(threshold) ** power))
