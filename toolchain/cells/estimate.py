"""How long the cells that are left will take, from the seconds that finished cells of the same sort
took.

A sweep's cells differ in cost by a factor of a thousand: an attack's by its passes, a scored cell's
by its target. So the time that has gone says little of the time that is left, and a sort of which
no cell is finished says nothing: then the estimate is a lower bound, and says so.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Left:
    """What is left of a run.

    seconds  that the cells of a known sort will take with as many at work as now
    unknown  cells of a sort of which none is finished; with any, ``seconds`` is a lower bound
    """

    seconds: float = 0.0
    unknown: int = 0


class Estimate:
    """Told of every cell once, as (key, sort, work), and then of what begins and ends. Of cells of
    one sort, seconds are taken to be proportional to work."""

    def __init__(
        self,
        cells: Iterable[tuple[str, str, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cells = {key: (sort, work) for key, sort, work in cells}
        self._clock = clock
        self._running: dict[str, float] = {}
        self._waiting: dict[str, float] = defaultdict(float)
        self._count: dict[str, int] = defaultdict(int)
        for sort, work in self._cells.values():
            self._waiting[sort] += work
            self._count[sort] += 1
        self._gone: set[str] = set()
        self._seconds: dict[str, float] = defaultdict(float)
        self._work: dict[str, float] = defaultdict(float)

    def begins(self, key: str) -> None:
        """A cell is at work from now on."""
        self._running[key] = self._clock()

    def ends(self, key: str, seconds: float | None = None) -> None:
        """A cell is finished, or is never computed (``seconds`` None). Further calls change
        nothing."""
        self._running.pop(key, None)
        if key in self._gone:
            return
        self._gone.add(key)
        sort, work = self._cells[key]
        self._waiting[sort] -= work
        self._count[sort] -= 1
        if seconds is not None:
            self._seconds[sort] += seconds
            self._work[sort] += work

    def left(self) -> Left:
        """For the cells that have not ended."""
        known = [sort for sort, count in self._count.items() if count and self._work[sort] > 0]
        unknown = sum(count for sort, count in self._count.items() if sort not in known)
        total = sum(self._rate(sort) * self._waiting[sort] for sort in known)
        now = self._clock()
        for key, began in self._running.items():
            sort, work = self._cells[key]
            if sort in known:  # what has been done of it is not left
                total -= min(now - began, self._rate(sort) * work)
        return Left(max(total, 0.0) / max(len(self._running), 1), unknown)

    def _rate(self, sort: str) -> float:
        """Seconds for each unit of work."""
        return self._seconds[sort] / self._work[sort]
