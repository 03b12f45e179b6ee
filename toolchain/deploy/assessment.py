"""The first question about a network: what does it lose as integers, and what does it cost on a
chip?

    found = assess(job, source, Chip.load("loihi2"))
    print(found.text())
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hardware import _tabular
from hardware import placement as placing
from hardware.chip import Chip
from hardware.energy import EnergyEstimate
from hardware.recording import Recording
from toolchain.deploy import costs, fronts, summary
from toolchain.deploy.inputs import Samples, SampleSource
from toolchain.deploy.job import Job, Ran, Watch, run, unwatched
from toolchain.deploy.paired import Paired
from toolchain.remarks import Remark, chance

if TYPE_CHECKING:
    import pandas

    from export.audit import Audit

SOFTWARE = "software"


@dataclass(frozen=True, eq=False)
class Assessment:
    """A network in floating point, or as it was trained, beside its integers.

    model        as it was named
    given        the samples, as the integers were given them
    target       that ran the integers
    verdict      of the audit; None where the model was a Program already
    accuracies   target → ``summary.accuracy``; None without labels. Without "software" where there
                 is no PyTorch model, and then ``no_software`` says why
    paired       software beside integers; None without software
    placement    on the chip, of the network itself; ``parts`` of what stands before it
    cost         energy and time of one inference, an estimate
    """

    model: str
    given: Samples
    samples: int
    steps: int
    target: str
    program: str
    verdict: str | None
    audit: Audit | None
    accuracies: Mapping[str, summary.Accuracy | None]
    paired: Paired | None
    placement: placing.Report
    parts: Mapping[str, placing.Report]
    cost: EnergyEstimate
    warnings: tuple[Remark, ...] = ()
    no_software: str = ""

    @property
    def cores(self) -> int:
        """Neurocores of everything that runs on the chip."""
        return self.placement.cores + sum(part.cores for part in self.parts.values())

    @property
    def fits(self) -> bool:
        """No rule of the chip is broken."""
        return self.placement.fits and all(part.fits for part in self.parts.values())

    def rows(self) -> list[tuple[str, str]]:
        """What is found, as (question, answer), for the terminal and the page."""
        chip = self.placement.chip
        energy, time = costs.short(self.cost)
        lines = [
            ("model", f"{self.model}, Program {self.program[:12]}"),
            ("data", f"{self.samples} samples x {self.steps} steps of {self.given.description}"),
        ]
        lines += [
            (name, "no labels" if accuracy is None else summary.accuracy_text(accuracy))
            for name, accuracy in self.accuracies.items()
        ]
        if self.no_software:
            lines.append((SOFTWARE, self.no_software))
        if self.paired is not None:
            names = ("agreement", "difference")
            lines += list(zip(names, self.paired.lines()))

        broken = [v.rule for part in (self.placement, *self.parts.values()) for v in part.broken]
        why = f"; broken: {', '.join(dict.fromkeys(broken))}" if broken else ""
        fit = "fits" if self.fits else "DOES NOT FIT"

        return [
            *lines,
            ("audit", self.verdict or "none: the model was a Program already"),
            (
                "chip",
                f"{fit} {chip.title}: {self.cores} of {chip['cores_per_chip']} neurocores{why}",
            ),
            ("energy", energy),
            ("time", time),
        ]

    def text(self) -> str:
        """For the terminal."""
        return "\n".join(f"{name:<10} {text}" for name, text in self.rows())

    def __repr__(self) -> str:
        shares = [
            f"{name} {100 * accuracy['share']:.2f} %"
            for name, accuracy in self.accuracies.items()
            if accuracy is not None
        ]
        return f"Assessment({', '.join([*shares, f'{self.cores} neurocores'])})"

    def _repr_html_(self) -> str:
        note = "; ".join(remark.message for remark in self.warnings)
        return _tabular.html("Assessment", ("", ""), self.rows(), note)

    def to_frame(self) -> pandas.DataFrame:
        """A data frame with a row for each target: accuracy with its 95 % interval.

        Raises:
            MissingPackageError: where pandas is not installed.
        """
        rows = []
        for name, accuracy in self.accuracies.items():
            low, high = (None, None) if accuracy is None else accuracy["interval"]
            value = None if accuracy is None else accuracy["share"]
            rows.append({"target": name, "samples": self.samples, "accuracy": value})
            rows[-1] |= {"low": low, "high": high}
        return _tabular.frame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "model": self.model,
            "data": self.given.description,
            "data_notes": list(self.given.notes),
            "samples": self.samples,
            "steps": self.steps,
            "target": self.target,
            "program": self.program,
            "verdict": self.verdict,
            "accuracy": dict(self.accuracies),
            "no_software": self.no_software or None,
            "paired": None if self.paired is None else self.paired.to_dict(),
            "cores": self.cores,
            "fits": self.fits,
            "placement": self.placement.to_dict(),
            "front": {name: part.to_dict() for name, part in self.parts.items()},
            "energy": self.cost.to_dict(),
            "audit": None if self.audit is None else self.audit.to_dict(),
            "warnings": [remark.to_dict() for remark in self.warnings],
        }


def assess(
    job: Job,
    source: SampleSource | Samples,
    chip: Chip,
    *,
    target: str = "fast",
    rate_hz: float | None = None,
    batch: int | None = None,
    watch: Watch = unwatched,
) -> Assessment:
    """Run a model in software and as integers on the same samples, and say what both give.

    Args:
        job: see ``job.prepared``. Without a PyTorch model only the integers run.
        source: a data set or file; or samples that are inputs already.
        chip: that the integers are placed on.
        target: that runs the integers.
        rate_hz: inferences in a second that static energy is for; None: without a pause.
        batch: samples computed at once.
        watch: opens a progress display.

    Raises:
        DataError, InputError: for samples that do not fit the model.
    """
    integers = run(job, source, target, batch=batch, watch=watch)
    samples, labels = integers.given, integers.given.labels
    software = _software(job, source, samples, batch, watch)

    recordings = {} if software is None else {SOFTWARE: software}
    recordings[target] = integers.recording
    accuracies = {
        name: None
        if labels is None
        else summary.accuracy(summary.correct(recording, labels), recording.samples)
        for name, recording in recordings.items()
    }
    paired = None
    if software is not None:
        one, other = software.predictions(), integers.recording.predictions()
        paired = Paired.of((SOFTWARE, target), one, other, labels)

    parts = fronts.made(fronts.of(job.stage))
    cost = costs.estimated(integers.programs(), chip, rate_hz)
    return Assessment(
        model=job.stage.source,
        given=samples,
        samples=integers.recording.samples,
        steps=integers.recording.steps,
        target=target,
        program=job.program.fingerprint,
        verdict=None if job.audit is None else job.audit.verdict,
        audit=job.audit,
        accuracies=accuracies,
        paired=paired,
        placement=placing.check(job.program, chip),
        parts={name: placing.check(program, chip) for name, program in parts.items()},
        cost=cost,
        warnings=tuple(_warnings(integers, accuracies)),
        no_software=""
        if software is not None
        else f"not run: {job.stage.source} is a {job.stage.kind}, which holds no PyTorch model",
    )


def _software(
    job: Job, source: SampleSource | Samples, given: Samples, batch: int | None, watch: Watch
) -> Recording | None:
    """The PyTorch model on the same samples; behind a front, on what the front makes of them in
    software."""
    if job.stage.module is None:
        return None
    behind = given if fronts.of(job.stage) is None else source
    return run(job, behind, SOFTWARE, batch=batch, watch=watch).recording


def _warnings(integers: Ran, accuracies: Mapping[str, summary.Accuracy | None]) -> list[Remark]:
    """Of the integers, and an accuracy in software that guessing would give."""
    remarks = integers.warnings()
    read = accuracies.get(SOFTWARE)
    if read is None:
        return remarks
    outputs = integers.job.program.outputs
    classes = integers.job.program.nodes[outputs[0].population].size
    own = chance(read["correct"], read["samples"], classes)
    return remarks + [Remark(r.name, f"software: {r.message}") for r in own]
