"""A whole sweep: models made ready, data loaded, cells planned, run and stored.

    folder = bench.run(sweep.load("quick.toml"), "runs/quick")
    scored = bench.records("runs/quick")

The same call on a folder that holds part of the results computes only what is missing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
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
from toolchain.attacks.estimators.base import spiking_neurons
from toolchain.attacks.registry import ATTACKS, AttackSpec
from toolchain.cells import engine, maker, threads
from toolchain.cells.engine import Cell, Report
from toolchain.cells.plain import training
from toolchain.cells.pool import Inside, Pool
from toolchain.cells.remote import Scheduler, cluster
from toolchain.cells.store import Store, program_path
from toolchain.cells.work import Shared
from toolchain.deploy.doctor import NEEDED
from toolchain.errors import ToolchainError
from toolchain.robustness import answers, kinds
from toolchain.robustness.cells import INTEGERS, SCORED_BY, SOFTWARE, CraftJob, Data
from toolchain.robustness.models import ModelFile, Opened, open_model
from toolchain.robustness.parts import ModelPart, Sweep
from toolchain.robustness.plan import Plan, keys
from toolchain.robustness.records import Scored


class BenchError(ToolchainError):
    """The models of a sweep cannot be measured together: different data, or nothing said about
    it."""


def trainings(sweep: Sweep) -> dict[tuple[str, int], Cell]:
    """(name of a model, seed) → the cell that trains it, for every model that is a recipe."""
    from toolchain.training import read_config

    found = {}
    for part in sweep.models:
        for seed in part.seeds if part.recipe is not None else ():
            config = read_config(sweep.path(part.recipe))
            config = replace(config, training=replace(config.training, seed=seed))
            found[part.name, seed] = training(config, f"training {_named(part, seed)}")
    return found


def check_kinds(sweep: Sweep) -> None:
    """Hold attacks against the data that each model reads, before anything is trained.

    Raises SweepError, and what opening a model raises.
    """
    for part in kinds.check_stated(sweep):
        if part.source is None:
            continue  # its recipe is not there; reading it says so
        source, weights = (
            None if path is None else sweep.path(path.replace("{seed}", str(part.seeds[0])))
            for path in (part.source, part.weights)
        )
        if ":" not in source and not Path(source).is_file():
            continue  # reading it says what is wrong
        with threads.limited(1):  # as in ``run``: an opened model is kept
            opened = open_model(ModelFile.read(part.name, source, weights, part.options))
        kinds.check(sweep, part.name, "events" if opened.events else "images")


def models(
    sweep: Sweep, folder: Path, trained: Mapping[tuple[str, int], Cell] | None = None
) -> list[ModelFile]:
    """Every model of a sweep as a file.

    trained  of ``trainings``, where the checkpoints of recipes are in ``folder``
    """
    found = []
    for part in sweep.models:
        for seed in part.seeds:
            if part.source is None:
                source, weights = str(folder / trained[part.name, seed].product), None
            else:
                source, weights = (
                    None if path is None else sweep.path(path.replace("{seed}", str(seed)))
                    for path in (part.source, part.weights)
                )
            found.append(ModelFile.read(_named(part, seed), source, weights, part.options))
    return found


def _named(part: ModelPart, seed: int) -> str:
    return part.name if len(part.seeds) == 1 else f"{part.name} seed {seed}"


def load_data(sweep: Sweep, files: list[ModelFile]) -> tuple[Data, str]:
    """The attacked samples, and the name of their data set. Raises BenchError where the models do
    not share one, ModelError where one cannot answer (``answers.check``)."""
    said = {}
    for model in files:
        opened = open_model(model)
        said[model.name] = {
            **opened.data,
            "shape": list(opened.sample_shape[1:] if opened.events else opened.sample_shape),
        }
    first = next(iter(said.values()))
    for name, entry in said.items():
        if entry["shape"] != first["shape"] or (
            sweep.data.name is None and entry.get("name") != first.get("name")
        ):
            raise BenchError(
                f"model {name!r} is for {entry.get('name')} {entry['shape']}, another for "
                f"{first.get('name')} {first['shape']}; "
                "a sweep has one data set"
            )
    chosen = sweep.data.name or first.get("name")
    if not chosen:
        raise BenchError("the models do not say what data they are for; name it in [data]")
    dataset = datasets.load(chosen, "test", samples=sweep.data.samples)
    for model in files:
        answers.check(model.name, open_model(model), dataset)
    index = np.arange(len(dataset), dtype=np.int64)
    if not dataset.is_events:
        return Data(dataset.images(), dataset.labels, index), chosen
    described = {
        json.dumps(
            {k: v for k, v in e.items() if k in ("encoding", "steps", "bin_us")}, sort_keys=True
        )
        for e in said.values()
    }
    if len(described) > 1:
        raise BenchError(
            f"the models bin events differently: {', '.join(sorted(described))}; a sweep has one "
            f"encoding"
        )
    encoding = datasets.Encoding.from_description(first)
    frames = encoding.encode(dataset, slice(None))
    return Data(
        np.ascontiguousarray(frames, np.uint8), dataset.labels, index, encoding.notes(dataset)
    ), chosen


def _sources(transfer: bool | tuple[str, ...], files: list[ModelFile]) -> list[ModelFile]:
    """The models whose adversarial samples are tried on the others. Raises BenchError for a name
    that is none of them."""
    if isinstance(transfer, bool):
        return files if transfer else []
    names = [model.name for model in files]
    for name in transfer:
        if name not in names:
            raise BenchError(
                f"[attacks] transfer names {name!r}; the models are {', '.join(names)}"
            )
    return [model for model in files if model.name in transfer]


def plan(sweep: Sweep, files: list[ModelFile], data: Data) -> Plan:
    """Every cell of a sweep: clean, the battery, transfers between all pairs of models, energy
    attacks, corruptions."""
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
                made += [
                    (spec, other, SOFTWARE)
                    for spec in transfers(
                        attacks.preset or "quick", attacks.norm, [other.name], random
                    )
                ]
        jobs += [
            CraftJob(model, data.key, None, attacks.norm, 0.0, seed, sweep.run.batch)
            for seed in attacks.seeds
        ]
        jobs += [
            CraftJob(
                model, data.key, spec, attacks.norm, epsilon, seed, sweep.run.batch, source, on
            )
            for spec, source, on in made
            for epsilon in attacks.epsilons
            for seed in attacks.seeds
        ]
        jobs += [
            CraftJob(
                model,
                data.key,
                spec,
                "corruption",
                float(severity),
                attacks.seeds[0],
                sweep.run.batch,
            )
            for spec, severity in _corruptions(sweep)
        ]
    everything = len(data.labels)
    targets = tuple(
        (name, min(sweep.targets.lava_samples, everything) if name == "lava" else everything)
        for name in sweep.targets.names
    )
    brief = ("lava",) if sweep.targets.lava_attacks == "cascade" else ()
    return Plan(data, tuple(jobs), targets, seeds, brief)


def _battery(sweep: Sweep, opened: Opened) -> list[AttackSpec]:
    """Attacks that are made on the model itself."""
    attacks, random = sweep.attacks, opened.stochastic
    front = opened.front is not None
    known = sweep.data.inference_seeds[0] if random else None
    spiking = any(True for _ in spiking_neurons(opened.module))
    specs = list(attacks.list)
    if attacks.preset is not None:
        specs = battery(attacks.preset, attacks.norm, random, front, known, spiking)
    if attacks.energy:
        specs += energy_battery(
            attacks.preset or "quick", attacks.norm, random, "synaptic_operations"
        )
    return specs


def _looks(spec: AttackSpec, opened: Opened) -> tuple[str, ...]:
    """Where an attack is made. One that only asks for predictions asks the Program. Where the
    PyTorch model computes other numbers (a float model), it is made on both, so that what each
    hides is seen."""
    if ATTACKS[spec.attack].access in ("gradient", "source") or opened.program is None:
        return (SOFTWARE,)
    return (INTEGERS,) if opened.exact else (SOFTWARE, INTEGERS)


def _corruptions(sweep: Sweep) -> list[tuple[AttackSpec, int]]:
    if sweep.corruptions is None:
        return []
    from toolchain.data.corruptions import CORRUPTIONS

    names = sweep.corruptions.names or tuple(CORRUPTIONS)
    return [
        (AttackSpec("corruption", {"name": name}), severity)
        for name in names
        for severity in sweep.corruptions.severities
    ]


def run(
    sweep: Sweep,
    folder: str | Path,
    *,
    scheduler: Scheduler | None = None,
    workers: int | None = None,
    report: Report | None = None,
    command: str | None = None,
) -> Plan:
    """Run a sweep into a folder; returns what was planned. Raises ToolchainError; finished cells
    stay in the store.

    scheduler  of a Dask cluster that computes the cells; None: processes of this machine
    workers    so many of them; None: one for each core; 1: this process
    report     of progress; networks are trained before its cells are counted
    command    what the user typed, for the report
    """
    report = report or Report()
    check_kinds(sweep)
    with Store(folder) as store:
        trained = trainings(sweep)
        engine.run(
            trained.values(),
            store,
            lambda *given: _trainers(workers, *given),
            Report(inside=report.inside),
        )
        with threads.limited(
            1
        ):  # as workers compute, so that what a model becomes is the same to the last bit
            files = [model.sealed() for model in models(sweep, store.folder, trained)]
        data, name = load_data(sweep, files)
        planned = plan(sweep, files, data)
        store.remember(
            "sweep",
            {
                "attacks": _plain(sweep.attacks),
                "targets": _plain(sweep.targets),
                "data": {
                    "name": name,
                    "samples": len(data.labels),
                    "key": data.key,
                    "inference_seeds": list(sweep.data.inference_seeds),
                    "notes": list(data.notes),
                },
            },
        )
        store.remember("models", _remembered(files, sweep))
        store.remember("keys", sorted(keys(planned)))
        store.remember("versions", _versions())
        store.remember("code", maker.of(SCORED_BY).code.digest)
        store.remember("energy", _energy())
        store.remember("command", command)
        _keep_programs(files, store.folder)
        engine.run(
            planned.cells(), store, lambda *given: _crew(scheduler, workers, *given), report, data
        )
    return planned


def _crew(
    scheduler: Scheduler | None, workers: int | None, count: int, shared: Shared, inside: Inside
) -> AbstractContextManager:
    """Who computes the cells of a sweep."""
    if scheduler is not None:
        return cluster(scheduler, shared, inside)
    return Pool(min(workers or os.cpu_count() or 1, count), shared, inside)


def _trainers(workers: int | None, count: int, shared: Shared, inside: Inside) -> Pool:
    """Who trains, on this machine: where there are fewer networks than cores, each has several."""
    cores = os.cpu_count() or 1
    crew = min(workers or cores, count)
    return Pool(crew, shared, inside, threads=max(1, cores // crew))


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


def _remembered(files: list[ModelFile], sweep: Sweep) -> list[dict]:
    """What a run remembers of its models; those of one method differ in the seed of their training
    alone."""
    methods = {_named(part, seed): part.name for part in sweep.models for seed in part.seeds}
    return [{**_said(model, sweep), "method": methods[model.name]} for model in files]


def _said(model: ModelFile, sweep: Sweep) -> dict:
    """What a run remembers of a model: its source and key, the options that it became integers
    with, what runs where before it, and what its form has otherwise than the papers of its
    defences."""
    opened = open_model(model)
    options = model.options.given()
    front = [] if opened.front is None else [dict(entry) for entry in opened.front.plan()]
    said = {
        "name": model.name,
        "source": model.source,
        "key": model.key,
        "options": options,
        "front": front,
    }
    return {**said, "differs": _differs(model, opened, sweep)}


def _differs(model: ModelFile, opened: Opened, sweep: Sweep) -> list[str]:
    """Of a checkpoint; what is no checkpoint has no recipe, and nothing is known of its
    training."""
    if opened.stage.kind != "checkpoint":
        return []
    from toolchain.defences.differences import differences
    from toolchain.training import recipe_of

    return differences(
        recipe_of(model.source, model.content),
        sweep.attacks.epsilons if sweep.attacks.norm == "linf" else (),
    )


def _energy() -> dict:
    """The device tables that energies rest on, with their sources, what the estimate assumes and
    leaves out, and its error."""
    devices, loaded = [], [Device.load(name) for name in DEVICES]
    for device in loaded:
        constants = {name: asdict(constant) for name, constant in device.constants.items()}
        times = None if device.step_times is None else asdict(device.step_times)
        said = {
            "name": device.name,
            "title": device.title,
            "kind": device.kind,
            "measured_on": device.measured_on,
        }
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
    return json.loads(
        json.dumps(part, default=lambda o: o.to_json() if isinstance(o, AttackSpec) else o.__dict__)
    )


def records(folder: str | Path) -> list[Scored]:
    """Every scored cell of the last sweep that ran into a folder."""
    with Store(folder, read_only=True) as store:
        wanted = set(store.recall("keys") or [])
        return [
            Scored.from_arrays(description, store.get(key)[1])
            for key, description in store.cells("scored")
            if key in wanted
        ]
