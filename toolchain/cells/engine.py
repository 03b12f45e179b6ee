"""Cells and their order: what can be computed is given to a crew, what is finished goes into the
store at once.

Only this process writes to the store, one transaction for each finished cell. A cell that fails is
reported when all others are done, and what rests on it is not run; a cell that cannot be is kept
with its reason, and so is what rests on it.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from toolchain.cells.errors import EngineError
from toolchain.cells.estimate import Estimate, Left
from toolchain.cells.maker import Maker
from toolchain.cells.store import Store
from toolchain.cells.work import Absent, CellTask, Done, Failed, Outcome, Shared

ABSENT = "absent"


@dataclass(frozen=True, eq=False)
class Cell:
    """One piece of work.

    function     "package.module:name", called as function(job, work.Context); returns (plain JSON
                 values, arrays)
    job          what it is computed from; travels between processes
    key          content hash of everything that the result depends on, see ``keys``
    kind         under which it is kept
    label        for people
    maker        the code that computes it
    after        cells that must be finished before
    given        the arrays of the cells before it are given to the function
    product      a file in the run's folder that the function writes; where it is gone or another,
                 the cell is computed again
    work         a rough measure of how long it takes, above 0
    sort         cells of one sort take as long for each unit of work; "": of the same function
    description  what is kept with it besides what the function returns
    """

    function: str
    job: Any
    key: str
    kind: str
    label: str
    maker: Maker
    after: tuple[Cell, ...] = ()
    given: bool = False
    product: str | None = None
    work: float = 1.0
    sort: str = ""
    description: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class EngineReport:
    """Called while cells are computed; all optional.

    cell    (label of the cell that ended, finished cells, cells in all, what is left); first with
            the label ""
    inside  (label of a cell at work, its own units done, in all)
    """

    cell: Callable[[str, int, int, Left], None] = lambda name, done, total, left: None
    inside: Callable[[str, int, int], None] = lambda name, done, total: None


class Crew(Protocol):
    """Who computes: ``pool.Pool`` or ``remote.Cluster``."""

    @property
    def free(self) -> bool: ...

    def submit(self, task: CellTask) -> None: ...

    def next(self) -> tuple[str, Outcome]: ...


Hire = Callable[[int, Shared, Callable[[str, int, int], None]], AbstractContextManager[Crew]]
"""(cells to compute, what all are given, progress of the cells at work) → a crew."""


def everything(cells: Iterable[Cell]) -> list[Cell]:
    """The cells and all that stand before them, each key once, those that are needed first."""
    by_key: dict[str, Cell] = {}
    waiting = [(cell, False) for cell in reversed(list(cells))]
    while waiting:
        cell, ready = waiting.pop()
        if cell.key in by_key:
            continue
        if ready:
            by_key[cell.key] = cell
        else:
            waiting += [(cell, True), *((before, False) for before in reversed(cell.after))]
    return list(by_key.values())


def finished(cell: Cell, store: Store) -> bool:
    """Its result is in the store, and its product, where it has one, is the one that it made."""
    if cell.key not in store:
        return False
    if cell.product is None:
        return True
    return store.made(cell.key).get("product") == _digest(cell.product, store)


def _digest(product: str, store: Store) -> str | None:
    try:
        return hashlib.sha256((store.folder / product).read_bytes()).hexdigest()
    except OSError:
        return None


def run(
    cells: Iterable[Cell],
    store: Store,
    hire: Hire,
    report: EngineReport | None = None,
    data: Any = None,
) -> None:
    """Compute every cell that the store does not hold; a finished run hires nobody.

    data  what all cells are given

    Raises EngineError, at the end, if any failed; StoreError, at once, where results can no longer
    be kept.
    """
    _Run(everything(cells), store, report or EngineReport()).compute(hire, data)


class _Run:
    """One call of ``run``."""

    def __init__(self, cells: list[Cell], store: Store, report: EngineReport) -> None:
        self._cells = {cell.key: cell for cell in cells}
        self._store, self._report = store, report
        self._pending = {cell.key for cell in cells if not finished(cell, store)}
        self._failures: list[str] = []
        self._ready: list[tuple[bool, float, int, str]] = []
        self._missing: dict[str, int] = {}
        self._behind: dict[str, list[str]] = {}
        self._running: set[str] = set()
        self._estimate = Estimate((c.key, c.sort or c.function, c.work) for c in cells)
        for key in self._cells.keys() - self._pending:  # how long they took in an earlier run
            self._estimate.ends(key, store.made(key).get("seconds"))

    def compute(self, hire: Hire, data: Any) -> None:
        self._arrange()
        self._say("")
        if not self._pending:
            return

        manifests = {cell.maker.digest: cell.maker.manifest for cell in self._cells.values()}
        shared = Shared(data, str(self._store.folder), manifests)
        with hire(len(self._pending), shared, self._report.inside) as crew:
            while self._ready or self._running:
                while self._ready and crew.free:
                    self._start(heapq.heappop(self._ready)[-1], crew)
                if self._running:
                    key, outcome = crew.next()
                    self._running.remove(key)
                    self._end(self._cells[key], outcome)

        if self._failures:
            shown = "; ".join(self._failures[:3])
            raise EngineError(
                f"{len(self._failures)} cells failed, all others are kept in {self._store.folder}: "
                f"{shown}"
            )

    def _arrange(self) -> None:
        """Who waits for whom."""
        kept = {key for key, _ in self._store.cells(ABSENT)}
        for number, (key, cell) in enumerate(self._cells.items()):
            if key not in self._pending:
                continue
            before = {other.key for other in cell.after}
            if gone := next(
                (other for other in before if other in kept and other not in self._pending), None
            ):
                # kept by an earlier run that ended before it said so of this one
                self._keep_absent(cell, self._store.get(gone)[0]["reason"])
                kept.add(key)
                continue
            self._missing[key] = len(before & self._pending)
            for other in before & self._pending:
                self._behind.setdefault(other, []).append(key)
            if not self._missing[key]:
                self._push(number, cell)

    def _push(self, number: int, cell: Cell) -> None:
        # what uses the arrays of finished cells first, then what takes longest
        heapq.heappush(self._ready, (not cell.given, -cell.work, number, cell.key))

    def _start(self, key: str, crew: Crew) -> None:
        cell = self._cells[key]
        inputs = (
            tuple(self._store.get(before.key)[1] for before in cell.after) if cell.given else ()
        )
        self._running.add(key)
        self._estimate.begins(key)
        crew.submit(CellTask(key, cell.label, cell.function, cell.job, cell.maker.digest, inputs))

    def _end(self, cell: Cell, outcome: Outcome) -> None:
        if isinstance(outcome, Failed):
            self._fail(cell, outcome.reason)
            return
        if isinstance(outcome, Absent):
            self._absent(cell, outcome.reason)
        else:
            self._keep(cell, outcome)
            self._release(self._behind.get(cell.key, ()))
        self._say(cell.label)

    def _release(self, behind: Iterable[str]) -> None:
        """One of the cells that these wait for is finished; what failed with another of them waits
        no longer."""
        for key in behind:
            if key in self._missing:
                self._missing[key] -= 1
                if not self._missing[key]:
                    self._push(len(self._cells), self._cells[key])

    def _keep(self, cell: Cell, done: Done) -> None:
        origin = {**cell.maker.said(), "seconds": done.seconds}
        if cell.product is not None:
            origin["product"] = _digest(cell.product, self._store)
            if origin["product"] is None:
                self._fail(cell, f"its file {cell.product} is not there")
                return
        description = {**cell.description, **done.description}
        self._store.put(
            cell.key, cell.kind, description, done.arrays, origin, replace=cell.product is not None
        )
        self._finish(cell, done.seconds)

    def _finish(self, cell: Cell, seconds: float | None = None) -> None:
        self._pending.discard(cell.key)
        self._estimate.ends(cell.key, seconds)

    def _absent(self, cell: Cell, reason: str) -> None:
        self._keep_absent(cell, reason)
        for key in self._behind.pop(cell.key, ()):
            if key in self._pending:
                self._absent(self._cells[key], reason)

    def _keep_absent(self, cell: Cell, reason: str) -> None:
        self._store.put(
            cell.key, ABSENT, {**cell.description, "reason": reason}, {}, cell.maker.said()
        )
        self._finish(cell)

    def _fail(self, cell: Cell, reason: str) -> None:
        self._failures.append(f"{cell.label}: {reason}")
        self._estimate.ends(cell.key)
        for key in self._behind.pop(cell.key, ()):
            if self._missing.pop(key, None) is not None:
                self._fail(self._cells[key], "what it needs failed")

    def _say(self, label: str) -> None:
        total = len(self._cells)
        self._report.cell(label, total - len(self._pending), total, self._estimate.left())
