"""The recipe of a training run, and its TOML file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.data import DATASETS, Encoding
from toolchain.errors import ConfigError, DataError
from toolchain.models import Grid, Model, Neuron, Surrogate
from toolchain.tables import bounds, from_table, one_of, to_table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_FILE = 1 << 20

LOSSES = ("cross_entropy", "rate")
OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("one_cycle", "constant")


@dataclass(frozen=True)
class Data:
    """A dataset and its encoding; entries as ``toolchain.data.Encoding``.

    shift  training images are moved by up to so many pixels in each direction, at random
    """

    name: str = "digits"
    encoding: str = "direct"
    steps: int = 8
    bits: int | None = None
    rate: float = 1.0
    seed: int = 0
    bin_us: int = 1000
    shift: int = 0

    def __post_init__(self):
        one_of("data", name=(self.name, DATASETS))
        bounds("data", shift=(self.shift, 0, 8))
        try:
            self.encoder.input_format(self.name)
        except DataError as error:
            raise ConfigError(f"data: {error}") from None
        if self.shift and DATASETS[self.name][2] == 0:
            raise ConfigError(f"data: shift goes with images; {self.name} are events")

    @property
    def encoder(self) -> Encoding:
        """The encoding."""
        return Encoding(self.encoding, self.steps, self.bits, self.rate, self.seed, self.bin_us)


@dataclass(frozen=True)
class Training:
    """The optimisation.

    loss       "cross_entropy" of the scores (spike counts, or volts) times ``logit_scale``; "rate": squared difference of the spike
               rates from 1 for the class and 0 for the others (readout spike_count)
    schedule   "one_cycle": the rate rises for a tenth of the steps and falls to zero; "constant"
    samples    train on the first so many samples; not given: all
    """

    epochs: int = 20
    batch: int = 32
    optimiser: str = "adam"
    learning_rate: float = 1e-2
    weight_decay: float = 0.0
    schedule: str = "one_cycle"
    loss: str = "cross_entropy"
    logit_scale: float = 1.0
    seed: int = 0
    samples: int | None = None

    def __post_init__(self):
        one_of("training", optimiser=(self.optimiser, OPTIMISERS), schedule=(self.schedule, SCHEDULES), loss=(self.loss, LOSSES))
        bounds(
            "training",
            epochs=(self.epochs, 1, 100_000),
            batch=(self.batch, 1, 1 << 16),
            learning_rate=(self.learning_rate, 1e-9, 1e3),
            weight_decay=(self.weight_decay, 0, 1e3),
            logit_scale=(self.logit_scale, 1e-6, 1e6),
            seed=(self.seed, 0, (1 << 32) - 1),
            samples=(self.samples, 1, 1 << 32),
        )


@dataclass(frozen=True)
class Config:
    """A whole recipe; each part is a table of the TOML file, and may be left out."""

    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=lambda: Model("conv_digits"))
    neuron: Neuron = field(default_factory=Neuron)
    surrogate: Surrogate = field(default_factory=Surrogate)
    grid: Grid = field(default_factory=Grid)
    training: Training = field(default_factory=Training)

    def __post_init__(self):
        if self.training.loss == "rate" and self.model.readout != "spike_count":
            raise ConfigError(f"training: loss 'rate' needs model.readout = \"spike_count\", not {self.model.readout!r}")

    def to_table(self) -> dict:
        """Plain values, from which ``from_table`` makes it again."""
        return to_table(self)

    @classmethod
    def from_table(cls, table, where: str = "config") -> Config:
        """Raises ConfigError for an unknown key or a value that is not accepted."""
        return from_table(cls, table, where)


def read_config(path: str | Path) -> Config:
    """A recipe from its TOML file. Raises ConfigError."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > MAX_FILE:
        raise ConfigError(f"{path}: larger than {MAX_FILE} bytes")
    try:
        table = tomllib.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: no TOML file: {error}") from None
    return Config.from_table(table, str(path))
