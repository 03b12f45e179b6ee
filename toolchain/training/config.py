"""The recipe of a training run, and its TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from hardware import _toml
from toolchain.data import DATASETS, Encoding
from toolchain.data.datasets import intensity_bits
from toolchain.defences import Defence
from toolchain.errors import ConfigError, DataError
from toolchain.models import Grid, Model, Neuron, Surrogate
from toolchain.purification.settings import Purifier
from toolchain.tables import bounds, from_table, one_of, to_table

LOSSES = ("cross_entropy", "rate")
OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("one_cycle", "cosine", "constant")
DEVICES = ("cpu", "cuda", "auto")


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

    epochs     0: the network stays what it starts from, which is then ``model.init``
    loss       "cross_entropy" of the scores (spike counts, or volts) times ``logit_scale``; "rate":
               squared difference of the spike rates from 1 for the class and 0 for the others
               (readout spike_count)
    schedule   "one_cycle": the rate rises for a tenth of the steps and falls to zero; "cosine": it
               falls to zero along half a cosine; "constant"
    samples    train on the first so many samples; not given: all
    device     "cpu"; "cuda"; "auto": a GPU where PyTorch sees one (results differ between devices:
               sums round, and random numbers are drawn, in another order)
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
    device: str = "cpu"

    def __post_init__(self):
        one_of(
            "training",
            optimiser=(self.optimiser, OPTIMISERS),
            schedule=(self.schedule, SCHEDULES),
            loss=(self.loss, LOSSES),
        )
        one_of("training", device=(self.device, DEVICES))
        bounds(
            "training",
            epochs=(self.epochs, 0, 100_000),
            batch=(self.batch, 1, 1 << 16),
            learning_rate=(self.learning_rate, 1e-9, 1e3),
            weight_decay=(self.weight_decay, 0, 1e3),
            logit_scale=(self.logit_scale, 1e-6, 1e6),
            seed=(self.seed, 0, (1 << 32) - 1),
            samples=(self.samples, 1, 1 << 32),
        )


@dataclass(frozen=True)
class Config:
    """A whole recipe; each part is a table of the TOML file, and may be left out.

    purifier   a front before a classifier that is trained already: everything else is then its
               classifier's, from its checkpoint

    surrogate  not given: the normal density of the noise where neurons are noisy, else a triangle
               of half width 1 V
    """

    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=lambda: Model("conv_digits"))
    neuron: Neuron = field(default_factory=Neuron)
    surrogate: Surrogate | None = None
    grid: Grid = field(default_factory=Grid)
    training: Training = field(default_factory=Training)
    purifier: Purifier | None = None
    defence: Defence = field(default_factory=Defence)

    def __post_init__(self):
        if self.training.loss == "rate" and self.model.readout != "spike_count":
            raise ConfigError(
                f"training: loss 'rate' needs model.readout = \"spike_count\", not "
                f"{self.model.readout!r}"
            )
        if not self.training.epochs and self.model.init is None:
            raise ConfigError(
                "training: epochs is 0, which leaves random weights; accepted with 0 is a "
                "model.init"
            )
        if self.model.init is not None and (
            self.neuron.reset != "subtract"
            or self.neuron.alpha is not None
            or self.neuron.refractory
        ):
            raise ConfigError(
                "model: init converts into neurons that carry a rate; accepted are reset = "
                '"subtract", without alpha and refractory'
            )
        margin = self.defence.margin
        if margin is not None and margin.potential == "noisy" and not self.neuron.noise:
            raise ConfigError(
                'defence.margin: potential is "noisy", and neuron.noise is 0; it must be "quiet", '
                "or the neurons must be noisy"
            )
        self._check_pixels()

    def _check_pixels(self) -> None:
        """Refuse changes of pixels for data that has none, or so small that the encoder rounds
        every one of them away."""
        sizes = {"adversarial": "epsilon", "sparsity": "h"}
        for name, entry in sizes.items():
            settings = getattr(self.defence, name)
            if settings is None:
                continue
            maximum = DATASETS[self.data.name][2]
            if not maximum:
                raise ConfigError(f"defence: {name} changes pixels; {self.data.name} are events")
            if self.data.encoding.startswith("poisson"):
                continue
            level, size = 0.5 ** intensity_bits(maximum), getattr(settings, entry)
            if size < level / 2:
                raise ConfigError(
                    f"defence.{name}: {entry} is {size}; accepted are {level / 2:g} or more: "
                    f"{self.data.name} have {1 / level:.0f} grey "
                    "levels, and a change of less than half a level is rounded away"
                )

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
    table = _toml.load(path, ConfigError, "a recipe, a TOML file,")
    others = [name for name in table if name != "purifier"]
    if "purifier" in table and others:
        raise ConfigError(
            f"{path}: {others[0]} beside purifier; accepted is purifier alone: all else is its "
            f"classifier's"
        )
    config = Config.from_table(table, str(path))
    if config.purifier is not None:  # as written: from where the recipe lies, here and below
        return replace(
            config,
            purifier=replace(
                config.purifier, classifier=str(path.parent / config.purifier.classifier)
            ),
        )
    if config.model.init is None:
        return config
    init = replace(config.model.init, ann=str(path.parent / config.model.init.ann))
    return replace(config, model=replace(config.model, init=init))
