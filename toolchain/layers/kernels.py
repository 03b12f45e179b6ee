"""The compiled scan over time for CPU tensors: the integer forward pass. The way back is in
``toolchain.layers.kernels_backward``.

The integer rules are the functions of ``hardware.arithmetic`` themselves, compiled; their order is
that of ``hardware.lif.advance``. A block of neurons stays in the cache while it goes through all
time steps, and every inner loop does one thing over plain arrays, so that the compiler vectorises
it: hence a function for each part of a step, all of them compiled into one kernel. A call goes
through some of the samples; ``toolchain.layers.threads`` calls it for the others. Arrays: traces
[time, batch, neuron], states [batch, neuron], parameters [neuron]. An array with no element is
absent, or not wanted.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable

from hardware import arithmetic
from hardware.arithmetic import fires, next_current, next_potential, saturate_potential
from hardware.jit import cached, part

BLOCK = 512
ZERO, SUBTRACT, NONE = 0, 1, 2
"""Codes of the resets."""

OFF_GRID, OUT_OF_RANGE, STATE_OFF_GRID, WIDE_CURRENT = 1, 2, 4, 8
"""Flags of a forward scan: a current off the grid; beyond the limit; a state off its grid; a
synaptic current of more than 24 bits, which float32 may not hold."""

POTENTIAL_LIMIT = arithmetic.POTENTIAL_LIMIT

_RULES = hashlib.sha256(Path(arithmetic.__file__).read_bytes()).hexdigest()
"""Closed over by a kernel: see ``hardware.jit.cached``."""

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


class Given(NamedTuple):
    """What a forward scan reads.

    current          trace, in volts
    syn, mem, rest   states before the first step, in volts and steps
    noise            int32 [time, batch or 1, neuron], in units of the state: what is added to the
                     potential in the comparison
    """

    current: np.ndarray
    syn: np.ndarray
    mem: np.ndarray
    rest: np.ndarray
    noise: np.ndarray


class Cells(NamedTuple):
    """What the neurons are.

    current_decay, voltage_decay, threshold   int64 [neuron]
    reset        ZERO, SUBTRACT or NONE
    refractory   steps
    scale        2**F, of the type of the traces
    limit        largest accepted magnitude of a current, in units of 2**-F
    """

    current_decay: np.ndarray
    voltage_decay: np.ndarray
    threshold: np.ndarray
    has_current: bool
    spiking: bool
    reset: int
    refractory: int
    scale: np.float32 | np.float64
    limit: int


class Traces(NamedTuple):
    """What a forward scan fills.

    spikes, before   of every step; before: the potential before the reset
    active           uint8, of every step: where a neuron does not rest
    syn, mem         of every step, or, of length 1, the last state
    rest             the last state
    """

    spikes: np.ndarray
    before: np.ndarray
    active: np.ndarray
    syn: np.ndarray
    mem: np.ndarray
    rest: np.ndarray


class _Block(NamedTuple):
    """Integers of a block of neurons, int64 [BLOCK]; ``n`` of them are used. updated, noisy: for
    one loop to hand to the next."""

    incoming: np.ndarray
    u: np.ndarray
    v: np.ndarray
    resting: np.ndarray
    updated: np.ndarray
    noisy: np.ndarray


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


@part
def _volts(values, volt, line):
    """``line = values * volt``: states as a trace shows them."""
    real = line.dtype.type
    for i in range(line.shape[0]):
        line[i] = real(np.int32(values[i])) * volt


@part
def _row(trace, t, steps):
    """Where a trace keeps step t: in a row of its own; in the only row, of the last step; or
    nowhere (-1)."""
    if trace.shape[0] == steps:
        return t
    return 0 if trace.size and t == steps - 1 else -1


@part
def _begin(state, given, b, block, scale):
    """States before the first step of a block of neurons in a sample, zero where they are absent;
    the flag where they are off their grid."""
    real = given.current.dtype.type
    state.u[:] = 0
    state.v[:] = 0
    state.resting[:] = 0
    # states have six bits more below the point than currents
    state_scale, broken = scale * real(64), 0
    if given.syn.size:
        broken += _integers(given.syn[b, block], state_scale, state.u, 2147483647)[0]
    if given.mem.size:
        broken += sum(_integers(given.mem[b, block], state_scale, state.v, POTENTIAL_LIMIT))
    if given.rest.size:
        broken += _integers(given.rest[b, block], real(1), state.resting, 2147483647)[0]
    return STATE_OFF_GRID if broken else 0


@part
def _take(state, current, scale, limit):
    """The input current of a step as integers; flags."""
    broken, beyond = _integers(current, scale, state.incoming, limit)
    return (OFF_GRID if broken else 0) | (OUT_OF_RANGE if beyond else 0)


@part
def _charge(state, n, has_current, decay):
    """The synaptic current of a step; the flag where it is wide."""
    u, incoming = state.u, state.incoming
    if not has_current:
        # a decay of 4096 keeps nothing of the step before
        for i in range(n):
            u[i] = next_current(0, incoming[i], 4096)
        return 0

    for i in range(n):
        u[i] = next_current(u[i], incoming[i], decay[i])
    wide = 0
    for i in range(n):
        wide += (u[i] > 16777216) | (u[i] < -16777216)
    return WIDE_CURRENT if wide else 0


@part
def _integrate(state, n, rests, decay):
    """The potential of a step before the comparison; that of a neuron that rests stays."""
    u, v, resting, updated = state.u, state.v, state.resting, state.updated
    if not rests:
        for i in range(n):
            v[i] = next_potential(v[i], u[i], 0, decay[i])
        return

    # every neuron is updated, and who rests takes its old value back: a choice between two numbers
    # is a vector instruction, a step that some neurons skip is none
    for i in range(n):
        updated[i] = next_potential(v[i], u[i], 0, decay[i])
    for i in range(n):
        v[i] = updated[i] if resting[i] == 0 else v[i]


@part
def _fire(fired, compared, resting, level, refractory):
    """Who fires, and how long each neuron rests afterwards."""
    n = fired.shape[0]
    if not refractory:
        for i in range(n):
            fired[i] = fires(compared[i], level[i])
        return

    for i in range(n):
        fired[i] = fires(compared[i], level[i]) & (resting[i] == 0)
    for i in range(n):
        resting[i] = refractory if fired[i] != 0 else max(resting[i] - 1, 0)


@part
def _reset(fired, v, level, reset):
    """The potential after the reset."""
    n = fired.shape[0]
    if reset == ZERO:
        for i in range(n):
            v[i] = 0 if fired[i] != 0 else v[i]
    elif reset == SUBTRACT:
        for i in range(n):
            # six bits more: the threshold has the unit of a current
            after = saturate_potential(v[i] - (level[i] << 6))
            v[i] = after if fired[i] != 0 else v[i]


@part
def _disturbed(state, n, added):
    """Potentials plus noise."""
    v, noisy = state.v, state.noisy
    for i in range(n):
        noisy[i] = v[i] + added[i]
    return noisy


@part
def _not_resting(resting, mask):
    for i in range(mask.shape[0]):
        mask[i] = resting[i] == 0


@part
def _copy(values, line):
    """``line = values``. The assignment of a slice makes numba compile the text of its error, too:
    three seconds."""
    for i in range(line.shape[0]):
        line[i] = values[i]


@cache
def forward_kernel():
    """The compiled forward scan."""
    rules = _RULES

    def forward_scan(given, cells, traces, first, last):
        """Advance the neurons of samples first to last (not included) through all steps; returns
        flags. ``Given``, ``Cells``, ``Traces``."""
        rules  # noqa: B018 - part of the cache key
        steps, _, neurons = given.current.shape
        real = given.current.dtype.type
        volt = real(1) / (cells.scale * real(64))
        state = _Block(
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
            np.zeros(BLOCK, np.int64),
        )
        flags = 0
        for b in range(first, last):
            for low in range(0, neurons, BLOCK):
                n = min(BLOCK, neurons - low)
                block = slice(low, low + n)
                decay_u, decay_v = cells.current_decay[block], cells.voltage_decay[block]
                level = cells.threshold[block]
                flags |= _begin(state, given, b, block, cells.scale)

                for t in range(steps):
                    flags |= _take(state, given.current[t, b, block], cells.scale, cells.limit)
                    flags |= _charge(state, n, cells.has_current, decay_u)
                    row = _row(traces.syn, t, steps) if cells.has_current else -1
                    if row >= 0:
                        _volts(state.u, volt, traces.syn[row, b, block])

                    _integrate(state, n, cells.refractory > 0, decay_v)
                    # before the spikes, which begin a rest that counts from the next step
                    if traces.active.size:
                        _not_resting(state.resting, traces.active[t, b, block])
                    if traces.before.size:
                        _volts(state.v, volt, traces.before[t, b, block])

                    if cells.spiking:
                        compared = state.v
                        if given.noise.size:
                            # drawn for each sample, or once for all
                            sample = b if given.noise.shape[1] > 1 else 0
                            compared = _disturbed(state, n, given.noise[t, sample, block])
                        fired = traces.spikes[t, b, block]
                        _fire(fired, compared, state.resting, level, cells.refractory)
                        _reset(fired, state.v, level, cells.reset)
                    row = _row(traces.mem, t, steps)
                    if row >= 0:
                        _volts(state.v, volt, traces.mem[row, b, block])

                if traces.rest.size:
                    _copy(state.resting, traces.rest[b, block])
        return flags

    return cached(forward_scan)


@part
def _arrive(v, keep, current, scale, limit):
    """The potential before the comparison; flags of the input current. All numbers are whole and
    below 2**53, so float64 is exact; the conversion to an integer rounds toward zero, as
    ``arithmetic.decay`` does."""
    real = current.dtype.type
    broken, beyond = 0, 0
    for i in range(current.shape[0]):
        x = current[i] * scale
        k = np.int32(x)
        broken += real(k) != x
        beyond += (k > limit) | (k < -limit)
        p = np.float64(np.int32(v[i] * keep[i])) + np.float64(k) * 64.0
        high = p if p < 8388607.0 else 8388607.0
        v[i] = high if high > -8388607.0 else -8388607.0
    return (OFF_GRID if broken else 0) | (OUT_OF_RANGE if beyond else 0)


@part
def _spike(fired, v, level, reset):
    """Who fires, and the potential after the reset."""
    n = fired.shape[0]
    if reset == ZERO:
        for i in range(n):
            spike = v[i] > level[i]
            fired[i] = spike
            v[i] = 0.0 if spike else v[i]
    elif reset == SUBTRACT:
        for i in range(n):
            spike = v[i] > level[i]
            fired[i] = spike
            v[i] = v[i] - level[i] if spike else v[i]
    else:
        for i in range(n):
            fired[i] = v[i] > level[i]


@cache
def plain_kernel():
    """The compiled forward scan of neurons without synaptic current, refractory period, noise and
    wrap of the input current (``limit`` below 2**17), which most are: the same results as
    ``forward_kernel``, with a third of the work."""
    rules = _RULES

    def plain_scan(given, cells, traces, first, last):
        """As ``forward_scan``."""
        rules  # noqa: B018 - part of the cache key
        steps, _, neurons = given.current.shape
        real = given.current.dtype.type
        volt = real(1) / (cells.scale * real(64))
        v, keep, level = np.zeros(BLOCK), np.zeros(BLOCK), np.zeros(BLOCK)
        flags = 0
        for b in range(first, last):
            for low in range(0, neurons, BLOCK):
                n = min(BLOCK, neurons - low)
                block = slice(low, low + n)
                # the factors of the decay, and thresholds in the unit of the state, both exact
                for i in range(n):
                    keep[i] = (4096 - cells.voltage_decay[low + i]) / 4096.0
                    level[i] = cells.threshold[low + i] * 64.0
                    v[i] = 0.0
                if given.mem.size:
                    mem, state_scale = given.mem[b, block], cells.scale * real(64)
                    if sum(_integers(mem, state_scale, v, POTENTIAL_LIMIT)):
                        flags |= STATE_OFF_GRID

                for t in range(steps):
                    flags |= _arrive(v, keep, given.current[t, b, block], cells.scale, cells.limit)
                    if traces.before.size:
                        _volts(v, volt, traces.before[t, b, block])
                    if cells.spiking:
                        _spike(traces.spikes[t, b, block], v, level, cells.reset)
                    row = _row(traces.mem, t, steps)
                    if row >= 0:
                        _volts(v, volt, traces.mem[row, b, block])
        return flags

    return cached(plain_scan)


@cache
def largest_kernel():
    """A compiled pass over a flat array: (largest magnitude of values * scale, how many are no
    whole numbers of at most 24 bits)."""

    def largest(values, scale):
        broken, top = 0, np.int32(0)
        for i in range(values.shape[0]):
            x = values[i] * scale
            k = np.int32(x)
            size = max(k, -k)  # negative for -2**31, which has no opposite
            broken += (values.dtype.type(k) != x) | (size > 16777216) | (size < 0)
            top = max(top, size)
        return top, broken

    return cached(largest)


@cache
def round_kernel():
    """A compiled pass over a flat array: ``values = round(values * scale) / scale`` in place, ties
    to even, scale a power of two."""

    def round_all(values, scale):
        back = values.dtype.type(1) / scale
        for i in range(values.shape[0]):
            values[i] = np.rint(values[i] * scale) * back

    return cached(round_all)
