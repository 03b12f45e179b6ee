"""The exact integer rules of a Loihi-class chip, each written once.

Every function is built from operators alone (no numpy, no torch call), so the same source runs on
Python integers, numpy ``int64`` arrays, torch ``int64`` tensors, and inside numba kernels: the
reference executor, the quantisation-aware layers and the fast executor share these lines and cannot
drift apart. Arguments must be 64-bit where they are arrays.

Source of every rule: the fixed-point CPU models of lava-nc 0.10.0 (``PyLifModelBitAcc``,
``PyDenseModelBitAcc``, ``PyConvModelFixed``), which the test suite runs beside these functions.
"""

from __future__ import annotations

from typing import Any, TypeAlias

Number: TypeAlias = Any
"""What a rule is carried out on: an integer, an array, a tensor, or a register of a kernel."""

DECAY_BITS = 12
"""Decays are 12-bit fractions: a decay of 4096 loses everything in one step, 0 loses nothing."""

DECAY_UNITY = 1 << DECAY_BITS

SYNAPSE_BITS = 8
"""Most bits of a synapse's weight."""

STATE_SHIFT = 6
"""Synaptic input and threshold are shifted left by 6 bits to line up with the state variables."""

CURRENT_LIMIT = 1 << 23
"""The synaptic current wraps once past +-2**23 and may rest at exactly +2**23."""

POTENTIAL_LIMIT = (1 << 23) - 1
"""The membrane potential saturates at +-(2**23 - 1)."""


def wrap_int32(x: Number) -> Number:
    """Two's complement wrap to 32 bits."""
    return ((x + 2147483648) & 4294967295) - 2147483648


def wrap_int24(x: Number) -> Number:
    """Two's complement wrap to 24 bits: what Lava does to the result of a convolution."""
    return ((x + 8388608) & 16777215) - 8388608


def decay(x: Number, amount: Number) -> Number:
    """What is left of ``x`` after losing ``amount``/4096 of it, rounded toward zero.

    The product is split at bit 12 so that nothing inside exceeds 32 bits for |x| < 2**31: the fast
    executor runs this line in 32-bit registers. Adding 4095 to a negative product before the shift
    turns rounding down into rounding toward zero.
    """
    kept = 4096 - amount
    return (x >> 12) * kept + (((x & 4095) * kept + 4095 * (x < 0)) >> 12)


def shift(x: Number, exponent: Number) -> Number:
    """``x * 2**exponent``; a negative exponent is an arithmetic shift right, which rounds down.

    ``exponent`` may be an array; both branches are safe to evaluate because the unused shift is by
    zero bits.
    """
    left = exponent * (exponent > 0)
    right = left - exponent
    return (x << left) >> right


def wrap_current(x: Number) -> Number:
    """One conditional wrap into (-2**23, 2**23]; values beyond three times the range stay out of
    range, as in Lava."""
    return x - 16777216 * (x > 8388608) + 16777216 * (x <= -8388608)


def saturate_potential(x: Number) -> Number:
    """Saturation at +-(2**23 - 1)."""
    return x - (x - 8388607) * (x > 8388607) - (x + 8388607) * (x < -8388607)


def next_current(current: Number, synaptic_input: Number, current_decay: Number) -> Number:
    """Synaptic current of this step.

    ``synaptic_input`` is the int32 sum over all projections; ``current_decay`` (0 to 4096) is
    Lava's ``du + 1``.
    """
    return wrap_current(wrap_int32(decay(current, current_decay) + wrap_int32(synaptic_input << 6)))


def next_potential(
    potential: Number, current: Number, bias: Number, voltage_decay: Number
) -> Number:
    """Membrane potential of this step before the threshold comparison; ``bias`` is already shifted
    by its exponent."""
    return saturate_potential(wrap_int32(decay(potential, voltage_decay) + current + bias))


def choose(mask: Number, chosen: Number, other: Number) -> Number:
    """``chosen`` where the mask is true, else ``other``."""
    return other + (chosen - other) * mask


def fires(potential: Number, threshold: Number) -> Number:
    """Strictly greater than the threshold mantissa shifted left by 6 bits.

    A noisy neuron compares ``potential + noise``, which may leave the 24 bits of the potential.
    Whether that sum saturates as the potential does cannot be seen: no threshold (at most 131071 <<
    6 = 8388544) reaches the limit of 8388607.
    """
    return potential > (threshold << 6)


def high_part(weight: Number) -> Number:
    """Of a weight that two synapses carry, a whole number of up to 16 bits: what its high part
    counts, in units of 256, rounded down."""
    return weight >> 8


def low_part(weight: Number) -> Number:
    """What its low part carries, 0 to 255: ``weight == 256 * high_part + low_part``."""
    return weight & 255
