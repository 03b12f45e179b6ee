"""How finely the integers of a model are chosen: what each rounding costs, and the cheapest setting
whose predictions agree with floating point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from export.errors import QuantizationError
from hardware.parameters import parameter
from hardware.recording import Record, check_inputs
from hardware.targets import run
from toolchain.deploy import fronts, stages, summary
from toolchain.deploy.inputs import Samples, SampleSource
from toolchain.deploy.job import Job
from toolchain.deploy.stage import Stage
from toolchain.deploy.ways import Ways
from toolchain.errors import DataError, ModelError

if TYPE_CHECKING:
    from export.attribution import Attribution

SETTINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("8 bits, one scale for each layer", {"weight_bits": 8, "per_channel": False}),
    ("8 bits, a scale for each channel where it helps", {"weight_bits": 8}),
    ("8 bits, calibrated", {"weight_bits": 8, "calibrated": True}),
    ("16 bits: two synapses a weight", {"weight_bits": 16}),
    ("16 bits, calibrated", {"weight_bits": 16, "calibrated": True}),
)
"""What is tried, from the cheapest to the dearest; every one has the finer scales of those
before."""

CHOSEN = ("weight_bits", "per_channel")
"""Options that a search for a setting chooses itself."""


@dataclass(frozen=True)
class Tried:
    """One setting and what it gave.

    same          samples whose prediction is that of floating point; None: there are no such
                  integers
    weight_bytes  of the weights of all projections
    error         why there are none
    """

    name: str
    same: int | None
    samples: int
    weight_bytes: int | None
    error: str = ""

    @property
    def share(self) -> float:
        """Of predictions that agree, 0 to 1."""
        return 0.0 if self.same is None else self.same / self.samples

    def line(self) -> str:
        """For the terminal."""
        if self.same is None:
            return f"{self.name}: not possible: {self.error}"
        low, high = (100 * end for end in summary.accuracy(self.same, self.samples)["interval"])
        return (
            f"{self.name}: {self.same} of {self.samples} predictions agree, "
            f"{100 * self.share:.2f} % (95 % interval {low:.2f} to {high:.2f} %), "
            f"{self.weight_bytes:,} bytes of weights"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "setting": self.name,
            "same": self.same,
            "samples": self.samples,
            "share": self.share,
            "weight_bytes": self.weight_bytes,
            "error": self.error or None,
        }


@dataclass(frozen=True)
class Cheapest:
    """The cheapest setting that reached a share of equal predictions; ``tried``: all up to it."""

    ways: Ways
    tried: tuple[Tried, ...]

    def lines(self) -> list[str]:
        """For the terminal."""
        return [*(one.line() for one in self.tried), f"taken: {self.tried[-1].name}"]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"taken": self.tried[-1].name, "tried": [one.to_dict() for one in self.tried]}


def samples_of(job: Job, source: SampleSource | Samples | None) -> Mapping[str, np.ndarray]:
    """Inputs of the network itself: of a source, behind what stands before the network; without
    one, the typical inputs that scales are chosen for.

    Raises:
        DataError: where there are neither.
    """
    if isinstance(source, Samples):
        return source.inputs
    if source is not None:
        front = fronts.of(job.stage)
        if front is None:
            return source.load(job.program, job.ways.data).inputs
        taken = fronts.given(job.program, source)
        purified, _ = fronts.run(front, taken.values, "fast", Record(), None)
        return taken.encoded(job.program, purified).inputs
    if job.ways.calibration is None:
        raise DataError(
            f"there are no samples: give {parameter('data')}, or typical inputs with "
            f"{parameter('calibration')}"
        )
    return check_inputs(job.program, job.ways.calibration)


def attribute(job: Job, source: SampleSource | Samples | None = None) -> Attribution:
    """What each rounding costs, layer by layer; see ``export.attribution``.

    Args:
        job: the model.
        source: samples; None: the typical inputs that its scales were chosen for.

    Raises:
        ModelError: where its integers were not chosen here.
        DataError: where there are no samples.
    """
    import export

    graph, how = stages.lowering(job.stage, job.ways)
    return export.attribute(graph, samples_of(job, source), **how)


def cheapest(stage: Stage, ways: Ways, share: float) -> Cheapest:
    """The cheapest of ``SETTINGS`` at which the integers predict as floating point does.

    Args:
        stage: the model.
        ways: with typical inputs, ``calibration``, on which predictions are compared; without
            ``CHOSEN``.
        share: of equal predictions that is asked for, above 0, at most 1.

    Raises:
        DataError: where there are no typical inputs.
        ModelError: where no setting reaches the share, or one is given already.
    """
    from export.lower import beside
    from export.rounded import float_predictions

    if given := [name for name in CHOSEN if getattr(ways, name) is not None]:
        raise ModelError(
            f"{parameter('agreement')} chooses {parameter(given[0])} itself; leave that out"
        )
    if ways.calibration is None:
        raise DataError(
            f"{parameter('agreement')} is measured on typical inputs: give "
            f"{parameter('calibration')}"
        )
    if not 0 < share <= 1:
        raise ModelError(f"{parameter('agreement')} is {share!r}; it must be above 0 and at most 1")
    graph, how = stages.lowering(stage, replace(ways, calibration=None))
    wanted: np.ndarray | None = None
    tried: list[Tried] = []
    for name, setting in SETTINGS:
        own = dict(setting)
        if own.pop("calibrated", False):
            own["calibration"] = ways.calibration
        try:
            (program, _), network = beside(graph, **how | own)
        except QuantizationError as error:
            tried.append(Tried(name, None, _count(ways.calibration), None, str(error)))
            continue
        arrays = check_inputs(program, ways.calibration)
        if wanted is None:
            wanted = float_predictions(program, network, arrays)
        predictions = run(program, arrays, "fast").predictions()
        bits = sum(p.weights.size * p.weight_bits for p in program.projections)
        same = int(np.count_nonzero(predictions == wanted))
        tried.append(Tried(name, same, len(wanted), -(-bits // 8)))
        if tried[-1].share >= share:
            chosen = replace(ways, **{"calibration": None, "per_channel": None} | own)
            return Cheapest(chosen, tuple(tried))
    attempts = "; ".join(one.line() for one in tried)
    raise ModelError(
        f"{stage.source}: no setting reaches an agreement of {100 * share:g} %: {attempts}"
    )


def _count(calibration: np.ndarray | Mapping[str, np.ndarray]) -> int:
    """Samples of typical inputs."""
    first = next(iter(calibration.values())) if isinstance(calibration, Mapping) else calibration
    return len(first)
