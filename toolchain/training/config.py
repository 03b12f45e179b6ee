"""The recipe of a training run, and its TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from toolchain.data import DATASETS, ENCODINGS, Encoding
from toolchain.data.datasets import intensity_bits
from toolchain.data.encoders import BinUs, Bits, Rate, Steps
from toolchain.defences import Defence
from toolchain.errors import ConfigError, DataError
from toolchain.models import Grid, Model, Neuron, Surrogate
from toolchain.purification.settings import Purifier
from toolchain.table_rules import Seed, one_of
from toolchain.tables import Settings, from_table, load, to_table
from toolchain.training.augmentation import Augmentation

LOSSES = ("cross_entropy", "rate")
OPTIMISERS = ("adam", "adamw", "sgd")
SCHEDULES = ("one_cycle", "cosine", "constant")
DEVICES = ("cpu", "cuda", "auto")


@dataclass(frozen=True)
class Data(Settings):
    """A dataset and its encoding; entries as ``toolchain.data.Encoding``.

    name       of the data set
    encoding   how values become inputs (``toolchain.data.encoders``)
    steps      time steps of a sample
    bits       of images: keep so many bits of the intensity; not given: all
    rate       of Poisson encodings: spike probability at full intensity
    seed       of Poisson encodings
    bin_us     of events: microseconds of a step
    shift  training images are moved by up to so many pixels in each direction, at random
    """

    TABLE = "data"

    name: Annotated[str, one_of(DATASETS)] = "digits"
    encoding: Annotated[str, one_of(ENCODINGS)] = "direct"
    steps: Steps = 8
    bits: Bits | None = None
    rate: Rate = 1.0
    seed: Seed = 0
    bin_us: BinUs = 1000
    shift: Annotated[int, Meta(ge=0, le=8)] = 0

    def check(self) -> str | None:
        try:
            self.encoder.input_format(self.name)
        except DataError as error:
            return str(error)
        if self.shift and DATASETS[self.name][2] == 0:
            return f"shift goes with images; {self.name} are events"
        return None

    @property
    def encoder(self) -> Encoding:
        """The encoding."""
        return Encoding(self.encoding, self.steps, self.bits, self.rate, self.seed, self.bin_us)


@dataclass(frozen=True)
class Training(Settings):
    """The optimisation.

    batch           samples of one step of the optimiser
    optimiser       "adam", "adamw" or "sgd"
    learning_rate   the largest one; ``schedule`` says how it changes
    weight_decay    of the optimiser
    logit_scale     what scores are multiplied by before the loss
    seed            of initial weights, order of samples and everything else that is drawn
    epochs     0: the network stays what it starts from, which is then ``model.init``
    loss       "cross_entropy" of the scores (spike counts, or volts) times ``logit_scale``; "rate":
               squared difference of the spike rates from 1 for the class and 0 for the others
               (readout spike_count)
    schedule   "one_cycle": the rate rises for a tenth of the steps and falls to zero; "cosine": it
               falls to zero along half a cosine; "constant"
    warmup     share of the steps in which the rate rises first. Not given: 0.1 of "one_cycle", 0 of
               "cosine" (its rise is a straight line)
    decay_norms      False: weight_decay is for the weights of synapses alone, not for biases, batch
                     normalisations and parameters of neurons
    label_smoothing  of "cross_entropy": so much of the target is spread over all classes
    gradient_clip    largest norm of the gradient of all parameters together; not given: any
    freeze_norms     in the last so large share of the epochs the batch normalisations of spiking
                     layers compute with their running statistics, exactly as the deployed network
                     (``toolchain.layers.freeze_norms``); networks without any: nothing
    validation  share of the training samples that is held back, drawn with the seed. After each
                epoch the network is measured on it, and the best epoch's weights are kept. 0:
                nothing is held back, the last epoch's are kept. The test split is never looked at
                before the end
    patience   stop after so many epochs without a better one on the validation samples
    samples    train on the first so many samples; not given: all
    device     "cpu"; "cuda"; "auto": a GPU where PyTorch sees one (results differ between devices:
               sums round, and random numbers are drawn, in another order)
    """

    TABLE = "training"

    epochs: Annotated[int, Meta(ge=0, le=100_000)] = 20
    batch: Annotated[int, Meta(ge=1, le=1 << 16)] = 32
    optimiser: Annotated[str, one_of(OPTIMISERS)] = "adam"
    learning_rate: Annotated[float, Meta(ge=1e-9, le=1e3)] = 1e-2
    weight_decay: Annotated[float, Meta(ge=0, le=1e3)] = 0.0
    schedule: Annotated[str, one_of(SCHEDULES)] = "one_cycle"
    warmup: Annotated[float, Meta(ge=0, le=0.9)] | None = None
    decay_norms: bool = True
    label_smoothing: Annotated[float, Meta(ge=0, le=0.9)] = 0.0
    gradient_clip: Annotated[float, Meta(ge=1e-9, le=1e9)] | None = None
    freeze_norms: Annotated[float, Meta(ge=0, le=1)] = 0.2
    validation: Annotated[float, Meta(ge=0, le=0.9)] = 0.0
    patience: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    loss: Annotated[str, one_of(LOSSES)] = "cross_entropy"
    logit_scale: Annotated[float, Meta(ge=1e-6, le=1e6)] = 1.0
    seed: Seed = 0
    samples: Annotated[int, Meta(ge=1, le=1 << 32)] | None = None
    device: Annotated[str, one_of(DEVICES)] = "cpu"

    def check(self) -> str | None:
        if self.patience is not None and not self.validation:
            return "patience goes with validation, the share that is held back; it must be above 0"
        if self.warmup is not None and self.schedule == "constant":
            return 'warmup goes with schedule "one_cycle" or "cosine", not "constant"'
        if self.label_smoothing and self.loss != "cross_entropy":
            return f'label_smoothing goes with loss "cross_entropy", not {self.loss!r}'
        return None


@dataclass(frozen=True)
class Config(Settings):
    """A whole recipe; each part is a table of the TOML file, and may be left out.

    data           what is learned, and how it becomes inputs
    model          the network
    neuron         all its neurons
    grid           the chip's number formats
    training       the optimisation
    augmentation   random changes of training images
    defence        what makes the network harder to attack
    purifier   a front before a classifier that is trained already: everything else is then its
               classifier's, from its checkpoint

    surrogate  not given: the normal density of the noise where neurons are noisy, else a triangle
               of half width 1 V
    """

    TABLE = "recipe"
    EXAMPLE = 'data = {name = "digits"} and model = {name = "conv_digits"}'

    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=lambda: Model("conv_digits"))
    neuron: Neuron = field(default_factory=Neuron)
    surrogate: Surrogate | None = None
    grid: Grid = field(default_factory=Grid)
    training: Training = field(default_factory=Training)
    purifier: Purifier | None = None
    defence: Defence = field(default_factory=Defence)
    augmentation: Augmentation | None = None

    def check(self) -> str | None:
        if self.training.loss == "rate" and self.model.readout != "spike_count":
            return (
                f'training: loss "rate" needs model.readout = "spike_count", not '
                f"{self.model.readout!r}"
            )
        if not self.training.epochs and self.model.init is None:
            return (
                "training: epochs is 0, which leaves random weights; with 0 there must be a "
                "model.init"
            )

        init, neuron = self.model.init, self.neuron
        rated = neuron.reset == "subtract" and neuron.alpha is None and not neuron.refractory
        if init is not None and init.kind == "conversion" and not rated:
            return (
                "model: init converts into neurons that carry a rate; they must have reset = "
                '"subtract", without alpha and refractory'
            )

        margin = self.defence.margin
        if margin is not None and margin.potential == "noisy" and not self.neuron.noise:
            return (
                'defence.margin: potential is "noisy", and neuron.noise is 0; it must be "quiet", '
                "or the neurons must be noisy"
            )

        wrong = self._pixels("adversarial", "epsilon") or self._pixels("sparsity", "h")
        return wrong or self._augmented()

    def _augmented(self) -> str | None:
        """What is wrong with the augmentation of this data."""
        if self.augmentation is None:
            return None
        source = DATASETS[self.data.name]
        if not source.maximum:
            return f"augmentation goes with images; {self.data.name} are events"
        side = min(source.shape[1:])
        for name in ("crop", "cutout"):
            size = getattr(self.augmentation, name)
            if size >= side:
                return (
                    f"augmentation: {name} is {size}; it must be below {side}, the side of an "
                    f"image of {self.data.name}"
                )
        return None

    def _pixels(self, name: str, entry: str) -> str | None:
        """A defence that changes pixels: what is wrong where the data has none, or where the
        encoder rounds every change away."""
        settings = getattr(self.defence, name)
        if settings is None:
            return None
        maximum = DATASETS[self.data.name][2]
        if not maximum:
            return f"defence: {name} changes pixels; {self.data.name} are events"
        level, size = 0.5 ** intensity_bits(maximum), getattr(settings, entry)
        if self.data.encoding.startswith("poisson") or size >= level / 2:
            return None
        return (
            f"defence.{name}: {entry} is {size}; it must be {level / 2:g} or more: "
            f"{self.data.name} have {1 / level:.0f} grey levels, and a change of less than half a "
            f"level is rounded away"
        )

    def to_table(self) -> dict[str, Any]:
        """Plain values, from which ``from_table`` makes it again."""
        return to_table(self)

    @classmethod
    def from_table(cls, table: Any, where: str = "config") -> Config:
        """Raises ConfigError for an unknown key and for a value that cannot be."""
        return from_table(cls, table, where)


def read_config(path: str | Path) -> Config:
    """A recipe from its TOML file. Raises ConfigError."""
    path = Path(path)
    table = load(Config, path, "a recipe, a TOML file,")

    others = [name for name in table if name != "purifier"]
    if "purifier" in table and others:
        raise ConfigError(
            f"{path}: {others[0]} beside purifier; purifier must stand alone: all else is its "
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
    init = config.model.init.at(path.parent / config.model.init.source)
    return replace(config, model=replace(config.model, init=init))
