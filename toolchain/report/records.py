"""Every sample of a run: what each target made of it, and the attacked inputs themselves.

    run = load("runs/quick")
    columns = records(run)              one row for each record and sample, see ``COLUMNS``
    for found in samples(run):          the inputs of each attack, made once for all targets
        found.attack, found.inputs

``spikeport.open_run`` has both as methods. ``write`` puts the same into files: records.npz (and
.parquet), and samples/KEY.npz.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.parameters import parameter
from toolchain import files
from toolchain.cells.store import Store
from toolchain.errors import OutputError
from toolchain.report.comparing import inference_seed
from toolchain.report.counts import dynamic
from toolchain.report.run import ReportError, StoredRun
from toolchain.robustness.records import Scored

RECORDS = "records"
"""Name of the file of all records, without its ending."""

_SAID = ("model", "target", "name", "family", "crafted_on", "norm", "epsilon", "seed", "crafted")
"""Of the description: the same for all samples of a record."""

_EACH: Mapping[str, Callable[[Scored], np.ndarray]] = {
    "index": lambda record: record.index,
    "label": lambda record: record.classified[0],
    "prediction": lambda record: record.classified[1],
    "correct": lambda record: record.correct,
    "margin": lambda record: record.margin,
    "distance": lambda record: record.distance,
    "dynamic_j": dynamic,
}
"""Of each sample."""

COLUMNS = (*_SAID, "inference_seed", *_EACH)
"""Of ``records``: model, target; the attack ("clean" without one), its family, where it was
made, the norm and radius of the threat, its seed; key of the inputs (``Samples.key``); seed of
the inference; position of the sample in the data set; label and prediction; whether they are equal;
score of the label minus the best other; size of the change in the norm; dynamic energy of the
inference in joules."""


@dataclass(frozen=True, eq=False)
class StoredSamples:
    """The inputs of one attack at one radius and seed, as all targets saw them.

    key       of the inputs: "crafted" in the records
    attack    its name; "clean": without an attack
    index     int64 [sample]: positions in the data set
    labels    int64 [sample]
    inputs    [sample, channel, height, width] in [0, 1], or events uint8 [sample, step, ...]
    """

    key: str
    model: str
    attack: str
    crafted_on: str
    norm: str
    epsilon: float
    seed: int
    index: np.ndarray
    labels: np.ndarray
    inputs: np.ndarray


def records(run: StoredRun) -> dict[str, np.ndarray]:
    """Column → values, one for each record and sample, see ``COLUMNS``."""
    sizes = [len(record.index) for record in run.records]
    columns = {}
    for name in _SAID:
        values = [record.description[name] for record in run.records]
        columns[name] = np.repeat(np.array(values), sizes)
    seeds = [inference_seed(record) for record in run.records]
    columns["inference_seed"] = np.repeat(np.array(seeds), sizes)
    for name, read in _EACH.items():
        columns[name] = np.concatenate([read(record) for record in run.records])
    return columns


def samples(run: StoredRun) -> Iterator[StoredSamples]:
    """The inputs of every attack and of clean samples, each once.

    Raises:
        ReportError: the store does not hold inputs that a record is of.
    """
    largest: dict[str, Scored] = {}
    for record in run.records:
        key = record.description["crafted"]
        if key not in largest or len(record.index) > len(largest[key].index):
            largest[key] = record
    with Store(run.folder, read_only=True) as store:
        for key, record in largest.items():
            yield _samples(key, record, store)


def _samples(key: str, record: Scored, store: Store) -> StoredSamples:
    description, size = record.description, len(record.index)
    inputs = store.get(key)[1].get("adversarial")
    if inputs is None or len(inputs) < size:
        raise ReportError(
            f"cell {key[:12]}: holds no inputs of {size} samples; run 'spikeport bench' again"
        )
    return StoredSamples(
        key,
        description["model"],
        description["name"],
        description["crafted_on"],
        description["norm"],
        description["epsilon"],
        description["seed"],
        record.index,
        record.classified[0],
        inputs[:size],
    )


def write(
    run: StoredRun, folder: str | Path, *, parquet: bool = False, force: bool = False
) -> list[Path]:
    """Write every sample of a run.

    FOLDER/records.npz (and .parquet) has an array for each of ``COLUMNS``; FOLDER/samples/KEY.npz
    has "inputs", "index" and "labels"; FOLDER/samples.json says which attack each KEY is.

    Args:
        run: of ``run.load``.
        folder: is made where it does not exist.
        parquet: the records as Parquet, too.
        force: whether files that exist may be replaced.

    Returns:
        The files.

    Raises:
        OutputError: a file exists or cannot be written, or there is nothing that writes Parquet.
        ReportError: the store does not hold inputs that a record is of.
    """
    folder, columns = Path(folder), records(run)
    keys = list(dict.fromkeys(columns["crafted"].tolist()))
    contents = {f"{RECORDS}.npz": _npz(columns)}
    if parquet:
        contents[f"{RECORDS}.parquet"] = _parquet(columns)
    files.claim_folder(folder, [*contents, "samples.json"], force)
    files.claim_folder(folder / "samples", [f"{key}.npz" for key in keys], force)

    said = {}
    for cell in samples(run):
        parts = {"inputs": cell.inputs, "index": cell.index, "labels": cell.labels}
        files.write_bytes(folder / "samples" / f"{cell.key}.npz", _npz(parts), force)
        names = ("model", "attack", "crafted_on", "norm", "epsilon", "seed")
        said[cell.key] = {name: getattr(cell, name) for name in names}
    for name, content in contents.items():
        files.write_bytes(folder / name, content, force)
    files.write_text(folder / "samples.json", json.dumps(said, indent=2) + "\n", force)
    named = [folder / name for name in (*contents, "samples.json")]
    return named + [folder / "samples" / f"{key}.npz" for key in keys]


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer, named = io.BytesIO(), dict[str, Any](arrays)
    np.savez_compressed(buffer, **named)
    return buffer.getvalue()


def _parquet(columns: Mapping[str, np.ndarray]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise OutputError(
            f"Parquet needs pyarrow, and here it says: {error}; pip install "
            f"'spikeport[parquet]', or leave {parameter('parquet')} out for npz alone"
        ) from None
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(dict(columns)), buffer)
    return buffer.getvalue()
