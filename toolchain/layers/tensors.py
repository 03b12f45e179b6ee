"""The scan with tensor operations, step by step: for devices that the compiled kernels do not
reach."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hardware import arithmetic, lif
from toolchain.layers import kernels
from toolchain.layers.rules import Gradients, Parameters, Rules, Saved, Scanned
from toolchain.layers.surrogate import derivative


def forward(
    rules: Rules,
    parameters: Parameters,
    current: torch.Tensor,
    syn: torch.Tensor | None,
    mem: torch.Tensor | None,
    rest: torch.Tensor | None,
    noise: torch.Tensor | None,
    want_before: bool,
    every_syn: bool,
) -> Scanned:
    """As ``compiled.forward``."""
    scale, state_scale = (
        2.0**rules.fraction_bits,
        2.0 ** (rules.fraction_bits + arithmetic.STATE_SHIFT),
    )

    zeros = torch.zeros(current.shape[1:], dtype=torch.int64, device=current.device)
    flags = 0

    def whole(tensor: torch.Tensor, factor: float, limit: int) -> tuple[torch.Tensor, bool, bool]:
        scaled = tensor.detach().double() * factor
        rounded = torch.round(torch.nan_to_num(scaled)).to(torch.int64)
        return (
            rounded,
            bool((rounded.double() != scaled).any()),
            bool((rounded.abs() > limit).any()),
        )

    def state(tensor: torch.Tensor | None, limit: int) -> torch.Tensor:
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

    traces: dict[str, list[torch.Tensor]] = {
        "spikes": [],
        "before": [],
        "active": [],
        "syn": [],
        "mem": [],
    }
    constants = lif.Constants(
        parameters.current_decay,
        parameters.voltage_decay,
        0,
        parameters.threshold if rules.spiking else None,
        rules.reset,
        parameters.threshold << arithmetic.STATE_SHIFT,
        rules.refractory,
    )

    for t, step in enumerate(incoming):
        # without a synaptic current all of it is lost in each step: current_decay is 4096
        u, v, resting, before, active, fired = lif.advance(
            constants, u, v, resting, step, 0 if noise is None else noise[t]
        )
        if rules.has_current:
            flags |= kernels.WIDE_CURRENT * bool((u.abs() > 1 << 24).any())
        if rules.spiking:
            traces["spikes"].append(fired)
        for name, value in (("before", before), ("active", active), ("syn", u), ("mem", v)):
            traces[name].append(value)

    def volts(name: str) -> torch.Tensor:
        every = {"before": True, "syn": every_syn, "mem": rules.traces}[name]
        parts = traces[name] if every else traces[name][-1:]
        return (torch.stack(parts).double() / state_scale).to(current.dtype)

    spikes = torch.stack(traces["spikes"]).to(current.dtype) if rules.spiking else None
    active = (
        torch.stack(traces["active"]).to(torch.uint8) if rules.refractory and want_before else None
    )
    rest_out = resting.to(current.dtype) if rules.refractory else None
    return Scanned(
        flags,
        spikes,
        volts("before") if want_before else None,
        active,
        volts("syn") if rules.has_current else None,
        volts("mem"),
        rest_out,
    )


def backward(
    rules: Rules,
    needed: Sequence[bool],
    grad_spikes: torch.Tensor | None,
    grad_syn: torch.Tensor | None,
    grad_mem: torch.Tensor | None,
    grad_before: torch.Tensor | None,
    saved: Saved,
) -> Gradients:
    """As ``compiled.backward``."""
    before, spikes, active, syn, syn0, mem0 = (
        saved.before,
        saved.spikes,
        saved.active,
        saved.syn,
        saved.syn0,
        saved.mem0,
    )

    zeros = torch.zeros_like(before[0])
    carry_u, carry_v = zeros, zeros
    grad_alpha, grad_beta, grad_threshold = zeros, zeros, zeros
    grad_current = torch.empty_like(before)
    alpha, beta, threshold = (
        p.to(before.dtype) for p in (saved.alpha, saved.beta, saved.threshold)
    )

    # the parts of a step backwards: reset, spike, update of the potential, synaptic current
    for t in range(len(before) - 1, -1, -1):
        on = 1 if active is None else active[t].to(before.dtype)
        grad_v = carry_v if grad_mem is None else carry_v + grad_mem[t]
        if spikes is not None and rules.reset == "zero":
            grad_v = grad_v * (1 - spikes[t])
        elif spikes is not None and rules.reset == "subtract":
            grad_threshold = grad_threshold - grad_v * spikes[t]

        if grad_spikes is not None:
            fired = grad_spikes[t] * derivative(rules.spike_grad, before[t] - threshold) * on
            grad_threshold = grad_threshold - fired
            grad_v = grad_v + fired
        if grad_before is not None:
            grad_v = grad_v + grad_before[t]

        # a saturated potential passes no gradient; a neuron that rests hands all of it back
        grad_u = grad_v * (before[t].abs() < rules.saturated) * on
        carry_v = grad_v * (1 - on) + beta * grad_u
        # the potential that the step before left: its trace is from before the reset
        earlier = mem0 if t == 0 else before[t - 1]
        if earlier is not None:
            if t > 0 and spikes is not None and rules.reset == "zero":
                earlier = earlier * (1 - spikes[t - 1])
            elif t > 0 and spikes is not None and rules.reset == "subtract":
                earlier = earlier - threshold * spikes[t - 1]
            grad_beta = grad_beta + grad_u * earlier

        if rules.has_current:
            grad_u = grad_u + carry_u if grad_syn is None else grad_u + carry_u + grad_syn[t]
            if syn is not None:  # kept where the gradient of alpha is needed
                earlier = syn0 if t == 0 else syn[t - 1]
                if earlier is not None:
                    grad_alpha = grad_alpha + grad_u * earlier
            carry_u = alpha * grad_u
        grad_current[t] = grad_u

    everything = (
        grad_current,
        carry_u,
        carry_v,
        grad_alpha.sum(0),
        grad_beta.sum(0),
        grad_threshold.sum(0),
    )
    return tuple(g if n else None for g, n in zip(everything, needed))
