"""A whole sweep: models made ready, data loaded, cells planned, run and stored.

    folder = bench.run(sweep.load("quick.toml"), "runs/quick")
    scored = bench.records("runs/quick")

The same call on a folder that holds part of the results computes only what is missing.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path

import numpy as np

from hardware import measurements, program_file
from hardware.device import Device
from hardware.energy import ASSUMPTIONS, DEVICES, NOT_COVERED
from toolchain import __version__
from toolchain import data as datasets
from toolchain.attacks.batteries import battery, energy_battery, transfers
from toolchain.attacks.registry import ATTACKS, AttackSpec
from toolchain.doctor import NEEDED
from toolchain.errors import ToolchainError
from toolchain.robustness import engine
from toolchain.robustness.cells import INTEGERS, SOFTWARE, CraftJob, Data, code_version
from toolchain.robustness.engine import Plan, Report
from toolchain.robustness.models import ModelFile, Opened, noisy, open_model
from toolchain.robustness.records import Scored
from toolchain.robustness.store import Store, program_path
from toolchain.robustness.sweep import ModelPart, Sweep


class BenchError(ToolchainError):
    """The models of a sweep cannot be measured together: different data, or nothing said about it."""


def models(sweep: Sweep, folder: Path, progress=None) -> list[ModelFile]:
    """Every model of a sweep as a file; recipes are trained, once, into ``folder``/models."""
    found = []
    for part in sweep.models:
        for seed in part.seeds:
            name = part.name if len(part.seeds) == 1 else f"{part.name} seed {seed}"
            if part.source is None:
                found.append(_trained(sweep, part, name, seed, folder, progress))
                continue
            source, weights = (
                None if path is None else sweep.path(path.replace("{seed}", str(seed))) for path in (part.source, part.weights)
            )
            found.append(ModelFile.read(name, source, weights, part.options))
    return found


def _trained(sweep: Sweep, part: ModelPart, name: str, seed: int, folder: Path, progress) -> ModelFile:
    from toolchain import training

    config = training.read_config(sweep.path(part.recipe))
    config = replace(config, training=replace(config.training, seed=seed))
    recipe = json.dumps(config.to_table(), sort_keys=True).encode()
    path = folder / "models" / f"{hashlib.sha256(recipe).hexdigest()[:16]}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        inside = None if progress is None else lambda done, total: progress(f"training {name}", done, total)
        result = training.train(config, progress=inside)
        training.save_checkpoint(path, result.model, config)
    return ModelFile.read(name, str(path), options=part.options)


def load_data(sweep: Sweep, files: list[ModelFile]) -> tuple[Data, str]:
    """The attacked samples, and the name of their data set. Raises BenchError where the models do not share one."""
    said = {}
    for model in files:
        opened = open_model(model)
        said[model.name] = {**opened.data, "shape": list(opened.sample_shape[1:] if opened.events else opened.sample_shape)}
    first = next(iter(said.values()))
    for name, entry in said.items():
        if entry["shape"] != first["shape"] or (sweep.data.name is None and entry.get("name") != first.get("name")):
            raise BenchError(
                f"model {name!r} is for {entry.get('name')} {entry['shape']}, another for {first.get('name')} {first['shape']}; "
                "a sweep has one data set"
            )
    chosen = sweep.data.name or first.get("name")
    if not chosen:
        raise BenchError("the models do not say what data they are for; name it in [data]")
    dataset = datasets.load(chosen, "test", samples=sweep.data.samples)
    index = np.arange(len(dataset), dtype=np.int64)
    if not dataset.is_events:
        return Data(dataset.images(), dataset.labels, index), chosen
    described = {json.dumps({k: v for k, v in e.items() if k in ("encoding", "steps", "bin_us")}, sort_keys=True) for e in said.values()}
    if len(described) > 1:
        raise BenchError(f"the models bin events differently: {', '.join(sorted(described))}; a sweep has one encoding")
    frames = datasets.Encoding.from_description(first).encode(dataset, slice(None))
    return Data(np.ascontiguousarray(frames, np.uint8), dataset.labels, index), chosen


def _sources(transfer: bool | tuple[str, ...], files: list[ModelFile]) -> list[ModelFile]:
    """The models whose adversarial samples are tried on the others. Raises BenchError for a name that is none of them."""
    if isinstance(transfer, bool):
        return files if transfer else []
    names = [model.name for model in files]
    for name in transfer:
        if name not in names:
            raise BenchError(f"[attacks] transfer names {name!r}; the models are {', '.join(names)}")
    return [model for model in files if model.name in transfer]


def plan(sweep: Sweep, files: list[ModelFile], data: Data) -> Plan:
    """Every cell of a sweep: clean, the battery, transfers between all pairs of models, energy attacks, corruptions."""
    attacks = sweep.attacks
    sources = _sources(attacks.transfer, files)
    jobs, seeds = [], {}
    for model in files:
        opened = open_model(model)
        if opened.stochastic:
            seeds[model.key] = sweep.data.inference_seeds
        made: list[tuple[AttackSpec, ModelFile | None, str]] = [
            (spec, None, on) for spec in _battery(sweep, opened) for on in _looks(spec, opened)
        ]
        for other in sources:
            if other is not model:
                random = open_model(other).stochastic
                made += [(spec, other, SOFTWARE) for spec in transfers(attacks.preset or "quick", attacks.norm, [other.name], random)]
        jobs += [CraftJob(model, data.key, None, attacks.norm, 0.0, seed, sweep.run.batch) for seed in attacks.seeds]
        jobs += [
            CraftJob(model, data.key, spec, attacks.norm, epsilon, seed, sweep.run.batch, source, on)
            for spec, source, on in made
            for epsilon in attacks.epsilons
            for seed in attacks.seeds
        ]
        jobs += [
            CraftJob(model, data.key, spec, "corruption", float(severity), attacks.seeds[0], sweep.run.batch)
            for spec, severity in _corruptions(sweep)
        ]
    everything = len(data.labels)
    targets = tuple((name, min(sweep.targets.lava_samples, everything) if name == "lava" else everything) for name in sweep.targets.names)
    return Plan(data, tuple(jobs), targets, seeds)


def _battery(sweep: Sweep, opened: Opened) -> list[AttackSpec]:
    """Attacks that are made on the model itself."""
    attacks, random = sweep.attacks, opened.stochastic
    front = opened.front is not None
    known = sweep.data.inference_seeds[0] if noisy(opened.program) else None
    specs = list(attacks.list) if attacks.preset is None else battery(attacks.preset, attacks.norm, random, front, known)
    if attacks.energy:
        specs += energy_battery(attacks.preset or "quick", attacks.norm, random, "synaptic_operations")
    return specs


def _looks(spec: AttackSpec, opened: Opened) -> tuple[str, ...]:
    """Where an attack is made. One that only asks for predictions asks the Program. Where the PyTorch model computes other numbers (a float
    model), it is made on both, so that what each hides is seen."""
    if ATTACKS[spec.attack].access == "gradient" or opened.program is None:
        return (SOFTWARE,)
    return (INTEGERS,) if opened.exact else (SOFTWARE, INTEGERS)


def _corruptions(sweep: Sweep) -> list[tuple[AttackSpec, int]]:
    if sweep.corruptions is None:
        return []
    from toolchain.data.corruptions import CORRUPTIONS

    names = sweep.corruptions.names or tuple(CORRUPTIONS)
    return [(AttackSpec("corruption", {"name": name}), severity) for name in names for severity in sweep.corruptions.severities]


def run(
    sweep: Sweep,
    folder: str | Path,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    report: Report | None = None,
    training_progress=None,
    command: str | None = None,
) -> Plan:
    """Run a sweep into a folder; returns what was planned. Raises ToolchainError; finished cells stay in the store.

    command  what the user typed, for the report
    """
    folder = Path(folder)
    with Store(folder) as store:
        files = models(sweep, folder, training_progress)
        data, name = load_data(sweep, files)
        planned = plan(sweep, files, data)
        store.remember(
            "sweep",
            {
                "attacks": _plain(sweep.attacks),
                "targets": _plain(sweep.targets),
                "data": {"name": name, "samples": len(data.labels), "key": data.key, "inference_seeds": list(sweep.data.inference_seeds)},
            },
        )
        store.remember("models", [_said(m) for m in files])
        store.remember("keys", sorted(engine.keys(planned)))
        store.remember("versions", _versions())
        store.remember("code", code_version())
        store.remember("energy", _energy())
        store.remember("command", command)
        _keep_programs(files, folder)
        if all(key in store for key in engine.keys(planned)):
            return planned
        with engine.cluster(scheduler, workers) as client:
            engine.run(planned, store, client, report)
    return planned


def _keep_programs(files: list[ModelFile], folder: Path) -> None:
    """Every model's Program beside the store, so that a report needs no model and no PyTorch."""
    for model in files:
        program = open_model(model).program
        if program is None:
            continue
        path = program_path(folder, program.fingerprint)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            program_file.save(program, path)


def _said(model: ModelFile) -> dict:
    """What a run remembers of a model: its source and key, the options that it became integers with, and what runs where before it."""
    opened = open_model(model)
    options = model.options.given()
    front = [] if opened.front is None else [dict(entry) for entry in opened.front.plan()]
    return {"name": model.name, "source": model.source, "key": model.key, "options": options, "front": front}


def _energy() -> dict:
    """The device tables that energies rest on, with their sources, what the estimate assumes and leaves out, and its error."""
    devices, loaded = [], [Device.load(name) for name in DEVICES]
    for device in loaded:
        constants = {name: asdict(constant) for name, constant in device.constants.items()}
        times = None if device.step_times is None else asdict(device.step_times)
        said = {"name": device.name, "title": device.title, "kind": device.kind, "measured_on": device.measured_on}
        devices.append({**said, "constants": constants, "step_times": times})
    return {
        "devices": devices,
        "assumptions": list(ASSUMPTIONS),
        "not_covered": list(NOT_COVERED),
        **measurements.facts(loaded),
    }


def _versions() -> dict:
    """Python and the packages that results rest on."""
    found = {"spikeport": __version__, "python": sys.version.split()[0]}
    for package in (*NEEDED, "adversarial-robustness-toolbox", "distributed"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _plain(part) -> dict:
    return json.loads(json.dumps(part, default=lambda o: o.to_json() if isinstance(o, AttackSpec) else o.__dict__))


def records(folder: str | Path) -> list[Scored]:
    """Every scored cell of the last sweep that ran into a folder."""
    with Store(folder, read_only=True) as store:
        wanted = set(store.recall("keys") or [])
        return [Scored.from_arrays(description, store.get(key)[1]) for key, description in store.cells("scored") if key in wanted]
