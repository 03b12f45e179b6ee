"""Input data for a Program: a known data set, encoded as the model was trained, or the user's own .npz file."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware import program_file
from hardware.program import Program
from hardware.recording import check_inputs
from toolchain.errors import DataError
from toolchain.summary import check_labels

MAX_BYTES = 16 << 30
"""Most data that a file may unpack to."""


@dataclass(frozen=True)
class Samples:
    """Inputs (name → array [sample, step, *shape], checked against the Program), labels (int64 [sample], or None), and what they are."""

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    description: str


def load(source: str, program: Program, samples: int | None = None) -> Samples:
    """The first ``samples`` samples (None: all) of a data set or file.

    source    name of a data set in ``toolchain.data``, or a .npz file with ``inputs`` (several inputs: ``inputs/NAME``) and optionally
              ``labels``

    Raises DataError; InputError where the arrays do not fit the Program.
    """
    if samples is not None and samples < 1:
        raise DataError(f"{samples} samples; accepted is 1 or more")
    if Path(source).is_file():
        arrays, labels = read_npz(source)
        description = source
    else:
        arrays, labels, description = known(source, program.metadata.get("data", {}), samples, "test")
    if isinstance(arrays, Mapping):
        arrays = {name: array[:samples] for name, array in arrays.items()}
    else:
        arrays = arrays[:samples]
    inputs = check_inputs(program, arrays)
    if labels is not None:
        labels = check_labels(program, labels[:samples])
        count = len(next(iter(inputs.values())))
        if len(labels) != count:
            raise DataError(f"{source}: {len(labels)} labels for {count} samples")
    return Samples(inputs, labels, description)


def read_npz(path: str | Path) -> tuple[np.ndarray | dict[str, np.ndarray], np.ndarray | None]:
    """Inputs and labels from a .npz file; nothing is unpickled. Raises DataError."""
    if program_file.sniff(path) != "npz":
        raise DataError(f"{path}: is no .npz file; accepted is one with 'inputs' [sample, step, ...] and optionally 'labels' [sample]")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(f"{path}: unpacks to {size:,} bytes; accepted are {MAX_BYTES:,}")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged, or holds Python objects, which are not read: {error}") from None
    labels = arrays.pop("labels", None)
    several = {name.removeprefix("inputs/"): array for name, array in arrays.items() if name.startswith("inputs/")}
    known = {"inputs", *(f"inputs/{name}" for name in several)}
    if set(arrays) - known or ("inputs" in arrays) == bool(several):
        raise DataError(f"{path}: holds {', '.join(sorted(arrays)) or 'nothing'}; accepted are 'inputs' (or 'inputs/NAME' for each of several) and 'labels'")
    return several or arrays["inputs"], labels
