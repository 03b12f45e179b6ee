"""Float → integer: rounding, exponents, ranges and grids, each against brute force or an
independent rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.errors import QuantizationError
from export.quantize import (
    MAX_EXPONENT,
    choose_scale,
    fit,
    fit_bias,
    on_grid,
    split_constant,
    weight_range,
)
from hardware.program import Dense, sign_mode
from tests.examples import many

BITS = st.integers(2, 8)


@st.composite
def weights(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.normal(
        0, 10 ** draw(st.floats(-1, 3.5)), (draw(st.integers(1, 5)), draw(st.integers(1, 6)))
    )
    sign = draw(st.sampled_from(["mixed", "positive", "negative"]))
    values = {"mixed": values, "positive": np.abs(values), "negative": -np.abs(values)}[sign]
    return np.clip(values, -14000, 14000)


@settings(max_examples=many(300), deadline=None)
@given(weights(), BITS, st.sampled_from([-8, 0]), st.booleans())
def test_fitted_weights_are_the_chips_and_the_nearest(values, bits, lowest, per_channel):
    channel = np.repeat(np.arange(len(values)), values.shape[1]) if per_channel else None
    found = fit(values, bits, lowest, channel)
    assert sign_mode(found.mantissas, bits) is not None
    assert found.clipped == 0
    Dense(
        "w", "a", "b", found.mantissas, exponent=found.exponent, weight_bits=bits
    )  # raises if a weight is off the chip's grid
    each = found.exponent[:, None] if per_channel else found.exponent
    step = weight_range(values.min(), values.max(), bits)[2] * 2.0**each
    error = np.abs(found.mantissas * 2.0**each - values)
    assert np.all(error <= step / 2 * (1 + 1e-12))
    # a smaller exponent would clip, or drop bits of the sum by a right shift, or is not there
    smaller = each - 1
    low, high, unit = weight_range(values.min(), values.max(), bits)
    rounded = np.rint(values / (2.0**smaller * unit)) * unit
    clips = ((rounded < low) | (rounded > high)).any(axis=1 if per_channel else None)
    shifts = np.ravel(2.0**smaller * unit < 1) | np.ravel(smaller < lowest)
    assert np.all(np.ravel(clips) | shifts)


PRECISE = st.integers(9, 16)


@settings(max_examples=many(300), deadline=None)
@given(weights(), PRECISE, st.booleans())
def test_precise_weights_are_the_nearest_and_the_sum_of_two_that_the_chip_has(
    values, bits, per_channel
):
    channel = np.repeat(np.arange(len(values)), values.shape[1]) if per_channel else None
    found = fit(values, bits, -8, channel)
    each = found.exponent[:, None] if per_channel else found.exponent
    assert np.all(np.abs(found.mantissas * 2.0**each - values) <= 2.0**each / 2 * (1 + 1e-12))
    assert found.exponent.min() >= 0  # no right shift, which would round the sum
    total, parts = 0.0, found.parts()
    assert len(parts) == 2 or not all(part.any() for part in divmod(found.mantissas, 256))
    for part in parts:
        Dense("w", "a", "b", part.mantissas, exponent=part.exponent, weight_bits=part.bits)
        assert part.exponent.min() >= 0
        own = part.exponent[:, None] if per_channel else part.exponent
        total = total + part.mantissas * 2.0**own
    np.testing.assert_array_equal(total, found.mantissas * 2.0**each)
    # never further off than with 8 bits and shifts to the left alone
    plain = fit(values, 8, 0, channel)
    its = plain.exponent[:, None] if per_channel else plain.exponent
    if values.min() < 0 < values.max():
        assert np.abs(found.mantissas * 2.0**each - values).max() <= (
            np.abs(plain.mantissas * 2.0**its - values).max() + 1e-9
        )


@settings(max_examples=many(100), deadline=None)
@given(st.data())
def test_precise_weights_on_a_grid_come_out_exactly(data):
    bits = data.draw(PRECISE)
    exponents = st.integers(bits - 9, 7)
    exponent = np.asarray(
        data.draw(st.one_of(exponents, st.lists(exponents, min_size=3, max_size=3)))
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    whole = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (3, 4))
    channel = np.repeat(np.arange(3), 4) if exponent.ndim else None
    each = (exponent[:, None] if exponent.ndim else exponent) + 9 - bits
    found = on_grid("w", whole * 2.0**each, bits, 0, exponent, channel)
    np.testing.assert_array_equal(found.mantissas, whole)
    with pytest.raises(
        QuantizationError, match=rf"w: off the grid of {bits} bits .* whole numbers"
    ):
        on_grid("w", whole * 2.0**each + 0.3, bits, 0, exponent, channel)


def test_a_part_without_weights_is_left_out():
    assert [p.bits for p in fit(np.array([3.0, 200]), 16, 0).parts()] == [8]
    assert [p.mantissas.tolist() for p in fit(np.array([512.0, -256]), 16, 0).parts()] == [[4, -2]]
    assert [p.mantissas.tolist() for p in fit(np.zeros(2), 16, 0).parts()] == [[0, 0]]


def test_precise_weights_beyond_sixteen_bits_are_an_error():
    assert fit(np.array([-32768.0, 32767]), 16, 0).clipped == 0
    with pytest.raises(QuantizationError, match="at most 32767"):
        fit(np.array([32768.0]), 16, 0)


def test_all_zero_and_empty_weights():
    assert fit(np.zeros((2, 3)), 8, -8).mantissas.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert fit(np.zeros((2, 3)), 8, -8, np.repeat([0, 1], 3)).exponent.tolist() == [0, 0]
    assert fit(np.zeros(0), 8, -8).mantissas.size == 0


def test_weights_beyond_the_largest_exponent_are_an_error():
    assert fit(np.array([254.0 * 128]), 8, 0).exponent == MAX_EXPONENT
    with pytest.raises(QuantizationError, match="they must be at most 32640"):
        fit(np.array([40_000.0]), 8, 0)


def test_clipping_is_used_only_where_it_lowers_the_error_and_is_counted():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 20, 1000)
    values[0] = 250
    plain, clipped = fit(values, 3, 0), fit(values, 3, 0, clip=True)

    def error(w):
        return np.sum((w.mantissas * 2.0**w.exponent - values) ** 2)

    assert plain.clipped == 0
    assert clipped.clipped >= 1
    assert error(clipped) < error(plain)
    even = rng.uniform(-250, 250, 1000)
    assert fit(even, 8, 0, clip=True).clipped == 0
    each = fit(np.stack([values, even]), 3, 0, np.repeat([0, 1], 1000), clip=True)
    assert each.exponent[0] < plain.exponent


@settings(max_examples=many(200), deadline=None)
@given(st.data())
def test_weights_on_a_grid_come_out_exactly(data):
    bits = data.draw(st.integers(1, 8))
    step = 1 << (9 - bits)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    mantissas = rng.integers(-256 // step, 256 // step, (3, 4)) * step
    exponent = np.asarray(
        data.draw(st.one_of(st.integers(0, 7), st.lists(st.integers(0, 7), min_size=3, max_size=3)))
    )
    channel = np.repeat(np.arange(3), 4) if exponent.ndim else None
    each = exponent[:, None] if exponent.ndim else exponent
    found = on_grid("w", mantissas * 2.0**each, bits, 0, exponent, channel)
    np.testing.assert_array_equal(found.mantissas, mantissas)
    np.testing.assert_array_equal(found.exponent, exponent)
    with pytest.raises(QuantizationError, match="w: off the grid of"):
        on_grid("w", mantissas * 2.0**each + 0.3, bits, 0, exponent, channel)


def test_grids_that_passes_moved_are_found_again():
    # sums of overlapping windows: twice as large; averages: a quarter; odd weights: half steps
    assert on_grid("w", np.array([508.0, -512]), 8, 0, np.asarray(0)).exponent == 1
    assert on_grid("w", np.array([2.0, -4]), 8, 0, np.asarray(2)).exponent <= 1
    odd = on_grid("w", np.array([3.0, -5]), 8, -8, np.asarray(0))
    assert (odd.mantissas.tolist(), int(odd.exponent)) == ([6, -10], -1)
    with pytest.raises(QuantizationError, match="off the grid"):  # a convolution cannot shift right
        on_grid("w", np.array([3.0, -5]), 8, 0, np.asarray(0))
    with pytest.raises(
        QuantizationError, match=r"a weight is 0\.5 steps"
    ):  # the shift would drop half a step
        on_grid("w", np.array([0.5, 1.0]), 8, -8, np.asarray(0))
    with pytest.raises(QuantizationError, match="from 0 to 500"):
        on_grid("w", np.array([500.0, 499]), 8, 0, np.asarray(0))
    assert on_grid("w", np.array([256.0]), 8, 0, np.asarray(0)).exponent == 1


@settings(max_examples=many(200), deadline=None)
@given(st.lists(st.integers(-500_000, 500_000), min_size=1, max_size=5))
def test_bias_fits_thirteen_bits(values):
    state = np.array(values, float)
    mantissa, exponent = fit_bias("b", state, exact=False)
    assert np.abs(mantissa).max() <= 4095
    assert 0 <= exponent <= 7
    assert np.all(np.abs(mantissa * 2.0**exponent - state) <= 2.0**exponent / 2)
    if exponent:
        assert np.abs(np.rint(state / 2 ** (exponent - 1))).max() > 4095


def test_exact_bias_is_exact_or_refused():
    assert [int(x) for x in fit_bias("b", np.array(4096.0 * 64), exact=True)] == [2048, 7]
    assert [int(x) for x in fit_bias("b", np.array(-5.0), exact=True)] == [-5, 0]
    with pytest.raises(QuantizationError, match="off the grid"):
        fit_bias("b", np.array(1.5), exact=True)
    with pytest.raises(QuantizationError, match="13-bit"):
        fit_bias("b", np.array([1.0, 8192.0]), exact=True)
    with pytest.raises(QuantizationError, match="at most 524160"):
        fit_bias("b", np.array(1e6), exact=False)


@settings(max_examples=many(200), deadline=None)
@given(st.lists(st.integers(-32512, 32512), min_size=1, max_size=6))
def test_constant_input_is_split_without_loss(values):
    steps = np.array(values)
    parts = split_constant("b", steps)
    assert 1 <= len(parts) <= 2
    total = np.zeros(len(steps))
    for part in parts:
        assert sign_mode(part.mantissas, 8) is not None
        assert part.mantissas.min() >= -256
        assert part.mantissas.max() <= 255
        total += part.mantissas * 2.0**part.exponent
    np.testing.assert_array_equal(total, steps)


def test_constant_input_beyond_sixteen_bits_is_an_error():
    with pytest.raises(QuantizationError, match="at most 32512"):
        split_constant("b", np.array([40_000]))


@settings(max_examples=many(60), deadline=None)
@given(st.integers(0, 2**32 - 1), BITS)
def test_chosen_scale_is_at_least_as_good_as_the_power_of_two_and_within_the_top(seed, bits):
    rng = np.random.default_rng(seed)
    layers = [(rng.normal(0, 0.2, (4, 5)), 0), (rng.normal(0, 0.02, (4, 3)), -8)]
    threshold = np.array(rng.uniform(0.5, 2))
    top = float(rng.uniform(1000, 30000))

    def error(scale):
        total = float((np.rint(threshold * scale) / (threshold * scale) - 1) ** 2)
        for values, lowest in layers:
            w = fit(values * scale, bits, lowest)
            total += float(
                np.sum((w.mantissas * 2.0**w.exponent / scale - values) ** 2) / np.sum(values**2)
            )
        return total

    scale = choose_scale(top, layers, threshold, bits)
    assert top / 2 <= scale <= top * (1 + 1e-9)
    assert error(scale) <= error(2.0 ** np.floor(np.log2(top))) * (1 + 1e-9)


def test_one_weight_and_one_threshold_are_met_exactly():
    scale = choose_scale(40_000, [(np.array([0.04]), -8)], np.array(0.1), 8)
    w = fit(np.array([0.04]) * scale, 8, -8)
    assert w.mantissas * 2.0**w.exponent / scale == pytest.approx(0.04, rel=1e-9)
    assert np.rint(0.1 * scale) / scale == pytest.approx(0.1, rel=1e-4)
