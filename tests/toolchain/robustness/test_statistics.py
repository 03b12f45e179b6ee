import numpy as np
import pytest
from scipy.stats import bootstrap

from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import (
    Share,
    StatisticsError,
    align,
    paired_difference,
    robustness,
    spread,
    worst_case,
)
from toolchain.statistics import newcombe_paired, wilson


def record(correct, index=None, **description):
    correct = np.asarray(correct, bool)
    index = np.arange(len(correct)) if index is None else np.asarray(index)
    filled = {"layers": [], **description}
    zeros = np.zeros(len(correct))
    return Scored(filled, index, correct, zeros, zeros, {}, ())


def test_four_definitions_from_one_record():
    found = robustness([1, 1, 1, 0], [1, 0, 0, 0])
    assert found.attacked_accuracy.value == 0.25
    assert found.drop == 0.5
    assert found.success_over_all.value == 0.75
    assert (found.success_over_correct.value, found.success_over_correct.samples) == (2 / 3, 3)


def test_success_over_correct_without_a_correct_sample_is_not_a_number():
    assert np.isnan(robustness([0, 0], [0, 0]).success_over_correct.value)


def test_worst_case_joins_records_by_index_not_by_position():
    one = record([1, 0, 1], index=[5, 7, 9])
    other = record([0, 1, 1], index=[9, 5, 3])
    index, _ = align([one, other])
    assert index.tolist() == [5, 9]
    assert worst_case([one, other]).tolist() == [True, False]


def test_records_without_a_shared_sample_are_refused():
    with pytest.raises(StatisticsError, match="no sample in common"):
        worst_case([record([1], index=[0]), record([1], index=[1])])
    with pytest.raises(StatisticsError, match="same samples"):
        paired_difference([1, 0], [1])


def test_a_paired_difference_agrees_with_scipys_bootstrap_where_that_is_good():
    rng = np.random.default_rng(3)
    one, other = rng.random(200) < 0.8, rng.random(200) < 0.6
    found = paired_difference(one, other)
    difference = one.astype(float) - other
    theirs = bootstrap(
        (difference,), np.mean, method="percentile", random_state=rng
    ).confidence_interval
    assert found.difference == pytest.approx(difference.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.015)
    assert found.right_only_first - found.right_only_second == round(difference.sum())


def test_the_names_say_which_record_has_a_sample_right():
    found = paired_difference([1, 1, 1, 0], [1, 0, 0, 1])
    assert (found.right_only_first, found.right_only_second, found.difference) == (2, 1, 0.25)


@pytest.mark.parametrize("size", [2, 20, 364])
def test_samples_that_agree_everywhere_still_leave_an_interval(size):
    same = np.arange(size) < size // 2
    found = paired_difference(same, same)
    assert found.low == pytest.approx(-found.high)
    # with none of n different, the true difference may be as large as about 3 in n
    assert found.high > 1 / size


def test_the_interval_is_the_published_one():
    # Newcombe 1998, the table of examples: 36, 12, 2, 0 of 50 pairs by method 10
    assert newcombe_paired(36, 12, 2, 0) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_the_interval_covers_the_true_difference():
    rng = np.random.default_rng(0)
    chances = (0.7, 0.06, 0.02, 0.22)  # both, first alone, second alone, neither
    found = [newcombe_paired(*counts) for counts in rng.multinomial(80, chances, 2000)]
    covered = np.mean([low <= 0.04 <= high for low, high in found])
    assert 0.93 < covered < 0.99


def test_the_interval_of_all_against_none_is_that_of_two_shares():
    low, high = newcombe_paired(0, 10, 0, 0)
    # the shares are 1 and 0, so only the ends of their own intervals toward each other count, and
    # nothing correlates
    reach = 1 - wilson(10, 10)[0]
    assert (low, high) == (pytest.approx(1 - np.sqrt(2) * reach), 1.0)
    with pytest.raises(ValueError, match="at least one trial"):
        newcombe_paired(0, 0, 0, 0)


def test_mcnemar_is_exact():
    assert paired_difference([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]).p_value == pytest.approx(
        2 / 2**5
    )
    assert paired_difference([1, 0], [1, 0]).p_value == 1.0


def test_shares_carry_their_interval_and_spread_its_seeds():
    share = Share.of(np.ones(10, bool))
    assert share.value == share.high == 1.0
    assert 0.7 < share.low < 0.73
    assert spread([1.0, 3.0]).deviation == pytest.approx(np.sqrt(2))
    assert np.isnan(spread([1.0]).deviation)
    with pytest.raises(StatisticsError):
        spread([])
