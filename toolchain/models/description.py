"""What a network is described by: plain dataclasses that a TOML table fills."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
}
"""Kind of layer → the entries that it takes."""


@dataclass(frozen=True)
class Layer:
    """One layer of a network; which entries go with which kind: KINDS.

    A conv and a dense layer is followed by neurons; a dense one is preceded by a flatten where needed. ``recurrent``: its
    neurons also feed back onto themselves, all to all.
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

    def __post_init__(self):
        where = f"layer {self.kind!r}"
        one_of(where, kind=(self.kind, KINDS))
        for name, value in vars(self).items():
            if name != "kind" and value is not None and name not in KINDS[self.kind]:
                raise ConfigError(f"{where}: {name} is given; accepted are {', '.join(KINDS[self.kind])}")
        for name in {"conv": ("channels", "kernel"), "dense": ("features",)}.get(self.kind, ("kernel",)):
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
        )


@dataclass(frozen=True)
class Model:
    """A network by name (``toolchain.models.MODELS``) or by its layers.

    readout  "spike_count": the last neurons spike and are counted; "max_potential", "mean_potential", "last_potential": they are
             integrators whose potential is read
    gain     initial weights are drawn with standard deviation gain * sqrt(2 / fan-in); biases start at 0
    """

    name: str | None = None
    layers: tuple[Layer, ...] | None = None
    readout: str = "spike_count"
    gain: float = 1.0

    def __post_init__(self):
        if (self.name is None) == (self.layers is None):
            raise ConfigError(f"model: give either name ({', '.join(MODELS)}) or layers")
        if self.name is not None:
            one_of("model", name=(self.name, MODELS))
        elif not self.layers or self.layers[-1].kind != "dense":
            raise ConfigError("model: layers end with a dense one, a neuron for each class")
        one_of("model", readout=(self.readout, DECODINGS))
        bounds("model", gain=(self.gain, 1e-3, 1e3))

    def resolved(self) -> Model:
        """The same with its layers in place of its name."""
        return self if self.name is None else replace(self, name=None, layers=tuple(Layer(**entry) for entry in MODELS[self.name]))


@dataclass(frozen=True)
class Neuron:
    """All neurons of a network; as ``toolchain.layers.LIF``. alpha not given: no synaptic current.

    levels  thresholds of multi-level firing (``toolchain.layers.MultiLevel``) in place of ``threshold``, in all layers but the last one
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

    def __post_init__(self):
        if self.levels is not None and (
            not 1 <= len(self.levels) <= MOST_LEVELS or any(not low < high for low, high in zip((0.0, *self.levels), self.levels))
        ):
            raise ConfigError(f"neuron: levels is {list(self.levels)!r}; accepted are 1 to {MOST_LEVELS} rising thresholds above 0")
        bounds("neuron", beta=(self.beta, 0, 1), alpha=(self.alpha, 0, 1), refractory=(self.refractory, 0, 1 << 15))
        one_of("neuron", reset=(self.reset, RESETS))


@dataclass(frozen=True)
class Grid:
    """The chip's number formats; as ``toolchain.layers.Linear``."""

    weight_bits: int = 8
    fraction_bits: int = 10
    granularity: str = "layer"


@dataclass(frozen=True)
class Surrogate:
    """A surrogate gradient of ``toolchain.layers.surrogate``; parameter: its width, alpha or slope."""

    name: str = "triangle"
    parameter: float = 1.0

    def __post_init__(self):
        one_of("surrogate", name=(self.name, SURROGATES))
        bounds("surrogate", parameter=(self.parameter, 1e-6, 1e6))
