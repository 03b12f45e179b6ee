"""A model and its data on targets: what ``run``, ``compare`` and ``assess`` do, on the command line
and in Python.

    job = prepared(stage, ways, source)            the Program, with the input's contract settled
    ran = run(job, source, "fast")                 samples made, front and network run
    ran = compare(job, source, ["software", "fast"])
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from hardware.chunks import Progress
from hardware.program import Program
from hardware.recording import Record, Recording
from toolchain import remarks
from toolchain.deploy import agreement, contract, execution, fronts, inputs, stages, summary
from toolchain.deploy.inputs import Samples, SampleSource
from toolchain.deploy.stage import Stage
from toolchain.deploy.ways import Ways

if TYPE_CHECKING:
    from export.audit import Audit

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display with a label."""


@contextmanager
def unwatched(label: str) -> Iterator[Progress]:
    """No display."""
    yield lambda done, total: None


def watched(progress: Progress) -> Watch:
    """Every display is one function of (done, total)."""

    @contextmanager
    def shown(label: str) -> Iterator[Progress]:
        yield progress

    return shown


@dataclass(frozen=True, eq=False)
class Job:
    """A model with the Program that it becomes; audit None: it was a Program already."""

    stage: Stage
    ways: Ways
    program: Program
    audit: Audit | None

    def execute(
        self,
        inputs: Mapping[str, np.ndarray],
        target: str,
        record: Record = Record(),
        batch: int | None = None,
        progress: Progress | None = None,
    ) -> Recording:
        """The model on a target, see ``execution.execute``."""
        return execution.execute(
            self.stage,
            self.program,
            inputs,
            target,
            record=record,
            call=self.ways.call,
            batch=batch,
            progress=progress,
        )


def settled(
    stage: Stage, ways: Ways, source: SampleSource | None = None, calibration: str | None = None
) -> Ways:
    """The ways on with what the samples and typical inputs say.

    Args:
        stage: the model.
        ways: the options so far.
        source: where samples come from; its encoding settles what the integers of the input mean,
            where the model does not say so.
        calibration: a data set (its training part) or a ``.npz`` that scales are chosen for.

    Raises:
        DataError: for data that is not there, or whose encoding is not known.
    """
    if source is not None:
        ways = contract.told(stage, ways, source.name, **source.encoded())
    if calibration is None:
        return ways
    stated = stages.data_of(stage) or ways.data or {}
    root = None if source is None else source.root
    values = inputs.calibration(calibration, stated, root=root, shape=ways.input_shape)
    return replace(ways, calibration=values)


def prepared(stage: Stage, ways: Ways, source: SampleSource | None = None) -> Job:
    """The Program of a model. What ``source`` says of the encoding settles what the integers of the
    input mean, where the model does not say so.

    Raises:
        ModelError, ExportError: where the model cannot become a Program.
    """
    ways = settled(stage, ways, source)
    return Job(stage, ways, *stages.to_program(stage, ways))


@dataclass(frozen=True, eq=False)
class Ran:
    """A run of a job.

    given   the samples, as the network itself was given them
    parts   of what stands before the network: name → its own run
    """

    job: Job
    given: Samples
    recording: Recording
    parts: Mapping[str, Recording] = field(default_factory=dict)

    def programs(self) -> dict[str, tuple[Program, Recording]]:
        """Prefix of layers' names → Program and its run; the network itself is last, as ""."""
        lowered = fronts.made(fronts.of(self.job.stage))
        before = {
            f"front.{part}.": (lowered[part], recording) for part, recording in self.parts.items()
        }
        return {**before, "": (self.job.program, self.recording)}

    def warnings(self) -> list[remarks.Remark]:
        """What looks like a mistake."""
        return [
            *remarks.of_model(self.job.audit),
            *self.given.warnings,
            *summary.warnings(self.job.program, self.recording, self.given.labels),
        ]


def run(
    job: Job,
    source: SampleSource | Samples,
    target: str,
    *,
    record: Record = Record(),
    batch: int | None = None,
    watch: Watch = unwatched,
) -> Ran:
    """Run a job on the samples of a source.

    Args:
        job: see ``prepared``.
        source: a data set or file; or samples that are inputs already.
        target: name of a target.
        record: what to keep.
        batch: samples computed at once.
        watch: opens a progress display.
    """
    front = fronts.of(job.stage)
    parts: Mapping[str, Recording] = {}
    if isinstance(source, Samples):
        samples = source
    elif front is None:
        samples = source.load(job.program, job.ways.data)
    else:
        taken = fronts.given(job.program, source)
        purified, parts = fronts.run(front, taken.values, target, record, batch)
        samples = taken.encoded(job.program, purified)
    with watch(target) as update:
        recording = job.execute(samples.inputs, target, record, batch, update)
    return Ran(job, samples, recording, parts)


@dataclass(frozen=True, eq=False)
class ComparedRuns:
    """Several targets on the same samples; ``parts`` of what stands before the network."""

    job: Job
    given: Samples
    result: agreement.Agreement
    parts: Mapping[str, agreement.Agreement] = field(default_factory=dict)

    @property
    def every(self) -> list[agreement.Agreement]:
        """Of the network and of the parts."""
        return [self.result, *self.parts.values()]

    def warnings(self) -> list[remarks.Remark]:
        """What looks like a mistake."""
        return [
            *remarks.of_model(self.job.audit),
            *self.given.warnings,
            *self.result.warnings(self.job.program),
        ]


def compare(
    job: Job,
    source: SampleSource | Samples,
    targets: Sequence[str],
    *,
    batch: int | None = None,
    watch: Watch = unwatched,
) -> ComparedRuns:
    """Run a job on several targets and compare each with the first; arguments as ``run``."""
    front = fronts.of(job.stage)
    parts: Mapping[str, agreement.Agreement] = {}
    if isinstance(source, Samples):
        samples = source
    elif front is None:
        samples = source.load(job.program, job.ways.data)
    else:
        taken = fronts.given(job.program, source)
        purified, parts = fronts.compare(front, taken.values, list(targets), batch)
        samples = taken.encoded(job.program, purified)

    def one(target: str, part: Mapping[str, np.ndarray], record: Record) -> Recording:
        with watch(target) as update:
            return job.execute(part, target, record, batch, update)

    compared = agreement.agree(job.program, samples.inputs, targets, one, samples.labels)
    return ComparedRuns(job, samples, compared, parts)
