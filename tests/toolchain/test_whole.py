"""Nothing becomes an integer by being cut, rounded or wrapped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolchain.errors import DataError
from toolchain.whole import whole


@given(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1))
def test_whole_numbers_cross_unchanged(values):
    found = whole(np.array(values, np.float64), np.int32, "values")
    assert found.dtype == np.int32
    assert found.tolist() == values


@pytest.mark.parametrize(
    ("values", "dtype", "limits", "message"),
    [
        (
            [[0, 1], [0.9, 1]],
            np.uint8,
            (0, 1),
            r"spikes: 0\.9 at \[1, 0\], and 1 such values in all; they must be whole, 0 to 1",
        ),
        ([1.0, 2.0], np.uint8, (0, 1), r"2 at \[1\]"),
        ([256.0], np.uint8, (None, None), r"256 at \[0\].*0 to 255"),
        ([-1], np.uint8, (None, None), "-1 at"),
        ([np.nan], np.int32, (None, None), "nan at"),
        ([np.inf, -np.inf], np.int32, (None, None), "inf at .* 2 such"),
        (["1"], np.uint8, (None, None), "must be numbers"),
    ],
)
def test_what_would_change_is_refused_by_its_name_and_place(values, dtype, limits, message):
    with pytest.raises(DataError, match=message):
        whole(np.array(values), dtype, "spikes", *limits)


def test_nothing_is_fine():
    assert whole(np.zeros((0, 3)), np.uint8, "events", 0, 1).shape == (0, 3)
