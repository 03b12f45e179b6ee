"""What a run remembers beside its results: models, energy tables, versions, the sweep itself."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from hardware import measurements, program_file
from hardware.device import Device
from hardware.energy import ASSUMPTIONS, DEVICES, NOT_COVERED
from toolchain.cells.store import program_path
from toolchain.deploy.doctor import NEEDED
from toolchain.robustness import sources
from toolchain.robustness.cells import SweepData
from toolchain.robustness.models import ModelFile, Opened, open_model
from toolchain.robustness.parts import Sweep
from toolchain.tables import to_table
from toolchain.version import __version__


def sweep(sweep: Sweep, data: SweepData, name: str) -> dict[str, Any]:
    """Plain values of a sweep.

    name   of the data set, or of the file
    """
    attacks = to_table(sweep.attacks)
    attacks["list"] = [spec.to_json() for spec in sweep.attacks.specs]
    return {
        "attacks": attacks,
        "targets": to_table(sweep.targets),
        "data": {
            "name": name,
            "samples": len(data.labels),
            "key": data.key,
            "inference_seeds": list(sweep.data.inference_seeds),
            "notes": list(data.notes),
        },
    }


def keep_programs(files: list[ModelFile], folder: Path) -> None:
    """Every model's Program beside the store, so that a report needs no model and no PyTorch."""
    for model in files:
        program = open_model(model).program
        if program is None:
            continue
        path = program_path(folder, program.fingerprint)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            program_file.save(program, path)


def models(files: list[ModelFile], sweep: Sweep) -> list[dict[str, Any]]:
    """What a run remembers of its models; those of one method differ in the seed of their training
    alone."""
    methods = {
        sources.named(part, seed): part.name for part in sweep.models for seed in part.trainings
    }
    return [{**model(file, sweep), "method": methods[file.name]} for file in files]


def model(file: ModelFile, sweep: Sweep) -> dict[str, Any]:
    """What a run remembers of a model: its source and key, the options that it became integers
    with, what runs where before it, and what its form has otherwise than the papers of its
    defences."""
    opened = open_model(file)
    return {
        "name": file.name,
        "source": file.source,
        "key": file.key,
        "options": file.options.given(),
        "front": [] if opened.front is None else [dict(entry) for entry in opened.front.plan()],
        "differs": _differs(file, opened, sweep),
    }


def _differs(file: ModelFile, opened: Opened, sweep: Sweep) -> list[str]:
    """Of a checkpoint; what is no checkpoint has no recipe, and nothing is known of its
    training."""
    if opened.stage.kind != "checkpoint":
        return []
    from toolchain.training import recipe_of
    from toolchain.training.differences import differences

    return differences(
        recipe_of(file.source, file.content),
        sweep.attacks.epsilons if sweep.attacks.norm == "linf" else (),
    )


def energy() -> dict[str, Any]:
    """The device tables that energies rest on, with their sources, what the estimate assumes and
    leaves out, and its error."""
    devices, loaded = [], [Device.load(name) for name in DEVICES]
    for device in loaded:
        constants = {name: asdict(constant) for name, constant in device.constants.items()}
        times = None if device.step_times is None else asdict(device.step_times)
        entry = {
            "name": device.name,
            "title": device.title,
            "kind": device.kind,
            "measured_on": device.measured_on,
        }
        devices.append({**entry, "constants": constants, "step_times": times})
    return {
        "devices": devices,
        "assumptions": list(ASSUMPTIONS),
        "not_covered": list(NOT_COVERED),
        **measurements.facts(loaded),
    }


def versions() -> dict[str, str]:
    """Python and the packages that results rest on."""
    installed = {"spikeport": __version__, "python": sys.version.split()[0]}
    for package in (*NEEDED, "adversarial-robustness-toolbox", "distributed"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed
