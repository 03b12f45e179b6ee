"""What a sweep is: models × attacks × radii × targets × seeds, as typed values; ``sweep`` reads
them from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from hardware._text import shortened
from hardware.chip import known as known_chips
from toolchain.attacks import registry
from toolchain.attacks.batteries import PRESETS
from toolchain.attacks.estimators import ESTIMATORS
from toolchain.attacks.fronts import FRONTS
from toolchain.attacks.registry import ATTACKS, NORMS, STARTS, AttackSpec, attacks_on
from toolchain.data import DATASETS
from toolchain.data.corruptions import CORRUPTIONS, SEVERITIES
from toolchain.errors import ConfigError, ToolchainError
from toolchain.robustness.options import Options
from toolchain.table_rules import DISTINCT, Count, Positive, Text, one_of
from toolchain.tables import Settings, to_table
from toolchain.targets import TARGETS

RunSeed = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
Seeds = Annotated[tuple[RunSeed, ...], DISTINCT]

SAMPLES = 200
"""Samples of a data set where a sweep does not say how many."""


class SweepError(ConfigError):
    """A sweep file cannot be read, has an unknown key, or a value that cannot be."""


@dataclass(frozen=True)
class DataPart(Settings):
    """What is attacked.

    name             of a data set; not given: the models' own
    source           in place of it a .npz file of one's own, with inputs and labels
    samples          the first so many; not given: the first 200 of a data set, all of a file
    inference_seeds  of models that are random: every cell is scored with each of them
    """

    TABLE = "data"

    name: Annotated[str, one_of(DATASETS)] | None = None
    source: Text | None = None
    samples: Count | None = None
    inference_seeds: Seeds = (0,)

    def check(self) -> str | None:
        if self.name is not None and self.source is not None:
            return "give either name (a data set) or source (a .npz file of your own)"
        return None


@dataclass(frozen=True, kw_only=True)
class ModelPart(Options):
    """One model, or several trainings of one: a recipe, or a source with ``{seed}`` in its path.
    Exactly one of the two. Beside them stand the fields of Options.

    name     in tables and plots
    source   a model at a stage with a PyTorch module
    weights  of a factory
    recipe   a training recipe: trained once into the run's folder
    seeds    of the recipe's training, or of the source's path; one model each
    """

    TABLE = "models"
    EXAMPLE = '{name = "plain", source = "plain.safetensors"}'

    name: Text
    source: Text | None = None
    weights: Text | None = None
    recipe: Text | None = None
    seeds: Seeds | None = None

    def check(self) -> str | None:
        if (self.source is None) == (self.recipe is None):
            return "give either source (a model) or recipe (a training recipe)"
        if self.source is not None and (self.seeds is None) == ("{seed}" in self.source):
            return (
                "seeds go with a recipe, or with {seed} in the path of a source; one is given "
                "without the other"
            )
        return None

    @property
    def options(self) -> Options:
        """How it becomes integers, and what it reads."""
        return Options(**{field.name: getattr(self, field.name) for field in fields(Options)})

    @property
    def trainings(self) -> tuple[int, ...]:
        """The seeds; a model without any is one training, 0."""
        return self.seeds or (0,)


@dataclass(frozen=True)
class CorruptionPart(Settings):
    """A second axis, apart from attacks.

    names        of the corruptions; not given: all of ``toolchain.data.corruptions``
    severities   1, the weakest, to 5
    """

    TABLE = "corruptions"

    names: Annotated[tuple[Annotated[str, one_of(CORRUPTIONS)], ...], DISTINCT] | None = None
    severities: Annotated[tuple[Annotated[int, one_of(SEVERITIES)], ...], DISTINCT] = (1, 3, 5)


@dataclass(frozen=True)
class EstimatorPart(Settings):
    """A gradient estimator by its name, with its parameters.

    name     of the estimator
    params   of the estimator
    """

    TABLE = "estimator"
    EXAMPLE = '{name = "atan"}'

    name: Annotated[str, one_of(ESTIMATORS)]
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TuningPart(Settings):
    """How an estimator's parameter is chosen; see toolchain.attacks.tuning. Either values (tried
    one after the other) or between (low, high).

    parameter   of the estimator
    values      to try, one after the other
    between     (low, high) to search
    rounds      of the search
    samples     that are attacked in it
    steps       of the attack in it; not given: the attack's own
    """

    TABLE = "tuning"
    EXAMPLE = '{parameter = "width", values = [1, 2]}'

    parameter: Text
    values: tuple[float, ...] | None = None
    between: tuple[float, ...] | None = None
    rounds: Count = 8
    samples: Count = 32
    steps: Count | None = None


@dataclass(frozen=True)
class ListedAttack(Settings):
    """An attack of one's own choice; see toolchain.attacks.registry.AttackSpec. Everything that it
    is given is tried out, so that no wrong value waits for its cell.

    attack       name of an attack in ``toolchain.attacks.registry``
    params       of the attack
    estimator    of the gradient, where the attack needs one
    eot          draws that each gradient is averaged over
    tuning       how a parameter of the estimator is chosen
    front        how what stands before the network is treated
    known_seed   the adversary knows that a random network draws with this seed
    start        of a stage of a cascade: where it begins
    """

    TABLE = "attack"
    EXAMPLE = '{attack = "pgd", params = {steps = 40}, estimator = {name = "atan"}}'

    attack: Annotated[str, one_of(ATTACKS)]
    params: Mapping[str, Any] = field(default_factory=dict)
    estimator: EstimatorPart | None = None
    eot: Count = 1
    tuning: TuningPart | None = None
    front: Annotated[str, one_of(FRONTS)] = "through"
    known_seed: RunSeed | None = None
    start: Annotated[str, one_of(STARTS)] = "random"

    def check(self) -> str | None:
        try:
            registry.try_out(self.spec)
        except (ToolchainError, TypeError, ValueError, KeyError) as error:
            return shortened(str(error), 300)
        return None

    @property
    def spec(self) -> AttackSpec:
        """The same as the attacks' own specification."""
        return AttackSpec(**to_table(self))


@dataclass(frozen=True)
class AttackPart(Settings):
    """What is done to the samples. Exactly one of ``preset`` and ``list``.

    epsilons  radii, in pixel units for linf and l2, as counts for flips and shift
    preset    a battery by its name
    list      attacks of one's own choice
    norm      what an adversary may change
    seeds     of the attacks
    transfer  every model is also attacked with samples made on every other one; or names of models:
              on these alone
    energy    energy attacks as well
    """

    TABLE = "attacks"
    EXAMPLE = '{preset = "quick", epsilons = [0.1]}'

    epsilons: Annotated[tuple[Positive, ...], DISTINCT]
    preset: Annotated[str, one_of(PRESETS)] | None = None
    list: Annotated[tuple[ListedAttack, ...], DISTINCT] | None = None
    norm: Annotated[str, one_of(NORMS)] = "linf"
    seeds: Seeds = (0,)
    transfer: bool | Annotated[tuple[Text, ...], DISTINCT] = False
    energy: bool = False

    def check(self) -> str | None:
        if (self.preset is None) == (self.list is None):
            return f"give either preset ({', '.join(PRESETS)}) or list"
        for number, spec in enumerate(self.specs, 1):
            message = _astray(spec, self.norm)
            if message is not None:
                return f"list, entry {number}{message}"
        if self.energy:
            message = _astray(AttackSpec("sponge", estimator={"name": "training"}), self.norm)
            return None if message is None else f"energy{message}"
        return None

    @property
    def specs(self) -> tuple[AttackSpec, ...]:
        """Those of ``list``."""
        return tuple(entry.spec for entry in self.list or ())


def _astray(spec: AttackSpec, norm: str) -> str | None:
    """What is wrong with an attack, or a stage of a cascade, that cannot keep to the threat, or
    that is asked for elsewhere."""
    if spec.attack == "cascade":
        for number, stage in enumerate(spec.stages, 1):
            message = _astray(stage, norm)
            if message is not None:
                return f", stage {number}{message}"
        return None

    if spec.attack == "transfer":
        return (
            ": transfers between models are asked for with transfer = true (or the models' "
            "names) in [attacks]"
        )
    if spec.attack == "corruption":
        return ": corruptions have a table of their own, [corruptions]"

    fitting = ATTACKS[spec.attack].norms
    if norm in fitting:
        return None
    return (
        f": {spec.attack!r} keeps to norm {' or '.join(fitting)}, and norm is {norm!r}; "
        f"with it go {', '.join(attacks_on(norm))}"
    )


@dataclass(frozen=True)
class TargetPart(Settings):
    """What scores the samples.

    names          of the targets
    lava_samples   Lava runs one sample at a time, so it gets the first so many
    lava_attacks   "all"; or "cascade": clean samples and cascades alone, of random networks with
                   the first inference seed
    chip           whose cores are counted and whose static power is taken
    """

    TABLE = "targets"

    names: Annotated[tuple[Annotated[str, one_of(TARGETS)], ...], DISTINCT] = ("software", "fast")
    lava_samples: Count = 20
    lava_attacks: Annotated[str, one_of(("all", "cascade"))] = "all"
    chip: Annotated[str, one_of(known_chips())] = "loihi2"


@dataclass(frozen=True)
class RunPart(Settings):
    """How a sweep is computed.

    batch   samples computed at once inside one cell, which bounds its memory
    """

    TABLE = "run"

    batch: Count = 100


@dataclass(frozen=True)
class SweepFile(Settings):
    """The TOML file of a sweep; see ``toolchain.robustness.sweep``.

    models        what is attacked
    attacks       what is done to the samples
    data          which samples
    targets       what scores them
    run           how it is computed
    corruptions   common corruptions, an axis apart from attacks; not given: none
    """

    TABLE = "sweep"
    EXAMPLE = f"models = [{ModelPart.EXAMPLE}] and attacks = {AttackPart.EXAMPLE}"

    models: Annotated[tuple[ModelPart, ...], Meta(min_length=1)]
    attacks: AttackPart
    data: DataPart = field(default_factory=DataPart)
    targets: TargetPart = field(default_factory=TargetPart)
    run: RunPart = field(default_factory=RunPart)
    corruptions: CorruptionPart | None = None

    def check(self) -> str | None:
        names = [model.name for model in self.models]
        twice = next((name for name in names if names.count(name) > 1), None)
        return None if twice is None else f"models: two have the same name, {twice!r}"


@dataclass(frozen=True)
class Sweep:
    """A whole sweep; ``folder`` is where relative paths start, ``where`` names it in errors."""

    models: tuple[ModelPart, ...]
    attacks: AttackPart
    data: DataPart
    targets: TargetPart
    run: RunPart
    corruptions: CorruptionPart | None
    folder: Path = field(default=Path("."), compare=False)
    where: str = field(default="sweep", compare=False)

    def path(self, name: str) -> str:
        """A path of the sweep file, relative to where that file lies."""
        return name if ":" in name or Path(name).is_absolute() else str(self.folder / name)
