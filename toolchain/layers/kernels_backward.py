"""The compiled scan over time for CPU tensors: the backward pass, and the slopes of
surrogates in it. Arrays as in ``toolchain.layers.kernels``."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from hardware.jit import cached, part
from toolchain.layers import surrogate
from toolchain.layers.kernels import BLOCK

_triangle, _rectangle, _atan, _fast_sigmoid, _sigmoid, _gaussian = (
    register_jitable(kind.formula)
    for kind in (
        surrogate.Triangle,
        surrogate.Rectangle,
        surrogate.ATan,
        surrogate.FastSigmoid,
        surrogate.Sigmoid,
        surrogate.Gaussian,
    )
)
FORMULAS: dict[object, int] = {
    surrogate.Triangle: 0,
    surrogate.Rectangle: 1,
    surrogate.ATan: 2,
    surrogate.FastSigmoid: 3,
    surrogate.Sigmoid: 4,
    surrogate.Gaussian: 5,
}
"""Surrogate → code of its formula."""

GIVEN = -1
"""Code where the slopes are given."""

_RULES = hashlib.sha256(Path(surrogate.__file__).read_bytes()).hexdigest()
"""Closed over by the kernel: see ``hardware.jit.cached``."""

_ZERO, _SUBTRACT, _NONE = 0, 1, 2
"""The codes of ``toolchain.layers.kernels``. numba's cache notices a change of this file only, so
what decides a result stands here; a test compares them."""


class Incoming(NamedTuple):
    """Gradients that come in, traces: of the spikes, of both states after each step, and of the
    potential before the reset."""

    spikes: np.ndarray
    syn: np.ndarray
    mem: np.ndarray
    before: np.ndarray


class Kept(NamedTuple):
    """What the forward pass left, in volts.

    before, spikes, active, syn   traces; before: the potential before the reset; active: uint8
    syn0, mem0                    states before the first step
    """

    before: np.ndarray
    spikes: np.ndarray
    active: np.ndarray
    syn: np.ndarray
    syn0: np.ndarray
    mem0: np.ndarray


class Slopes(NamedTuple):
    """What the neurons are, in volts [neuron]: what remains of current and potential, threshold.

    reset       code
    saturated   magnitude of a saturated potential
    formula     code of the surrogate, and its parameter
    """

    has_current: bool
    alpha: np.ndarray
    beta: np.ndarray
    threshold: np.ndarray
    reset: int
    saturated: np.float32 | np.float64
    formula: int
    parameter: np.float32 | np.float64


class Outgoing(NamedTuple):
    """Gradients to fill.

    current      trace; with the formula GIVEN it holds dS/dv, and the result afterwards: one array
                 less, whose first touch costs more than the arithmetic
    syn0, mem0   of the states before the first step
    alpha, beta, threshold   [batch, neuron], for the caller to sum
    """

    current: np.ndarray
    syn0: np.ndarray
    mem0: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    threshold: np.ndarray


@part
def _slopes(formula, parameter, before, level, out):
    """dS/dv of a step, into ``out``."""
    n = out.shape[0]
    if formula == 0:
        for i in range(n):
            out[i] = _triangle(before[i] - level[i], parameter)
    elif formula == 1:
        for i in range(n):
            out[i] = _rectangle(before[i] - level[i], parameter)
    elif formula == 2:
        for i in range(n):
            out[i] = _atan(before[i] - level[i], parameter)
    elif formula == 3:
        for i in range(n):
            out[i] = _fast_sigmoid(before[i] - level[i], parameter)
    elif formula == 4:
        for i in range(n):
            out[i] = _sigmoid(before[i] - level[i], parameter)
    elif formula == 5:
        for i in range(n):
            out[i] = _gaussian(before[i] - level[i], parameter)


@part
def _add(total, line):
    for i in range(line.shape[0]):
        total[i] += line[i]


@part
def _add_products(total, one, other):
    for i in range(one.shape[0]):
        total[i] += one[i] * other[i]


@part
def _take_products(total, one, other):
    for i in range(other.shape[0]):
        total[i] -= one[i] * other[i]


@part
def _where_quiet(values, fired):
    """A reset to zero passes nothing of a neuron that fired."""
    real = fired.dtype.type
    for i in range(fired.shape[0]):
        values[i] *= real(1) - fired[i]


@part
def _through_spikes(out, gradient):
    """``out`` holds the surrogate's slope."""
    for i in range(out.shape[0]):
        out[i] *= gradient[i]


@part
def _where_active(values, on):
    real = values.dtype.type
    for i in range(on.shape[0]):
        values[i] *= real(on[i])


@part
def _take(total, line):
    for i in range(line.shape[0]):
        total[i] -= line[i]


@part
def _integrated(out, carry, potential, saturated):
    """The gradient of what was integrated; a saturated potential passes none."""
    real = out.dtype.type
    for i in range(out.shape[0]):
        out[i] = carry[i] * real(abs(potential[i]) < saturated)
    for i in range(out.shape[0]):
        carry[i] = 0


@part
def _integrated_where_active(out, carry, potential, saturated, on):
    """The same; ``carry`` keeps what a neuron that rests hands back unchanged."""
    real = out.dtype.type
    for i in range(out.shape[0]):
        out[i] = carry[i] * real(abs(potential[i]) < saturated) * real(on[i])
    for i in range(out.shape[0]):
        carry[i] *= real(1) - real(on[i])


@part
def _learn_beta(total, out, earlier, fired, level, reset):
    """The gradient of what remains of the potential, through the potential that the step before
    left behind; ``fired`` of length 0: without a reset."""
    real = out.dtype.type
    n = out.shape[0]
    if not fired.size or reset == _NONE:
        for i in range(n):
            total[i] += out[i] * earlier[i]
    elif reset == _ZERO:
        for i in range(n):
            total[i] += out[i] * earlier[i] * (real(1) - fired[i])
    else:
        for i in range(n):
            total[i] += out[i] * (earlier[i] - level[i] * fired[i])


@part
def _carried(carry, keep, out):
    for i in range(out.shape[0]):
        carry[i] = keep[i] * out[i]


@part
def _copy(values, line):
    """``line = values``; see ``toolchain.layers.kernels``."""
    for i in range(line.shape[0]):
        line[i] = values[i]


@cache
def backward_kernel():
    """The compiled backward scan."""
    rules = _RULES

    def backward_scan(incoming, kept, cells, outgoing, first, last):
        """Gradients through time of samples first to last (not included); ``Incoming``, ``Kept``,
        ``Slopes``, ``Outgoing``.

        Rounding and the wrap of the current pass gradients unchanged, a saturated potential none, a
        reset is a constant (as in snnTorch, it passes no gradient to the spike).
        """
        rules  # noqa: B018 - part of the cache key
        steps, _, neurons = outgoing.current.shape
        real = outgoing.current.dtype.type
        carry_u, carry_v = np.zeros(BLOCK, real), np.zeros(BLOCK, real)
        for b in range(first, last):
            for low in range(0, neurons, BLOCK):
                n = min(BLOCK, neurons - low)
                block = slice(low, low + n)
                level = cells.threshold[block]
                # gradients of the states that a step leaves to the next one
                carry_u[:] = 0
                carry_v[:] = 0

                for t in range(steps - 1, -1, -1):
                    out = outgoing.current[t, b, block]

                    # from the potential after the reset to that before it
                    if incoming.mem.size:
                        _add(carry_v, incoming.mem[t, b, block])
                    if kept.spikes.size:
                        fired = kept.spikes[t, b, block]
                        if cells.reset == _ZERO:
                            _where_quiet(carry_v, fired)
                        elif cells.reset == _SUBTRACT and outgoing.threshold.size:
                            _take_products(outgoing.threshold[b, block], carry_v, fired)
                    if incoming.spikes.size:
                        potential = kept.before[t, b, block]
                        _slopes(cells.formula, cells.parameter, potential, level, out)
                        _through_spikes(out, incoming.spikes[t, b, block])
                        if kept.active.size:
                            _where_active(out, kept.active[t, b, block])
                        if outgoing.threshold.size:
                            _take(outgoing.threshold[b, block], out)
                        _add(carry_v, out)
                    if incoming.before.size:
                        _add(carry_v, incoming.before[t, b, block])

                    # carry_v is now the gradient of the potential before the reset: split into what
                    # was integrated (out) and what a neuron that rests hands back (carry_v)
                    before = kept.before[t, b, block]
                    if kept.active.size:
                        on = kept.active[t, b, block]
                        _integrated_where_active(out, carry_v, before, cells.saturated, on)
                    else:
                        _integrated(out, carry_v, before, cells.saturated)

                    # to the potential of the step before
                    if outgoing.beta.size:
                        total = outgoing.beta[b, block]
                        if t > 0:
                            earlier, past = kept.before[t - 1, b, block], kept.before[t - 1, b, 0:0]
                            if kept.spikes.size:
                                past = kept.spikes[t - 1, b, block]
                            _learn_beta(total, out, earlier, past, level, cells.reset)
                        elif kept.mem0.size:
                            _add_products(total, out, kept.mem0[b, block])
                    _add_products(carry_v, cells.beta[block], out)

                    # to the synaptic current of the step before
                    if cells.has_current:
                        _add(out, carry_u[:n])
                        if incoming.syn.size:
                            _add(out, incoming.syn[t, b, block])
                        if outgoing.alpha.size and (t > 0 or kept.syn0.size):
                            earlier = kept.syn[t - 1, b, block] if t > 0 else kept.syn0[b, block]
                            _add_products(outgoing.alpha[b, block], out, earlier)
                        _carried(carry_u, cells.alpha[block], out)

                if outgoing.syn0.size:
                    _copy(carry_u, outgoing.syn0[b, block])
                if outgoing.mem0.size:
                    _copy(carry_v, outgoing.mem0[b, block])

    return cached(backward_scan)
