"""The noise of a noisy neuron: whole numbers from a counter, the same on every target.

A neuron with noise fires when potential + noise exceeds its threshold; the noise does not stay in
the potential. Every sample starts the generator anew, so a result depends on the seed alone, on no
batch and no order: the spread that noise makes is seen over seeds.

The generator. For step t (from 0) and neuron n (position in C order of the population's shape) it
takes one 64-bit number, output t * 2**32 + n of the SplitMix64 stream that starts at
``mixed(seed)`` (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014: the
state grows by a constant, so any output can be had alone; the finaliser is Murmur's, with other
constants). Its eight bytes are added up. The sum S of eight uniform bytes has mean 1020 and
variance 8 * (2**16 - 1) / 12 = 43690 exactly, excess kurtosis -0.15, and is symmetric; its
distribution function is within 0.004 of the normal one, its tails end at +-1020, 4.88 sigma.

    noise = floor((S - 1020) * sigma / sqrt(43690) + 1/2)

where 1 / sqrt(43690) is the fraction 20547967 / 2**32 (off by less than 5e-8), so that all of it is
64-bit integer arithmetic. No value lies half way (the numerator is odd, and (S - 1020) * sigma less
than 2**31), so the noise is exactly symmetric: its mean is 0. Its variance is sigma**2, plus about
1/12 for the rounding.

Ours, all of it: chips have generators of their own (see ``hardware.rules.noise_needs_microcode``).
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hardware.errors import ProgramError

MAX_SIGMA = 1 << 20
"""Noise of up to 4.88 times this fits into the 24 bits of the state, and the rounding is exact (see
above)."""

MAX_SEED = (1 << 63) - 1

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_SCALE, _SCALE_BITS = 20547967, 32
_LOW_BYTES = np.uint64(0x00FF00FF00FF00FF)


@dataclass(frozen=True)
class Noise:
    """Noise of a population: ``seed`` 0 to 2**63 - 1, ``sigma`` 1 to 2**20, the standard deviation
    in units of the state.

    Raises ProgramError for anything else.
    """

    seed: int
    sigma: int

    def __post_init__(self) -> None:
        for name, low, high in (("seed", 0, MAX_SEED), ("sigma", 1, MAX_SIGMA)):
            object.__setattr__(self, name, _whole(name, getattr(self, name), low, high))


def splitmix64(state: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: uint64 in, uint64 out, one to one."""
    x = state ^ (state >> np.uint64(30))
    x = x * np.uint64(0xBF58476D1CE4E5B9)
    x = x ^ (x >> np.uint64(27))
    x = x * np.uint64(0x94D049BB133111EB)
    result: np.ndarray = x ^ (x >> np.uint64(31))
    return result


def derived(seed: int, number: int) -> int:
    """A seed of its own, 63 bits, for population ``number`` (from 0) of a network that has one
    seed: populations do not share noise."""
    seed = _whole("seed", seed, 0, MAX_SEED)
    return int(
        splitmix64(_start(seed) + _GAMMA * np.array([number + 1], np.uint64))[0] >> np.uint64(1)
    )


def draw(seed: int, sigma: int, steps: int, neurons: int) -> np.ndarray:
    """The noise of a sample, int64 [step, neuron], in units of the state; ``sigma`` 0: zeros.
    ProgramError where a number is outside."""
    result = np.empty((steps, neurons), np.int64)
    for step in range(steps):
        result[step] = draw_step(seed, sigma, step, neurons)
    return result


def draw_step(seed: int, sigma: int, step: int, neurons: int) -> np.ndarray:
    """One row of ``draw``, int64 [neuron]: the noise of step ``step`` (from 0) of every sample."""
    seed, sigma = _whole("seed", seed, 0, MAX_SEED), _whole("sigma", sigma, 0, MAX_SIGMA)
    place = np.arange(1, neurons + 1, dtype=np.uint64) + (np.uint64(step) << np.uint64(32))
    words = splitmix64(_start(seed) + _GAMMA * place)
    return (
        (_sum_of_bytes(words) - 1020) * (sigma * _SCALE) + (1 << (_SCALE_BITS - 1))
    ) >> _SCALE_BITS


def _whole(name: str, value: Any, low: int, high: int) -> int:
    try:
        number = None if isinstance(value, (bool, np.bool_)) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise ProgramError(
            f"noise: {name} is {value!r}; it must be a whole number from {low} to {high}"
        )
    return number


def _start(seed: int) -> np.ndarray:
    """Where the stream of a seed begins, uint64 [1]: neighbouring seeds begin far apart."""
    return splitmix64(np.array([seed], np.uint64) + _GAMMA)


def _sum_of_bytes(words: np.ndarray) -> np.ndarray:
    """Sum of the eight bytes of each uint64, int64: first pairs, in lanes of 16 bits, then the four
    lanes at once."""
    pairs = (words & _LOW_BYTES) + ((words >> np.uint64(8)) & _LOW_BYTES)
    return ((pairs * np.uint64(0x0001000100010001)) >> np.uint64(48)).astype(np.int64)
