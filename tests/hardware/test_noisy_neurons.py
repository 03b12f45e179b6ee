"""A neuron with noise: when it fires, what stays, and that all targets draw the same numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from hardware import arithmetic
from hardware.comparison import compare
from hardware.noise import MAX_SIGMA, Noise, draw
from hardware.program import Convolution, Dense, Input, Output, Population, Program
from hardware.recording import Record
from hardware.targets import run

EVERYTHING = Record(spikes=True, potentials=True)


def alone(size=4, **population) -> Program:
    """Neurons that get their potential from a bias alone: the input's weights are zero."""
    layer = Population("p", (size,), **population)
    return Program(
        (Input("in", (1,)),),
        (layer,),
        (Dense("d", "in", "p", np.zeros((size, 1), int)),),
        (Output("p"),),
    )


def inputs(program, samples, steps, seed=0):
    rng = np.random.default_rng(seed)
    return {
        part.name: rng.integers(0, 2, (samples, steps, *part.shape)).astype(np.uint8)
        for part in program.inputs
    }


def test_fires_where_potential_and_noise_exceed_the_threshold_and_keeps_the_potential():
    """Potential 3000 in every step (all of it leaks, and the bias comes again), threshold 50 << 6 =
    3200."""
    program = alone(voltage_decay=4096, bias=3000, threshold=50, reset="none", noise=Noise(11, 300))
    recording = run(program, inputs(program, 1, 40), "reference", record=EVERYTHING)
    expected = 3000 + draw(11, 300, 40, 4) > 3200
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(recording.spikes["p"][0], expected)
    assert np.all(recording.potentials["p"] == 3000)


@pytest.mark.parametrize("margin", [-1.5, -0.5, 0.0, 0.5, 1.5])
def test_firing_probability_is_the_normal_distribution_function(margin):
    """P = Phi((V - V_th) / sigma), within five standard errors and the distance of the generator
    from the normal distribution."""
    sigma, size, steps = 640, 2000, 20
    program = alone(
        size,
        voltage_decay=4096,
        bias=2560 + int(margin * sigma),
        threshold=2560 >> 6,
        noise=Noise(2, sigma),
    )
    found = (
        run(program, inputs(program, 1, steps), "reference", record=EVERYTHING).spikes["p"].mean()
    )
    wanted = 0.5 * (1 + math.erf(margin / math.sqrt(2)))
    assert found == pytest.approx(
        wanted, abs=0.004 + 5 * math.sqrt(wanted * (1 - wanted) / (size * steps))
    )


@pytest.mark.parametrize("target", ["reference", "fast"])
def test_every_sample_has_the_same_noise_whatever_the_batch(target):
    program = alone(70, voltage_decay=100, bias=200, threshold=30, noise=Noise(3, 800))
    given = {"in": np.ones((5, 12, 1), np.uint8)}
    spikes = run(program, given, target, record=EVERYTHING, batch=2).spikes["p"]
    assert spikes.any()
    for sample in spikes[1:]:
        np.testing.assert_array_equal(sample, spikes[0])
    np.testing.assert_array_equal(
        run(program, {"in": given["in"][:1]}, target, record=EVERYTHING).spikes["p"][0], spikes[0]
    )


def test_two_seeds_differ_and_one_seed_does_not():
    first, again, other = (
        run(
            alone(threshold=5, noise=Noise(seed, 500)),
            {"in": np.ones((1, 50, 1), np.uint8)},
            "reference",
            record=EVERYTHING,
        ).spikes["p"]
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_resting_neurons_do_not_fire_whatever_the_noise():
    program = alone(50, threshold=0, refractory=2, noise=Noise(4, 1 << 19))
    spikes = run(program, inputs(program, 1, 60), "reference", record=EVERYTHING).spikes["p"][0]
    assert spikes.sum() > 500
    assert not (spikes[1:] & spikes[:-1]).any()
    assert not (spikes[2:] & spikes[:-2]).any()


@pytest.mark.parametrize("target", ["reference", "fast"])
def test_a_sum_beyond_24_bits_does_not_wrap(target):
    """The potential rests at its limit, at the largest threshold: half of the largest noise leads
    beyond 24 bits and must fire."""
    program = alone(
        64, bias=4095, bias_exponent=7, threshold=131071, reset="none", noise=Noise(5, MAX_SIGMA)
    )
    steps = 40
    recording = run(program, inputs(program, 1, steps), target, record=EVERYTHING)
    assert np.all(recording.potentials["p"][0, 20:] == arithmetic.POTENTIAL_LIMIT)
    total = arithmetic.POTENTIAL_LIMIT + draw(5, MAX_SIGMA, steps, 64)[20:]
    assert np.mean(total > 1 << 23) > 0.4
    np.testing.assert_array_equal(recording.spikes["p"][0, 20:], total > 131071 << 6)
    np.testing.assert_array_equal(
        arithmetic.saturate_potential(total) > 131071 << 6, total > 131071 << 6
    )


def convolutional() -> Program:
    """Two layers whose neurons the fast executor and Lava keep in orders of their own; 105 neurons
    are not whole words."""
    rng = np.random.default_rng(0)
    kernel = Convolution("k", "in", "maps", 2 * rng.integers(-60, 60, (3, 2, 3, 3)), padding=(1, 1))
    maps = Population("maps", (3, 5, 7), voltage_decay=900, threshold=120, noise=Noise(8, 3000))
    soft = Population(
        "soft",
        (9,),
        current_decay=2000,
        threshold=70,
        reset="subtract",
        refractory=1,
        noise=Noise(9, 2000),
    )
    dense = Dense("d", "maps", "soft", 2 * rng.integers(-30, 40, (9, 105)))
    recurrent = Dense(
        "r", "soft", "soft", 2 * rng.integers(-30, 30, (9, 9)), delay=rng.integers(0, 3, (9, 9))
    )
    return Program(
        (Input("in", (2, 5, 7)),), (maps, soft), (kernel, dense, recurrent), (Output("soft"),)
    )


def assert_noise_matters(program, given, recording):
    silent = Program(
        program.inputs,
        [replace(p, noise=None) for p in program.populations],
        program.projections,
        program.outputs,
    )
    quiet = run(silent, given, "reference", record=EVERYTHING)
    for name in program.order:
        assert not np.array_equal(quiet.spikes[name], recording.spikes[name])


def test_fast_equals_the_reference():
    program = convolutional()
    given = inputs(program, 5, 9)
    reference = run(program, given, "reference", record=EVERYTHING)
    comparison = compare(reference, run(program, given, "fast", record=EVERYTHING, batch=2))
    assert comparison.identical, comparison.first
    assert_noise_matters(program, given, reference)


@pytest.mark.lava
def test_lava_equals_the_reference_through_many_streamed_samples():
    program = convolutional()
    given = inputs(program, 5, 9)
    reference = run(program, given, "reference", record=EVERYTHING)
    comparison = compare(reference, run(program, given, "lava", record=EVERYTHING))
    assert comparison.identical, comparison.first
