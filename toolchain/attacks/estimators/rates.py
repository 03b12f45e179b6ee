"""Estimators that look at a neuron's rate, or do not unroll time: BPTR, RGA, HART. They replace the
whole backward pass.

For neurons of toolchain.layers called with whole sequences; others are refused by name. Rates and
currents are in units of the neuron's threshold, so that for a threshold of 1 these are the
published formulas. A synaptic current, which none of the papers has, is linear; its gradient is
passed exactly.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from toolchain.attacks.base import AttackError, NotApplicable
from toolchain.attacks.estimators.base import NeuronEstimator, Undo, replace
from toolchain.layers import surrogate
from toolchain.layers.rules import Trace


def synaptic_current(trace: Trace) -> torch.Tensor:
    """What is added to the potential in every step, [time, batch, neuron]: the input through the
    synaptic filter."""
    if not bool(trace.alpha.any()):
        return trace.current
    steps, u = [], torch.zeros_like(trace.current[0])
    for current in trace.current:
        u = trace.alpha * u + current
        steps.append(u)
    return torch.stack(steps)


def through_synapse(gradient: torch.Tensor, trace: Trace) -> torch.Tensor:
    """From the gradient of the synaptic current to that of the input."""
    if not bool(trace.alpha.any()):
        return gradient
    steps, carry = [], torch.zeros_like(gradient[0])
    for step in gradient.flip(0):
        carry = step + trace.alpha * carry
        steps.append(carry)
    return torch.stack(steps).flip(0)


class RuleEstimator(NeuronEstimator):
    """An estimator whose ``rule`` is a toolchain.layers.rules.BackwardRule."""

    def rule(self, grad_spikes: torch.Tensor, trace: Trace) -> torch.Tensor:
        """Gradient of the input current."""
        raise NotImplementedError

    def install(self, path: str, neuron: nn.Module, frozen: bool) -> Undo:
        if not hasattr(neuron, "backward_rule"):
            raise NotApplicable(
                f"estimator {self.name!r} needs whole sequences; neuron {path!r} is a "
                f"{type(neuron).__name__}; "
                "it must be one of toolchain.layers"
            )
        restore = replace(neuron, "backward_rule", self.rule)

        def before(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            if not named.get("sequence"):
                raise NotApplicable(
                    f"estimator {self.name!r} needs whole sequences; neuron {path!r} is called "
                    f"step by step (it feeds back onto itself, "
                    "or the model has a loop over time of its own)"
                )

        hook = neuron.register_forward_pre_hook(before, with_kwargs=True)

        def undo() -> None:
            hook.remove()
            restore()

        return undo


class RateThrough(RuleEstimator):
    """BPTR: backpropagation through rates (SNN-RAT, NeurIPS 2022). The upstream gradient where the
    neuron fired at all."""

    name = "bptr"

    def rule(self, grad_spikes: torch.Tensor, trace: Trace) -> torch.Tensor:
        fired = trace.spikes.any(dim=0).to(grad_spikes.dtype)
        return through_synapse(grad_spikes * fired / trace.threshold, trace)


class Activation(RuleEstimator):
    """CBA: conversion-based approximation (SNN-RAT, NeurIPS 2022; "Act" in RGA and HART). The
    gradient of the activation that an ANN converted into this network would have, at the mean over
    time of the current in thresholds.

    clamp   False: ReLU. True: clamped to 0 … 1, because a neuron without refractory period fires at
            most once a step

    Ours: the papers differentiate a second forward pass of the ANN itself; here the currents are
    those of the spiking network, so that the forward pass is the one under attack, as with every
    other estimator.
    """

    name = "cba"

    def __init__(self, clamp: bool = False) -> None:
        self.clamp = clamp

    def rule(self, grad_spikes: torch.Tensor, trace: Trace) -> torch.Tensor:
        x = synaptic_current(trace).mean(dim=0) / trace.threshold
        slope = (x > 0) & (x < 1) if self.clamp else x > 0
        return through_synapse(grad_spikes * slope.to(grad_spikes.dtype) / trace.threshold, trace)


class RateGradient(RuleEstimator):
    """RGA: rate gradient approximation (CVPR 2023), the slope of a piecewise linear rate over the
    mean current.

    With x the mean over time of the current in thresholds, l what remains of the potential in each
    step: 0.2 for 0 <= x < 1 - l; (0.8 + 0.2 l) / (l + 1) for 1 - l <= x <= 2; 0 otherwise. (IF, l =
    1: 0.5 for 0 <= x <= 2.)
    """

    name = "rga"
    quiet, extent = 0.2, 2.0

    def rule(self, grad_spikes: torch.Tensor, trace: Trace) -> torch.Tensor:
        x = synaptic_current(trace).mean(dim=0) / trace.threshold
        knee = (1 - trace.beta).expand_as(x)
        active = (1 - self.quiet * knee) / (self.extent - knee)
        slope = torch.where(x >= knee, active, self.quiet) * ((x >= 0) & (x <= self.extent))
        return through_synapse(grad_spikes * slope / trace.threshold, trace)


class RateTime(RuleEstimator):
    """HART: hybrid adversarial attack on rate and time (ICLR 2024).

    A triangle surrogate of half width ``gamma`` (thresholds) in every step, no gradient through the
    potential that is carried to the next step, and the gradient of the current averaged over time.
    gamma is meant to be tuned on the attack's success: ``registry.Tuning``.
    """

    name = "hart"

    def __init__(self, gamma: float = 1.0) -> None:
        if not gamma > 0:
            raise AttackError(
                f"HART gamma is {gamma!r}; it must be positive (published search: 0.10 to 2.45)"
            )
        self.gamma = gamma

    def rule(self, grad_spikes: torch.Tensor, trace: Trace) -> torch.Tensor:
        slope = (
            surrogate.triangle(self.gamma).derivative(
                (trace.potential - trace.threshold) / trace.threshold
            )
            / trace.threshold
        )
        if trace.active is not None:
            slope = slope * trace.active.to(slope.dtype)
        return (
            through_synapse(grad_spikes * slope, trace)
            .mean(dim=0, keepdim=True)
            .expand_as(grad_spikes)
        )
