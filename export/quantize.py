"""Float → integer: scales, mantissas and exponents.

Where the model states a grid (quantisation-aware training) its integers come out exactly, or an
error does. Elsewhere a population gets the scale S (integer steps in a volt) with the smallest
error of weights and threshold that its headroom allows, and every projection the smallest exponent
at which no weight is clipped.

Weights of 9 to 16 bits are *precise*: two synapses carry each of them, a high and a low part
(``parts``). Up to there they are whole numbers of ``step * 2**exponent`` like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from export.errors import QuantizationError
from hardware.arithmetic import SYNAPSE_BITS, high_part, low_part
from hardware.program import sign_mode

MAX_EXPONENT = 7
MOST_BITS = 2 * SYNAPSE_BITS
"""Most bits of a weight: one synapse has 8, two carry more."""
MAX_BIAS = 4095
SCORED = 1 << 16
"""Weights of a projection that are looked at while scales are compared; the smallest and the
largest are always among them."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Integer weights of one projection: values ≈ mantissas * 2**exponent (in integer steps of the
    target). Of more than 8 bits they are the sum of two projections' (``parts``)."""

    mantissas: np.ndarray
    exponent: np.ndarray
    clipped: int = 0
    bits: int = SYNAPSE_BITS

    @property
    def precise(self) -> bool:
        """Of more bits than one synapse has."""
        return self.bits > SYNAPSE_BITS

    def parts(self) -> list[Weights]:
        """What each projection carries; one, or the high part and the low part, whose sum is exact.

        The low part is the lowest 8 bits, 0 to 255, excitatory. The high part is the rest, rounded
        down, with the sign: ``bits - 8`` bits of the chip's mixed-sign format. Both shift left or
        not at all, so no sum is rounded, whatever arrives. A part without any weight is left out,
        but one stays.
        """
        if not self.precise:
            return [self]
        whole = self.mantissas.astype(np.int64)
        low = low_part(whole).astype(np.int32)
        more = self.bits - SYNAPSE_BITS
        high = (high_part(whole) << (SYNAPSE_BITS + 1 - more)).astype(np.int32)
        each = [
            Weights(high, self.exponent + more - 1, bits=more),
            Weights(low, self.exponent, bits=SYNAPSE_BITS),
        ]
        return [part for part in each if part.mantissas.any()] or each[1:]


def highest_exponent(bits: int) -> int:
    """Largest exponent of weights of so many bits: that of a synapse, for precise ones less what
    lies between their high part and their step."""
    return MAX_EXPONENT if bits <= SYNAPSE_BITS else MOST_BITS - bits


def weight_range(low: float, high: float, bits: int) -> tuple[int, int, int]:
    """(smallest, largest, step) of mantissas for values between low and high: the chip's format for
    their signs; precise weights have one for all signs."""
    if bits > SYNAPSE_BITS:
        return -(1 << (bits - 1)), (1 << (bits - 1)) - 1, 1
    step = 1 << (8 - bits)
    if low >= 0:
        return 0, 256 - step, step
    if high <= 0:
        return step - 256, 0, step
    return -256, 256 - 2 * step, 2 * step


def _round(values: np.ndarray, exponent: Any, limits: tuple[int, int, int]) -> np.ndarray:
    """Mantissas at this exponent, rounded to the format's steps, not limited to its range."""
    mantissas: np.ndarray = np.rint(values / (2.0**exponent * limits[2])) * limits[2]
    return mantissas


def _smallest_exponent(
    low: Any, high: Any, limits: tuple[int, int, int], lowest: int, highest: int
) -> np.ndarray:
    """Smallest exponent at which values between low and high fit, elementwise; raises where even
    the largest is too small."""
    fits = [
        (_round(high, e, limits) <= limits[1]) & (_round(low, e, limits) >= limits[0])
        for e in range(lowest, highest + 1)
    ]
    if not np.all(fits[-1]):
        raise QuantizationError(
            f"weights of {float(np.max(np.maximum(-low, high))):g} integer steps; they must be at "
            f"most {limits[1] << highest}"
        )
    return np.asarray(lowest + np.argmax(np.stack(fits), axis=0))


def fit(
    values: np.ndarray,
    bits: int,
    lowest: int,
    channel: np.ndarray | None = None,
    clip: bool = False,
) -> Weights:
    """Mantissas and exponents for weights given in integer steps of the target.

    lowest    smallest exponent that the projection can have; exponents whose right shift would drop
              bits are not used, so those of precise weights start at 0
    channel   output channel of each weight (flat), for one exponent in each channel; None for a
              single exponent
    clip      allow clipping where it makes the mean squared error smaller
    """
    flat = values.reshape(-1)
    if not flat.size or not flat.any():
        count = () if channel is None else (int(channel.max(initial=-1)) + 1,)
        return Weights(np.zeros(values.shape, np.int64), np.zeros(count, np.int64), bits=bits)

    limits = weight_range(float(flat.min()), float(flat.max()), bits)
    lowest = max(lowest, -(limits[2].bit_length() - 1))
    if channel is None:
        low, high = np.minimum(flat.min(), 0.0), np.maximum(flat.max(), 0.0)
    else:
        low, high = (np.zeros(int(channel.max()) + 1) for _ in range(2))
        np.minimum.at(low, channel, flat)
        np.maximum.at(high, channel, flat)

    exponent = _smallest_exponent(low, high, limits, lowest, highest_exponent(bits))
    if clip:
        exponent = _least_error(flat, exponent, limits, lowest, channel)

    each = exponent if channel is None else exponent[channel]
    rounded = _round(flat, each, limits)
    mantissas = np.clip(rounded, limits[0], limits[1])
    return Weights(
        mantissas.reshape(values.shape).astype(np.int32),
        np.asarray(exponent, np.int64),
        int(np.count_nonzero(mantissas != rounded)),
        bits,
    )


def _least_error(
    flat: np.ndarray,
    exponent: np.ndarray,
    limits: tuple[int, int, int],
    lowest: int,
    channel: np.ndarray | None,
) -> np.ndarray:
    """Of the smallest exponent without clipping and the three below it, the one with the smallest
    squared error."""
    tried = [np.maximum(exponent - back, lowest) for back in range(4)]
    errors = []
    for e in tried:
        each = e if channel is None else e[channel]
        square = (np.clip(_round(flat, each, limits), limits[0], limits[1]) * 2.0**each - flat) ** 2
        errors.append(
            square.sum()
            if channel is None
            else np.bincount(channel, square, minlength=len(exponent))
        )
    best = np.argmin(np.stack(errors), axis=0)[None]
    chosen: np.ndarray = np.take_along_axis(np.stack(tried), best, axis=0)[0]
    return chosen


def on_grid(
    where: str,
    values: np.ndarray,
    bits: int,
    lowest: int,
    exponent: np.ndarray,
    channel: np.ndarray | None = None,
) -> Weights:
    """Mantissas for weights that lie on a grid already.

    exponent  as the grid states it: of the chip's mantissas, -256 to 255 (fractions of them, where
              the weights have more than 8 bits)

    The stated exponent is used where it fits; passes that changed the weights (pooling, scales) may
    need another one, which is looked for. Raises QuantizationError where there is none: the weights
    were changed after training, or the stated grid is wrong.
    """
    flat = values.reshape(-1)
    nearest = flat[:0]
    precise = bits > SYNAPSE_BITS
    if precise:
        exponent, lowest = exponent + SYNAPSE_BITS + 1 - bits, 0
    smallest, largest, _ = weight_range(-1, 1, bits) if precise else (-256, 255, 1)

    # the stated exponent first, then its neighbours, larger ones before smaller ones
    for move in (0, *range(1, 16), *range(-1, -16, -1)):
        tried = exponent + move
        if tried.size and (tried.min() < lowest or tried.max() > highest_exponent(bits)):
            continue
        wanted = flat / 2.0 ** (tried[channel] if tried.ndim else tried)
        mantissas = np.rint(wanted)
        if move == 0:
            nearest = wanted

        if (
            np.any(np.abs(wanted - mantissas) > 1e-4)
            or np.any(mantissas < smallest)
            or np.any(mantissas > largest)
        ):
            continue
        if not precise and sign_mode(mantissas.astype(np.int64), bits) is None:
            continue
        dropped = np.maximum(-(tried[channel] if tried.ndim else tried), 0)
        if move and np.any(mantissas.astype(np.int64) % (1 << dropped)):
            continue  # the right shift would drop bits that the stated exponent keeps
        return Weights(
            mantissas.reshape(values.shape).astype(np.int32),
            np.asarray(tried, np.int64),
            bits=bits,
        )

    off = nearest[np.abs(nearest - np.rint(nearest)) > 1e-4]
    shown = (
        f"a weight is {off[0]:g} steps"
        if off.size
        else f"weights are from {nearest.min(initial=0):g} to {nearest.max(initial=0):g} steps"
    )
    stated = (exponent - (SYNAPSE_BITS + 1 - bits) if precise else exponent).tolist()
    step = 1 << max(8 - bits, 0)
    accepted = (
        f"whole numbers from {smallest} to {largest}"
        if precise
        else f"multiples of {2 * step} in [-256, {256 - 2 * step}], or of one sign multiples of "
        f"{step} up to {256 - step}"
    )

    raise QuantizationError(
        f"{where}: off the grid of {bits} bits with exponent {stated}: {shown}; they must be "
        f"{accepted}"
    )


def candidates(top: float, largest: list[float], threshold: float | None) -> np.ndarray:
    """Scales between top / 2 and top: the power of two, and those that represent a projection's
    largest weight or the threshold exactly."""
    scales = [2.0 ** np.floor(np.log2(top)), top]
    for anchor in largest:
        mantissas = np.arange(128, 256) / anchor
        scales.extend(mantissas * 2.0 ** np.floor(np.log2(top / mantissas)))
    if threshold:
        scales.append(np.floor(top * threshold) / threshold)
        scales.append(np.ceil(top * threshold / 2) / threshold)
    each = np.unique(np.asarray(scales))
    near: np.ndarray = each[(each <= top * (1 + 1e-12)) & (each >= top / 2)]
    return near


def sums_on_grid(
    steps: np.ndarray, lowest: int, channel: np.ndarray, channels: int
) -> Weights | None:
    """Mantissas for whole numbers of integer steps: weights of a grid that passes have added up, or
    moved to other channels, so that the stated exponents no longer hold.

    Each channel has the largest exponent that leaves whole numbers; where 8 bits do not hold them,
    weights are precise. None where the numbers are not whole, or 16 bits do not hold them.
    """
    flat = np.rint(steps.reshape(-1)).astype(np.int64)
    if np.any(np.abs(steps.reshape(-1) - flat) > 1e-4):
        return None

    low, high, bits_of = (np.zeros(channels, np.int64) for _ in range(3))
    np.minimum.at(low, channel, flat)
    np.maximum.at(high, channel, flat)
    np.bitwise_or.at(bits_of, channel, flat)

    # trailing zeros that all weights of a channel have; of one without weights as many as can be
    shared = np.where(bits_of == 0, 62, np.log2((bits_of & -bits_of).clip(1)).astype(np.int64))
    for bits in range(SYNAPSE_BITS, MOST_BITS + 1):
        precise = bits > SYNAPSE_BITS
        # mixed signs leave even numbers to 8 bits
        exponent = np.minimum(shared - (not precise), highest_exponent(bits))
        exponent = np.where(bits_of == 0, np.maximum(0, lowest), exponent)
        least, most, _ = weight_range(-1, 1, bits)
        scale = 2.0**exponent
        fits = (low >= least * scale) & (high <= most * scale)
        if np.all(fits) and np.all(exponent >= (0 if precise else max(lowest, -1))):
            mantissas = np.rint(flat / scale[channel]).astype(np.int32)
            return Weights(mantissas.reshape(steps.shape), exponent, bits=bits)
    return None


def choose_scale(
    top: float,
    projections: list[tuple[np.ndarray, int]],
    thresholds: np.ndarray | None,
    bits: int,
    clip: bool = False,
) -> float:
    """The scale up to ``top`` with the smallest error.

    projections   (weights in volts for one integer step of the source, lowest exponent) of each
    thresholds    volts; None for integrators
    The error is the sum over projections of the mean squared weight error (relative to the mean
    square) and the threshold's.
    """
    scored = []
    for values, lowest in projections:
        flat = values.reshape(-1)
        if flat.any():
            if flat.size > SCORED:
                flat = np.concatenate([flat[:: -(-flat.size // SCORED)], [flat.min(), flat.max()]])
            scored.append((flat, lowest, float(np.sum(flat**2))))

    positive = np.unique(thresholds[thresholds > 0]) if thresholds is not None else np.zeros(0)
    anchor = float(positive.max()) if positive.size else None

    best, least = top, np.inf
    for scale in candidates(top, [float(np.abs(flat).max()) for flat, _, _ in scored], anchor)[
        ::-1
    ]:
        error = 0.0
        for flat, lowest, square in scored:
            weights = fit(flat * scale, bits, lowest, clip=clip)
            error += (
                float(np.sum((weights.mantissas * 2.0**weights.exponent / scale - flat) ** 2))
                / square
            )
        if positive.size:
            error += float(np.max((np.rint(positive * scale) / (positive * scale) - 1) ** 2))
        if error < least:
            best, least = float(scale), error

    return best


def fit_bias(where: str, state: np.ndarray, exact: bool) -> tuple[np.ndarray, int]:
    """(mantissa, exponent) of a bias given in units of the state. ``exact``: refuse any rounding.

    Raises QuantizationError where it does not fit 13 bits with an exponent of 0 to 7.
    """
    whole = np.rint(state)
    if exact and np.any(np.abs(state - whole) > 1e-4):
        off = float(np.ravel(state)[np.argmax(np.abs(state - whole))])
        raise QuantizationError(
            f"{where}: a bias of {off:g} state units is off the grid; it must be a whole number"
        )
    fitting = _bias_format(whole, exact)
    if fitting is not None:
        return fitting
    largest, limit = float(np.abs(whole).max()), MAX_BIAS << MAX_EXPONENT
    raise QuantizationError(
        f"{where}: a bias of {largest:g} state units; it must be a 13-bit number times 2**0 to "
        f"2**{MAX_EXPONENT}, so at most {limit}"
    )


def _bias_format(whole: np.ndarray, exact: bool) -> tuple[np.ndarray, int] | None:
    """(mantissa, exponent) with the smallest exponent that holds it; None where none does."""
    for exponent in range(MAX_EXPONENT + 1):
        mantissa = np.rint(whole / (1 << exponent))
        if np.abs(mantissa).max(initial=0) <= MAX_BIAS and not (
            exact and np.any(mantissa * (1 << exponent) != whole)
        ):
            return mantissa.astype(np.int64), exponent
    return None


def fits_bias(state: np.ndarray, exact: bool) -> bool:
    """Whether ``fit_bias`` finds a format for it."""
    return _bias_format(np.rint(state), exact) is not None


def split_constant(where: str, steps: np.ndarray) -> list[Weights]:
    """Weights of a constant source that add up to whole numbers of integer steps: a low part and,
    where needed, a high part.

    Raises QuantizationError beyond 16 bits.
    """
    steps = steps.astype(np.int64)
    low = (steps + 128) % 256 - 128
    high = steps - low
    if np.any(np.abs(high) > 32512):
        raise QuantizationError(
            f"{where}: a constant input of {int(np.abs(steps).max())} integer steps; it must be "
            f"at most 32512"
        )
    parts = [Weights(low * 2, np.asarray(-1, np.int64))] if low.any() or not high.any() else []
    return parts + ([Weights(high >> 7, np.asarray(7, np.int64))] if high.any() else [])
