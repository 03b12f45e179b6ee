"""Tasks that others measured, and how far the estimate is from those of them that can be estimated here.

    for row in compare(Device.load("loihi-sanafe")): print(row.text())

A task can be rebuilt where its counts are at hand (hardware/measured/*.toml): then it is charged like any run, with the same
code, and what the estimate gives is set beside what was measured. From that follow, for each table,

    error factor   the largest of estimate/measured and measured/estimate over the tasks: bands are widened by it
    calibration    the geometric mean of measured/estimate over the tasks of the chip's generation

With one task both are of that task alone (n = 1): how well a calibrated estimate does on a task that it was not calibrated on
cannot be said, since leaving the one out leaves none. With several, ``leave_one_out`` says it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from hardware import _toml
from hardware.charging import charge
from hardware.chip import Chip
from hardware.device import Device
from hardware.errors import DeviceError
from hardware.workload import KINDS, LayerLoad, Workload

FOLDER = Path(__file__).parent / "measured"

READ = ("file", "abstract", "quoted")
"""How a figure was read: in the source's own file, in an abstract, or in what another one wrote."""

ENERGIES = ("total_mj", "dynamic_mj", "static_mj", "unstated_mj")

_TEXTS = ("name", "title", "chip", "unit", "read", "source", "note")
_NUMBERS = (*ENERGIES, "time_ms")
_LAYER = ("neurons", "cores", "fullest", "updates", "spikes", "graded", "messages_in", "messages_out", *KINDS)


@dataclass(frozen=True)
class Task:
    """A measured task; energies in millijoules and time in milliseconds of one ``unit``, None where it is not stated."""

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
    """The counts of a measured task: what they are of, and the workload that an estimate needs."""

    program: str
    chip: str
    source: str
    workload: Workload = field(compare=False)


@dataclass(frozen=True)
class Comparison:
    """A table's estimate of one measured task beside the measurement; joules and seconds of one unit.

    dynamic_ratio, time_ratio   estimate over measured
    """

    task: str
    title: str
    unit: str
    chip: str
    device: str
    dynamic_j: float
    measured_dynamic_j: float
    dynamic_ratio: float
    time_s: float
    measured_time_s: float
    time_ratio: float
    limited_by: str

    def text(self) -> str:
        """In one line, for reading."""
        return (
            f"{self.title}, {self.device}: dynamic {1e3 * self.dynamic_j:.2f} mJ, measured "
            f"{1e3 * self.measured_dynamic_j:.2f} ({self.dynamic_ratio:.2f} times); time {1e3 * self.time_s:.2f} ms, "
            f"measured {1e3 * self.measured_time_s:.2f} ({self.time_ratio:.2f} times), limited by {self.limited_by}"
        )


@dataclass(frozen=True)
class Error:
    """What the measured tasks say about one table's estimates.

    tasks                        names of the tasks it is from
    dynamic_factor, time_factor  1 or more: no task is farther from its estimate
    dynamic_calibration, time_calibration   times the estimate is the measured, in the geometric mean; None without a task
    dynamic_left_out, time_left_out   of each task, the calibrated estimate over the measured, calibrated on the others alone;
                                 None where there are fewer than two tasks
    """

    tasks: tuple[str, ...]
    dynamic_factor: float
    time_factor: float
    dynamic_calibration: float | None
    time_calibration: float | None
    dynamic_left_out: tuple[float, ...] | None
    time_left_out: tuple[float, ...] | None


@cache
def tasks() -> tuple[Task, ...]:
    """Every measured task, those that can be rebuilt first. Raises DeviceError for a malformed file."""
    path = FOLDER / "tasks.toml"
    table, _ = _toml.read(path, DeviceError, ())
    _toml.exactly(path, DeviceError, table, ("task",))
    found = [_task(f"{path}: task {number}", entry) for number, entry in enumerate(table["task"], 1)]
    return tuple(sorted(found, key=lambda task: task.counts is None))


def _task(where: str, entry: dict) -> Task:
    unknown = set(entry) - {*_TEXTS, *_NUMBERS, "counts"}
    missing = [name for name in _TEXTS if not isinstance(entry.get(name), str)]
    if unknown or missing:
        raise DeviceError(f"{where}: {sorted(unknown) or missing}; it must have the texts {', '.join(_TEXTS)}, and numbers of {_NUMBERS}")
    for name in _NUMBERS:
        if name in entry and not (type(entry[name]) is float and entry[name] > 0):
            raise DeviceError(f"{where}: {name} is {entry[name]!r}; it must be a positive number with its point")
    if entry["read"] not in READ or not any(name in entry for name in ENERGIES):
        raise DeviceError(f"{where}: read must be one of {', '.join(READ)}, and one of {', '.join(ENERGIES)} must be stated")
    if "counts" in entry and not {"dynamic_mj", "time_ms"} <= set(entry):
        raise DeviceError(f"{where}: a task with counts must state dynamic_mj and time_ms, which estimates are compared with")
    return Task(**entry)


@cache
def counts(file: str) -> Counts:
    """The counts of a task that can be rebuilt. Raises DeviceError for a malformed file."""
    path = FOLDER / file
    table, texts = _toml.read(path, DeviceError, ("program", "chip", "source"))
    _toml.exactly(path, DeviceError, table, ("steps", "layers"))
    layers = tuple(_load(path, entry) for entry in table["layers"])
    return Counts(**texts, workload=Workload(1, table["steps"], layers))


def _load(path: Path, entry: dict) -> LayerLoad:
    _toml.exactly(path, DeviceError, entry, ("layer", *_LAYER))
    values = {name: entry[name] for name in ("layer", "neurons", "cores", "fullest")}
    arrays = {name: np.array([entry[name]], np.float64) for name in _LAYER if name not in values}
    operations = {kind: arrays.pop(kind) for kind in KINDS}
    return LayerLoad(**values, **arrays, operations=operations)


def to_toml(workload: Workload, sample: int = 0) -> str:
    """One sample's counts in the form that ``counts`` reads, without the texts above them."""
    lines = [f"steps = {workload.steps}"]
    for load in workload.layers:
        entry = {name: getattr(load, name) for name in _LAYER if name not in KINDS} | dict(load.operations)
        lines += ["", "[[layers]]", f'layer = "{load.layer}"']
        lines += [f"{name} = {_plain(value, sample)}" for name, value in entry.items()]
    return "\n".join(lines) + "\n"


def _plain(value: int | np.ndarray, sample: int) -> str:
    number = float(value[sample]) if isinstance(value, np.ndarray) else value
    return str(int(number)) if float(number).is_integer() else repr(number)


def rebuilt() -> tuple[tuple[Task, Counts], ...]:
    """The tasks that can be estimated here, with their counts."""
    return tuple((task, counts(task.counts)) for task in tasks() if task.counts is not None)


def compare(device: Device) -> tuple[Comparison, ...]:
    """A spiking table's estimate beside every measured task that can be rebuilt; () for a conventional one."""
    return tuple(_compare(device, task, kept) for task, kept in rebuilt()) if device.step_times else ()


def _compare(device: Device, task: Task, kept: Counts) -> Comparison:
    found = charge(kept.workload, device)
    dynamic, time = float(found.dynamic_j.mean()), float(found.time_s.mean())
    measured, took = task.dynamic_mj * 1e-3, task.time_ms * 1e-3
    return Comparison(
        task=task.name,
        title=task.title,
        unit=task.unit,
        chip=task.chip,
        device=device.name,
        dynamic_j=dynamic,
        measured_dynamic_j=measured,
        dynamic_ratio=dynamic / measured,
        time_s=time,
        measured_time_s=took,
        time_ratio=time / took,
        limited_by=found.limit.text(),
    )


def error(rows: Sequence[Comparison], chip: Chip) -> Error:
    """What comparisons of one table say about its estimates for a chip.

    Bands are widened by tasks of every generation; a calibration is of tasks of the chip's own.
    """
    own = [row for row in rows if row.chip == chip.generation]
    dynamic, time = [row.dynamic_ratio for row in own], [row.time_ratio for row in own]
    return Error(
        tasks=tuple(row.task for row in rows),
        dynamic_factor=_farthest([row.dynamic_ratio for row in rows]),
        time_factor=_farthest([row.time_ratio for row in rows]),
        dynamic_calibration=1 / _geometric(dynamic) if own else None,
        time_calibration=1 / _geometric(time) if own else None,
        dynamic_left_out=leave_one_out(dynamic),
        time_left_out=leave_one_out(time),
    )


def _farthest(ratios: Sequence[float]) -> float:
    return max((max(ratio, 1 / ratio) for ratio in ratios), default=1.0)


def _geometric(ratios: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def leave_one_out(ratios: Sequence[float]) -> tuple[float, ...] | None:
    """Of each estimate/measured, what is left of it when it is calibrated on all others; None for fewer than two."""
    if len(ratios) < 2:
        return None
    return tuple(ratio / _geometric([*ratios[:i], *ratios[i + 1 :]]) for i, ratio in enumerate(ratios))


def static_shares() -> tuple[int, float, float]:
    """(measured tasks that state total and dynamic energy, smallest share of static energy, largest), shares 0 to 1."""
    shares = [task.static_share for task in tasks() if task.static_share is not None]
    return len(shares), min(shares), max(shares)


def facts(devices: Sequence[Device]) -> dict:
    """What every page says about the error of these tables, as plain JSON values: the comparisons, the two sentences, and
    every measured task."""
    rows = [row for device in devices for row in compare(device)]
    return {
        "measured": [asdict(row) for row in rows],
        "measured_text": sentence(rows),
        "static_text": static_sentence(),
        "tasks": [asdict(task) | {"static_share": task.static_share} for task in tasks()],
    }


def sentence(rows: Sequence[Comparison]) -> str:
    """How far the tables are from the measured tasks that can be rebuilt, for every page."""
    if not rows:
        return "No measured task can be rebuilt with these tables: their error is not known."
    parts = []
    for name in dict.fromkeys(row.task for row in rows):
        here = [row for row in rows if row.task == name]
        first = here[0]
        parts.append(
            f"{first.title} (measured on {first.chip}: {1e3 * first.measured_dynamic_j:.2f} mJ dynamic, "
            f"{1e3 * first.measured_time_s:.2f} ms): the tables give {_times([r.dynamic_ratio for r in here])} the measured "
            f"dynamic energy and {_times([r.time_ratio for r in here])} the measured time"
        )
    return f"Against measurement: {'; '.join(parts)}. {_tasks_text(rows)}"


def _times(ratios: Sequence[float]) -> str:
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return f"{low} times" if low == high else f"{low} to {high} times"


def _tasks_text(rows: Sequence[Comparison]) -> str:
    number = len({row.task for row in rows})
    if number == 1:
        return (
            "It is the only measured task that can be rebuilt here (n = 1), so how well a calibrated estimate does on another "
            "task cannot be said: leaving the one out leaves none. Bands are widened by these factors, to both sides."
        )
    return f"Bands are widened by the largest of these factors (n = {number} tasks), to both sides."


def static_sentence() -> str:
    """How much of the measured totals is static, for every page."""
    number, low, high = static_shares()
    return (
        f"Static energy is {100 * low:.0f} to {100 * high:.0f} % of the total in the {number} published measurements that state "
        "both, and more where a chip waits for its next input: dynamic energy alone misleads."
    )
