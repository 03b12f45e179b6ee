"""Cells of a study: pieces of work that are keyed by their content, kept as they finish, and never computed again.

    trained = training(config, "training leak 0.9, seed 1")
    cell = Cell("toolchain.studies.leak:measure", {"checkpoint": trained.product, ...}, "leak 0.9, seed 1", after=(trained,))
    results = run([cell], folder)              key -> what the function returned; here {"accuracy": 0.5, ...}

A cell's function is called as ``function(job, folder)`` in a process of its own that uses one thread, and returns plain JSON values.
RUN/cells.jsonl has one line for each finished cell: {"key", "function", "label", "job", "seconds", "result"}. A line is
written whole when a cell is finished; a process that is killed while it writes leaves a torn last line, which the next one drops.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from toolchain import sources
from toolchain.errors import ToolchainError
from toolchain.studies import pool

if TYPE_CHECKING:
    from toolchain.training import Config

CODE = (
    "hardware",
    "export",
    "toolchain/attacks",
    "toolchain/data",
    "toolchain/defences",
    "toolchain/layers",
    "toolchain/models",
    "toolchain/studies",
    "toolchain/training",
)
"""Sources whose text is part of every key: what they compute is what a cell holds."""

_SHOWN = ("__init__", "leak", "margin_page", "networks", "page", "plot", "quantisation", "setting", "steps", "study")
SHOWN = {f"toolchain/studies/{name}.py" for name in _SHOWN}
"""Sources that plan cells and show results; a plan is in the cells' jobs."""

CELLS = "cells.jsonl"
MAX_LINES = 1 << 30
"""Bytes of a file of cells that is read."""

Progress = Callable[[str, int, int], None]
"""Called with (label of the cell that is finished, finished cells, cells in all)."""


class StudyError(ToolchainError):
    """Cells of a study failed, or its folder cannot be used; every finished cell is kept."""


@lru_cache(maxsize=1)
def code_version() -> str:
    """SHA-256 over the source text that results depend on, as it was when first asked for."""
    return sources.digest(CODE, without=SHOWN)


@dataclass(frozen=True, eq=False)
class Cell:
    """One piece of work.

    function  "package.module:name"
    job       plain JSON values: everything that the result depends on, besides the sources and the cells before it
    label     for people; not part of the key
    after     cells that must be finished before; their keys are part of this one's
    product   a file in the folder that the function writes besides its result; where it is gone, the cell is computed again
    """

    function: str
    job: Mapping
    label: str
    after: tuple[Cell, ...] = ()
    product: str | None = None

    @cached_property
    def key(self) -> str:
        """Content hash, 64 hexadecimal digits."""
        parts = [self.function, self.job, [cell.key for cell in self.after], code_version()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()


def everything(cells: Iterable[Cell]) -> list[Cell]:
    """The cells and all that stand before them, each key once, those that are needed first."""
    found: dict[str, Cell] = {}

    def add(cell: Cell) -> None:
        if cell.key not in found:
            for before in cell.after:
                add(before)
            found[cell.key] = cell

    for cell in cells:
        add(cell)
    return list(found.values())


class Kept:
    """The finished cells of a folder. Opening it drops a torn last line. Raises StudyError for a file that is none of ours."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._path = self.folder / CELLS
        self.results: dict[str, dict] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > MAX_LINES:
                raise StudyError(f"{self._path}: larger than {MAX_LINES} bytes")
            content = self._path.read_bytes() if self._path.exists() else b""
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                os.truncate(self._path, len(whole))
        except OSError as error:
            raise StudyError(f"{self._path}: cannot be used: {error.strerror}") from None
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = json.loads(line)
                self.results[entry["key"]] = entry["result"]
            except (ValueError, KeyError, TypeError, RecursionError):
                raise StudyError(f"{self._path}: line {number} is no cell; accepted is a folder that a study wrote") from None

    def finished(self, cell: Cell) -> bool:
        """Its result is here, and its product where it has one."""
        return cell.key in self.results and (cell.product is None or (self.folder / cell.product).exists())

    def add(self, cell: Cell, result: dict, seconds: float) -> None:
        """Append a finished cell, in one write."""
        entry = {"key": cell.key, "function": cell.function, "label": cell.label, "job": cell.job, "seconds": seconds, "result": result}
        line = json.dumps(entry, sort_keys=True, allow_nan=False).encode() + b"\n"
        try:
            with open(self._path, "ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise StudyError(f"{self._path}: cannot be written: {error.strerror}") from None
        self.results[cell.key] = json.loads(line)["result"]


def compute(function: str, job: dict, folder: str, code: str) -> tuple[dict, float]:
    """(result, seconds) of a cell; what a worker process runs. Raises StudyError where its sources are others than the planner's."""
    if code != code_version():
        raise StudyError("the sources changed while the study ran; start it again")
    module, name = function.split(":")
    started = time.perf_counter()
    result = getattr(importlib.import_module(module), name)(job, Path(folder))
    json.dumps(result, allow_nan=False)  # here, so that the cell is named in the error
    return result, time.perf_counter() - started


def run(cells: Iterable[Cell], folder: str | Path, *, workers: int | None = None, progress: Progress | None = None) -> dict[str, dict]:
    """Compute every cell that the folder does not hold, and return all results by key.

    workers   processes, each of one thread; None: one for each core; 1: this process

    Raises StudyError, at the end, if any failed: the others are kept.
    """
    kept, planned = Kept(folder), everything(cells)
    waiting = {cell.key: cell for cell in planned if not kept.finished(cell)}
    done, failed = len(planned) - len(waiting), {}
    report = progress or (lambda label, done, total: None)
    report("", done, len(planned))
    if not waiting:
        return {cell.key: kept.results[cell.key] for cell in planned}
    workers = min(workers or os.cpu_count() or 1, len(waiting))
    with pool.Pool(compute, workers) as crew:
        running: dict[str, Cell] = {}
        while waiting or running:
            for key, cell in list(waiting.items()):
                if any(before.key in failed for before in cell.after):
                    failed[key] = f"{cell.label}: what it needs failed"
                    del waiting[key]
                elif crew.free and not any(before.key in waiting or before.key in running for before in cell.after):
                    running[key] = waiting.pop(key)
                    crew.submit(key, cell.function, dict(cell.job), str(kept.folder), code_version())
            if not running:
                continue
            key, result, error = crew.next()
            cell = running.pop(key)
            if error is not None:
                failed[key] = f"{cell.label}: {error}"
                continue
            kept.add(cell, *result)
            done += 1
            report(cell.label, done, len(planned))
    if failed:
        raise StudyError(f"{len(failed)} cells failed, all others are kept in {kept.folder}: {'; '.join(list(failed.values())[:3])}")
    return {cell.key: kept.results[cell.key] for cell in planned}


def training(config: Config, label: str, ann: Cell | None = None) -> Cell:
    """The cell that trains a network; its product is the checkpoint. Result: {"accuracy" (test split), "test_samples", "seconds"}.

    ann   the training cell of the ANN that the network is converted from, in place of the one that the recipe names
    """
    job, after = {"config": config.to_table(), "ann": ann and ann.product}, () if ann is None else (ann,)
    text = json.dumps([job, [cell.key for cell in after], code_version()], sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    product = f"models/{name}.safetensors"
    return Cell("toolchain.studies.base:train", {**job, "checkpoint": product}, label, after, product)


def train(job: dict, folder: Path) -> dict:
    """What a training cell computes."""
    from toolchain.training import Config, save_checkpoint
    from toolchain.training import train as fit

    config = Config.from_table(job["config"])
    if job["ann"] is not None:
        config = replace(config, model=replace(config.model, init=replace(config.model.init, ann=str(folder / job["ann"]))))
    result = fit(config)
    path = folder / job["checkpoint"]
    path.parent.mkdir(exist_ok=True)
    found = {"accuracy": result.accuracy, "test_samples": result.test_samples, "seconds": result.seconds}
    save_checkpoint(path, result.model, config, results=found, force=True)
    return found
