"""A whole sweep: models made ready, data loaded, cells planned, run and stored.

    folder = bench.run(sweep.load("quick.toml"), "runs/quick")
    scored = bench.records("runs/quick")

The same call on a folder that holds part of the results computes only what is missing.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from toolchain.cells import engine, maker, threads
from toolchain.cells.engine import EngineReport
from toolchain.cells.pool import Inside, Pool
from toolchain.cells.remote import Scheduler, cluster
from toolchain.cells.store import Store
from toolchain.cells.work import Shared
from toolchain.robustness import about, planning, samples, sources
from toolchain.robustness.cells import SCORED_BY
from toolchain.robustness.models import sealed
from toolchain.robustness.parts import Sweep
from toolchain.robustness.plan import Plan, keys
from toolchain.robustness.records import Scored
from toolchain.robustness.samples import BenchError

__all__ = ["BenchError", "records", "run"]


def run(
    sweep: Sweep,
    folder: str | Path,
    *,
    scheduler: Scheduler | None = None,
    workers: int | None = None,
    report: EngineReport | None = None,
    command: str | None = None,
) -> Plan:
    """Run a sweep into a folder; returns what was planned. Raises ToolchainError; finished cells
    stay in the store.

    scheduler  of a Dask cluster that computes the cells; None: processes of this machine
    workers    so many of them; None: one for each core; 1: this process
    report     of progress; networks are trained before its cells are counted
    command    what the user typed, for the report
    """
    report = report or EngineReport()
    sources.check_kinds(sweep)
    with Store(folder) as store:
        trained = sources.trainings(sweep)
        engine.run(
            trained.values(),
            store,
            lambda *given: _trainers(workers, *given),
            EngineReport(inside=report.inside),
        )
        # as workers compute, so that what a model becomes is the same to the last bit
        with threads.limited(1):
            files = [sealed(model) for model in sources.models(sweep, store.folder, trained)]

        data, name = samples.load(sweep, files)
        planned = planning.plan(sweep, files, data)

        store.remember("sweep", about.sweep(sweep, data, name))
        store.remember("models", about.models(files, sweep))
        store.remember("keys", sorted(keys(planned)))
        store.remember("versions", about.versions())
        store.remember("code", maker.of(SCORED_BY).code.digest)
        store.remember("energy", about.energy())
        store.remember("command", command)
        about.keep_programs(files, store.folder)

        engine.run(
            planned.cells(), store, lambda *given: _crew(scheduler, workers, *given), report, data
        )

    return planned


def _crew(
    scheduler: Scheduler | None, workers: int | None, count: int, shared: Shared, inside: Inside
) -> AbstractContextManager[engine.Crew]:
    """Who computes the cells of a sweep."""
    if scheduler is not None:
        return cluster(scheduler, shared, inside)
    return Pool(min(workers or os.cpu_count() or 1, count), shared, inside)


def _trainers(workers: int | None, count: int, shared: Shared, inside: Inside) -> Pool:
    """Who trains, on this machine: where there are fewer networks than cores, each has several."""
    cores = os.cpu_count() or 1
    crew = min(workers or cores, count)
    return Pool(crew, shared, inside, threads=max(1, cores // crew))


def records(folder: str | Path) -> list[Scored]:
    """Every scored cell of the last sweep that ran into a folder."""
    with Store(folder, read_only=True) as store:
        wanted = set(store.recall("keys") or [])
        return [
            Scored.from_arrays(description, store.get(key)[1])
            for key, description in store.cells("scored")
            if key in wanted
        ]
