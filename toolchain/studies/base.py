"""Cells of a study: pieces of work of ``toolchain.cells`` whose results are plain JSON values.

    trained = training(config, "training leak 0.9, seed 1")
    measured = cell("toolchain.studies.attacking:measure", {"network": trained.product, ...}, "leak
    0.9, seed 1", after=(trained,)) results = run([measured], folder)          key -> what the
    function returned; here {"accuracy": 0.5, ...}

A cell's function is called as ``function(job, folder)`` in a process that uses one thread, and
returns plain JSON values. Its module should hold what computes and nothing else: every module that
it leads to is part of the key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from toolchain.cells import engine
from toolchain.cells.engine import Cell, everything
from toolchain.cells.errors import EngineError
from toolchain.cells.plain import cell, training
from toolchain.cells.pool import Pool
from toolchain.cells.store import Store

__all__ = ["Cell", "StudyError", "cell", "everything", "run", "training"]

Progress = Callable[[str, int, int], None]
"""Called with (label of the cell that is finished, finished cells, cells in all)."""


class StudyError(EngineError):
    """Cells of a study failed or cannot be; every finished cell is kept."""


def run(
    cells: Iterable[Cell],
    folder: str | Path | Store,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """Compute every cell that the folder does not hold, and return all results by key.

    folder    or its store, which is open
    workers   processes, each of one thread; None: one for each core; 1: this process

    Raises StudyError, at the end, if any failed: the others are kept. StoreError where the folder
    cannot be used.
    """
    if not isinstance(folder, Store):
        with Store(folder) as store:
            return run(cells, store, workers=workers, progress=progress)

    planned, store = everything(cells), folder
    report = engine.EngineReport()
    if progress is not None:
        report.cell = lambda label, done, total, left: progress(label, done, total)
    most = workers or os.cpu_count() or 1

    try:
        engine.run(
            planned,
            store,
            lambda count, shared, inside: Pool(min(most, count), shared, inside),
            report,
        )
    except EngineError as error:
        raise StudyError(str(error)) from None

    stored = {cell.key: store.get(cell.key)[0] for cell in planned}
    absent = {
        cell.label: stored[cell.key]["reason"]
        for cell in planned
        if "result" not in stored[cell.key]
    }
    if absent:
        label, reason = next(iter(absent.items()))
        raise StudyError(
            f"{len(absent)} cells cannot be, and a study needs all of them; {label}: {reason}"
        )

    return {key: description["result"] for key, description in stored.items()}
