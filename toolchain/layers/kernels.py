"""Compiled scans over time for CPU tensors: the integer forward pass and its backward pass through
time.

The integer rules are the functions of ``hardware.arithmetic`` themselves, compiled. A block of
neurons stays in the cache while it goes through all time steps; every inner loop does one thing
over plain arrays, so that the compiler vectorises it. One thread: memory is the limit. Arrays:
traces [time, batch, neuron], states [batch, neuron], parameters [neuron].
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numba import njit
from numba.extending import register_jitable

from hardware import arithmetic
from hardware.arithmetic import fires, next_current, next_potential, saturate_potential
from hardware.jit import cached

BLOCK = 512
ZERO, SUBTRACT, NONE = 0, 1, 2
"""Codes of the resets."""

OFF_GRID, OUT_OF_RANGE, STATE_OFF_GRID, WIDE_CURRENT = 1, 2, 4, 8
"""Flags of a forward scan: a current off the grid; beyond the limit; a state off its grid; a
synaptic current of more than 24 bits, which float32 may not hold."""

POTENTIAL_LIMIT = arithmetic.POTENTIAL_LIMIT

_RULES = hashlib.sha256(Path(arithmetic.__file__).read_bytes()).hexdigest()
"""numba's cache on disk notices a change of this file only; closed over by a kernel, this digest is
part of its cache key."""

for _name in (
    "wrap_int32",
    "decay",
    "wrap_current",
    "saturate_potential",
    "next_current",
    "next_potential",
    "fires",
):
    register_jitable(getattr(arithmetic, _name))


@njit(error_model="numpy")
def _integers(values, scale, out, limit):
    """``out = values * scale``; how many of them are no 32-bit whole numbers, and how many are
    beyond +-limit."""
    broken, beyond = 0, 0
    for i in range(values.shape[0]):
        x = values[i] * scale
        # one 32-bit conversion is a vector instruction; NaN and what does not fit come back as a
        # number that differs
        k = np.int32(x)
        broken += values.dtype.type(k) != x
        beyond += (k > limit) | (k < -limit)
        out[i] = k
    return broken, beyond


@cache
def forward_kernel():
    """The compiled forward scan."""
    rules = _RULES

    def forward_scan(
        current,
        syn0,
        mem0,
        rest0,
        noise,
        has_current,
        current_decay,
        voltage_decay,
        threshold,
        spiking,
        reset,
        refractory,
        scale,
        limit,
        spikes,
        before,
        active,
        syn,
        mem,
        rest,
    ):
        """Advance neurons through all steps; returns flags.

        current in volts; syn0, mem0, rest0: state before the first step; noise: what is added to
        the potential in the comparison, in units of the state, int32 [time, batch or 1, neuron];
        integer parameters int64; scale 2**F. Outputs: spikes, before (potential before the reset),
        active (uint8, not refractory), syn, mem: traces, or of length 1 for the last state; rest:
        last. An array with no element is absent or not wanted.
        """
        rules  # noqa: B018 - part of the cache key
        steps, batch, neurons = current.shape
        real = current.dtype.type
        state_scale = scale * real(64)
        volt = real(1) / state_scale
        incoming, u, v = (
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
        )
        resting, updated, noisy = (
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
        )
        flags = 0
        for b in range(batch):
            for low in range(0, neurons, BLOCK):
                n = min(BLOCK, neurons - low)
                block = slice(low, low + n)
                u[:] = 0
                v[:] = 0
                resting[:] = 0
                broken, beyond = 0, 0
                if syn0.size:
                    broken += _integers(syn0[b, block], state_scale, u, 2147483647)[0]
                if mem0.size:
                    broken += sum(_integers(mem0[b, block], state_scale, v, POTENTIAL_LIMIT))
                if rest0.size:
                    broken += _integers(rest0[b, block], real(1), resting, 2147483647)[0]
                if broken:
                    flags |= STATE_OFF_GRID
                decay_u, decay_v, level = (
                    current_decay[block],
                    voltage_decay[block],
                    threshold[block],
                )
                for t in range(steps):
                    broken, beyond = _integers(current[t, b, block], scale, incoming, limit)
                    if broken:
                        flags |= OFF_GRID
                    if beyond:
                        flags |= OUT_OF_RANGE
                    if has_current:
                        wide = 0
                        for i in range(n):
                            u[i] = next_current(u[i], incoming[i], decay_u[i])
                        for i in range(n):
                            wide += (u[i] > 16777216) | (u[i] < -16777216)
                        if wide:
                            flags |= WIDE_CURRENT
                        if syn.shape[0] == steps or (syn.size and t == steps - 1):
                            line = syn[t if syn.shape[0] == steps else 0, b, block]
                            for i in range(n):
                                line[i] = real(np.int32(u[i])) * volt
                    else:
                        for i in range(n):
                            u[i] = next_current(0, incoming[i], 4096)
                    if refractory:
                        for i in range(n):
                            updated[i] = next_potential(v[i], u[i], 0, decay_v[i])
                        for i in range(n):
                            v[i] = updated[i] if resting[i] == 0 else v[i]
                        if active.size:
                            mask = active[t, b, block]
                            for i in range(n):
                                mask[i] = resting[i] == 0
                    else:
                        for i in range(n):
                            v[i] = next_potential(v[i], u[i], 0, decay_v[i])
                    if before.size:
                        line = before[t, b, block]
                        for i in range(n):
                            line[i] = real(np.int32(v[i])) * volt
                    if spiking:
                        fired = spikes[t, b, block]
                        compared = v
                        if noise.size:
                            added = noise[t, b if noise.shape[1] > 1 else 0, block]
                            for i in range(n):
                                noisy[i] = v[i] + added[i]
                            compared = noisy
                        if refractory:
                            for i in range(n):
                                fired[i] = fires(compared[i], level[i]) & (resting[i] == 0)
                            for i in range(n):
                                resting[i] = refractory if fired[i] != 0 else max(resting[i] - 1, 0)
                        else:
                            for i in range(n):
                                fired[i] = fires(compared[i], level[i])
                        if reset == ZERO:
                            for i in range(n):
                                v[i] = 0 if fired[i] != 0 else v[i]
                        elif reset == SUBTRACT:
                            for i in range(n):
                                after = saturate_potential(v[i] - (level[i] << 6))
                                v[i] = after if fired[i] != 0 else v[i]
                    if mem.shape[0] == steps or (mem.size and t == steps - 1):
                        line = mem[t if mem.shape[0] == steps else 0, b, block]
                        for i in range(n):
                            line[i] = real(np.int32(v[i])) * volt
                if rest.size:
                    line = rest[b, block]
                    for i in range(n):
                        line[i] = resting[i]
        return flags

    return cached(forward_scan)


@cache
def backward_kernel():
    """The compiled backward scan."""

    def backward_scan(
        grad_spikes,
        grad_syn,
        grad_mem,
        grad_before,
        before,
        spikes,
        active,
        syn,
        syn0,
        mem0,
        has_current,
        alpha,
        beta,
        threshold,
        reset,
        saturated,
        grad_current,
        grad_syn0,
        grad_mem0,
        grad_alpha,
        grad_beta,
        grad_threshold,
    ):
        """Backpropagation through time; an array with no element is absent or not wanted.

        Incoming traces: grad_spikes, grad_syn, grad_mem, grad_before. ``before``: the potential
        before the reset in volts. ``grad_current`` holds dS/dv where grad_spikes is given, and the
        result afterwards: one array less, whose first touch costs more than the arithmetic.
        Rounding and the wrap of the current pass gradients unchanged, a saturated potential none, a
        reset is a constant (as in snnTorch, it passes no gradient to the spike). Parameter
        gradients are [batch, neuron], for the caller to sum.
        """
        steps, batch, neurons = grad_current.shape
        real = grad_current.dtype.type
        carry_u, carry_v = np.zeros(BLOCK, real), np.zeros(BLOCK, real)
        for b in range(batch):
            for low in range(0, neurons, BLOCK):
                n = min(BLOCK, neurons - low)
                block = slice(low, low + n)
                carry_u[:] = 0
                carry_v[:] = 0
                keep_u, keep_v, taken = alpha[block], beta[block], threshold[block]
                for t in range(steps - 1, -1, -1):
                    p, out = before[t, b, block], grad_current[t, b, block]
                    if grad_mem.size:
                        line = grad_mem[t, b, block]
                        for i in range(n):
                            carry_v[i] += line[i]
                    if spikes.size:
                        fired = spikes[t, b, block]
                        if reset == ZERO:
                            for i in range(n):
                                carry_v[i] *= real(1) - fired[i]
                        elif reset == SUBTRACT and grad_threshold.size:
                            line = grad_threshold[b, block]
                            for i in range(n):
                                line[i] -= carry_v[i] * fired[i]
                    if grad_spikes.size:
                        line = grad_spikes[t, b, block]
                        for i in range(n):
                            out[i] *= line[i]
                        if active.size:
                            on = active[t, b, block]
                            for i in range(n):
                                out[i] *= real(on[i])
                        if grad_threshold.size:
                            total = grad_threshold[b, block]
                            for i in range(n):
                                total[i] -= out[i]
                        for i in range(n):
                            carry_v[i] += out[i]
                    if grad_before.size:
                        line = grad_before[t, b, block]
                        for i in range(n):
                            carry_v[i] += line[i]
                    # carry_v is now the gradient of the potential before the reset: split into what
                    # was integrated (out) and what a resting neuron hands back unchanged (carry_v)
                    if active.size:
                        on = active[t, b, block]
                        for i in range(n):
                            out[i] = carry_v[i] * real(abs(p[i]) < saturated) * real(on[i])
                        for i in range(n):
                            carry_v[i] *= real(1) - real(on[i])
                    else:
                        for i in range(n):
                            out[i] = carry_v[i] * real(abs(p[i]) < saturated)
                        for i in range(n):
                            carry_v[i] = 0
                    if grad_beta.size:
                        line = grad_beta[b, block]
                        if t > 0:
                            earlier = before[t - 1, b, block]
                            if spikes.size and reset != NONE:
                                fired = spikes[t - 1, b, block]
                                if reset == ZERO:
                                    for i in range(n):
                                        line[i] += out[i] * earlier[i] * (real(1) - fired[i])
                                else:
                                    for i in range(n):
                                        line[i] += out[i] * (earlier[i] - taken[i] * fired[i])
                            else:
                                for i in range(n):
                                    line[i] += out[i] * earlier[i]
                        elif mem0.size:
                            earlier = mem0[b, block]
                            for i in range(n):
                                line[i] += out[i] * earlier[i]
                    for i in range(n):
                        carry_v[i] += keep_v[i] * out[i]
                    if has_current:
                        for i in range(n):
                            out[i] += carry_u[i]
                        if grad_syn.size:
                            line = grad_syn[t, b, block]
                            for i in range(n):
                                out[i] += line[i]
                        if grad_alpha.size and (t > 0 or syn0.size):
                            line, earlier = (
                                grad_alpha[b, block],
                                syn[t - 1, b, block] if t > 0 else syn0[b, block],
                            )
                            for i in range(n):
                                line[i] += out[i] * earlier[i]
                        for i in range(n):
                            carry_u[i] = keep_u[i] * out[i]
                if grad_syn0.size:
                    grad_syn0[b, block] = carry_u[:n]
                if grad_mem0.size:
                    grad_mem0[b, block] = carry_v[:n]

    return cached(backward_scan)


@cache
def slopes_kernel(formula):
    """A compiled pass of a surrogate's formula over a trace [time, batch, neuron]."""
    compiled = njit(formula)

    def slopes(parameter, before, threshold, out):
        """``out = formula(before - threshold)``."""
        steps, batch, neurons = before.shape
        for t in range(steps):
            for b in range(batch):
                line, result = before[t, b], out[t, b]
                for i in range(neurons):
                    result[i] = compiled(line[i] - threshold[i], parameter)

    return njit(nogil=True, error_model="numpy")(slopes)


@cache
def largest_kernel():
    """A compiled pass over a flat array: (largest magnitude of values * scale, how many are no
    whole numbers of at most 24 bits)."""

    def largest(values, scale):
        broken, top = 0, np.int32(0)
        for i in range(values.shape[0]):
            x = values[i] * scale
            k = np.int32(x)
            size = max(k, -k)
            broken += (values.dtype.type(k) != x) | (size > 16777216) | (size < 0)
            top = max(top, size)
        return top, broken

    return cached(largest)
