import pytest

from toolchain.pages import formats
from toolchain.pages.formats import small_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (None, "–"),
        (1.2345, "1.23"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (0.012345, "0.0123"),
        (-2.5, "−2.50"),
        (99.96, "100.0"),
    ],
)
def test_significant(value, text):
    assert formats.significant(value) == text


@pytest.mark.parametrize(
    ("joules", "text"),
    [
        (1.5e-6, "1.50 µJ"),
        (2.34e-10, "234 pJ"),
        (1e-3, "1.00 mJ"),
        (2.0, "2.00 J"),
        (0.0, "0 J"),
        (3e-15, "0.00300 pJ"),
    ],
)
def test_quantity(joules, text):
    assert formats.quantity(joules, "J") == text


def test_one_unit_for_a_whole_column():
    assert formats.prefix([3e-7, None, 2e-6]) == (1e-6, "µ")
    assert formats.prefix([None]) == (1.0, "")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "+12.3"), (-0.0004, "0.0"), (-0.05, "−5.0"), (0.0, "0.0"), (None, "–")],
)
def test_signed(value, text):
    assert formats.signed(value) == text


def test_intervals():
    assert formats.interval(0.1, 0.25) == "10.0–25.0"
    assert formats.interval(-0.1, 0.25) == "−10.0 to 25.0"
    assert formats.interval(None, 0.25) == ""
    assert formats.interval(-0.00001, 0.0) == "0.0–0.0"


def test_counts_and_lists():
    assert [formats.count(v) for v in (3, 3.25, 12345.6, None)] == ["3", "3.2", "12,346", "–"]
    assert [formats.listed(v) for v in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e-9, "< 0.0001"),
        (-1e-9, "> −0.0001"),
        (-30403.2, "−30,403"),
        (0.123456789, "0.123"),
        (1, "1"),
    ],
)
def test_small_numbers(value, text):
    assert small_number(value) == text
