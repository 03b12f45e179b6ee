"""The interval of a measured share."""

from __future__ import annotations

import pytest

from toolchain.statistics import wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (
            81,
            263,
            0.2553,
            0.3662,
        ),  # R. G. Newcombe, Statist. Med. 17 (1998) 857-872, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_published_intervals(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_is_symmetric_and_stays_inside():
    for k in range(11):
        low, high = wilson(k, 10)
        assert 0 <= low <= k / 10 <= high <= 1
        assert wilson(10 - k, 10) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_impossible_counts(successes, trials):
    with pytest.raises(ValueError, match="there must be at least 1 trial"):
        wilson(successes, trials)
