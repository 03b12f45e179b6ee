"""What stands before a network (``model.front``, a purifier), where commands run, compare and
export models.

Images go through the front on the target, its spiking parts as Programs and the rest on the host,
and are then encoded as the network was trained; the parts' Recordings, audits and files stand
beside the network's own, so that nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hardware import program_file
from hardware.program import Program
from hardware.recording import Record, Recording, check_inputs
from toolchain.data.datasets import intensity_bits
from toolchain.deploy import agreement, execution, stages
from toolchain.deploy.inputs import Samples, SampleSource
from toolchain.deploy.stage import Stage
from toolchain.deploy.ways import Ways
from toolchain.errors import DataError

if TYPE_CHECKING:
    from torch import nn

    from toolchain.data import Dataset, Encoding
    from toolchain.purification.front import Front


def of(stage: Stage) -> Front | None:
    """The front of a stage's model; None where it has none (files behind a checkpoint are single
    networks)."""
    front: Front | None = getattr(stage.module, "front", None)
    return front


def made(front: Front | None) -> dict[str, Program]:
    """Part of a front → its Program; nothing where there is no front."""
    return {} if front is None else {n: lowered.program for n, lowered in front.programs().items()}


@dataclass(frozen=True)
class Images:
    """Images of a data set, float32 [sample, channel, height, width] in [0, 1], and the way from
    images to a network's inputs."""

    values: np.ndarray
    labels: np.ndarray
    description: str
    dataset: Dataset
    encoding: Encoding

    def encoded(self, program: Program, images: np.ndarray) -> Samples:
        """Inputs of the network behind the front, for what came out of it: rounded to the data
        set's grey levels, then encoded."""
        dataset, dtype = self.dataset, np.asarray(self.dataset.values).dtype
        levels = np.clip(
            np.rint(images * (1 << intensity_bits(dataset.maximum))), 0, dataset.maximum
        ).astype(dtype)
        inputs = self.encoding.encode(replace(dataset, values=levels), slice(None))
        return Samples(check_inputs(program, inputs), self.labels, self.description)


def images(
    program: Program,
    source: str,
    samples: int | None = None,
    *,
    root: Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
    bin_us: int | None = None,
    bits: int | None = None,
    rate: float | None = None,
) -> Images:
    """The first ``samples`` test images of a data set, for a model with a front; arguments as
    ``toolchain.deploy.inputs.load``.

    Raises DataError for a file (which holds inputs that are encoded already), and for an encoding
    or steps other than the network's own.
    """
    from toolchain import data

    if source not in data.DATASETS:
        raise DataError(
            f"{source}: this model has a front, which takes images; the data must be one of "
            f"{', '.join(data.DATASETS)}"
        )
    if any(value is not None for value in (encoding, steps, bin_us, bits, rate)):
        raise DataError(
            "an encoding or steps of one's own: what is behind a front is encoded as it was "
            "trained; leave them out"
        )
    dataset = data.load(source, "test", root=root, samples=samples)
    if dataset.is_events:
        raise DataError(f"{source}: are events; with a front they must be images")
    own = data.Encoding.from_description(program.metadata["data"])
    return Images(
        dataset.images(),
        dataset.labels,
        f"{source} (test, through the front, {own.kind} encoding)",
        dataset,
        own,
    )


def given(program: Program, source: SampleSource) -> Images:
    """The images of a source; see ``images``."""
    return images(program, source.name, source.samples, root=source.root, **source.encoded())


def run(
    front: Front,
    given: np.ndarray,
    target: str,
    record: Record = Record(),
    batch: int | None = None,
) -> tuple[np.ndarray, dict[str, Recording]]:
    """(images behind the front, part → Recording) of a target; as ``front.run`` with a Record."""

    def runner(part: str, module: nn.Module, program: Program, inputs: np.ndarray) -> Recording:
        return execution.execute(
            _stage(part, module), program, {"input": inputs}, target, record=record, batch=batch
        )

    return front.run(given, target, runner)


def compare(
    front: Front, given: np.ndarray, targets: list[str], batch: int | None = None
) -> tuple[np.ndarray, dict[str, agreement.Agreement]]:
    """(images behind the front on the first target, part → Agreement of all targets on the same
    inputs)."""
    agreements: dict[str, agreement.Agreement] = {}

    def runner(part: str, module: nn.Module, program: Program, inputs: np.ndarray) -> Recording:
        def one(target: str, arrays: Mapping[str, np.ndarray], record: Record) -> Recording:
            return execution.execute(
                _stage(part, module), program, arrays, target, record=record, batch=batch
            )

        agreements[part] = agreement.agree(program, {"input": inputs}, targets, one)
        return one(targets[0], {"input": inputs}, Record())

    return front.run(given, targets[0], runner)[0], agreements


def _stage(part: str, module: nn.Module) -> Stage:
    return Stage(f"front: {part}", "checkpoint", module=module)


def beside(path: Path, part: str) -> Path:
    """The file of a part beside that of its network: digits.h5 → digits.front.noise.h5."""
    return path.with_name(f"{path.stem}.front.{part}{path.suffix}")


def files_of(front: Front | None, path: Path | None) -> list[Path]:
    """The files that ``export`` or a saved Recording adds."""
    return (
        [] if front is None or path is None else [beside(path, part) for part in front.programs()]
    )


def export(
    front: Front, path: Path, force: bool = False, dt: float | None = None
) -> dict[str, Path]:
    """Write every part as a Program (.h5) or a NIR graph (.nir, which needs dt in seconds) beside
    ``path``; part → file."""
    import export as exporting

    written = {}
    for part, (program, _) in front.programs().items():
        written[part] = beside(path, part)
        if path.suffix == ".nir":
            exporting.write(
                stages.to_graph(_stage(part, getattr(front, part)), Ways(dt=dt)),
                written[part],
                force=force,
            )
        else:
            program_file.save(program, written[part], force=force)
    return written


def plan_text(front: Front) -> str:
    """The host plan for reading, a line for each step."""
    return "\n".join(
        f"{entry['where']:5} {entry['step']}: {entry['what']} ({entry['why']})"
        for entry in front.plan()
    )
