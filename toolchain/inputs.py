"""Input data for a Program: a known data set, encoded as the model was trained, or the user's own .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware import program_file
from hardware.program import Program
from hardware.recording import check_inputs
from toolchain.data.arrays import read as read_arrays
from toolchain.errors import DataError
from toolchain.summary import check_labels


@dataclass(frozen=True)
class Samples:
    """Inputs (name → array [sample, step, *shape], checked against the Program), labels (int64 [sample], or None), and what they are."""

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    description: str


def load(
    source: str,
    program: Program,
    samples: int | None = None,
    *,
    root: Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
) -> Samples:
    """The first ``samples`` samples (None: all) of a file, or of the test part of a data set.

    source    name of a data set in ``toolchain.data``, or a .npz file with ``inputs`` (several inputs: ``inputs/NAME``) and optionally
              ``labels``
    root      folder that holds data sets
    encoding, steps   how a data set is encoded; None: as the Program's metadata says it was in training

    Raises DataError; InputError where the arrays do not fit the Program.
    """
    if Path(source).is_file():
        if root is not None or encoding is not None or steps is not None:
            raise DataError(
                f"{source}: is a file, whose arrays are used as they are; a data folder, an encoding and steps go with a data set"
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
        arrays, labels, description = known(source, program.metadata.get("data", {}), samples, "test", root, encoding, steps)
    inputs = check_inputs(program, arrays)
    if labels is not None:
        labels = check_labels(program, labels)
        count = len(next(iter(inputs.values())))
        if len(labels) != count:
            raise DataError(f"{source}: {len(labels)} labels for {count} samples")
    return Samples(inputs, labels, description)


def _first(source: str, name: str, array: np.ndarray, samples: int | None) -> np.ndarray:
    """The first samples of an array. Raises DataError where it has no axis of samples."""
    if not array.ndim:
        raise DataError(f"{source}: {name} is one number, {array.item()!r}; it must be an array with an entry for each sample")
    return array[:samples]


def known(
    name: str,
    stated: Mapping,
    samples: int | None,
    split: str,
    root: Path | None = None,
    encoding: str | None = None,
    steps: int | None = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Samples of a data set [sample, step, *shape], their labels, and a description; see ``load``. ``stated``: the model's own words."""
    from toolchain import data

    if name not in data.DATASETS:
        raise DataError(f"{name}: there is no such file and no such data set; data sets are {', '.join(data.DATASETS)}")
    if encoding is not None and encoding != stated.get("encoding"):
        stated = {"encoding": encoding}
    description = {**stated, "name": name} | ({} if steps is None else {"steps": steps})
    if "encoding" not in description or "steps" not in description:
        raise DataError(
            f"{name}: the model does not say how its data is encoded: give --encoding ({', '.join(data.ENCODINGS)}) and --steps"
        )
    arrays, labels = data.inputs(description, split, samples=samples, root=root)
    return arrays, labels, f"{name} ({split}, {description['encoding']} encoding)"


def calibration(source: str, stated: Mapping, samples: int = 200) -> np.ndarray | dict[str, np.ndarray]:
    """Typical inputs that scales are chosen for: a file's, or the first of a data set's training part, so that no test sample is used."""
    if Path(source).is_file():
        return read_npz(source)[0]
    if "encoding" not in stated:
        raise DataError(f"{source}: the model does not say how its data is encoded; give a FILE.npz with typical 'inputs'")
    return known(source, stated, samples, "train")[0]


def read_npz(path: str | Path) -> tuple[np.ndarray | dict[str, np.ndarray], np.ndarray | None]:
    """Inputs and labels from a .npz file; nothing is unpickled. Raises DataError."""
    if program_file.sniff(path) != "npz":
        raise DataError(f"{path}: is no .npz file; accepted is one with 'inputs' [sample, step, ...] and optionally 'labels' [sample]")
    arrays = read_arrays(path)
    labels = arrays.pop("labels", None)
    several = {name.removeprefix("inputs/"): array for name, array in arrays.items() if name.startswith("inputs/")}
    known = {"inputs", *(f"inputs/{name}" for name in several)}
    if set(arrays) - known or ("inputs" in arrays) == bool(several):
        held = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(f"{path}: holds {held}; accepted are 'inputs' (or 'inputs/NAME' for each of several) and 'labels'")
    return several or arrays["inputs"], labels
