"""Which cells a sweep has: clean samples, attacks, transfers between models, corruptions."""

from __future__ import annotations

from toolchain.attacks.batteries import battery, energy_battery, transfers
from toolchain.attacks.estimators.base import spiking_neurons
from toolchain.attacks.registry import ATTACKS, AttackSpec
from toolchain.data.corruptions import CORRUPTIONS
from toolchain.robustness.cells import INTEGERS, SOFTWARE, CraftJob, SweepData
from toolchain.robustness.models import ModelFile, Opened, open_model
from toolchain.robustness.parts import Sweep
from toolchain.robustness.plan import Plan
from toolchain.robustness.samples import BenchError


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


def plan(sweep: Sweep, files: list[ModelFile], data: SweepData) -> Plan:
    """Every cell of a sweep: clean, the battery, transfers between all pairs of models, energy
    attacks, corruptions."""
    attacks = sweep.attacks
    sources = _sources(attacks.transfer, files)
    jobs, seeds = [], {}

    for model in files:
        opened = open_model(model)
        if opened.stochastic:
            seeds[model.key] = sweep.data.inference_seeds

        specs: list[tuple[AttackSpec, ModelFile | None, str]] = [
            (spec, None, on) for spec in _battery(sweep, opened) for on in _looks(spec, opened)
        ]
        for other in sources:
            if other is not model:
                random = open_model(other).stochastic
                specs += [
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
            for spec, source, on in specs
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
    return Plan(data, tuple(jobs), targets, seeds, brief, sweep.targets.chip)


def _battery(sweep: Sweep, opened: Opened) -> list[AttackSpec]:
    """Attacks that are made on the model itself."""
    attacks, random = sweep.attacks, opened.stochastic
    front = opened.front is not None
    known = sweep.data.inference_seeds[0] if random else None
    spiking = any(True for _ in spiking_neurons(opened.module))
    specs = list(attacks.specs)
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
    names = sweep.corruptions.names or tuple(CORRUPTIONS)
    return [
        (AttackSpec("corruption", {"name": name}), severity)
        for name in names
        for severity in sweep.corruptions.severities
    ]
