"""One autograd function for everything that happens inside a neuron over time: integers forward,
surrogates backward.

A single step is a scan of one step, so the step by step and the whole-sequence form cannot differ.
CPU tensors run the compiled kernels; other devices run the same rules (``hardware.arithmetic``) as
tensor operations, step by step.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch.autograd.function import once_differentiable

from toolchain.errors import CurrentRangeError, GridError, LayerError
from toolchain.layers import compiled, kernels, tensors
from toolchain.layers.rules import Parameters, Rules, Saved, Trace


def _report(rules: Rules, flags: int, current: torch.Tensor) -> None:
    """Turn flags into the error that names the layer, the value and the fix."""
    bits = rules.fraction_bits
    if flags & kernels.STATE_OFF_GRID:
        raise GridError(
            f"{rules.where}: a state (mem, syn) that is no whole multiple of 2**-{bits + 6} V, or "
            f"beyond the 24-bit register; "
            "it must be a state that this layer returned, or zeros"
        )
    if not flags & (kernels.OFF_GRID | kernels.OUT_OF_RANGE):
        return

    units = current.detach().double() * 2.0**bits
    off = units != torch.round(units)  # NaN differs from itself
    if bool(off.any()):
        value = float(current.detach()[off][0])
        raise GridError(
            f"{rules.where}: an input current of {value!r} V, which is no whole multiple of "
            f"2**-{bits} V, so no integer network can "
            f"compute it; feed this neuron from toolchain.layers.Linear or Conv layers with "
            f"fraction_bits={bits}, whose "
            "source_fraction_bits equals the fraction bits of what they read (graded inputs; 2 "
            "after a 2x2 average pool of spikes)"
        )

    largest = float(units.abs().max()) * 2.0**-bits
    most = rules.limit(current.dtype) * 2.0**-bits
    limit = (
        f"an input current of {largest:.6g} V; "
        f"with fraction_bits={bits} it must be at most {most:.6g} V"
    )

    if rules.check_range:
        raise CurrentRangeError(
            f"{rules.where}: {limit}, beyond which the chip's 24-bit current wraps around: use "
            f"fewer fraction_bits or smaller weights, "
            "or overflow='wrap' to compute with the wrap"
        )
    raise CurrentRangeError(
        f"{rules.where}: {limit} in {current.dtype}, which holds no larger sums exactly: use "
        f"float64, or smaller weights"
    )


Result: TypeAlias = tuple[
    torch.Tensor | None, torch.Tensor | None, torch.Tensor, torch.Tensor | None, torch.Tensor | None
]
"""(spikes, syn, mem, rest, potential before the reset); None for what is not there."""


class _Scan(torch.autograd.Function):
    """(current, syn0, mem0, alpha, beta, threshold in volts) → (spikes, syn, mem, rest, potential
    before the reset); states may be None."""

    @staticmethod
    def forward(
        ctx: Any,
        current: torch.Tensor,
        syn: torch.Tensor | None,
        mem: torch.Tensor | None,
        alpha: torch.Tensor,
        beta: torch.Tensor,
        threshold: torch.Tensor,
        rest: torch.Tensor | None,
        noise: torch.Tensor | None,
        parameters: Parameters,
        rules: Rules,
    ) -> Result:
        ctx.set_materialize_grads(False)
        ctx.rules = rules
        if rules.rule is not None and (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
            raise LayerError(
                f"{rules.where}: a backward rule replaces whole sequences; this layer is called "
                f"step by step"
            )

        wants_gradient = any(ctx.needs_input_grad)
        way = compiled if current.device.type == "cpu" else tensors
        # the gradient of alpha needs the current of every step
        every_syn = rules.traces or ctx.needs_input_grad[3]
        flags, spikes, before, active, syn_out, mem_out, rest_out = way.forward(
            rules,
            parameters,
            current,
            syn,
            mem,
            rest,
            noise,
            wants_gradient or rules.observe,
            every_syn,
        )

        _report(rules, flags, current)
        if flags & kernels.WIDE_CURRENT and current.dtype != torch.float64:
            # Lava wraps once only, so a huge input leaves more than 24 bits, which only float64 can
            # carry to the next step
            raise _NeedsDouble

        if wants_gradient:
            syn_saved = syn_out if ctx.needs_input_grad[3] else None
            if syn_saved is not None and not rules.traces:
                syn_out = syn_out[-1:].clone()
            current_saved = current if rules.rule is not None else None
            ctx.save_for_backward(
                before, spikes, active, syn_saved, syn, mem, alpha, beta, threshold, current_saved
            )

        if rest_out is not None:
            ctx.mark_non_differentiable(rest_out)
        return spikes, syn_out, mem_out, rest_out, before if rules.observe else None

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any,
        grad_spikes: torch.Tensor | None,
        grad_syn: torch.Tensor | None,
        grad_mem: torch.Tensor | None,
        _grad_rest: torch.Tensor | None,
        grad_before: torch.Tensor | None,
    ) -> tuple[torch.Tensor | None, ...]:
        before, spikes, active, syn, syn0, mem0, alpha, beta, threshold, current = ctx.saved_tensors
        rules = ctx.rules

        replaced = None
        if rules.rule is not None and grad_spikes is not None:
            parameters = (p.to(before.dtype) for p in (alpha, beta, threshold))
            replaced = rules.rule(grad_spikes, Trace(current, before, spikes, active, *parameters))
            grad_spikes = None
            if grad_syn is None and grad_mem is None and grad_before is None:
                return replaced, *(None,) * 9

        grad_syn, grad_mem = (_whole_trace(g, before) for g in (grad_syn, grad_mem))
        way = compiled if before.device.type == "cpu" else tensors
        saved = Saved(before, spikes, active, syn, syn0, mem0, alpha, beta, threshold)
        gradients = way.backward(
            rules,
            ctx.needs_input_grad,
            grad_spikes,
            grad_syn,
            grad_mem,
            grad_before,
            saved,
        )

        if replaced is not None:
            gradients = (gradients[0] + replaced, *gradients[1:])
        return (*gradients, None, None, None, None)


class _NeedsDouble(Exception):
    """A synaptic current that float32 cannot hold."""


def _whole_trace(gradient: torch.Tensor | None, before: torch.Tensor) -> torch.Tensor | None:
    """The gradient of the last state as a trace over all steps."""
    if gradient is None or gradient.shape == before.shape:
        return gradient
    whole = torch.zeros_like(before)
    whole[-1] = gradient[-1]
    return whole


def scan(
    rules: Rules,
    parameters: Parameters,
    current: torch.Tensor,
    syn: torch.Tensor | None,
    mem: torch.Tensor | None,
    rest: torch.Tensor | None,
    alpha: torch.Tensor,
    beta: torch.Tensor,
    threshold: torch.Tensor,
    noise: torch.Tensor | None = None,
) -> Result:
    """Run neurons over [time, batch, neuron].

    current     volts, whole multiples of 2**-F; float32 or float64
    syn, mem    state before the first step, volts, [batch, neuron]; None: zero
    rest        steps that a neuron still rests, [batch, neuron]; None: zero
    alpha, beta, threshold  the same parameters as floats [neuron], through which their gradients
                            flow
    noise       added to the potential in the comparison alone, units of 2**-(F + 6) V, int32 [time,
                batch or 1, neuron]; None: none

    Returns (spikes [time, batch, neuron] or None, syn or None, mem, rest or None, potential before
    the reset [time, batch, neuron] where ``rules.observe``, else None); syn and mem have every step
    where ``rules.traces``, else the last. Gradients flow from all of them but rest. Raises
    GridError and CurrentRangeError.
    """
    if current.dtype not in (torch.float32, torch.float64):
        raise LayerError(
            f"{rules.where}: the input current is {current.dtype}; it must be float32 or "
            f"float64, because the grid must be exact"
        )
    if any(t is not None and t.dtype == torch.float64 for t in (syn, mem)):
        current = current.double()

    def run(current: torch.Tensor) -> Result:
        first = (None if t is None else t.to(current.dtype) for t in (syn, mem, rest))
        syn0, mem0, rest0 = first
        result: Result = _Scan.apply(  # type: ignore[no-untyped-call]  # torch's
            current, syn0, mem0, alpha, beta, threshold, rest0, noise, parameters, rules
        )
        return result

    try:
        return run(current)
    except _NeedsDouble:
        return run(current.double())
