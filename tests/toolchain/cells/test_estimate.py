"""The time that is left, from finished cells of the same sort."""

from __future__ import annotations

import pytest

from tests.toolchain.cells.conftest import job
from toolchain.cells.estimate import Estimate, Left


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_cheap_cells_say_nothing_of_dear_ones(clock):
    cells = [(f"cheap {n}", "cheap", 1.0) for n in range(10)]
    cells += [(f"dear {n}", "dear", 1.0) for n in range(3)]
    estimate = Estimate(cells, clock)
    assert estimate.left() == Left(0.0, 13)
    for n in range(5):
        estimate.ends(f"cheap {n}", 2.0)
    assert estimate.left() == Left(5 * 2.0, 3)  # at least
    estimate.ends("dear 0", 1000.0)
    assert estimate.left() == Left(5 * 2.0 + 2 * 1000.0, 0)


def test_work_scales_the_seconds_of_a_sort(clock):
    estimate = Estimate([("a", "pgd", 10.0), ("b", "pgd", 40.0), ("c", "pgd", 5.0)], clock)
    estimate.ends("a", 20.0)
    assert estimate.left() == Left(90.0, 0)


def test_cells_at_work_share_what_is_left_and_have_done_a_part(clock):
    estimate = Estimate([(key, "one", 1.0) for key in "abcde"], clock)
    estimate.ends("a", 10.0)
    estimate.begins("b")
    estimate.begins("c")
    assert estimate.left().seconds == 40.0 / 2
    clock.now = 4.0
    assert estimate.left().seconds == (40.0 - 2 * 4.0) / 2
    clock.now = 60.0  # they take longer than the others did
    assert estimate.left().seconds == 20.0 / 2


def test_what_is_never_computed_is_not_waited_for(clock):
    estimate = Estimate([("a", "one", 1.0), ("b", "two", 1.0)], clock)
    estimate.ends("b")
    estimate.ends("b", 5.0)
    assert estimate.left() == Left(0.0, 1)
    estimate.ends("a", 1.0)
    assert estimate.left() == Left(0.0, 0)


def test_a_run_knows_sorts_from_the_run_before_it(compute):
    first, more = job("double", value=1), [job("double", value=2), job("counted", of=1)]
    said = []
    compute([first], cell=lambda name, done, total, left: said.append(left))
    assert [left.unknown for left in said] == [1, 0]
    said.clear()
    compute([first, *more], cell=lambda name, done, total, left: said.append(left))
    assert said[0].unknown == 1, "none of the second sort is finished"
    assert said[0].seconds > 0
    assert said[-1] == Left(0.0, 0)
