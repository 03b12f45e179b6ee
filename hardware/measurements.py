"""How far the estimate is from the measured tasks that can be estimated here, and what follows for
its bands.

    for row in compare(Device.load("loihi-sanafe")): print(row.text())

A task can be rebuilt where its counts are at hand (hardware.measured_tasks): then it is charged
like any run, with the same code, and what the estimate gives is set beside what was measured. From
that follow, for each table,

    error factor   the largest of estimate/measured and measured/estimate: bands are widened by it
    calibration    the geometric mean of measured/estimate over the tasks of the chip's generation

With one task both are of that task alone (n = 1): how well a calibrated estimate does on a task
that it was not calibrated on cannot be said, since leaving the one out leaves none. With several,
``leave_one_out`` says it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hardware.charging import charge
from hardware.chip import Chip
from hardware.device import Device
from hardware.measured_tasks import Counts, MeasuredTask, rebuilt, tasks


@dataclass(frozen=True)
class TaskComparison:
    """A table's estimate of one measured task and the measurement, joules and seconds of one unit.

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
            f"{1e3 * self.measured_dynamic_j:.2f} ({self.dynamic_ratio:.2f} times); time "
            f"{1e3 * self.time_s:.2f} ms, measured {1e3 * self.measured_time_s:.2f} "
            f"({self.time_ratio:.2f} times), limited by {self.limited_by}"
        )


@dataclass(frozen=True)
class Deviation:
    """What the measured tasks say about one table's estimates.

    tasks                 names of the tasks that the factors are from
    *_factor              1 or more: no task is farther from its estimate
    calibrated_on         names of the tasks of the chip's generation, which the next two are from
    *_calibration         times the estimate is the measured, in the geometric mean; None without a
                          task
    *_left_out            of each of these tasks, the estimate over the measured when it is
                          calibrated on the others alone; None for fewer than two
    """

    tasks: tuple[str, ...]
    dynamic_factor: float
    time_factor: float
    calibrated_on: tuple[str, ...]
    dynamic_calibration: float | None
    time_calibration: float | None
    dynamic_left_out: tuple[float, ...] | None
    time_left_out: tuple[float, ...] | None


def compare(device: Device) -> tuple[TaskComparison, ...]:
    """A spiking table's estimate beside every measured task that can be rebuilt.

    () for a conventional table.
    """
    if device.step_times is None:
        return ()
    return tuple(_compare(device, task, kept) for task, kept in rebuilt())


def _compare(device: Device, task: MeasuredTask, kept: Counts) -> TaskComparison:
    charged = charge(kept.workload, device)
    assert charged.time_s is not None, "a spiking table has times"
    assert charged.limit is not None, "a spiking table has times"
    assert task.dynamic_mj is not None, "a task with counts states it"
    assert task.time_ms is not None, "a task with counts states it"

    dynamic, time = float(charged.dynamic_j.mean()), float(charged.time_s.mean())
    measured, took = task.dynamic_mj * 1e-3, task.time_ms * 1e-3

    return TaskComparison(
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
        limited_by=charged.limit.text(),
    )


def error(rows: Sequence[TaskComparison], chip: Chip) -> Deviation:
    """What comparisons of one table say about its estimates for a chip.

    Bands are widened by tasks of every generation; a calibration is of tasks of the chip's own.
    """
    own = [row for row in rows if row.chip == chip.generation]
    dynamic, time = [row.dynamic_ratio for row in own], [row.time_ratio for row in own]
    return Deviation(
        tasks=tuple(row.task for row in rows),
        dynamic_factor=_farthest([row.dynamic_ratio for row in rows]),
        time_factor=_farthest([row.time_ratio for row in rows]),
        calibrated_on=tuple(row.task for row in own),
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
    """Of each estimate/measured, what is left of it when it is calibrated on all others.

    None for fewer than two.
    """
    if len(ratios) < 2:
        return None
    others = [[*ratios[:i], *ratios[i + 1 :]] for i in range(len(ratios))]
    return tuple(ratio / _geometric(rest) for ratio, rest in zip(ratios, others))


def static_shares() -> tuple[int, float, float]:
    """(number, smallest, largest) share of static energy, 0 to 1, of the tasks that state both."""
    shares = [task.static_share for task in tasks() if task.static_share is not None]
    return len(shares), min(shares), max(shares)


def facts(devices: Sequence[Device]) -> dict[str, Any]:
    """What every page says about the error of these tables, as plain JSON values.

    The comparisons, the two sentences, and every measured task.
    """
    rows = [row for device in devices for row in compare(device)]
    return {
        "measured": [asdict(row) for row in rows],
        "measured_text": sentence(rows),
        "static_text": static_sentence(),
        "tasks": [asdict(task) | {"static_share": task.static_share} for task in tasks()],
    }


def sentence(rows: Sequence[TaskComparison]) -> str:
    """How far the tables are from the measured tasks that can be rebuilt, for every page."""
    if not rows:
        return "No measured task can be rebuilt with these tables: their error is not known."
    parts = []
    for name in dict.fromkeys(row.task for row in rows):
        here = [row for row in rows if row.task == name]
        first = here[0]
        parts.append(
            f"{first.title} (measured on {first.chip}: {1e3 * first.measured_dynamic_j:.2f} mJ "
            f"dynamic, {1e3 * first.measured_time_s:.2f} ms): the tables give "
            f"{_times([row.dynamic_ratio for row in here])} the measured dynamic energy and "
            f"{_times([row.time_ratio for row in here])} the measured time"
        )
    return f"Against measurement: {'; '.join(parts)}. {_tasks_text(rows)}"


def _times(ratios: Sequence[float]) -> str:
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return f"{low} times" if low == high else f"{low} to {high} times"


def _tasks_text(rows: Sequence[TaskComparison]) -> str:
    number = len({row.task for row in rows})
    if number == 1:
        return (
            "It is the only measured task that can be rebuilt here (n = 1), so how well a "
            "calibrated estimate does on another task cannot be said: leaving the one out leaves "
            "none. Bands are widened by these factors, to both sides."
        )
    return f"Bands are widened by the largest of these factors (n = {number} tasks), to both sides."


def static_sentence() -> str:
    """How much of the measured totals is static, for every page."""
    number, low, high = static_shares()
    return (
        f"Static energy is {100 * low:.0f} to {100 * high:.0f} % of the total in the {number} "
        "published measurements that state both, and more where a chip waits for its next input: "
        "dynamic energy alone misleads."
    )
