"""What a sweep measures, read from a TOML file: models × attacks × radii × targets × seeds.

[data]
name = "digits"            # default: the data set that the models were trained on
samples = 200              # the first so many of the test set
inference_seeds = [0, 1, 2]   # of models that are random (Poisson, noisy neurons): every cell is
                              scored with each of them
[[models]]
name = "plain"
source = "plain.safetensors"      # a model at a stage with a PyTorch module; or
recipe = "digits.toml"            # a training configuration: trained once into the run's folder
seeds = [0, 1, 2]                 # of the recipe's training, one model each; or
                                  "NAME-{seed}.safetensors" is the source of each
weight_bits = 6                   # how a float model becomes integers: weight_bits, per_channel,
                                  discretization, allow_clipping, dt,
calibration = "digits"            # decode, reset, r_per, dialect (docs/dialects.md), and the data
                                  set that shows how large its numbers get
input_shape = [64]                # what a model without spikeport_io() reads: input_shape, call,
                                  dataset, encoding, steps, bits, rate, # bin_us
[attacks]
preset = "quick"           # quick, standard, full; or list = [{attack = "pgd", ...}] in the form of
                           AttackSpec
norm = "linf"
epsilons = [0.05, 0.1]
seeds = [0]
transfer = true            # every model is also attacked with samples made on every other model; or
                           ["plain"]: on these alone
energy = true              # energy attacks as well
[corruptions]              # a second axis, apart from attacks
names = ["gaussian_noise"] # of toolchain.data.corruptions; default: all
severities = [1, 3, 5]
[targets]
names = ["software", "fast", "lava"]
lava_samples = 20          # Lava runs the first so many samples of every cell
lava_attacks = "all"       # "cascade": Lava scores clean samples and cascades alone, with the first
                           inference seed
[run]
batch = 100                # samples in one cell's computation at once
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from export.dialects import DIALECTS
from export.reading import PER
from hardware import _toml
from hardware._text import shortened, shown
from hardware.program import DECODINGS, RESETS
from toolchain.attacks import registry
from toolchain.attacks.base import Threat
from toolchain.attacks.batteries import PRESETS
from toolchain.attacks.registry import ATTACKS, NORMS, AttackSpec, attacks_on
from toolchain.data import DATASETS, ENCODINGS
from toolchain.deploy.stages import CALLS
from toolchain.deploy.targets import TARGETS
from toolchain.errors import ToolchainError
from toolchain.robustness import kinds
from toolchain.robustness.models import Options
from toolchain.robustness.parts import (
    AttackPart,
    CorruptionPart,
    DataPart,
    ModelPart,
    RunPart,
    Sweep,
    SweepError,
    TargetPart,
)


def load(path: str | Path) -> Sweep:
    """Read a sweep file, and hold its attacks against the data that its models read (``kinds``),
    before anything runs.

    Raises SweepError, which names the key, the value and what is accepted; what reading a damaged
    recipe or checkpoint raises.
    """
    path = Path(path)
    sweep = parse(_toml.load(path, SweepError, "a sweep, a TOML file,"), str(path), path.parent)
    kinds.check_stated(sweep)
    return sweep


def parse(values: Mapping[str, Any], where: str, folder: Path = Path(".")) -> Sweep:
    """A sweep from plain values; see ``load``. Looks at no other file."""
    _known(where, values, ("data", "models", "attacks", "corruptions", "targets", "run"))
    if not isinstance(values.get("models"), list) or not values["models"]:
        raise SweepError(f"{where}: [[models]] is missing; at least one is needed")
    models = tuple(_model(f"{where}: models[{i}]", part) for i, part in enumerate(values["models"]))
    names = [m.name for m in models]
    if len(set(names)) < len(names):
        raise SweepError(f"{where}: two models have the same name; found {', '.join(names)}")
    return Sweep(
        models=models,
        attacks=_attacks(f"{where}: [attacks]", values.get("attacks", {})),
        data=_data(f"{where}: [data]", values.get("data", {})),
        targets=_targets(f"{where}: [targets]", values.get("targets", {})),
        run=RunPart(**_part(f"{where}: [run]", RunPart, values.get("run", {}), batch=_count)),
        corruptions=_corruptions(f"{where}: [corruptions]", values["corruptions"])
        if "corruptions" in values
        else None,
        folder=folder,
        where=where,
    )


def _known(where: str, values, accepted) -> None:
    if not isinstance(values, Mapping):
        raise SweepError(
            f"{where}: {shown(values)}; accepted is a table with {', '.join(accepted)}"
        )
    for key in values:
        if key not in accepted:
            raise SweepError(
                f"{where}: there is no key {shown(key)}; accepted are {', '.join(accepted)}"
            )


def _part(where: str, kind, values, **checks) -> dict:
    """The values of a table, each passed through its check."""
    names = tuple(f.name for f in fields(kind))
    _known(where, values, names)
    return {name: checks[name](f"{where} {name}", value) for name, value in values.items()}


def _count(where: str, value) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SweepError(f"{where}: {shown(value)}; accepted is a whole number from 1")
    return value


def _text(where: str, value) -> str:
    if not isinstance(value, str) or not value or len(value) > 500 or not value.isprintable():
        raise SweepError(f"{where}: {shown(value)}; accepted is a text of printable characters")
    return value


def _flag(where: str, value) -> bool:
    if not isinstance(value, bool):
        raise SweepError(f"{where}: {shown(value)}; accepted are true and false")
    return value


def _list(check):
    def checked(where: str, value) -> tuple:
        if not isinstance(value, list) or not value:
            raise SweepError(f"{where}: {shown(value)}; accepted is a list with at least one entry")
        found = tuple(check(where, entry) for entry in value)
        if any(found.count(entry) > 1 for entry in found):
            raise SweepError(f"{where}: {shown(value)} holds an entry twice")
        return found

    return checked


def _shape(where: str, value) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise SweepError(f"{where}: {shown(value)}; accepted is a list of sizes")
    return tuple(_count(where, size) for size in value)


def _seed(where: str, value) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 31:
        raise SweepError(
            f"{where}: {shown(value)}; accepted are whole numbers from 0 to {(1 << 31) - 1}"
        )
    return value


def _number(where: str, value) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value < float("inf")
    ):
        raise SweepError(f"{where}: {shown(value)}; accepted are finite numbers above 0")
    return float(value)


def _one_of(*accepted):
    def checked(where: str, value):
        if not any(type(value) is type(one) and value == one for one in accepted):
            raise SweepError(
                f"{where}: {shown(value)}; accepted are {', '.join(map(str, accepted))}"
            )
        return value

    return checked


def _data(where: str, values) -> DataPart:
    return DataPart(
        **_part(
            where,
            DataPart,
            values,
            name=_one_of(*DATASETS),
            samples=_count,
            inference_seeds=_list(_seed),
        )
    )


def _corruptions(where: str, values) -> CorruptionPart:
    from toolchain.data.corruptions import CORRUPTIONS

    return CorruptionPart(
        **_part(
            where,
            CorruptionPart,
            values,
            names=_list(_one_of(*CORRUPTIONS)),
            severities=_list(_one_of(1, 2, 3, 4, 5)),
        )
    )


def _model(where: str, values) -> ModelPart:
    told = tuple(f.name for f in fields(Options))
    accepted = tuple(f.name for f in fields(ModelPart) if f.name != "options")
    _known(where, values, (*accepted, *told))
    own = {name: value for name, value in values.items() if name in accepted}
    part = _part(
        where,
        ModelPart,
        own,
        name=_text,
        source=_text,
        weights=_text,
        recipe=_text,
        seeds=_list(_seed),
    )
    options = _part(
        where,
        Options,
        {name: value for name, value in values.items() if name in told},
        weight_bits=_count,
        per_channel=_flag,
        discretization=_one_of("euler", "exponential"),
        allow_clipping=_flag,
        dt=_number,
        decode=_one_of(*DECODINGS),
        reset=_one_of(*RESETS),
        r_per=_one_of(*PER),
        dialect=_one_of(*DIALECTS),
        calibration=_text,
        input_shape=_shape,
        call=_one_of(*CALLS),
        message_bits=_seed,
        fraction_bits=_seed,
        input_scale=_number,
        dataset=_one_of(*DATASETS),
        encoding=_one_of(*ENCODINGS),
        steps=_count,
        bits=_count,
        rate=_number,
        bin_us=_count,
    )
    part |= {"options": Options(**options)} if options else {}
    if "name" not in part:
        raise SweepError(f"{where}: name is missing")
    if ("source" in part) == ("recipe" in part):
        raise SweepError(
            f"{where}: give either source (a model) or recipe (a training configuration)"
        )
    if "source" in part and ("seeds" in part) != ("{seed}" in part["source"]):
        raise SweepError(
            f"{where}: seeds go with a recipe, or with {{seed}} in the path of a source; one is "
            f"given without the other"
        )
    return ModelPart(**part)


def _table(where: str, value) -> Mapping:
    if not isinstance(value, Mapping):
        raise SweepError(f'{where}: {shown(value)}; it must be a table, such as {{name = "atan"}}')
    return value


def _spec(where: str, value) -> AttackSpec:
    """An attack of one's own, with everything that it is given tried out: no wrong value waits for
    its cell."""
    if not isinstance(value, Mapping):
        example = '{attack = "pgd", params = {steps = 40}, estimator = {name = "atan"}}'
        raise SweepError(f"{where}: {shown(value)}; accepted is a table such as {example}")
    tables = dict.fromkeys(("params", "estimator", "tuning"), _table)
    found = _part(
        where,
        AttackSpec,
        value,
        attack=_text,
        front=_text,
        start=_text,
        eot=_count,
        known_seed=_seed,
        **tables,
    )
    try:
        spec = AttackSpec.from_json(found)
        registry.try_out(spec)
    except (ToolchainError, TypeError, ValueError, KeyError) as error:
        raise SweepError(f"{where}: {shortened(str(error), 300)}") from None
    return spec


def _attacks(where: str, values) -> AttackPart:
    part = _part(
        where,
        AttackPart,
        values,
        epsilons=_list(_number),
        preset=_one_of(*PRESETS),
        list=_list(_spec),
        norm=_one_of(*NORMS),
        seeds=_list(_seed),
        transfer=lambda where, value: (
            _flag(where, value) if isinstance(value, bool) else _list(_text)(where, value)
        ),
        energy=_flag,
    )
    if "epsilons" not in part:
        raise SweepError(
            f"{where}: epsilons is missing: the radii, in pixel units for linf and l2, as counts "
            f"for flips and shift"
        )
    if ("preset" in part) == ("list" in part):
        raise SweepError(f"{where}: give either preset ({', '.join(PRESETS)}) or list")
    norm = part.get("norm", AttackPart.norm)
    for epsilon in part["epsilons"]:
        Threat(norm, epsilon)
    for number, spec in enumerate(part.get("list", ())):
        _keeps_to(f"{where} list[{number}]", spec, norm)
    if part.get("energy"):
        _keeps_to(f"{where} energy", AttackSpec("sponge", estimator={"name": "training"}), norm)
    return AttackPart(**part)


def _keeps_to(where: str, spec: AttackSpec, norm: str) -> None:
    """Raises SweepError for an attack, or a stage of a cascade, that cannot keep to the threat, or
    that is asked for elsewhere."""
    if spec.attack == "cascade":
        for number, stage in enumerate(spec.stages):
            _keeps_to(f"{where} stage {number}", stage, norm)
        return
    if spec.attack == "transfer":
        raise SweepError(
            f"{where}: transfers between models are asked for with transfer = true (or the models' "
            f"names) in [attacks]"
        )
    if spec.attack == "corruption":
        raise SweepError(f"{where}: corruptions have a table of their own, [corruptions]")
    fitting = ATTACKS[spec.attack].norms
    if norm not in fitting:
        raise SweepError(
            f"{where}: {spec.attack!r} keeps to norm {' or '.join(fitting)}, and norm is {norm!r}; "
            f"with it go {', '.join(attacks_on(norm))}"
        )


def _targets(where: str, values) -> TargetPart:
    checks = {
        "names": _list(_one_of(*TARGETS)),
        "lava_samples": _count,
        "lava_attacks": _one_of("all", "cascade"),
    }
    return TargetPart(**_part(where, TargetPart, values, **checks))
