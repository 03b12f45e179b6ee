"""The noise generator: its numbers for ever, its distribution, and no relation between neurons,
steps and seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware import noise
from hardware.errors import ProgramError
from hardware.noise import MAX_SEED, MAX_SIGMA, Noise, derived, draw


def test_finaliser_is_splitmix64s():
    """The published stream that starts at 1234567."""
    state = np.array([1234567], np.uint64) + noise._GAMMA * np.arange(1, 4, dtype=np.uint64)
    assert noise.splitmix64(state).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def one_by_one(seed, sigma, step, neuron):
    """The documented rule in Python's own integers."""
    mask, gamma = (1 << 64) - 1, 0x9E3779B97F4A7C15

    def mixed(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    word = mixed((mixed((seed + gamma) & mask) + gamma * (step * 2**32 + neuron + 1)) & mask)
    return math.floor((sum(word.to_bytes(8, "little")) - 1020) * sigma * 20547967 / 2**32 + 0.5)


@pytest.mark.parametrize(("seed", "sigma"), [(0, 1), (1, 64), (7, 1000), (MAX_SEED, MAX_SIGMA)])
def test_every_number_follows_the_documented_rule(seed, sigma):
    drawn = draw(seed, sigma, 3, 5)
    assert drawn.dtype == np.int64
    assert drawn.tolist() == [
        [one_by_one(seed, sigma, step, neuron) for neuron in range(5)] for step in range(3)
    ]


def test_numbers_are_those_of_every_earlier_version():
    assert draw(42, 1000, 2, 4).tolist() == PINNED
    assert [derived(42, number) for number in range(2)] == PINNED_SEEDS


PINNED = [[-177, 1206, -923, 124], [-201, 617, 617, 77]]
PINNED_SEEDS = [3166309114763032834, 8815207628119023658]


def test_distribution():
    """Moments, and the distance to the normal distribution, of a quarter of a million numbers;
    bounds of five standard errors."""
    values = draw(5, 10_000, 50, 5000).ravel() / 10_000
    count = values.size
    assert abs(values.mean()) < 5 / math.sqrt(count)
    assert abs(values.var() - 1) < 5 * math.sqrt(2 / count)
    assert abs(np.mean(values**3)) < 5 * math.sqrt(15 / count)
    assert np.mean(values**4) == pytest.approx(3 - 0.15, abs=5 * math.sqrt(96 / count))
    ordered = np.sort(values)
    normal = np.array([0.5 * (1 + math.erf(x / math.sqrt(2))) for x in ordered[:: count // 1000]])
    empirical = np.arange(count)[:: count // 1000] / count
    assert np.abs(normal - empirical).max() < 0.004 + 1.95 / math.sqrt(count)


def test_largest_noise_fits_the_state():
    """All eight bytes zero, or all 255, at the largest sigma: what no draw will show soon."""
    for word in (0, (1 << 64) - 1):
        total = int(noise._sum_of_bytes(np.array([word], np.uint64))[0])
        assert total in (0, 2040)
        assert abs((total - 1020) * MAX_SIGMA * noise._SCALE) >> noise._SCALE_BITS < (1 << 23) - 1


def test_small_sigma_is_rounded_to_the_nearest():
    values = draw(3, 1, 20, 5000)
    assert set(np.unique(values)) <= set(range(-5, 6))
    assert values.var() == pytest.approx(1 + 1 / 12, abs=0.03)


@pytest.mark.parametrize(
    "other",
    ["next neuron", "next step", "next seed", "next population", "neuron and step exchanged"],
)
def test_streams_are_unrelated(other):
    """Correlation of the values, and of their squares, within five standard errors of none."""
    here = draw(9, 1000, 300, 301).astype(float)
    there = {
        "next neuron": lambda: np.roll(here, 1, axis=1),
        "next step": lambda: np.roll(here, 1, axis=0),
        "next seed": lambda: draw(10, 1000, 300, 301),
        "next population": lambda: draw(derived(9, 0), 1000, 300, 301),
        "neuron and step exchanged": lambda: np.pad(here[:, :300].T, ((0, 0), (0, 1))),
    }[other]()
    for power in (1, 2):
        a, b = here[:, :300] ** power, np.asarray(there, float)[:, :300] ** power
        chosen = ~np.eye(300, dtype=bool)
        assert abs(np.corrcoef(a[chosen], b[chosen])[0, 1]) < 5 / 300


def test_derived_seeds_differ():
    seeds = {derived(seed, number) for seed in range(50) for number in range(50)}
    assert len(seeds) == 2500
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


def test_more_steps_and_neurons_change_nothing():
    assert np.array_equal(draw(1, 500, 3, 4), draw(1, 500, 9, 20)[:3, :4])


def test_no_sigma_is_no_noise():
    assert not draw(1, 0, 4, 4).any()


@pytest.mark.parametrize(
    ("seed", "sigma"),
    [(-1, 1), (1 << 63, 1), (0, MAX_SIGMA + 1), (0, -1), (0, 1.5), (True, 1), ("a", 1)],
)
def test_numbers_outside_are_refused(seed, sigma):
    with pytest.raises(
        ProgramError, match=r"noise: (seed|sigma) is .*; it must be a whole number from"
    ):
        draw(seed, sigma, 1, 1)
    with pytest.raises(ProgramError):
        Noise(seed, sigma)


def test_a_noise_states_some():
    with pytest.raises(ProgramError, match="sigma is 0; it must be a whole number from 1"):
        Noise(3, 0)
    assert Noise(np.int64(3), np.int32(4)) == Noise(3, 4)
