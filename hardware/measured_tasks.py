"""Whole tasks that others measured, and the counts of those that can be estimated here, as data
(hardware/measured/*.toml).

tasks()      every measured task, with its source and how it was read
rebuilt()    those whose counts are at hand, with their workload
to_toml()    the counts of a run in the form of such a file
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from hardware import _toml
from hardware.errors import DeviceError
from hardware.workload import KINDS, LayerLoad, Workload

FOLDER = Path(__file__).parent / "measured"

READ = ("file", "abstract", "quoted")
"""How a figure was read: in the source's own file, in an abstract, or in what another one wrote."""

ENERGIES = ("total_mj", "dynamic_mj", "static_mj", "unstated_mj")

_TEXTS = ("name", "title", "chip", "unit", "read", "source", "note")
_NUMBERS = (*ENERGIES, "time_ms")
_LAYER = (
    "neurons",
    "cores",
    "fullest",
    "updates",
    "spikes",
    "graded",
    "messages_in",
    "messages_out",
    *KINDS,
)


@dataclass(frozen=True)
class MeasuredTask:
    """A measured task; energies in millijoules and time in milliseconds of one ``unit``, None where
    it is not stated.
    """

    name: str
    title: str
    chip: str
    unit: str
    read: str
    source: str
    note: str
    total_mj: float | None = None
    dynamic_mj: float | None = None
    static_mj: float | None = None
    unstated_mj: float | None = None
    time_ms: float | None = None
    counts: str | None = None

    @property
    def static_share(self) -> float | None:
        """Static energy of the total, 0 to 1; None where the source does not state both."""
        if self.total_mj is None or self.dynamic_mj is None:
            return None
        return 1 - self.dynamic_mj / self.total_mj


@dataclass(frozen=True)
class Counts:
    """The counts of a measured task, and what they are of.

    *_sha256   of the files of the network and its inputs, which are not in this repository
    chip       whose cores they are laid out on
    """

    network_sha256: str
    inputs_sha256: str
    chip: str
    source: str
    workload: Workload = field(compare=False)


@cache
def tasks() -> tuple[MeasuredTask, ...]:
    """Every measured task, those that can be rebuilt first.

    Raises DeviceError for a malformed file.
    """
    path = FOLDER / "tasks.toml"
    table, _ = _toml.read(path, DeviceError, ())
    _toml.exactly(path, DeviceError, table, ("task",))
    measured = [
        _task(f"{path}: task {number}", entry) for number, entry in enumerate(table["task"], 1)
    ]
    return tuple(sorted(measured, key=lambda task: task.counts is None))


def _task(where: str, entry: dict[str, Any]) -> MeasuredTask:
    unknown = set(entry) - {*_TEXTS, *_NUMBERS, "counts"}
    missing = [name for name in _TEXTS if not isinstance(entry.get(name), str)]
    if unknown or missing:
        raise DeviceError(
            f"{where}: {sorted(unknown) or missing}; it must have the texts {', '.join(_TEXTS)}, "
            f"and of the numbers {', '.join(_NUMBERS)} those that are stated"
        )

    for name in _NUMBERS:
        if name in entry and not (type(entry[name]) is float and entry[name] > 0):
            raise DeviceError(
                f"{where}: {name} is {entry[name]!r}; it must be a positive number with its point"
            )
    if entry["read"] not in READ or not any(name in entry for name in ENERGIES):
        raise DeviceError(
            f"{where}: read must be one of {', '.join(READ)}, and one of {', '.join(ENERGIES)} "
            "must be stated"
        )
    if "counts" in entry and not {"dynamic_mj", "time_ms"} <= set(entry):
        raise DeviceError(
            f"{where}: a task with counts must state dynamic_mj and time_ms, with which the "
            "estimate is compared"
        )

    return MeasuredTask(**entry)


@cache
def counts(file: str) -> Counts:
    """The counts of a task that can be rebuilt. Raises DeviceError for a malformed file."""
    path = FOLDER / file
    names = ("network_sha256", "inputs_sha256", "chip", "source")
    table, texts = _toml.read(path, DeviceError, names)
    _toml.exactly(path, DeviceError, table, ("steps", "layers"))
    layers = tuple(_load(path, entry) for entry in table["layers"])
    return Counts(**texts, workload=Workload(1, table["steps"], layers))


def _load(path: Path, entry: dict[str, Any]) -> LayerLoad:
    _toml.exactly(path, DeviceError, entry, ("layer", *_LAYER))
    values: dict[str, Any] = {
        name: entry[name] for name in ("layer", "neurons", "cores", "fullest")
    }
    arrays: dict[str, Any] = {
        name: np.array([entry[name]], np.float64) for name in _LAYER if name not in values
    }
    operations = {kind: arrays.pop(kind) for kind in KINDS}
    return LayerLoad(**values, **arrays, operations=operations)


def to_toml(workload: Workload, sample: int = 0) -> str:
    """One sample's counts in the form that ``counts`` reads, without the texts above them."""
    lines = [f"steps = {workload.steps}"]
    for load in workload.layers:
        entry = {name: getattr(load, name) for name in _LAYER if name not in KINDS}
        entry |= load.operations
        lines += ["", "[[layers]]", f'layer = "{load.layer}"']
        lines += [f"{name} = {_plain(value, sample)}" for name, value in entry.items()]
    return "\n".join(lines) + "\n"


def _plain(value: int | np.ndarray, sample: int) -> str:
    number = float(value[sample]) if isinstance(value, np.ndarray) else value
    return str(int(number)) if float(number).is_integer() else repr(number)


def rebuilt() -> tuple[tuple[MeasuredTask, Counts], ...]:
    """The tasks that can be estimated here, with their counts."""
    return tuple((task, counts(task.counts)) for task in tasks() if task.counts is not None)
