"""What a network is described by: plain dataclasses that a TOML table fills."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hardware.noise import MAX_SEED
from hardware.program import DECODINGS, RESETS
from toolchain.errors import ConfigError
from toolchain.layers.multi_level import MOST_LEVELS
from toolchain.layers.surrogate import SURROGATES
from toolchain.models.reference import MODELS
from toolchain.tables import bounds, one_of

KINDS = {
    "conv": ("channels", "kernel", "stride", "padding", "dilation", "groups", "bias"),
    "dense": ("features", "bias", "recurrent"),
    "average_pool": ("kernel", "stride"),
    "sum_pool": ("kernel", "stride"),
    "dropout": ("rate",),
    "squeeze_excitation": ("reduction",),
}
"""Kind of layer → the entries that it takes."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network; which entries go with which kind: KINDS.

    A conv and a dense layer is followed by neurons; a dense one is preceded by a flatten where
    needed. ``recurrent``: its neurons also feed back onto themselves, all to all. ``rate``: of
    dropout (toolchain.layers.Dropout). ``reduction``: of toolchain.layers.SqueezeExcitation, which
    runs on software alone.
    """

    kind: str
    channels: int | None = None
    features: int | None = None
    kernel: int | None = None
    stride: int | None = None
    padding: int | None = None
    dilation: int | None = None
    groups: int | None = None
    bias: bool | None = None
    recurrent: bool | None = None
    rate: float | None = None
    reduction: int | None = None

    def __post_init__(self):
        where = f"layer {self.kind!r}"
        one_of(where, kind=(self.kind, KINDS))
        for name, value in vars(self).items():
            if name != "kind" and value is not None and name not in KINDS[self.kind]:
                raise ConfigError(
                    f"{where}: {name} is given; accepted are {', '.join(KINDS[self.kind])}"
                )
        for name in {
            "conv": ("channels", "kernel"),
            "dense": ("features",),
            "dropout": ("rate",),
            "squeeze_excitation": ("reduction",),
        }.get(self.kind, ("kernel",)):
            if getattr(self, name) is None:
                raise ConfigError(f"{where}: {name} is not given")
        bounds(
            where,
            channels=(self.channels, 1, 1 << 14),
            features=(self.features, 1, 1 << 20),
            kernel=(self.kernel, 1, 64),
            stride=(self.stride, 1, 64),
            padding=(self.padding, 0, 64),
            dilation=(self.dilation, 1, 64),
            groups=(self.groups, 1, 1 << 14),
            rate=(self.rate, 0, 0.5),
            reduction=(self.reduction, 1, 1 << 10),
        )


@dataclass(frozen=True)
class Init:
    """What weights start from, in place of random numbers.

    kind        "conversion": an ANN of the same layers, by threshold balancing
                (toolchain.training.conversion)
    ann         a checkpoint (.safetensors) of a model of kind "ann", or a recipe (.toml) of one,
                which is trained first
    percentile  of the ANN's pre-activations over the training data that becomes a neuron's
                threshold; 100: their maximum
    scale       what that is multiplied by; the hybrid recipe of Rathi et al. (ICLR 2020) takes 0.7
                before surrogate training
    samples     so many training samples are looked at
    """

    kind: str
    ann: str
    percentile: float = 100.0
    scale: float = 1.0
    samples: int = 512

    def __post_init__(self):
        one_of("model.init", kind=(self.kind, ("conversion",)))
        bounds(
            "model.init",
            percentile=(self.percentile, 50, 100),
            scale=(self.scale, 1e-3, 1e3),
            samples=(self.samples, 1, 1 << 20),
        )
        if not self.ann.endswith((".safetensors", ".toml")):
            raise ConfigError(
                f"model.init: ann is {self.ann!r}; accepted are a checkpoint (.safetensors) and a "
                f"recipe (.toml)"
            )


NETWORKS = ("snn", "ann")


@dataclass(frozen=True)
class Model:
    """A network by name (``toolchain.models.MODELS``) or by its layers.

    kind          "snn": spiking, quantisation-aware, deployable; "ann": the same layers with
                  rectifiers in place of neurons, in floating point, to compare with and to convert
                  (toolchain.models.ann)
    readout       "spike_count": the last neurons spike and are counted; "max_potential",
                  "mean_potential", "last_potential": they are integrators whose potential is read
    readout_beta  what remains of the last integrators' potential in each step; not given: as in the
                  other neurons
    gain          initial weights are drawn with standard deviation gain * sqrt(2 / fan-in); biases
                  start at 0
    width         factor of all channels and features but the last layer's, rounded to at least 1
    init          what weights start from in place of that
    """

    name: str | None = None
    layers: tuple[Layer, ...] | None = None
    kind: str = "snn"
    readout: str = "spike_count"
    readout_beta: float | None = None
    gain: float = 1.0
    width: float = 1.0
    init: Init | None = None

    def __post_init__(self):
        if (self.name is None) == (self.layers is None):
            raise ConfigError(f"model: give either name ({', '.join(MODELS)}) or layers")
        if self.name is not None:
            one_of("model", name=(self.name, MODELS))
        elif not self.layers or self.layers[-1].kind != "dense":
            raise ConfigError("model: layers end with a dense one, a neuron for each class")
        one_of("model", kind=(self.kind, NETWORKS), readout=(self.readout, DECODINGS))
        bounds(
            "model",
            gain=(self.gain, 1e-3, 1e3),
            width=(self.width, 1e-3, 64),
            readout_beta=(self.readout_beta, 0, 1),
        )
        if self.readout_beta is not None and self.readout == "spike_count":
            raise ConfigError(
                'model: readout_beta goes with a readout of potentials, not "spike_count"'
            )
        if self.init is not None and self.kind == "ann":
            raise ConfigError('model: init goes with kind "snn"; an ann starts from random numbers')

    def resolved(self) -> Model:
        """The same with its layers, as wide as they are, in place of name and width."""
        if self.name is None and self.width == 1:
            return self
        layers = (
            self.layers
            if self.name is None
            else tuple(Layer(**entry) for entry in MODELS[self.name])
        )
        *hidden, last = layers
        if self.width != 1:
            hidden = [_widened(layer, self.width) for layer in hidden]
        return replace(self, name=None, layers=(*hidden, last), width=1.0)


def _widened(layer: Layer, factor: float) -> Layer:
    sizes = {name: getattr(layer, name) for name in ("channels", "features")}
    return replace(
        layer,
        **{name: max(1, round(factor * size)) for name, size in sizes.items() if size is not None},
    )


@dataclass(frozen=True)
class Neuron:
    """All neurons of a network; as ``toolchain.layers.LIF``. alpha not given: no synaptic current.

    noise               volts, of every spiking neuron; 0: none
    noise_at_inference  False: the trained network, and what is exported, are plain; True: they are
                        noisy, with ``noise_seed``
    levels  thresholds of multi-level firing (``toolchain.layers.MultiLevel``) in place of
            ``threshold``, in all layers but the last one
    """

    beta: float = 0.9
    alpha: float | None = None
    threshold: float = 1.0
    reset: str = "zero"
    refractory: int = 0
    learn_beta: bool = False
    learn_alpha: bool = False
    learn_threshold: bool = False
    levels: tuple[float, ...] | None = None
    noise: float = 0.0
    noise_at_inference: bool = False
    noise_seed: int = 0

    def __post_init__(self):
        bounds("neuron", noise=(self.noise, 0, 1e3), noise_seed=(self.noise_seed, 0, MAX_SEED))
        if self.noise_at_inference and not self.noise:
            raise ConfigError(
                "neuron: noise_at_inference without noise; accepted is noise above 0 V"
            )
        if self.noise_seed and not self.noise_at_inference:
            raise ConfigError(
                "neuron: noise_seed goes with noise_at_inference; noise in training is drawn with "
                "training.seed"
            )
        if self.levels is not None and (
            not 1 <= len(self.levels) <= MOST_LEVELS
            or any(not low < high for low, high in zip((0.0, *self.levels), self.levels))
        ):
            raise ConfigError(
                f"neuron: levels is {list(self.levels)!r}; accepted are 1 to {MOST_LEVELS} rising "
                f"thresholds above 0"
            )
        bounds(
            "neuron",
            beta=(self.beta, 0, 1),
            alpha=(self.alpha, 0, 1),
            refractory=(self.refractory, 0, 1 << 15),
        )
        one_of("neuron", reset=(self.reset, RESETS))


@dataclass(frozen=True)
class Grid:
    """The chip's number formats; as ``toolchain.layers.Linear``."""

    weight_bits: int = 8
    fraction_bits: int = 10
    granularity: str = "layer"


@dataclass(frozen=True)
class Surrogate:
    """A surrogate gradient of ``toolchain.layers.surrogate``; parameter: its width, alpha or
    slope."""

    name: str = "triangle"
    parameter: float = 1.0

    def __post_init__(self):
        one_of("surrogate", name=(self.name, SURROGATES))
        bounds("surrogate", parameter=(self.parameter, 1e-6, 1e6))
