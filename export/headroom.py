"""How large the numbers of a population can get, and the largest scale at which they still fit into
the chip's registers.

A scale S is the number of integer steps in a volt: threshold mantissa = S * threshold, state = 64 *
S * volts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from export.neurons import DiscreteNeuron
from export.quantize import highest_exponent
from export.simulate import Extremes
from export.trace import ConstantInput, Way
from hardware.arithmetic import SYNAPSE_BITS
from hardware.lif import LIF

MARGIN = 2.0
"""Room above what calibration data showed: states may become this many times as large on other
data."""

_STATES = {
    "input": "the synaptic input",
    "current": "the synaptic current",
    "potential": "the membrane potential",
}
"""Quantities of ``Extremes``, and what they are called."""

_STATE = float((1 << 23) - 64) / 64
"""Largest |state| that is used, in steps of 1/S volts; one step is left for rounding."""
_THRESHOLD = float(LIF["threshold"].high)
_BIAS = float(LIF["bias"].high << LIF["bias_exponent"].high) / 64
_INPUT_BIAS = 32512.0  # see export.quantize.split_constant
_WEIGHT = 128.0 * (1 << 7)  # what 2-bit weights of both signs reach


def largest_weight_steps(bits: int) -> float:
    """Integer steps that the largest weight of a projection may have; of 8 bits and fewer the same
    for all, so that a scale does not depend on their number."""
    if bits <= SYNAPSE_BITS:
        return _WEIGHT
    return float(((1 << (bits - 1)) - 1) << highest_exponent(bits))


@dataclass(frozen=True)
class Headroom:
    """Largest scale, what limits it, and what may still happen beyond it."""

    scale: float
    limited_by: str
    source: str
    notes: tuple[str, ...] = ()


def worst_case(
    neuron: DiscreteNeuron,
    ways: list[Way],
    constants: list[ConstantInput],
    largest: Mapping[str, float],
) -> Extremes:
    """Bounds that hold for every input. ``largest``: source → largest |value| it sends. Infinite
    where nothing bounds a state.

    The bound of the potential of a neuron with hard reset is the upward one; downward it may
    saturate.
    """
    total = np.zeros(neuron.shape)
    for way in ways:
        total = total + way.operator.absolute_sums().reshape(neuron.shape) * largest[way.source]
    for constant in constants:
        total = total + np.abs(constant.value)
    added = np.abs(neuron.gain) * total
    with np.errstate(divide="ignore", invalid="ignore"):
        current = np.where(added == 0, 0.0, added / neuron.current_decay)
        drive = current + np.abs(neuron.leak)
        potential = np.where(drive == 0, 0.0, drive / neuron.voltage_decay)
    if neuron.threshold is not None and neuron.reset == "zero":
        # upward it ends one step's drive above the threshold; downward only decay ends it
        upward = float(np.max(neuron.threshold + drive))
        potential = np.where(np.isinf(potential), upward, np.minimum(potential, upward))
    return Extremes(float(np.max(added)), float(np.max(current)), float(np.max(potential)))


def headroom(
    neuron: DiscreteNeuron,
    worst: Extremes,
    measured: Extremes | None,
    largest_weight: float,
    constant_bias: np.ndarray,
    input_bias: float,
    bits: int = SYNAPSE_BITS,
) -> Headroom:
    """The largest scale at which nothing of a population overflows; 0 where a current is not
    bounded.

    worst            bounds that hold for every input
    measured         extremes on calibration data: room for MARGIN times these is enough, where the
                     bounds ask for more
    largest_weight   largest |weight| in volts for one integer step of its source
    constant_bias    volts per step into the potential; input_bias: largest |volts per step| that
                     come in as synaptic input
    bits             of the weights
    """
    seen = {q: math.inf if measured is None else MARGIN * getattr(measured, q) for q in _STATES}
    needed = {q: min(seen[q], getattr(worst, q)) for q in _STATES}
    limits = {
        what: _ratio(_STATE, needed[q]) for q, what in _STATES.items() if math.isfinite(needed[q])
    }

    notes = []
    if not math.isfinite(needed["potential"]):
        notes.append("no bound on the potential: without leak it may saturate")
    elif measured is not None and worst.potential < measured.potential:
        notes.append(
            f"downward the potential may saturate: calibration data brings it to "
            f"{-measured.potential:.4g} V, where the neuron is far from its threshold"
        )

    if neuron.threshold is not None:
        limits["the threshold"] = _ratio(_THRESHOLD, float(np.max(neuron.threshold)))
    if neuron.reset_amount is not None:
        limits["the reset"] = _ratio(_STATE, float(np.max(np.abs(neuron.reset_amount))))
    limits["the bias"] = _ratio(_BIAS, float(np.max(np.abs(constant_bias))))
    limits["the input bias"] = _ratio(_INPUT_BIAS, input_bias)
    limits["the weights"] = _ratio(largest_weight_steps(bits), largest_weight)
    for q in ("input", "current"):
        if not math.isfinite(needed[q]):
            limits[_STATES[q]] = 0.0

    name = min(limits, key=limits.__getitem__)
    by_bound = any(_STATES[q] == name and needed[q] == getattr(worst, q) for q in _STATES)
    return Headroom(
        limits[name],
        name,
        f"calibration data, {MARGIN:g} times"
        if measured is not None and not by_bound
        else "worst case",
        tuple(notes),
    )


def _ratio(limit: float, value: float) -> float:
    return limit / value if value > 0 else math.inf


def wanted(neuron: DiscreteNeuron, smallest_of_largest: float, bits: int = SYNAPSE_BITS) -> float:
    """A scale beyond which nothing gets better: thresholds and decays are resolved, and every
    projection fills its weight bits.

    smallest_of_largest: among the projections' largest |weights|, in volts for one integer step of
    the source, the smallest
    """
    filled = 256.0 if bits <= SYNAPSE_BITS else float(1 << (bits - 1))
    weights = filled / smallest_of_largest if smallest_of_largest > 0 else 1.0
    if neuron.threshold is None or not np.any(neuron.threshold):
        return weights
    leaks = np.asarray(neuron.voltage_decay)[np.asarray(neuron.voltage_decay) > 0]
    # a decay rounds toward zero by up to one state step, which a slow leak adds up to 1/leak steps
    resolved = min(max(512.0 / float(leaks.min()) if leaks.size else 0.0, 4096.0), 16384.0)
    return max(resolved / float(np.max(neuron.threshold)), weights)
