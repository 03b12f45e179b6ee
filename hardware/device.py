"""Energy tables as data: what one event costs on a device, each constant with its unit in its name,
its source and a band."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hardware import _toml
from hardware.errors import DeviceError

FOLDER = Path(__file__).parent / "devices"

CONSTANTS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "spiking": (
        "dense_syn_op_pj",
        "sparse_syn_op_pj",
        "convolution_syn_op_pj",
        "neuron_update_pj",
        "spike_pj",
        "message_pj",
        "hop_east_west_pj",
        "hop_north_south_pj",
    ),
    "conventional": ("mac_pj", "ac_pj"),
})  # fmt: skip
"""Kind of device → every constant that its table must state."""

_NANOSECONDS = (
    "dense_syn_op_ns",
    "sparse_syn_op_ns",
    "convolution_syn_op_ns",
    "neuron_update_ns",
    "spike_ns",
    "message_in_ns",
    "message_out_ns",
    "hop_east_west_ns",
    "hop_north_south_ns",
)


@dataclass(frozen=True)
class Constant:
    """One number of a table, the band around it, and where it was read."""

    value: float
    low: float
    high: float
    source: str


@dataclass(frozen=True)
class StepTimes:
    """How long a core or a link takes for each event, in nanoseconds, and the barrier that ends a
    step.

    barrier_us      for each number of tiles in barrier_tiles; between them it is interpolated,
                    beyond them constant
    relative_error  of all of them, as their authors state it: 0.25 is 25 % to both sides
    """

    dense_syn_op_ns: float
    sparse_syn_op_ns: float
    convolution_syn_op_ns: float
    neuron_update_ns: float
    spike_ns: float
    message_in_ns: float
    message_out_ns: float
    hop_east_west_ns: float
    hop_north_south_ns: float
    barrier_tiles: tuple[float, ...]
    barrier_us: tuple[float, ...]
    cores_per_tile: int
    relative_error: float
    source: str


@dataclass(frozen=True)
class Device:
    """An energy table.

    kind         "spiking": energy of each event; "conventional": energy of an arithmetic operation
    measured_on  what the constants belong to
    constants    name → Constant; the unit ends the name (_pj)
    step_times   time model that goes with a spiking device
    """

    name: str
    title: str
    kind: str
    measured_on: str
    constants: Mapping[str, Constant]
    step_times: StepTimes | None = None

    @classmethod
    def load(cls, name_or_path: str | Path) -> Device:
        """A table by its name, or one of your own (a path that ends in .toml).

        Raises DeviceError for an unknown name, listing those known, and for a table that is not as
        it should be.
        """
        path = Path(name_or_path)
        if path.suffix != ".toml":
            if str(name_or_path) not in known():
                raise DeviceError(
                    f"there is no device {str(name_or_path)!r}; there are {', '.join(known())}, or "
                    f"a .toml table of your own"
                )
            path = FOLDER / f"{name_or_path}.toml"
        return _read(path)


def known() -> tuple[str, ...]:
    """Names of the tables that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def _read(path: Path) -> Device:
    table, texts = _toml.read(path, DeviceError, ("name", "title", "kind", "measured_on"))
    if texts["kind"] not in CONSTANTS:
        raise DeviceError(
            f"{path}: kind is {texts['kind']!r}; it must be one of {', '.join(CONSTANTS)}"
        )
    step_times = _step_times(path, table) if texts["kind"] == "spiking" else None
    if "static_power_mw" in table:
        raise DeviceError(
            f"{path}: [static_power_mw] must stand in a chip's table, not here: a table of events "
            f"is for every chip"
        )
    wanted = CONSTANTS[texts["kind"]]
    _toml.exactly(path, DeviceError, table, wanted)
    constants = MappingProxyType(
        {name: _constant(f"{path}: [{name}]", table[name]) for name in wanted}
    )
    return Device(**texts, constants=constants, step_times=step_times)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _constant(where: str, entry: Any) -> Constant:
    if not isinstance(entry, dict) or set(entry) != {"value", "low", "high", "source"}:
        raise DeviceError(f"{where}: must be a table with value, low, high and source")
    if (
        not all(_number(entry[key]) for key in ("value", "low", "high"))
        or not entry["low"] <= entry["value"] <= entry["high"]
    ):
        values = ", ".join(f"{key} {entry[key]!r}" for key in ("low", "value", "high"))
        raise DeviceError(
            f"{where}: {values}; they must be numbers from 0 with low <= value <= high"
        )
    if not isinstance(entry["source"], str) or len(entry["source"]) < 5:
        raise DeviceError(
            f"{where}: source is {entry['source']!r}; it must be a text that says where the value "
            f"was read"
        )
    return Constant(
        float(entry["value"]), float(entry["low"]), float(entry["high"]), entry["source"]
    )


def _step_times(path: Path, table: dict[str, Any]) -> StepTimes:
    """Takes ``times`` or ``step_times`` out of the table: times of its own, or the name of the
    table whose times it uses."""
    if ("times" in table) == ("step_times" in table):
        raise DeviceError(
            f"{path}: there must be either a table [times], or step_times with the name of a table "
            f"that has one"
        )
    if "times" in table:
        return _own_times(path, table.pop("times"))
    name = table.pop("step_times")
    times = Device.load(name).step_times if isinstance(name, str) and name in known() else None
    if times is None:
        raise DeviceError(
            f"{path}: step_times is {name!r}; it must be the name of a table that has [times]"
        )
    return times


def _own_times(path: Path, entry: Any) -> StepTimes:
    wanted = {
        *_NANOSECONDS,
        "barrier_tiles",
        "barrier_us",
        "cores_per_tile",
        "relative_error",
        "source",
    }
    if not isinstance(entry, dict) or set(entry) != wanted:
        raise DeviceError(f"{path}: [times] must have exactly {', '.join(sorted(wanted))}")

    tiles, barrier = entry["barrier_tiles"], entry["barrier_us"]
    for name in _NANOSECONDS:
        if not _number(entry[name]):
            raise DeviceError(
                f"{path}: [times] {name} is {entry[name]!r}; it must be a number from 0"
            )

    lists = isinstance(tiles, list) and isinstance(barrier, list) and len(tiles) == len(barrier) > 0
    if not lists or not all(map(_number, (*tiles, *barrier))) or sorted(set(tiles)) != tiles:
        raise DeviceError(
            f"{path}: [times] barrier_tiles and barrier_us must be two lists of one length, "
            f"tiles rising"
        )
    if type(entry["cores_per_tile"]) is not int or entry["cores_per_tile"] < 1:
        raise DeviceError(
            f"{path}: [times] cores_per_tile is {entry['cores_per_tile']!r}; it must be a "
            f"positive number of cores"
        )
    if not _number(entry["relative_error"]) or entry["relative_error"] >= 1:
        raise DeviceError(
            f"{path}: [times] relative_error is {entry['relative_error']!r}; it must be a number "
            f"from 0 to below 1"
        )
    if not isinstance(entry["source"], str) or len(entry["source"]) < 5:
        raise DeviceError(
            f"{path}: [times] source is {entry['source']!r}; it must be a text that says where "
            f"the values were read"
        )

    return StepTimes(
        **{name: entry[name] for name in wanted}
        | {"barrier_tiles": tuple(tiles), "barrier_us": tuple(barrier)}
    )
