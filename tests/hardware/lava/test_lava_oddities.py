"""Where Lava's fixed-point models surprise, by name: what lava-nc 0.10.0 answers, and that our
rules answer the same."""

from __future__ import annotations

import numpy as np
import pytest

from hardware import arithmetic
from hardware.program import Population, sign_mode

pytestmark = pytest.mark.lava


@pytest.fixture(scope="module")
def lava(inside):
    """Name → what Lava answered; all questions are asked in one call."""
    return inside("oddities")


def test_current_may_rest_at_exactly_plus_2_to_the_23(lava):
    assert lava["current_positive_limit"] == [arithmetic.next_current(0, 131072, 4096)] == [1 << 23]
    assert (
        lava["current_negative_limit"] == [arithmetic.next_current(0, -131072, 4096)] == [1 << 23]
    )


def test_current_wraps_only_once(lava):
    assert lava["current_wraps_once"] == [arithmetic.next_current(0, 1 << 23, 4096)] == [520093696]


def test_potential_saturates_below_2_to_the_23(lava):
    ours = [
        arithmetic.next_potential(8388000, 0, 4095 << 7, 0),
        arithmetic.next_potential(-8388000, 0, -4096 << 7, 0),
    ]
    assert np.ravel(lava["potential_saturates"]).tolist() == ours == [8388607, -8388607]


def test_decay_rounds_toward_zero_and_drains_everything(lava):
    assert (
        np.ravel(lava["decay_rounds_to_zero"]).tolist()
        == [arithmetic.decay(v, 1) for v in (-1, 1, -100, 100)]
        == [0, 0, -99, 99]
    )
    assert lava["decay_of_everything"] == [arithmetic.decay(12345, 4096)] == [0]
    assert np.ravel(lava["current_without_decay"]).tolist() == [320, 320, 320]


def test_threshold_is_strict(lava):
    assert (
        np.ravel(lava["threshold_is_strict"]).tolist()
        == [int(arithmetic.fires(n << 6, 1)) for n in (1, 2)]
        == [0, 1]
    )


def test_a_spike_resets_the_potential_in_the_same_step_and_not_the_current(lava):
    assert lava["spike_keeps_current"] == {"u": [640], "v": [0], "sent": [1]}


def test_the_chips_largest_threshold_can_fire_and_our_integrator_cannot(lava):
    assert lava["chip_threshold_can_fire"] == [[1], [0]]
    assert arithmetic.fires(arithmetic.POTENTIAL_LIMIT, 131071)
    assert not arithmetic.fires(arithmetic.POTENTIAL_LIMIT, 131072)


def test_bias_is_kept_in_16_bits_so_ours_is_limited_to_13(lava):
    assert lava["bias_wraps_at_16_bits"] == [40000 - 65536]


def test_a_negative_bias_exponent_rounds_down(lava):
    assert (
        lava["negative_bias_exponent_floors"]
        == [int(Population("p", (1,), bias=-1, bias_exponent=-1).bias_state)]
        == [-1]
    )


def test_lif_reset_acts_before_the_input_of_its_step(lava):
    assert np.ravel(lava["reset_before_integration"]).tolist() == [64, 128, 64, 128]


def test_parameters_for_each_neuron_are_honoured(lava):
    assert lava["arrays_are_honoured"] == [7 + 64, 64]


def test_mixed_weights_lose_their_last_bit_downwards(lava):
    assert lava["mixed_truncation"] == [-4, 2, -256, 254, 254]
    assert lava["mixed_truncation_4_bits"] == [-64, 32]
    assert sign_mode(np.array([-3, 4]), 8) is None, "so a Program refuses them"


def test_weights_of_one_sign_keep_their_last_bit(lava):
    assert lava["excitatory_keeps_odd"] == [255, 3, 0]
    assert lava["inhibitory_keeps_odd"] == [-255, -3, -255], "and -256 is clipped"


def test_any_value_but_zero_is_one_spike_where_spikes_are_binary(lava):
    assert lava["negative_spike_counts"] == [[0], [2], [2], [0]]


def test_a_synapse_sends_what_it_received_one_step_before(lava):
    assert lava["sent_before_received"] == [[0], [2], [0]]


def test_a_negative_weight_exponent_rounds_down(lava):
    assert lava["right_shift_floors"] == [arithmetic.shift(-3, -1) + 0] == [-2]


def test_graded_sums_wrap_at_32_bits_before_the_shift(lava):
    ours = arithmetic.wrap_int32(3 * 128 * ((1 << 23) - 1)) >> 8
    assert lava["graded_sum_wraps_at_32_bits"] == [[ours], [ours]]


def test_convolution_wraps_at_24_bits(lava):
    assert np.ravel(lava["convolution_wraps_at_24_bits"]).tolist() == [
        arithmetic.wrap_int24(v << 20) for v in (7, 8, 15, 16, -9)
    ]


def test_convolution_ignores_exponent_weight_bits_and_truncation(lava):
    assert lava["convolution_ignores_exponent_and_bits"] == [3 << 20]


def test_convolution_is_undefined_beyond_32_bits_so_the_target_refuses_it(lava):
    assert lava["convolution_beyond_32_bits"] != [arithmetic.wrap_int24((4097) << 20)]


def test_convolution_keeps_its_geometry_in_8_bits_so_the_target_refuses_more(lava):
    assert lava["convolution_stride_127"] == 3
    assert "less than 1" in lava["convolution_stride_200"], "a stride of 200 became -56"


def test_delays_end_at_63(lava):
    assert lava["delay_63"] is None
    assert "between 0 and 63" in lava["delay_64"]
    assert "between 0 and 63" in lava["sparse_delay_64"]


def test_the_exponent_shifts_each_delay_by_itself(lava):
    """3 + 3 shifted right by one gives 3; 3 and 3 arriving in different steps give 1 and 1."""
    for kind in lava["delays_are_shifted_one_by_one"]:
        assert kind == [[0, 3, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
