"""Event recordings as people have them: tonic's structured arrays, and arrays of times, coordinates
and polarities.

    .npy    one structured array with fields t, x, y, p (tonic); p or y may be missing where the
            network does not need it
    .npz    arrays t, x, y, p of the same length; or one structured array ``events``

One file is one recording, so one sample. Times are whole microseconds. Where an event lies on the
network's input follows from that input's shape: (2, height, width) is [polarity, y, x]; (1, height,
width) takes both polarities alike; (n,) takes x as the number of the neuron (a cochlea). Nothing is
dropped in silence: what the last bin does not reach is counted, and what lies outside the sensor is
refused. Other formats (HDF5 of spikes, AEDAT) get a reader in ``READERS``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.parameters import parameter
from toolchain.data import arrays
from toolchain.errors import DataError

FIELDS = ("t", "x", "y", "p")
NEEDED = ("t", "x")
MAX_EVENTS = 1 << 26
"""Most events of one recording: 67 million, more than half an hour of a busy sensor."""

MAX_CELLS = 1 << 28
"""Most cells (step, channel, row, column) that a recording may be binned into, one byte each (four
where events are counted)."""

ACCEPTED = (
    "t, x, y, p as fields of a structured array (.npy, or 'events' in .npz), or as arrays of "
    "an .npz file"
)


@dataclass(frozen=True)
class Binned:
    """A recording as frames [step, *shape] (uint8 for binary inputs, int32 counts for graded ones)
    and what became of its events.

    notes   sentences for people: how many events there are, and what was merged, mapped, or not
            reached
    """

    frames: np.ndarray
    notes: tuple[str, ...]
    counts: Mapping[str, int]


def is_recording(path: str | Path, kind: str) -> bool:
    """Whether a file (of a kind that ``hardware.program_file.sniff`` names) holds events, by the
    names in it; no values are read."""
    if kind == "npy":
        return True
    if kind != "npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return False  # reading it says what is wrong
    return "inputs" not in names and ("events" in names or set(NEEDED) <= names)


def read(path: str | Path, kind: str) -> dict[str, np.ndarray]:
    """Field → int64 [event], in the file's order; "p" and "y" only where the file has them. Raises
    DataError."""
    events = READERS[kind](Path(path))
    unknown = sorted(set(events) - set(FIELDS))
    if unknown or not set(NEEDED) <= set(events):
        held = ", ".join(sorted(events)) or "nothing"
        raise DataError(f"{path}: holds {held}; events must be {ACCEPTED}")
    if not all(array.size for array in events.values()):
        raise DataError(f"{path}: holds no event")
    lengths = {name: array.shape for name, array in events.items()}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        shapes = ", ".join(f"{name} {list(shape)}" for name, shape in lengths.items())
        raise DataError(
            f"{path}: {shapes}; each must be a row of the same length, one number for each event"
        )
    return {name: _whole(path, name, array) for name, array in events.items()}


def _whole(path: str | Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: {name} is of type {array.dtype}; it must hold whole numbers")
    if array.dtype.kind == "f":
        wrong = ~(array == np.trunc(array)) | ~(np.abs(array) < 2**53)
        if wrong.any():
            where = int(wrong.argmax())
            unit = "; times must be in microseconds" if name == "t" else ""
            raise DataError(
                f"{path}: event {where}: {name} is {array[where]:g}; it must be a whole "
                f"number{unit}"
            )
    return array.astype(np.int64)


def _structured(path: Path, where: str, array: np.ndarray) -> dict[str, np.ndarray]:
    if array.dtype.names is None:
        raise DataError(
            f"{path}: {where} is a plain array of type {array.dtype} and shape {array.shape}; "
            f"events must be {ACCEPTED}, and plain "
            "inputs [sample, step, ...] must be the array 'inputs' of an .npz file"
        )
    return {name: array[name] for name in array.dtype.names}


def _npy(path: Path) -> dict[str, np.ndarray]:
    return _structured(path, "the array", arrays.read_one(path, records=True, most=MAX_EVENTS))


def _npz(path: Path) -> dict[str, np.ndarray]:
    members = arrays.read(path, records=True, most=MAX_EVENTS)
    if "events" not in members:
        return members
    if len(members) > 1:
        raise DataError(
            f"{path}: holds {', '.join(sorted(members))}; beside 'events' there must be nothing"
        )
    return _structured(path, "'events'", members["events"])


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {"npy": _npy, "npz": _npz}
"""Kind of file → reader of its fields."""


def binned(
    path: str | Path,
    events: Mapping[str, np.ndarray],
    shape: tuple[int, ...],
    steps: int,
    bin_us: int,
    message_bits: int = 0,
) -> Binned:
    """Events (of ``read``) in ``steps`` bins of ``bin_us`` microseconds from time 0, on an input of
    ``shape``.

    message_bits   of the input: 0, where several events of a cell and bin are one spike; else they
                   are counted

    Raises DataError where an event lies outside of the input, before time 0, or none lies in the
    bins.
    """
    if steps * int(np.prod(shape)) > MAX_CELLS:
        raise DataError(
            f"{path}: {steps:,} steps of {shape}; a recording may have {MAX_CELLS:,} cells"
        )
    place, notes = _places(path, events, shape)
    time = events["t"]
    if time.min() < 0:
        where = int(time.argmin())
        raise DataError(
            f"{path}: event {where}: t is {time[where]:,}; times must be microseconds from 0"
        )

    step = time // bin_us
    inside = step < steps
    late = int(np.count_nonzero(~inside))
    if late == len(time):
        raise DataError(
            f"{path}: no event lies in {steps:,} steps of {bin_us:,} µs: times are {time.min():,} "
            f"to {time.max():,} µs; give more or longer steps ({parameter('steps')}, "
            f"{parameter('bin_us')}), or subtract the time at which the recording starts"
        )
    frames = np.zeros(steps * int(np.prod(shape)), np.int32 if message_bits else np.uint8)
    cells, events_there = np.unique(
        step[inside] * int(np.prod(shape)) + place[inside], return_counts=True
    )
    frames[cells] = events_there if message_bits else 1
    merged = len(time) - late - len(cells)

    span = (
        f"{len(time):,} events, {time.min():,} to {time.max():,} µs, "
        f"in {steps:,} steps of {bin_us:,} µs"
    )
    notes = [span, *notes]
    if late:
        notes.append(f"{late:,} events come after the last step and are no part of the sample")
    if merged and not message_bits:
        notes.append(f"{merged:,} events share a neuron and a step with another: one spike")
    counts = {
        "events": len(time),
        "after_the_last_step": late,
        "merged": 0 if message_bits else merged,
    }
    return Binned(
        frames.reshape(steps, *shape), tuple(notes), counts | {"steps": steps, "bin_us": bin_us}
    )


def _places(
    path: str | Path, events: Mapping[str, np.ndarray], shape: tuple[int, ...]
) -> tuple[np.ndarray, list[str]]:
    """(index of every event in the flattened input, remarks)."""
    notes: list[str] = []
    if len(shape) == 1:
        if "y" in events and events["y"].any():
            raise DataError(
                f"{path}: events have y, and the input has shape {shape}; it must be (polarities, "
                f"height, width), or a row where events "
                "have x alone"
            )
        if "p" in events and len(np.unique(events["p"])) > 1:
            notes.append("both polarities are taken alike: the input is a row of neurons")
        return _inside(path, "x", events["x"], shape[0]), notes
    if len(shape) != 3 or shape[0] not in (1, 2):
        raise DataError(
            f"{path}: the input has shape {shape}; for events it must be (2, height, width), (1, "
            f"height, width), or (n,)"
        )
    missing = [name for name in ("y", *("p" for _ in range(shape[0] - 1))) if name not in events]
    if missing:
        raise DataError(
            f"{path}: has no {missing[0]}; an input of shape {shape} needs t, x, "
            f"y{', p' if shape[0] == 2 else ''}"
        )

    y, x = _inside(path, "y", events["y"], shape[1]), _inside(path, "x", events["x"], shape[2])
    channel = np.zeros_like(x)
    if shape[0] == 2:
        channel = _inside(path, "p", _polarity(events["p"], notes), 2)
    elif "p" in events and len(np.unique(events["p"])) > 1:
        notes.append("both polarities are taken alike: the input has one channel")
    return (channel * shape[1] + y) * shape[2] + x, notes


def _polarity(values: np.ndarray, notes: list[str]) -> np.ndarray:
    if np.isin(values, (-1, 1)).all() and (values == -1).any():
        notes.append("polarities -1 and 1 are channels 0 and 1")
        return (values + 1) // 2
    return values


def _inside(path: str | Path, name: str, values: np.ndarray, size: int) -> np.ndarray:
    wrong = (values < 0) | (values >= size)
    if wrong.any():
        where, many = int(wrong.argmax()), int(np.count_nonzero(wrong))
        raise DataError(
            f"{path}: event {where}: {name} is {values[where]}, and {many:,} of {len(values):,} "
            f"events are outside; the input has 0 "
            f"to {size - 1}"
        )
    return values
