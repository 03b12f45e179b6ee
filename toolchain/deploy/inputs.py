"""Input data for a Program: a known data set, encoded as the model was trained, the user's own .npz
file, or a recording of events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware import _files, program_file
from hardware.parameters import parameter
from hardware.program import Program
from hardware.recording import check_inputs
from toolchain.data import Encoding, event_files
from toolchain.data.arrays import read as read_arrays
from toolchain.deploy.summary import check_labels
from toolchain.errors import DataError
from toolchain.remarks import Remark, time_first


@dataclass(frozen=True)
class Samples:
    """Inputs (name → array [sample, step, *shape], checked against the Program), labels (int64
    [sample], or None), and what they are.

    notes    what became of events on the way, for people
    events   the same in numbers (``toolchain.data.event_files.Binned.counts``); None where the
             inputs are no recording
    warnings   of inputs that look like a mistake
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    description: str
    notes: tuple[str, ...] = ()
    events: Mapping[str, int] | None = None
    warnings: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class SampleSource:
    """Where samples come from, and how they become inputs: every option once.

    name      a data set of ``toolchain.data``, or a file, see ``load``
    samples   the first so many; None: all
    root      folder that holds data sets
    encoding, steps, bits, rate, bin_us   as ``toolchain.data.Encoding``; None: as the model says
    """

    name: str
    samples: int | None = None
    root: Path | None = None
    encoding: str | None = None
    steps: int | None = None
    bits: int | None = None
    rate: float | None = None
    bin_us: int | None = None

    def encoded(self) -> dict[str, Any]:
        """The fields of an encoding that are given."""
        own = {name: getattr(self, name) for name in ENCODED}
        return {name: value for name, value in own.items() if value is not None}

    def load(self, program: Program, stated: Mapping[str, Any] | None = None) -> Samples:
        """The samples for a Program; see ``load``."""
        options = self.encoded()
        return load(self.name, program, self.samples, root=self.root, stated=stated, **options)


ENCODED = ("encoding", "steps", "bits", "rate", "bin_us")
"""Fields of ``SampleSource`` that say how a data set becomes inputs."""


def load(
    source: str,
    program: Program,
    samples: int | None = None,
    *,
    root: Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
    bin_us: int | None = None,
    bits: int | None = None,
    rate: float | None = None,
    stated: Mapping[str, Any] | None = None,
) -> Samples:
    """The first ``samples`` samples (None: all) of a file, or of the test part of a data set.

    source    name of a data set in ``toolchain.data``; a .npz file with ``inputs`` (several inputs:
              ``inputs/NAME``) and optionally ``labels``; or a recording of events, one sample
              (``toolchain.data.event_files``)
    root      folder that holds data sets
    encoding, steps, bin_us, bits, rate   how a data set is encoded, and events are binned; None: as
                              the Program's metadata says it was in training
    stated    what is known of the data where the Program's metadata says nothing

    Raises DataError; InputError where the arrays do not fit the Program.
    """
    stated = program.metadata.get("data") or stated or {}
    notes: tuple[str, ...] = ()

    if Path(source).is_file():
        kind = program_file.sniff(source)
        if bits is not None or rate is not None:
            raise DataError(f"{source}: is a file; bits and rate go with a data set of images")
        if event_files.is_recording(source, kind):
            return _recording(source, kind, program, samples, root, encoding, steps, bin_us, stated)
        if root is not None or encoding is not None or steps is not None or bin_us is not None:
            raise DataError(
                f"{source}: is a file, whose arrays are used as they are; a data folder, an "
                f"encoding, steps and bins go with a data set"
            )
        arrays, labels = read_npz(source)
        labels = None if labels is None else _first(source, "labels", labels, samples)
        arrays = (
            {name: _first(source, name, array, samples) for name, array in arrays.items()}
            if isinstance(arrays, Mapping)
            else _first(source, "inputs", arrays, samples)
        )
        description = source
    else:
        options = {"steps": steps, "bin_us": bin_us, "bits": bits, "rate": rate}
        arrays, labels, description, notes = known(
            source, stated, samples, "test", root, encoding, **options
        )
        arrays = _laid_out(arrays, program)

    inputs = check_inputs(program, arrays)
    count, length = next(iter(inputs.values())).shape[:2]

    if labels is not None:
        labels = check_labels(program, labels)
        if len(labels) != count:
            first = (
                f": it looks like [step, sample, ...]; inputs must be [sample, step, ...], not "
                f"{count} x {length}"
            )
            raise DataError(
                f"{source}: {len(labels)} labels for {count} "
                f"samples{first if len(labels) == length else ''}"
            )

    warned = tuple(time_first(count, length, stated.get("steps")))
    return Samples(inputs, labels, description, notes, warnings=warned)


def _recording(
    source: str,
    kind: str,
    program: Program,
    samples: int | None,
    root: Path | None,
    encoding: str | None,
    steps: int | None,
    bin_us: int | None,
    stated: Mapping[str, Any],
) -> Samples:
    """A recording of events as one sample of the Program's input; bins as asked, or as the model
    was trained."""
    if root is not None or encoding not in (None, "events") or samples not in (None, 1):
        raise DataError(
            f"{source}: is a recording of events, one sample; a data folder, another encoding and "
            f"more samples go with a data set"
        )
    if len(program.inputs) != 1:
        raise DataError(
            f"{source}: is a recording of events for one input; the Program has "
            f"{len(program.inputs)}"
        )
    stated = stated if stated.get("encoding") == "events" else {}
    steps, bin_us = (
        steps or stated.get("steps"),
        bin_us or stated.get("bin_us", Encoding.bin_us if stated else None),
    )
    if steps is None or bin_us is None:
        raise DataError(
            f"{source}: the model does not say how events are binned: give {parameter('steps')} "
            f"and {parameter('bin_us')} (microseconds of a step)"
        )

    part = program.inputs[0]
    events = event_files.read(source, kind)
    binned = event_files.binned(source, events, part.shape, steps, bin_us, part.message_bits)
    inputs = check_inputs(program, binned.frames[None])
    description = f"{source} ({binned.counts['events']:,} events)"
    return Samples(inputs, None, description, binned.notes, binned.counts)


def _first(source: str, name: str, array: np.ndarray, samples: int | None) -> np.ndarray:
    """The first samples of an array. Raises DataError where it has no axis of samples."""
    if not array.ndim:
        raise DataError(
            f"{source}: {name} is one number, {array.item()!r}; it must be an array with an entry "
            f"for each sample"
        )
    return array[:samples]


def known(
    name: str,
    stated: Mapping[str, Any],
    samples: int | None,
    split: str,
    root: Path | None = None,
    encoding: str | None = None,
    **told: float | None,
) -> tuple[np.ndarray, np.ndarray, str, tuple[str, ...]]:
    """Samples of a data set [sample, step, *shape], their labels, a description, and notes; see
    ``load``. ``stated``: the model's own words; ``told``: fields of the encoding, None where
    nothing was said."""
    from toolchain import data

    if name not in data.DATASETS and Path(name).exists():
        raise DataError(
            f"{name}: is {_files.kind(name)}; a file (.npz, .npy) or the name of a data set must "
            f"be given; {parameter('data_root')} says in which folder data sets lie"
        )
    if name not in data.DATASETS:
        raise DataError(
            f"{name}: there is no such file and no such data set; data sets are "
            f"{', '.join(data.DATASETS)}"
        )
    if encoding is not None and encoding != stated.get("encoding"):
        stated = {"encoding": encoding}
    description = {**stated, "name": name} | {
        key: value for key, value in told.items() if value is not None
    }
    if "encoding" not in description or "steps" not in description:
        raise DataError(
            f"{name}: the model does not say how its data is encoded: give "
            f"{parameter('encoding')} ({', '.join(data.ENCODINGS)}) and {parameter('steps')}"
        )
    dataset, how = (
        data.load(name, split, root=root, samples=samples),
        Encoding.from_description(description),
    )
    return (
        how.encode(dataset, slice(None)),
        dataset.labels,
        f"{name} ({split}, {how.kind} encoding)",
        how.notes(dataset),
    )


def _laid_out(array: np.ndarray, program: Program) -> np.ndarray:
    """Images [sample, step, *shape] for a Program that reads them in another shape of as many
    values (pixels in a row), filled in C order; anything else as it is."""
    shape = program.inputs[0].shape
    if len(program.inputs) != 1 or array.shape[2:] == shape:
        return array
    if np.prod(array.shape[2:]) != np.prod(shape):
        return array  # refused where the Program checks its inputs, which names both shapes
    return array.reshape(*array.shape[:2], *shape)


def calibration(
    source: str,
    stated: Mapping[str, Any],
    samples: int = 200,
    *,
    root: Path | None = None,
    shape: tuple[int, ...] | None = None,
) -> np.ndarray | dict[str, np.ndarray]:
    """Typical inputs that scales are chosen for: a file's, or the first of a data set's training
    part, so that no test sample is used.

    Args:
        source: a ``.npz``, or a data set.
        stated: how the model's samples are encoded.
        samples: of a data set.
        root: folder that holds data sets.
        shape: that a step of a data set's sample is laid out in; None: its own.

    Raises:
        DataError: where a data set's encoding is not known.
    """
    if Path(source).is_file():
        return read_npz(source)[0]
    if Path(source).exists():
        raise DataError(
            f"{source}: is {_files.kind(source)}; typical inputs must be a .npz file or the name "
            "of a data set"
        )
    if "encoding" not in stated:
        raise DataError(
            f"{source}: the model does not say how its data is encoded; say it with "
            f"{parameter('data')}, {parameter('encoding')} and {parameter('steps')}, or give a "
            "FILE.npz with typical 'inputs'"
        )
    values = known(source, stated, samples, "train", root)[0]
    return values if shape is None else values.reshape(*values.shape[:2], *shape)


def read_npz(path: str | Path) -> tuple[np.ndarray | dict[str, np.ndarray], np.ndarray | None]:
    """Inputs and labels from a .npz file; nothing is unpickled. Raises DataError."""
    kind = program_file.sniff(path)
    if kind != "npz":
        problem = "is empty (0 bytes)" if kind == "empty" else "is no .npz file"
        raise DataError(
            f"{path}: {problem}; it must be one with 'inputs' [sample, step, ...] and "
            f"optionally 'labels' [sample]"
        )

    arrays = read_arrays(path)
    labels = arrays.pop("labels", None)
    several = {
        name.removeprefix("inputs/"): array
        for name, array in arrays.items()
        if name.startswith("inputs/")
    }

    known = {"inputs", *(f"inputs/{name}" for name in several)}
    if set(arrays) - known or ("inputs" in arrays) == bool(several):
        held = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(
            f"{path}: holds {held}; it must hold 'inputs' (or 'inputs/NAME' for each of several) "
            f"and may hold 'labels'"
        )
    return several or arrays["inputs"], labels
