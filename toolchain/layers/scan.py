"""One autograd function for everything that happens inside a neuron over time: integers forward, surrogates backward.

A single step is a scan of one step, so the step by step and the whole-sequence form cannot differ. CPU tensors run the
compiled kernels; other devices run the same rules (``hardware.arithmetic``) as tensor operations, step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from hardware import arithmetic
from toolchain.errors import CurrentRangeError, GridError, LayerError
from toolchain.layers import kernels
from toolchain.layers.surrogate import Surrogate, derivative

RESET_CODES = {"zero": kernels.ZERO, "subtract": kernels.SUBTRACT, "none": kernels.NONE}

BIAS_SAFE_CURRENT = (1 << 17) - (1 << 13) - 1
"""Largest input current, in units of 2**-F, at which it makes no difference whether a bias (at most 2**13 units) is part of the
current, as in these layers, or is added to the potential, as on the chip: neither sum can wrap."""


@dataclass(frozen=True)
class Trace:
    """What a forward pass leaves for a backward rule: traces [time, batch, neuron], parameters [neuron], in volts.

    potential   before the reset
    active      uint8, 0 in refractory steps; None where the neuron has no refractory period
    alpha, beta what remains of synaptic current and potential in each step (alpha 0: no synaptic current)
    """

    current: torch.Tensor
    potential: torch.Tensor
    spikes: torch.Tensor
    active: torch.Tensor | None
    alpha: torch.Tensor
    beta: torch.Tensor
    threshold: torch.Tensor


BackwardRule = Callable[[torch.Tensor, Trace], torch.Tensor]
"""(gradient of the spikes [time, batch, neuron], Trace) → gradient of the input current [time, batch, neuron]. For whole
sequences from zero state; parameters get no gradient through it. Used by toolchain.attacks.estimators."""


@dataclass(frozen=True)
class Rules:
    """What a scan needs besides tensors. ``where`` names the layer in errors."""

    where: str
    fraction_bits: int
    has_current: bool
    spiking: bool
    reset: str
    refractory: int
    check_range: bool
    spike_grad: Callable
    traces: bool
    """True: syn and mem of every step are returned; False: of the last step."""
    rule: BackwardRule | None = None
    """Replaces the backward pass of the spikes; None: backpropagation through time with ``spike_grad``."""

    def limit(self, dtype: torch.dtype) -> int:
        """Largest accepted magnitude of the input current in units of 2**-F; float32 holds no more than 24 bits of a sum."""
        if self.check_range:
            return BIAS_SAFE_CURRENT
        return (1 << 24) - 1 if dtype == torch.float32 else (1 << 31) - 1


@dataclass(frozen=True)
class Parameters:
    """Integer parameters for each neuron, int64 [neuron], on the device of the tensors."""

    current_decay: torch.Tensor
    voltage_decay: torch.Tensor
    threshold: torch.Tensor


def _report(rules: Rules, flags: int, current: torch.Tensor) -> None:
    """Turn flags into the error that names the layer, the value and the fix."""
    bits = rules.fraction_bits
    if flags & kernels.STATE_OFF_GRID:
        raise GridError(
            f"{rules.where}: a state (mem, syn) that is no whole multiple of 2**-{bits + 6} V, or beyond the 24-bit register; "
            "accepted are states that this layer returned, or zeros"
        )
    if not flags & (kernels.OFF_GRID | kernels.OUT_OF_RANGE):
        return
    units = current.detach().double() * 2.0**bits
    off = units != torch.round(units)  # NaN differs from itself
    if bool(off.any()):
        value = float(current.detach()[off][0])
        raise GridError(
            f"{rules.where}: an input current of {value!r} V, which is no whole multiple of 2**-{bits} V, so no integer network can "
            f"compute it; feed this neuron from toolchain.layers.Linear or Conv layers with fraction_bits={bits}, whose "
            "source_fraction_bits equals the fraction bits of what they read (graded inputs; 2 after a 2x2 average pool of spikes)"
        )
    largest = float(units.abs().max()) * 2.0**-bits
    most = rules.limit(current.dtype) * 2.0**-bits
    limit = f"an input current of {largest:.6g} V; with fraction_bits={bits} at most {most:.6g} V are accepted"
    if rules.check_range:
        raise CurrentRangeError(
            f"{rules.where}: {limit}, beyond which the chip's 24-bit current wraps around: use fewer fraction_bits or smaller weights, "
            "or overflow='wrap' to compute with the wrap"
        )
    raise CurrentRangeError(
        f"{rules.where}: {limit} in {current.dtype}, which holds no larger sums exactly: use float64, or smaller weights"
    )


def _numpy(tensor: torch.Tensor | None, empty: np.ndarray) -> np.ndarray:
    return empty if tensor is None else tensor.detach().contiguous().numpy()


def _real(tensor: torch.Tensor):
    return np.float64 if tensor.dtype == torch.float64 else np.float32


def _forward_compiled(rules: Rules, parameters: Parameters, current, syn, mem, rest, want_before: bool):
    real = _real(current)
    none2, none3 = np.zeros((0, 0), real), np.zeros((0, 0, 0), real)
    steps, batch, neurons = current.shape
    shape, last = (steps, batch, neurons), (steps if rules.traces else 1, batch, neurons)
    spikes = torch.empty(shape, dtype=current.dtype) if rules.spiking else None
    before = torch.empty(shape, dtype=current.dtype) if want_before else None
    active = torch.empty(shape, dtype=torch.uint8) if rules.refractory and want_before else None
    mem_out = torch.empty(last, dtype=current.dtype)
    syn_out = torch.empty(last, dtype=current.dtype) if rules.has_current else None
    rest_out = torch.empty((batch, neurons), dtype=current.dtype) if rules.refractory else None
    integers = (p.numpy() for p in (parameters.current_decay, parameters.voltage_decay, parameters.threshold))
    flags = kernels.forward_kernel()(
        _numpy(current, none3),
        _numpy(syn, none2),
        _numpy(mem, none2),
        _numpy(rest, none2),
        rules.has_current,
        *integers,
        rules.spiking,
        RESET_CODES[rules.reset],
        rules.refractory,
        real(2.0**rules.fraction_bits),
        rules.limit(current.dtype),
        *(
            _numpy(out, empty)
            for out, empty in (
                (spikes, none3),
                (before, none3),
                (active, np.zeros((0, 0, 0), np.uint8)),
                (syn_out, none3),
                (mem_out, none3),
                (rest_out, none2),
            )
        ),
    )
    return flags, spikes, before, active, syn_out, mem_out, rest_out


def _forward_tensors(rules: Rules, parameters: Parameters, current, syn, mem, rest, want_before: bool):
    """The same scan with tensor operations, for any device."""
    scale, state_scale = 2.0**rules.fraction_bits, 2.0 ** (rules.fraction_bits + arithmetic.STATE_SHIFT)
    zeros = torch.zeros(current.shape[1:], dtype=torch.int64, device=current.device)
    flags = 0

    def whole(tensor, factor, limit):
        scaled = tensor.detach().double() * factor
        rounded = torch.round(torch.nan_to_num(scaled)).to(torch.int64)
        return rounded, bool((rounded.double() != scaled).any()), bool((rounded.abs() > limit).any())

    def state(tensor, limit):
        nonlocal flags
        if tensor is None:
            return zeros
        rounded, off, beyond = whole(tensor, state_scale, limit)
        flags |= kernels.STATE_OFF_GRID * (off or beyond)
        return rounded

    u, v = state(syn, 1 << 31), state(mem, arithmetic.POTENTIAL_LIMIT)
    resting = zeros if rest is None else torch.round(rest.detach()).to(torch.int64)
    incoming, off, beyond = whole(current, scale, rules.limit(current.dtype))
    flags |= kernels.OFF_GRID * off | kernels.OUT_OF_RANGE * beyond
    traces: dict[str, list] = {"spikes": [], "before": [], "active": [], "syn": [], "mem": []}
    for step in incoming:
        u = arithmetic.next_current(u if rules.has_current else zeros, step, parameters.current_decay)
        if rules.has_current:
            flags |= kernels.WIDE_CURRENT * bool((u.abs() > 1 << 24).any())
        updated = arithmetic.next_potential(v, u, 0, parameters.voltage_decay)
        active = resting == 0
        v = torch.where(active, updated, v)
        traces["before"].append(v)
        traces["active"].append(active)
        if rules.spiking:
            fired = arithmetic.fires(v, parameters.threshold) & active
            if rules.reset == "zero":
                v = torch.where(fired, 0, v)
            elif rules.reset == "subtract":
                v = torch.where(fired, arithmetic.saturate_potential(v - (parameters.threshold << arithmetic.STATE_SHIFT)), v)
            resting = torch.where(fired, rules.refractory, (resting - 1).clamp(min=0))
            traces["spikes"].append(fired)
        traces["syn"].append(u)
        traces["mem"].append(v)

    def volts(name):
        parts = traces[name] if rules.traces or name == "before" else traces[name][-1:]
        return (torch.stack(parts).double() / state_scale).to(current.dtype)

    spikes = torch.stack(traces["spikes"]).to(current.dtype) if rules.spiking else None
    active = torch.stack(traces["active"]).to(torch.uint8) if rules.refractory and want_before else None
    rest_out = resting.to(current.dtype) if rules.refractory else None
    return (
        flags,
        spikes,
        volts("before") if want_before else None,
        active,
        volts("syn") if rules.has_current else None,
        volts("mem"),
        rest_out,
    )


def _slopes(rules: Rules, before: torch.Tensor, threshold: torch.Tensor) -> torch.Tensor:
    """dS/dv over the trace, in a tensor of its own."""
    if isinstance(rules.spike_grad, Surrogate) and before.device.type == "cpu":
        slopes = torch.empty_like(before)
        kernels.slopes_kernel(rules.spike_grad.formula)(
            _real(before)(rules.spike_grad.parameter), before.numpy(), threshold.to(before.dtype).numpy(), slopes.numpy()
        )
        return slopes
    slopes = derivative(rules.spike_grad, before - threshold.to(before.dtype))
    return slopes.to(before.dtype, copy=True, memory_format=torch.contiguous_format)


def _saturated(rules: Rules) -> float:
    return arithmetic.POTENTIAL_LIMIT * 2.0 ** -(rules.fraction_bits + arithmetic.STATE_SHIFT)


class _Scan(torch.autograd.Function):
    """(current, syn0, mem0, alpha, beta, threshold in volts) → (spikes, syn, mem, rest); states may be None."""

    @staticmethod
    def forward(ctx, current, syn, mem, alpha, beta, threshold, rest, parameters, rules):
        ctx.set_materialize_grads(False)
        ctx.rules = rules
        if rules.rule is not None and (ctx.needs_input_grad[1] or ctx.needs_input_grad[2]):
            raise LayerError(f"{rules.where}: a backward rule replaces whole sequences; this layer is called step by step")
        want_before = any(ctx.needs_input_grad)
        run = _forward_compiled if current.device.type == "cpu" else _forward_tensors
        flags, spikes, before, active, syn_out, mem_out, rest_out = run(rules, parameters, current, syn, mem, rest, want_before)
        _report(rules, flags, current)
        if flags & kernels.WIDE_CURRENT and current.dtype != torch.float64:
            # Lava wraps once only, so a huge input leaves more than 24 bits, which only float64 can carry to the next step
            raise _NeedsDouble
        if want_before:
            syn_saved = syn_out if ctx.needs_input_grad[3] else None
            current_saved = current if rules.rule is not None else None
            ctx.save_for_backward(before, spikes, active, syn_saved, syn, mem, alpha, beta, threshold, current_saved)
        if rest_out is not None:
            ctx.mark_non_differentiable(rest_out)
        return spikes, syn_out, mem_out, rest_out

    @staticmethod
    def backward(ctx, grad_spikes, grad_syn, grad_mem, _grad_rest):
        before, spikes, active, syn, syn0, mem0, alpha, beta, threshold, current = ctx.saved_tensors
        rules = ctx.rules
        replaced = None
        if rules.rule is not None and grad_spikes is not None:
            parameters = (p.to(before.dtype) for p in (alpha, beta, threshold))
            replaced, grad_spikes = rules.rule(grad_spikes, Trace(current, before, spikes, active, *parameters)), None
            if grad_syn is None and grad_mem is None:
                return replaced, *(None,) * 8
        grad_syn, grad_mem = (_whole_trace(g, before) for g in (grad_syn, grad_mem))
        surrogate = None if grad_spikes is None else _slopes(rules, before, threshold)
        run = _backward_compiled if before.device.type == "cpu" else _backward_tensors
        gradients = run(
            rules,
            ctx.needs_input_grad,
            grad_spikes,
            grad_syn,
            grad_mem,
            surrogate,
            before,
            spikes,
            active,
            syn,
            syn0,
            mem0,
            alpha,
            beta,
            threshold,
        )
        if replaced is not None:
            gradients = (gradients[0] + replaced, *gradients[1:])
        return (*gradients, None, None, None)


class _NeedsDouble(Exception):
    """A synaptic current that float32 cannot hold."""


def _whole_trace(gradient: torch.Tensor | None, before: torch.Tensor) -> torch.Tensor | None:
    """The gradient of the last state as a trace over all steps."""
    if gradient is None or gradient.shape == before.shape:
        return gradient
    whole = torch.zeros_like(before)
    whole[-1] = gradient[-1]
    return whole


def _backward_compiled(
    rules, needed, grad_spikes, grad_syn, grad_mem, surrogate, before, spikes, active, syn, syn0, mem0, alpha, beta, threshold
):
    real = _real(before)
    none2, none3 = np.zeros((0, 0), real), np.zeros((0, 0, 0), real)
    batch, neurons = before.shape[1:]

    def wanted(index):
        return np.zeros((batch, neurons), real) if needed[index] else none2

    grad_current = torch.empty_like(before) if surrogate is None else surrogate
    syn_wanted, mem_wanted, alpha_wanted, beta_wanted, threshold_wanted = (wanted(i) for i in range(1, 6))
    kernels.backward_kernel()(
        _numpy(grad_spikes, none3),
        _numpy(grad_syn, none3),
        _numpy(grad_mem, none3),
        _numpy(before, none3),
        _numpy(spikes, none3),
        _numpy(active, np.zeros((0, 0, 0), np.uint8)),
        _numpy(syn, none3),
        _numpy(syn0, none2),
        _numpy(mem0, none2),
        rules.has_current,
        alpha.numpy().astype(real),
        beta.numpy().astype(real),
        threshold.numpy().astype(real),
        RESET_CODES[rules.reset],
        real(_saturated(rules)),
        grad_current.numpy(),
        syn_wanted,
        mem_wanted,
        alpha_wanted,
        beta_wanted,
        threshold_wanted,
    )
    states = (torch.from_numpy(w) if needed[i] else None for i, w in ((1, syn_wanted), (2, mem_wanted)))
    sums = (torch.from_numpy(w.sum(axis=0)) if needed[i] else None for i, w in ((3, alpha_wanted), (4, beta_wanted), (5, threshold_wanted)))
    return grad_current, *states, *sums


def _backward_tensors(
    rules, needed, grad_spikes, grad_syn, grad_mem, surrogate, before, spikes, active, syn, syn0, mem0, alpha, beta, threshold
):
    zeros = torch.zeros_like(before[0])
    carry_u, carry_v = zeros, zeros
    grad_alpha, grad_beta, grad_threshold = zeros, zeros, zeros
    grad_current = torch.empty_like(before)
    alpha, beta, threshold = (p.to(before.dtype) for p in (alpha, beta, threshold))
    saturated = _saturated(rules)
    for t in range(len(before) - 1, -1, -1):
        on = 1 if active is None else active[t].to(before.dtype)
        grad_v = carry_v if grad_mem is None else carry_v + grad_mem[t]
        if rules.spiking and rules.reset == "zero":
            grad_v = grad_v * (1 - spikes[t])
        elif rules.spiking and rules.reset == "subtract":
            grad_threshold = grad_threshold - grad_v * spikes[t]
        if grad_spikes is not None:
            fired = grad_spikes[t] * surrogate[t] * on
            grad_threshold = grad_threshold - fired
            grad_v = grad_v + fired
        grad_u = grad_v * (before[t].abs() < saturated) * on
        carry_v = grad_v * (1 - on) + beta * grad_u
        if t > 0 or mem0 is not None:
            earlier = mem0 if t == 0 else before[t - 1]
            if t > 0 and rules.spiking and rules.reset == "zero":
                earlier = earlier * (1 - spikes[t - 1])
            elif t > 0 and rules.spiking and rules.reset == "subtract":
                earlier = earlier - threshold * spikes[t - 1]
            grad_beta = grad_beta + grad_u * earlier
        if rules.has_current:
            grad_u = grad_u + carry_u if grad_syn is None else grad_u + carry_u + grad_syn[t]
            if needed[3] and (t > 0 or syn0 is not None):
                grad_alpha = grad_alpha + grad_u * (syn0 if t == 0 else syn[t - 1])
            carry_u = alpha * grad_u
        grad_current[t] = grad_u
    everything = (grad_current, carry_u, carry_v, grad_alpha.sum(0), grad_beta.sum(0), grad_threshold.sum(0))
    return tuple(g if n else None for g, n in zip(everything, needed))


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
) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor, torch.Tensor | None]:
    """Run neurons over [time, batch, neuron].

    current     volts, whole multiples of 2**-F; float32 or float64
    syn, mem    state before the first step, volts, [batch, neuron]; None: zero
    rest        steps that a neuron still rests, [batch, neuron]; None: zero
    alpha, beta, threshold  the same parameters as floats [neuron], through which their gradients flow

    Returns (spikes [time, batch, neuron] or None, syn or None, mem, rest or None); syn and mem have every step where
    ``rules.traces``, else the last. Raises GridError and CurrentRangeError.
    """
    if current.dtype not in (torch.float32, torch.float64):
        raise LayerError(
            f"{rules.where}: the input current is {current.dtype}; accepted are float32 and float64, because the grid must be exact"
        )
    tensors = [current, syn, mem, alpha, beta, threshold]
    if any(t is not None and t.dtype == torch.float64 for t in (syn, mem)):
        tensors[0] = current.double()
    tensors[1:3] = [None if t is None else t.to(tensors[0].dtype) for t in (syn, mem)]
    rest = None if rest is None else rest.to(tensors[0].dtype)
    try:
        return _Scan.apply(*tensors, rest, parameters, rules)
    except _NeedsDouble:
        tensors[:3] = [None if t is None else t.double() for t in tensors[:3]]
        return _Scan.apply(*tensors, None if rest is None else rest.double(), parameters, rules)
