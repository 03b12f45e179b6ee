"""Runs the cells of a sweep with Dask: on all cores of this machine, or on a cluster that runs already.

Only this process writes to the store, one transaction for each finished cell; workers compute and return. A worker that dies
has its cells run again by Dask's scheduler; a cell that fails is reported when all others are done, and nothing finished is
lost.
"""

from __future__ import annotations

import os
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from toolchain.attacks.base import NotApplicable
from toolchain.errors import ToolchainError
from toolchain.robustness import cells, scoring
from toolchain.robustness.cells import CraftJob, Data, ScoreJob
from toolchain.robustness.store import Store

TOPIC = "spikeport-cell-progress"
RETRIES = 3
"""How often a cell whose worker died is run again (Dask's own default for suspicious tasks)."""


class EngineError(ToolchainError):
    """No cluster can be reached, or cells failed; every finished cell is in the store."""


@dataclass(frozen=True)
class Plan:
    """The cells of a sweep: every crafted job with the targets (name, samples) that score it.

    seeds   of the inference of models that are random (their keys); all others have one inference
    """

    data: Data
    jobs: tuple[CraftJob, ...]
    targets: tuple[tuple[str, int], ...]
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def scores(self, job: CraftJob) -> list[ScoreJob]:
        """The scored cells of a crafted one."""
        seeds = self.seeds.get(job.model.key, (0,))
        return [ScoreJob(job, target, min(samples, len(self.data.labels)), seed) for target, samples in self.targets for seed in seeds]


@dataclass
class Report:
    """Called while a sweep runs; all optional.

    cell    (description of the cell, finished cells, cells in all, share of the work done 0 to 1)
    inside  (name of the cell, its own units done, in all)
    """

    cell: Callable[[str, int, int, float], None] = lambda name, done, total, share: None
    inside: Callable[[str, int, int], None] = lambda name, done, total: None
    failures: list[str] = field(default_factory=list)


@contextmanager
def cluster(scheduler: str | None = None, workers: int | None = None):
    """A Dask client: of an existing cluster at ``scheduler`` (tcp://HOST:PORT), or of a local one with a process for each core."""
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise EngineError(
                f"no Dask scheduler answers at {scheduler}: {error}; "
                f"start one with 'dask scheduler' and workers with 'dask worker {scheduler}'"
            ) from None
        try:
            yield client
        finally:
            client.close()
        return
    with dask.config.set({"distributed.worker.memory.terminate": False, "distributed.scheduler.allowed-failures": RETRIES}):
        local = LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
            silence_logs=40,
        )
        with local, Client(local, set_as_default=False) as client:
            yield client


def _limit_threads() -> None:
    """One thread for each worker process: the cells are the parallel part."""
    import torch

    torch.set_num_threads(1)
    try:
        import numba

        numba.set_num_threads(1)
    except ImportError:
        pass


def _tick(name: str):
    from distributed import get_worker

    worker = get_worker()
    return lambda done, total: worker.log_event(TOPIC, {"cell": name, "done": int(done), "total": int(total)})


@dataclass(frozen=True)
class _Failed:
    """What a worker returns instead of raising, so that one failed cell is one line and not a traceback in every log."""

    reason: str


@dataclass(frozen=True)
class _Absent:
    """A cell that cannot be, and why."""

    reason: str


def _attempt(compute, *arguments):
    _limit_threads()
    try:
        return compute(*arguments)
    except NotApplicable as reason:
        return _Absent(str(reason))
    except Exception as error:
        return _Failed(f"{type(error).__name__}: {error}")


def _craft(job: CraftJob, data: Data) -> dict[str, np.ndarray] | _Failed:
    return _attempt(cells.craft, job, data, _tick(label(job)))


def _score(job: ScoreJob, data: Data, crafted: dict[str, np.ndarray]) -> tuple[dict, dict[str, np.ndarray]] | _Failed:
    return _attempt(scoring.score, job, data, crafted, _tick(job_label(job)))


def label(job: CraftJob) -> str:
    """A crafted cell in a few words, for people."""
    what = "clean samples" if job.spec is None else f"{job.spec.label} on {job.on}, {job.norm} {job.epsilon:g}, seed {job.seed}"
    return f"{job.model.name}: {what}"


def run(plan: Plan, store: Store, client, report: Report | None = None) -> None:
    """Compute every cell that the store does not hold. Raises EngineError, at the end, if any failed."""
    report = report or Report()
    unfinished = {job.key: [s for s in plan.scores(job) if s.key not in store] for job in plan.jobs}
    pending = [job for job in plan.jobs if unfinished[job.key] or job.key not in store]
    total = sum(1 + len(plan.scores(job)) for job in plan.jobs)
    done = total - sum((job.key not in store) + len(unfinished[job.key]) for job in pending)
    work = {job.key: 1.0 + job.work for job in pending if job.key not in store}
    all_work, done_work = sum(work.values()) + sum(len(u) for u in unfinished.values()) or 1.0, 0.0
    report.cell("", done, total, 0.0 if pending else 1.0)
    if not pending:
        return
    client.subscribe_topic(TOPIC, lambda event: report.inside(event[1]["cell"], event[1]["done"], event[1]["total"]))
    queue = _Queue(client, plan.data)
    for job in sorted(pending, key=lambda j: -j.work):
        if job.key in store:
            arrays = store.get(job.key)[1]
            for score_job in unfinished[job.key]:
                queue.submit(score_job, arrays)
        else:
            queue.submit(job)
    for job, result in queue:
        if isinstance(result, _Failed):
            report.failures.append(f"{job_label(job)}: {result.reason}")
            continue
        if isinstance(result, _Absent):
            for absent in (job, *(unfinished[job.key] if isinstance(job, CraftJob) else ())):
                store.put(absent.key, "absent", absent.description() | {"data": plan.data.key, "reason": result.reason}, {})
                done += absent is not job
            done_work += work[job.key] + len(unfinished[job.key]) if isinstance(job, CraftJob) else 1.0
        elif isinstance(job, CraftJob):
            store.put(job.key, "crafted", job.description() | {"data": plan.data.key}, result)
            done_work += work[job.key]
            for score_job in unfinished[job.key]:
                queue.submit(score_job, result)
        else:
            description, arrays = result
            store.put(job.key, "scored", description | {"data": plan.data.key}, arrays)
            done_work += 1.0
        done += 1
        report.cell(job_label(job), done, total, done_work / all_work)
    if report.failures:
        shown = "; ".join(report.failures[:3])
        raise EngineError(f"{len(report.failures)} cells failed, all others are kept: {shown}")


def job_label(job: CraftJob | ScoreJob) -> str:
    """A cell in a few words."""
    if isinstance(job, CraftJob):
        return label(job)
    return f"{label(job.crafted)} on {job.target}" + (f", inference seed {job.seed}" if job.seed else "")


class _Queue:
    """Cells on their way through a cluster; iterating gives (job, result) as they finish.

    Dask runs a task again when its worker died, but what was sent to that worker beforehand (the data) is lost with it; such a
    cell is submitted anew with its inputs, up to RETRIES times.
    """

    def __init__(self, client, data: Data):
        from distributed import as_completed

        self._client, self._data = client, data
        self._there = self._scatter()
        self._waiting: dict[str, tuple] = {}
        self._completed = as_completed([], loop=client.loop)

    def _scatter(self):
        return self._client.scatter(self._data, broadcast=True, hash=False)

    def submit(self, job: CraftJob | ScoreJob, arrays: dict[str, np.ndarray] | None = None, attempt: int = 0) -> None:
        """Add a cell; ``arrays`` are the crafted cell of one that is scored."""
        compute, inputs = (_craft, ()) if arrays is None else (_score, ({n: a for n, a in arrays.items() if n != "success"},))
        future = self._client.submit(compute, job, self._there, *inputs, key=f"{job.key}-{attempt}", pure=False)
        self._waiting[future.key] = job, arrays, attempt
        self._completed.add(future)

    def __iter__(self):
        for future in self._completed:
            job, arrays, attempt = self._waiting.pop(future.key)
            try:
                result = future.result()
            except (Exception, CancelledError) as error:
                if attempt < RETRIES:
                    self._there = self._scatter()
                    self.submit(job, arrays, attempt + 1)
                    continue
                result = _Failed(f"its workers died {RETRIES + 1} times ({type(error).__name__}: {error})")
            finally:
                future.release()
            yield job, result


def keys(plan: Plan) -> Iterable[str]:
    """Keys of every cell of a plan."""
    for job in plan.jobs:
        yield job.key
        yield from (score.key for score in plan.scores(job))
