"""A run's folder as the report reads it: records, what is known about how they were made, and the
integer Programs.

    RUN/results.sqlite          the store of toolchain.robustness
    RUN/programs/NAME.h5        every model's Program, named after the first 16 digits of its
                                fingerprint

Nothing in the folder is trusted: the store is read within bounds and without pickles, and records
that are not of this version's form are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any

from hardware import program_file
from hardware.measured_tasks import MeasuredTask
from hardware.measurements import TaskComparison
from hardware.program import Program
from toolchain.cells.store import Store, program_path
from toolchain.errors import ToolchainError
from toolchain.robustness.records import Scored
from toolchain.robustness.traits import Traits

ABOUT = {
    "sweep": dict,
    "models": list,
    "versions": dict,
    "code": str,
    "energy": dict,
    "command": str,
}
"""What a run remembers about itself, see ``toolchain.robustness.bench``; "command" is None where it
was started from Python."""

_TEXTS = (
    "name",
    "family",
    "optimiser",
    "model",
    "target",
    "norm",
    "crafted",
    "crafted_on",
    "front",
)
_COUNTS = ("seed", "inference_seed", "iterations", "eot", "steps", "classes", "twin_macs")
_ON_CHIP = {"program": str, "chip": str, "cores": int}
"""Of a model without a Program None, and then it says "no_program"."""
_MAPPINGS = ("spikes_per_inference", "twin_energy_j", "params")
_LIMIT = {"term", "layer", "cores", "step_s"}
_COUNTERS = ("spikes_in", "axon_out", "syn_ops", "dendrite_updates")


class ReportError(ToolchainError):
    """A run cannot be reported: it holds nothing yet, or records of another form."""


@dataclass(frozen=True, eq=False)
class StoredRun:
    """records: every scored cell of the last sweep. about: see ``ABOUT``, "cells" {"planned",
    "stored"}, and "makers", see ``makers``.

    programs: fingerprint → Program. absent: descriptions of the cells that cannot be, with
    "reason".
    """

    folder: Path
    records: Sequence[Scored]
    about: Mapping[str, Any]
    programs: Mapping[str, Program]
    absent: Sequence[Mapping[str, Any]] = ()


def load(folder: str | Path) -> StoredRun:
    """Read a run. Raises ReportError where there is nothing to report, StoreError where there is no
    run or a damaged one."""
    folder = Path(folder)
    with Store(folder, read_only=True) as store:
        planned = store.recall("keys") or []
        wanted, stored, records, absent = set(planned), 0, [], []
        for kind in ("crafted", "scored", "absent"):
            for key, description in store.cells(kind):
                if key in wanted:
                    stored += 1
                    if kind == "scored":
                        records.append(_scored(folder, key, description, store))
                    if kind == "absent":
                        absent.append(_absent(folder, key, description))
        about = {name: store.recall(name) for name in ABOUT}
        made_by = makers(store, wanted)

    _check_about(folder, about)
    if not records:
        raise ReportError(
            f"{folder}: the run holds no scored cells; 'spikeport bench' has not finished one yet"
        )

    about["cells"] = {"planned": len(planned), "stored": stored}
    about["makers"] = made_by
    fingerprints = {r.description["program"] for r in records} - {None}
    return StoredRun(folder, records, about, {f: _program(folder, f) for f in fingerprints}, absent)


def makers(store: Store, wanted: Collection[str]) -> list[dict[str, Any]]:
    """What made the cells of a run: {"kind", "code", "versions", "cells": how many, "first",
    "last": when}, one entry for each kind of cell and each code and versions that made any; code
    and versions are None where an earlier version kept the cell."""
    by_maker: dict[tuple[str, str | None, str], dict[str, Any]] = {}
    for kind in ("crafted", "scored"):
        for key, _ in store.cells(kind):
            if key not in wanted:
                continue
            origin = store.made(key)
            code, versions, when = origin.get("code"), origin.get("versions"), origin.get("when")

            entry = {
                "kind": kind,
                "code": code,
                "versions": versions,
                "cells": 0,
                "first": when,
                "last": when,
            }
            entry = by_maker.setdefault((kind, code, str(versions)), entry)
            entry["cells"] += 1
            if when is not None:
                entry["first"], entry["last"] = min(entry["first"], when), max(entry["last"], when)

    return list(by_maker.values())


def _absent(folder: Path, key: str, description: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("model", "name", "family", "reason", "crafted_on"):
        if not isinstance(description.get(name), str):
            raise ReportError(
                f"{folder}: cell {key[:12]} is no record of this version ({name}); run 'spikeport "
                f"bench' again"
            )
    return description


def _check_about(folder: Path, about: Mapping[str, Any]) -> None:
    """What is read of it is there in the form that ``toolchain.robustness.bench`` gives it."""

    def require(name: str, value: object, kind: type) -> None:
        if value is not None and not isinstance(value, kind):
            raise ReportError(
                f"{folder}: what the run says about its {name} is {value!r:.60}; it must be a "
                f"{kind.__name__}"
            )

    for name, kind in ABOUT.items():
        require(name, about[name], kind)
    for part in ("data", "attacks"):
        require(f"sweep, {part}", (about["sweep"] or {}).get(part), dict)
    for entry in about["models"] or []:
        require("models", entry, dict)
        require("models, name", entry.get("name", 0), str)
        require("models, method", entry.get("method"), str)
        require("models, differs", entry.get("differs"), list)
        for text in entry.get("differs") or ():
            require("models, differs", text, str)
    energy = about["energy"] or {}
    for part in ("devices", "assumptions", "not_covered", "measured", "tasks"):
        require(f"energy, {part}", energy.get(part), list)
    for part in ("measured_text", "static_text"):
        require(f"energy, {part}", energy.get(part), str)
    for part, form in (("measured", TaskComparison), ("tasks", MeasuredTask)):
        for entry in energy.get(part, ()):
            require(f"energy, {part}", entry, dict)
            for field in fields(form):
                _require_field(require, f"energy, {part}, {field.name}", field, entry)
            require(f"energy, {part}, static_share", entry.get("static_share"), float)
    for text in (*energy.get("assumptions", ()), *energy.get("not_covered", ())):
        require("energy", text, str)
    for device in energy.get("devices", ()):
        require("energy, devices", device, dict)
        require("energy, devices, title", device.get("title", 0), str)
        require("energy, devices, constants", device.get("constants", 0), dict)
        for constant in device["constants"].values():
            require("energy, devices, constants", constant, dict)
            for key, wanted in (("value", float), ("low", float), ("high", float), ("source", str)):
                require(f"energy, devices, constants, {key}", constant.get(key, []), wanted)


def _require_field(
    require: Callable[[str, object, type], None],
    name: str,
    field: Field[Any],
    entry: Mapping[str, Any],
) -> None:
    """A field of a dataclass of texts and numbers as it was written; only one with a default may be
    None."""
    value = entry.get(field.name)
    if value is None and field.default is None:
        return
    require(name, 0 if value is None else value, float if "float" in field.type else str)


def _scored(folder: Path, key: str, description: Mapping[str, Any], store: Store) -> Scored:
    try:
        record = Scored.from_arrays(description, store.get(key)[1])
        check(record)
    except (KeyError, TypeError, ValueError) as error:
        raise ReportError(
            f"{folder}: cell {key[:12]} is no record of this version ({error}); run 'spikeport "
            f"bench' again"
        ) from None
    return record


def check(record: Scored) -> None:
    """Raises ValueError, KeyError or TypeError where a record lacks what the report shows."""
    description, size = record.description, len(record.index)
    kinds: tuple[tuple[Iterable[str], type], ...]
    kinds = ((_TEXTS, str), (_COUNTS, int), (_MAPPINGS, dict))
    for names, kind in kinds:
        for name in names:
            if not isinstance(description[name], kind) or isinstance(description[name], bool):
                raise TypeError(f"{name} is {description[name]!r}")

    if not isinstance(description["estimator"], (str, type(None))):
        raise TypeError(f"estimator is {description['estimator']!r}")
    Traits.made(record)

    on_chip = description["program"] is not None
    expected: Mapping[str, type] = _ON_CHIP if on_chip else {"no_program": str}
    for name, wanted in expected.items():
        if not isinstance(description[name], wanted) or isinstance(description[name], bool):
            raise TypeError(f"{name} is {description[name]!r}")

    for limit in (description.get("time_limit") or {}).values():
        _number("time_limit, step_s", limit["step_s"])
        if (
            not isinstance(limit["term"], str)
            or not isinstance(limit["layer"], str | None)
            or set(limit) != _LIMIT
        ):
            raise TypeError(f"time_limit is {limit!r:.60}")

    if not isinstance(description["epsilon"], (int, float)):
        raise TypeError(f"epsilon is {description['epsilon']!r}")
    flat = {
        name: getattr(record, name)
        for name in ("correct", "margin", "distance", "label", "prediction")
    }
    if record.detector is not None:
        flat["detector"] = record.detector
        _number("detector_threshold", description["detector_threshold"])

    near = description.get("near_threshold")
    if near is not None:
        for name, value in {
            "within": near["within"],
            "share": near["share"],
            **near["layers"],
        }.items():
            _number(f"near_threshold, {name}", value)

    flat |= {
        f"energy {table} {name}": values
        for table, quantities in record.energy.items()
        for name, values in quantities.items()
    }

    for name, values in flat.items():
        if values is None or values.shape != (size,) or not size:
            raise ValueError(f"{name} is not one number for each of {size} samples")
    for name in _COUNTERS if on_chip else ("macs",):
        if record.activity[name].shape != (size, len(record.layers)):
            raise ValueError(f"{name} is not one number for each sample and layer")

    if not any("time_s" in quantities or not on_chip for quantities in record.energy.values()):
        raise ValueError("there is no energy of a spiking device")
    if set(description["spikes_per_inference"]) != (set(record.layers) if on_chip else set()):
        raise ValueError("spikes_per_inference names other layers")


def _number(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}")


def _program(folder: Path, fingerprint: str) -> Program:
    path = program_path(folder, fingerprint)
    if not path.is_file():
        raise ReportError(f"{path}: is missing; 'spikeport bench' on this folder writes it again")
    program = program_file.load(path)
    if program.fingerprint != fingerprint:
        raise ReportError(
            f"{path}: holds Program {program.fingerprint[:16]}, the records are of "
            f"{fingerprint[:16]}"
        )
    return program
