"""Export, run, attribute, compare, check and assess: what the commands of these names do (of
attribute: audit)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware import placement, program_file
from hardware.chip import Chip
from hardware.program import Program
from hardware.recording import Record, Recording, check_inputs
from hardware.targets import TARGETS as INTEGER_TARGETS
from toolchain.api.arguments import array, number, one_of, several, text, whole, wrong
from toolchain.api.arguments import labels as checked_labels
from toolchain.api.loading import Model, encoded, opened
from toolchain.deploy import assessment, execution, job, precision, summary
from toolchain.deploy.agreement import Agreement
from toolchain.deploy.inputs import Samples, SampleSource
from toolchain.errors import DataError, OutputError
from toolchain.remarks import Remark

if TYPE_CHECKING:
    from export.attribution import Attribution
    from export.audit import Audit

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Exported:
    """A model as integers, with the audit of how it became them (None: it was a Program).

    tried   settings that were tried for an agreement, the last of which was taken
    """

    model: Model
    program: Program
    audit: Audit | None
    tried: tuple[precision.Tried, ...] = ()

    def save(self, path: str | Path, *, dt: float | None = None, force: bool = False) -> Path:
        """Write the Program, or the NIR graph.

        Args:
            path: ends in ``.h5`` (Program) or ``.nir`` (NIR graph).
            dt: of a NIR graph: length of a step in seconds, where the model does not state it.
            force: replace a file that exists.

        Raises:
            OutputError: for another ending.
            ArgumentError: for ``dt`` with a Program, which counts in steps.
            MissingInformationError: for a NIR graph whose time step nothing states.
            HardwareError, ExportError: where the file cannot be written.
        """
        target = Path(text("path", path, "the path of a file"))
        if target.suffix == ".nir":
            return self.model.save_nir(target, dt=dt, force=force)
        if target.suffix != ".h5":
            raise OutputError(f"{target}: the ending must be .h5 (a Program) or .nir (a NIR graph)")
        if dt is not None:
            raise wrong("dt", dt, "left out for a Program, which counts in steps")
        program_file.save(self.program, target, force=force)
        return target

    def __repr__(self) -> str:
        verdict = "no audit" if self.audit is None else f"audit: {self.audit.verdict}"
        return f"Exported({self.program!r}, {verdict})"

    def _repr_html_(self) -> str:
        head = f"<div>{escape(repr(self.program))}</div>"
        return head if self.audit is None else head + self.audit._repr_html_()


@dataclass(frozen=True, eq=False, repr=False)
class RunRecording(Recording):
    """A Recording together with the samples that it is of.

    ran        the Program
    labels     int64 [sample], or None
    data       what the samples are
    warnings   what looks like a mistake
    """

    ran: Program | None = None
    labels: np.ndarray | None = None
    data: str = ""
    warnings: tuple[Remark, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Accuracy with its 95 % interval, activity of every layer, as plain JSON values."""
        if self.ran is None:
            raise DataError("recording: the Program that it is of is not known")
        return summary.summarise(self.ran, self, self.labels)

    def __repr__(self) -> str:
        suffix = ""
        if self.labels is not None:
            suffix = f", accuracy {100 * self.accuracy(self.labels):.2f} %"
        return super().__repr__()[:-1] + suffix + ")"

    def _repr_html_(self) -> str:
        lines = [f"warning: {remark.message}" for remark in self.warnings]
        if self.labels is not None:
            accuracy = summary.accuracy(summary.correct(self, self.labels), self.samples)
            lines.insert(0, f"accuracy {summary.accuracy_text(accuracy)}")
        notes = "".join(f"<div>{escape(line)}</div>" for line in [self.data, *lines] if line)
        return super()._repr_html_() + notes


def export(model: object, *, agreement: float | None = None) -> Exported:
    """A model as an integer Program, with the audit of every parameter.

    Args:
        model: what ``load`` returned, or anything that it takes.
        agreement: take the cheapest setting at which this share of predictions is that of floating
            point, on the calibration inputs that ``load`` was given: one weight scale for each
            layer, for each channel, calibrated, 16 bits. None: as ``load`` was told.

    Raises:
        ModelError, ExportError: where it cannot become one, or no setting reaches the agreement;
            ``RefusedError`` holds the audit.
        DataError: where ``agreement`` is given and there are no calibration inputs.
    """
    there = opened(model)
    if agreement is None:
        return Exported(there, there.program, there.audit)
    share = number("agreement", agreement)
    cheapest = precision.cheapest(there.stage, there.ways, share or 0.0)
    chosen = Model(there.stage, cheapest.ways, there.said, there.root)
    return Exported(chosen, chosen.program, chosen.audit, cheapest.tried)


def attribute(
    model: object,
    data: str | Path | None = None,
    *,
    inputs: np.ndarray | Mapping[str, np.ndarray] | None = None,
    samples: int | None = None,
    data_root: str | Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
    bits: int | None = None,
    rate: float | None = None,
    bin_us: int | None = None,
) -> Attribution:
    """What each rounding costs a model in spikes, layer by layer: weights (and which outlier),
    biases, decays, threshold, states.

    Example:
        >>> import spikeport
        >>> found = spikeport.attribute("examples/checkpoints/digits-tgo-0.safetensors",
        ...                             "digits", samples=2)
        >>> found.layers[0].differ["weights"]
        0.0

    Args:
        model: what ``load`` returned, or anything that it takes.
        data, inputs: samples, as of ``run``; neither: the calibration inputs that ``load`` was
            given.
        samples: the first so many; None: all.
        data_root: folder that holds data sets; None: SPIKEPORT_DATA.
        encoding, steps, bits, rate, bin_us: how samples become inputs; None: as the model says.

    Raises:
        ArgumentError: for arguments of the wrong type.
        ModelError: where the model's integers were not chosen here: a Program, a ``.net``.
        DataError: where there are no samples.
    """
    there = opened(model)
    if data is None and inputs is None:
        return precision.attribute(there.job())
    options = encoded(encoding, steps, bits, rate, bin_us)
    at, source = _given(there, data, inputs, None, samples, data_root, options)
    return precision.attribute(at, source)


def run(
    model: object,
    data: str | Path | None = None,
    *,
    inputs: np.ndarray | Mapping[str, np.ndarray] | None = None,
    labels: np.ndarray | None = None,
    target: str = "fast",
    samples: int | None = None,
    spikes: bool = False,
    potentials: bool = False,
    data_root: str | Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
    bits: int | None = None,
    rate: float | None = None,
    bin_us: int | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> RunRecording:
    """Run a model on a target.

    Args:
        model: what ``load`` returned, or anything that it takes.
        data: a data set (its test part), a ``.npz`` with inputs and labels, or a recording of
            events.
        inputs: instead of ``data``: whole numbers [sample, step, *shape], or input → array.
        labels: of ``inputs``, [sample].
        target: one of ``toolchain.deploy.execution.TARGETS``.
        samples: the first so many; None: all.
        spikes: keep the spikes of every layer.
        potentials: keep the membrane potentials of every layer.
        data_root: folder that holds data sets; None: SPIKEPORT_DATA.
        encoding, steps, bits, rate, bin_us: how samples become inputs; None: as the model says.
        batch: samples computed at once.
        progress: called with (samples done, samples in all).

    Raises:
        ArgumentError: for arguments of the wrong type.
        DataError, InputError: for samples that do not fit the model.
    """
    there = opened(model)
    one_of("target", target, execution.TARGETS)
    options = encoded(encoding, steps, bits, rate, bin_us)
    at, source = _given(there, data, inputs, labels, samples, data_root, options)
    record = Record(spikes=bool(spikes), potentials=bool(potentials))
    ran = job.run(
        at, source, target, record=record, batch=whole("batch", batch), watch=_watch(progress)
    )
    same = {f.name: getattr(ran.recording, f.name) for f in fields(Recording)}
    return RunRecording(
        **same,
        ran=at.program,
        labels=ran.given.labels,
        data=ran.given.description,
        warnings=tuple(ran.warnings()),
    )


def compare(
    model: object,
    data: str | Path | None = None,
    *,
    targets: Sequence[str] = ("software", "fast"),
    inputs: np.ndarray | Mapping[str, np.ndarray] | None = None,
    labels: np.ndarray | None = None,
    samples: int | None = None,
    data_root: str | Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
    bits: int | None = None,
    rate: float | None = None,
    bin_us: int | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Agreement:
    """Run a model on several targets and compare every spike, every potential and every prediction
    with those of the first.

    Args:
        targets: two or more names; the others are as of ``run``.

    Raises:
        ArgumentError: for arguments of the wrong type.
        ModelError: for target "software" where there is no PyTorch model.
    """
    there = opened(model)
    names = several("targets", targets, execution.TARGETS)
    execution.check_targets(there.stage, names)
    options = encoded(encoding, steps, bits, rate, bin_us)
    at, source = _given(there, data, inputs, labels, samples, data_root, options)
    watch = _watch(progress)
    return job.compare(at, source, names, batch=whole("batch", batch), watch=watch).result


def check(
    model: object, chip: str | Path | Chip = "loihi2", *, allow_microcode: bool = False
) -> placement.Report:
    """Check a model against a chip's limits.

    Args:
        model: what ``load`` returned, or anything that it takes.
        chip: name of a chip, the path of a table of one's own, or a ``Chip``.
        allow_microcode: neuron programs of one's own count as fitting.

    Raises:
        ChipError: for an unknown chip.
    """
    limits = _chip(chip)
    return placement.check(opened(model).program, limits, allow_microcode=bool(allow_microcode))


def assess(
    model: object,
    data: str | Path | None = None,
    *,
    inputs: np.ndarray | Mapping[str, np.ndarray] | None = None,
    labels: np.ndarray | None = None,
    chip: str | Path | Chip = "loihi2",
    target: str = "fast",
    rate_hz: float | None = None,
    samples: int | None = None,
    data_root: str | Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
    bits: int | None = None,
    rate: float | None = None,
    bin_us: int | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> assessment.Assessment:
    """What a model loses as integers, and what it costs on a chip.

    Args:
        chip: that the integers are placed on.
        target: that runs the integers; the others are as of ``run``.
        rate_hz: inferences in a second that static energy is for; None: without a pause.

    Raises:
        ArgumentError: for arguments of the wrong type.
        DataError, InputError: for samples that do not fit the model.
    """
    there, limits = opened(model), _chip(chip)
    one_of("target", target, INTEGER_TARGETS)
    options = encoded(encoding, steps, bits, rate, bin_us)
    at, source = _given(there, data, inputs, labels, samples, data_root, options)
    return assessment.assess(
        at,
        source,
        limits,
        target=target,
        rate_hz=number("rate_hz", rate_hz),
        batch=whole("batch", batch),
        watch=_watch(progress),
    )


def _given(
    model: Model,
    data: object,
    inputs: object,
    labels: object,
    samples: int | None,
    root: object,
    told: dict[str, Any],
) -> tuple[job.Job, SampleSource | Samples]:
    """The Program, and where its samples come from."""
    if (data is None) == (inputs is None):
        raise wrong("data", data, "a data set or a file, or left out where inputs are given")
    first = whole("samples", samples)
    if data is not None:
        if labels is not None:
            raise wrong("labels", labels, "left out where data is given, which has its own")
        name = text("data", data, "the name of a data set, or a file")
        folder = None if root is None else Path(text("data_root", root, "a folder or None"))
        source = model.source(name, first, folder, **told)
        return model.job(source), source

    at = model.job()
    arrays = inputs
    if not isinstance(inputs, Mapping):
        arrays = array("inputs", inputs, "whole numbers [sample, step, *shape]")
    every = check_inputs(at.program, arrays)
    count = len(next(iter(every.values())))
    classes = checked_labels(labels, count, optional=True)
    if classes is not None:
        classes = summary.check_labels(at.program, classes)[:first]
    part = {name: values[:first] for name, values in every.items()}
    return at, Samples(part, classes, "given arrays")


def _chip(chip: object) -> Chip:
    if isinstance(chip, Chip):
        return chip
    return Chip.load(text("chip", chip, "the name of a chip, a file, or a Chip"))


def _watch(progress: object) -> job.Watch:
    if progress is None:
        return job.unwatched
    if not callable(progress):
        raise wrong("progress", progress, "a function of (done, total), or None")
    return job.watched(progress)
