"""What a sweep is: models × attacks × radii × targets × seeds, as typed values; ``sweep`` reads
them from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from toolchain.attacks.registry import AttackSpec
from toolchain.errors import ToolchainError
from toolchain.robustness.models import Options


class SweepError(ToolchainError):
    """A sweep file cannot be read, has an unknown key, or a value that is not accepted."""


@dataclass(frozen=True)
class DataPart:
    """name: None, the models' own. samples: the first so many of the test set; None: all.
    inference_seeds: of models that are random."""

    name: str | None = None
    samples: int | None = 200
    inference_seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class ModelPart:
    """One model, or several trainings of one: a recipe, or a source with ``{seed}`` in its path.
    Exactly one of the two."""

    name: str
    source: str | None = None
    weights: str | None = None
    recipe: str | None = None
    seeds: tuple[int, ...] = (0,)
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class CorruptionPart:
    """names: of toolchain.data.corruptions; empty: all of them."""

    names: tuple[str, ...] = ()
    severities: tuple[int, ...] = (1, 3, 5)


@dataclass(frozen=True)
class AttackPart:
    """Exactly one of ``preset`` and ``list``."""

    epsilons: tuple[float, ...]
    preset: str | None = None
    list: tuple[AttackSpec, ...] = ()
    norm: str = "linf"
    seeds: tuple[int, ...] = (0,)
    transfer: bool | tuple[str, ...] = False
    energy: bool = False


@dataclass(frozen=True)
class TargetPart:
    """What scores the samples.

    lava_samples   Lava runs one sample at a time, so it gets the first so many
    lava_attacks   "all"; or "cascade": clean samples and cascades alone, of random networks with
                   the first inference seed
    """

    names: tuple[str, ...] = ("software", "fast")
    lava_samples: int = 20
    lava_attacks: str = "all"


@dataclass(frozen=True)
class RunPart:
    """batch: samples computed at once inside one cell, which bounds its memory."""

    batch: int = 100


@dataclass(frozen=True)
class Sweep:
    """A whole sweep; ``folder`` is where relative paths start, ``where`` names it in errors."""

    models: tuple[ModelPart, ...]
    attacks: AttackPart
    data: DataPart = DataPart()
    targets: TargetPart = TargetPart()
    run: RunPart = RunPart()
    corruptions: CorruptionPart | None = None
    folder: Path = field(default=Path("."), compare=False)
    where: str = field(default="sweep", compare=False)

    def path(self, name: str) -> str:
        """A path of the sweep file, relative to where that file lies."""
        return name if ":" in name or Path(name).is_absolute() else str(self.folder / name)
