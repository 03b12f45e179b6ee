"""The cells of a sweep, as ``toolchain.cells`` computes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from toolchain.cells.engine import Cell
from toolchain.robustness.cells import CraftJob, ScoreJob, SweepData


@dataclass(frozen=True)
class Plan:
    """The cells of a sweep: every crafted job with the targets (name, samples) that score it.

    seeds   of the inference of models that are random (their keys); all others have one inference
    brief   targets that score clean samples and cascades alone, with the first of these seeds: slow
            ones
    chip    whose cores are counted and whose static power is taken
    """

    data: SweepData
    jobs: tuple[CraftJob, ...]
    targets: tuple[tuple[str, int], ...]
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    brief: tuple[str, ...] = ()
    chip: str = "loihi2"

    def scores(self, job: CraftJob) -> list[ScoreJob]:
        """The scored cells of a crafted one."""
        seeds = self.seeds.get(job.model.key, (0,))
        worth = job.spec is None or job.spec.attack == "cascade"
        return [
            ScoreJob(job, target, min(samples, len(self.data.labels)), seed, self.chip)
            for target, samples in self.targets
            for seed in (seeds[:1] if target in self.brief else seeds)
            if worth or target not in self.brief
        ]

    def cells(self) -> list[Cell]:
        """All of them, each crafted one before those that score it."""
        common = {"data": self.data.key}
        cells = []
        for job in self.jobs:
            crafted = Cell(
                "toolchain.robustness.cells:craft_cell",
                job,
                job.key,
                "crafted",
                label(job),
                job.maker,
                work=1.0 + job.work,
                sort=sort(job),
                description=job.description() | common,
            )
            cells.append(crafted)
            cells += [
                Cell(
                    "toolchain.robustness.scoring:score_cell",
                    score,
                    score.key,
                    "scored",
                    label(score),
                    score.maker,
                    (crafted,),
                    given=True,
                    work=float(score.samples),
                    sort=sort(score),
                    description=score.description() | common,
                )
                for score in self.scores(job)
            ]

        return cells


def sort(job: CraftJob | ScoreJob) -> str:
    """Cells of one sort cost as much for each unit of work: an attack on one kind of victim, or the
    scoring on one target."""
    if isinstance(job, ScoreJob):
        return f"scored on {job.target}"
    return "clean" if job.spec is None else f"{job.spec.label} on {job.on}"


def label(job: CraftJob | ScoreJob) -> str:
    """A cell in a few words, for people."""
    if isinstance(job, ScoreJob):
        return f"{label(job.crafted)} on {job.target}" + (
            f", inference seed {job.seed}" if job.seed else ""
        )
    task = (
        "clean samples"
        if job.spec is None
        else f"{job.spec.label} on {job.on}, {job.norm} {job.epsilon:g}, seed {job.seed}"
    )
    return f"{job.model.name}: {task}"


def keys(plan: Plan) -> Iterable[str]:
    """Keys of every cell of a plan."""
    for job in plan.jobs:
        yield job.key
        yield from (score.key for score in plan.scores(job))
