"""What a network is described by: plain dataclasses that a TOML table fills."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from hardware.arithmetic import SYNAPSE_BITS
from hardware.noise import MAX_SEED
from hardware.program import DECODINGS, RESETS
from toolchain.errors import ConfigError
from toolchain.layers.grid import MAX_FRACTION_BITS
from toolchain.layers.multi_level import MOST_LEVELS
from toolchain.layers.surrogate import SURROGATES
from toolchain.models.reference import MODELS
from toolchain.table_rules import one_of
from toolchain.tables import Settings

PLACE = ("name", "inputs")
"""Entries that every layer takes: what it is called, and what it reads."""

KINDS = {
    "conv": (
        "channels",
        "kernel",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
        "norm",
        "neurons",
    ),
    "dense": ("features", "bias", "recurrent", "norm", "neurons"),
    "transposed_conv": (
        "channels",
        "kernel",
        "stride",
        "padding",
        "output_padding",
        "groups",
        "bias",
        "norm",
        "neurons",
    ),
    "average_pool": ("kernel", "stride"),
    "sum_pool": ("kernel", "stride"),
    "max_pool": ("kernel", "stride", "padding"),
    "upsample": ("factor",),
    "pixel_shuffle": ("factor",),
    "dropout": ("rate",),
    "delay": ("steps",),
    "squeeze_excitation": ("reduction",),
    "concat": (),
    "add": ("neurons",),
    "residual": ("channels", "kernel", "stride", "shortcut", "join", "norm"),
}
"""Kind of layer → the entries that it takes, beside PLACE."""

NEEDED = {
    "conv": ("channels", "kernel"),
    "dense": ("features",),
    "transposed_conv": ("channels", "kernel"),
    "average_pool": ("kernel",),
    "sum_pool": ("kernel",),
    "max_pool": ("kernel",),
    "upsample": ("factor",),
    "pixel_shuffle": ("factor",),
    "concat": ("inputs",),
    "dropout": ("rate",),
    "delay": ("steps",),
    "squeeze_excitation": ("reduction",),
    "add": ("inputs",),
    "residual": ("channels",),
}
"""Kind of layer → the entries that it must have."""

SHORTCUTS = ("identity", "conv", "pool")
JOINS = ("current", "spikes")


@dataclass(frozen=True)
class Layer(Settings):
    """One layer of a network; which entries go with which kind: KINDS.

    A conv, a transposed_conv and a dense layer is followed by neurons; a dense one is preceded by a
    flatten where needed. ``neurons = false``: by none, so that its currents can be added to those
    of others.

    kind       what the layer is
    channels   of a convolution
    features   neurons of a dense layer
    kernel     rows and columns of a convolution or a pool
    stride     not given: 1; of a pool as its kernel
    padding    zeros around the input; not given: 0
    dilation   steps between the inputs of a kernel; not given: 1
    groups     a convolution of so many independent parts; not given: 1
    bias       not given: true, of a layer with batch normalisation false
    neurons    false: none behind the layer
    shortcut   of a residual block, see below
    join       of a residual block, see below
    name        of the module that others read: its neurons, or the layer itself where it has none;
                not given: its kind and number ("lif3", "pool4")
    inputs      names of the layers that it reads, whose sum it is given; "input": the network's
                input. Not given: the layer before
    norm        batch normalisation, folded into the weights; not given: as ``model.norm`` says
    recurrent   its neurons also feed back onto themselves, all to all
    rate        of dropout (toolchain.layers.Dropout)
    steps       of a delay (toolchain.layers.Delay)
    factor      of an upsampling or a pixel shuffle, see below
    output_padding   of a transposed convolution: rows and columns behind its output; not given: 0
    reduction   of toolchain.layers.SqueezeExcitation, which runs on software alone

    "max_pool" reads spikes alone: the OR of a window, a population of its own. "upsample" repeats
    every value ``factor`` times along height and width, "pixel_shuffle" makes space of channels.
    "concat" puts its ``inputs`` side by side, along channels.

    "add": neurons of the sum of their ``inputs``, which are currents or spikes; with ``neurons =
    false`` the sum itself, which the next layer reads: spikes that add up to whole numbers.

    "residual": two convolutions (kernel 3, the first one with ``stride``) and a shortcut.
    ``shortcut``: "identity"; "conv", 1 x 1 with the stride; "pool", average pooling and then 1 x 1;
    not given: the identity where the shape stays, else "conv". ``join``: "current", both currents
    enter the last neurons (He et al., CVPR 2016, in spiking form); "spikes", the spikes of both are
    added (SEW with ADD: Fang et al., NeurIPS 2021). NAME_1, NAME_2 and NAME_shortcut are its parts.
    """

    TABLE = "layer"

    kind: Annotated[str, one_of(KINDS)]
    channels: Annotated[int, Meta(ge=1, le=1 << 14)] | None = None
    features: Annotated[int, Meta(ge=1, le=1 << 20)] | None = None
    kernel: Annotated[int, Meta(ge=1, le=64)] | None = None
    stride: Annotated[int, Meta(ge=1, le=64)] | None = None
    padding: Annotated[int, Meta(ge=0, le=64)] | None = None
    dilation: Annotated[int, Meta(ge=1, le=64)] | None = None
    groups: Annotated[int, Meta(ge=1, le=1 << 14)] | None = None
    bias: bool | None = None
    recurrent: bool | None = None
    rate: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    reduction: Annotated[int, Meta(ge=1, le=1 << 10)] | None = None
    steps: Annotated[int, Meta(ge=0, le=62)] | None = None
    factor: Annotated[int, Meta(ge=1, le=64)] | None = None
    output_padding: Annotated[int, Meta(ge=0, le=63)] | None = None
    norm: bool | None = None
    neurons: bool | None = None
    shortcut: Annotated[str, one_of(SHORTCUTS)] | None = None
    join: Annotated[str, one_of(JOINS)] | None = None
    name: Annotated[str, Meta(pattern="^[A-Za-z][A-Za-z0-9_]{0,63}$")] | None = None
    inputs: tuple[str, ...] | None = None

    def check(self) -> str | None:
        for name, value in vars(self).items():
            if name not in ("kind", *PLACE, *KINDS[self.kind]) and value is not None:
                return (
                    f"{name} is given; with kind {self.kind!r} it must be one of "
                    f"{', '.join(KINDS[self.kind])}"
                )
        for name in NEEDED[self.kind]:
            if getattr(self, name) is None:
                return f"{name} is missing; a layer of kind {self.kind!r} must have it"
        if self.inputs is not None and not self.inputs:
            return "inputs is empty; it must name at least one layer"
        return None


@dataclass(frozen=True)
class Norm(Settings):
    """Batch normalisation of every convolution and every hidden dense layer; as
    ``toolchain.layers.BatchNorm``.

    momentum   share of a batch in the running statistics
    eps        added to the variance
    per_step   true: statistics of each time step by itself
    gain   volts that the currents start with as their standard deviation
    """

    TABLE = "model.norm"

    gain: Annotated[float, Meta(gt=0, le=1e3)] = 1.0
    momentum: Annotated[float, Meta(gt=0, le=1)] = 0.1
    eps: Annotated[float, Meta(gt=0, le=1)] = 1e-5
    per_step: bool = False


INITS = {"conversion": ("ann", "percentile", "scale", "samples"), "weights": ("network",)}
"""Kind of init → the entries that it takes, the file first."""


@dataclass(frozen=True)
class Init(Settings):
    """What weights start from, in place of random numbers.

    kind        "conversion": an ANN of the same layers, by threshold balancing
                (toolchain.training.conversion); "weights": a network of the same layers, spiking or
                not, as it is (toolchain.training.weights)
    ann         of "conversion": a checkpoint (.safetensors) of a model of kind "ann", or a recipe
                (.toml) of one, which is trained first
    network     of "weights": the same of a model of any kind
    percentile  of the ANN's pre-activations over the training data that becomes a neuron's
                threshold; 100: their maximum
    scale       what that is multiplied by; the hybrid recipe of Rathi et al. (ICLR 2020) takes 0.7
                before surrogate training
    samples     so many training samples are looked at
    """

    TABLE = "model.init"

    kind: Annotated[str, one_of(INITS)]
    ann: str | None = None
    percentile: Annotated[float, Meta(ge=50, le=100)] = 100.0
    scale: Annotated[float, Meta(ge=1e-3, le=1e3)] = 1.0
    samples: Annotated[int, Meta(ge=1, le=1 << 20)] = 512
    network: str | None = None

    def check(self) -> str | None:
        needed, *others = INITS[self.kind]
        fields = type(self).__dataclass_fields__
        stated = [name for name in fields if getattr(self, name) != fields[name].default]
        for name in stated:
            if name not in ("kind", needed, *others):
                return (
                    f"{name} is given; with kind {self.kind!r} it must be one of "
                    f"{', '.join(INITS[self.kind])}"
                )
        source = getattr(self, needed)
        if source is None:
            return f"{needed} is missing; an init of kind {self.kind!r} must have it"
        if source.endswith((".safetensors", ".toml")):
            return None
        return f"{needed} is {source!r}; it must be a checkpoint (.safetensors) or a recipe (.toml)"

    @property
    def source(self) -> str:
        """The file that is named."""
        value: str = getattr(self, INITS[self.kind][0])
        return value

    def at(self, path: str | Path) -> Init:
        """The same with another file."""
        changed: dict[str, Any] = {INITS[self.kind][0]: str(path)}
        return replace(self, **changed)


NETWORKS = ("snn", "ann")
ACTIVATIONS = ("relu", "clip")


@dataclass(frozen=True)
class Model(Settings):
    """A network by name (``toolchain.models.MODELS``) or by its layers.

    name     of a network in ``toolchain.models.MODELS``; or
    layers   its layers, in order; the last one is dense, a neuron for each class
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
    norm          batch normalisation of all layers but the last and those with ``norm = false``;
                  not given: of those with ``norm = true``
    activation    of an "ann": "relu"; "clip", 0 to ``neuron.threshold``, what a neuron's spikes can
                  carry
    levels        of "clip": so many equal steps, what T time steps can carry (Bu et al., ICLR 2022,
                  with a fixed threshold); 0: continuous
    """

    TABLE = "model"

    name: Annotated[str, one_of(MODELS)] | None = None
    layers: tuple[Layer, ...] | None = None
    kind: Annotated[str, one_of(NETWORKS)] = "snn"
    readout: Annotated[str, one_of(DECODINGS)] = "spike_count"
    readout_beta: Annotated[float, Meta(ge=0, le=1)] | None = None
    gain: Annotated[float, Meta(ge=1e-3, le=1e3)] = 1.0
    width: Annotated[float, Meta(ge=1e-3, le=64)] = 1.0
    init: Init | None = None
    norm: Norm | None = None
    activation: Annotated[str, one_of(ACTIVATIONS)] = "relu"
    levels: Annotated[int, Meta(ge=0, le=1 << 16)] = 0

    def check(self) -> str | None:
        if (self.name is None) == (self.layers is None):
            return f"give either name ({', '.join(MODELS)}) or layers"
        if self.name is None and (not self.layers or self.layers[-1].kind != "dense"):
            return "layers must end with a dense one, a neuron for each class"
        if self.readout_beta is not None and self.readout == "spike_count":
            return 'readout_beta goes with a readout of potentials, not "spike_count"'
        if self.init is not None and self.init.kind == "conversion" and self.kind == "ann":
            return (
                'init of kind "conversion" goes with kind "snn"; it makes spiking networks of anns'
            )
        if self.activation != "relu" and self.kind != "ann":
            return f'activation is {self.activation!r}; with kind "snn" neurons take its place'
        if self.levels and self.activation != "clip":
            return 'levels goes with activation = "clip"'
        return None

    def described(self) -> tuple[Layer, ...]:
        """The layers, by name or as they are given; not yet as wide as ``width`` says."""
        if self.name is not None:
            return tuple(Layer(**entry) for entry in MODELS[self.name])
        if self.layers is None:
            raise ConfigError(f"{self.TABLE}: {self.check()}")
        return self.layers

    def resolved(self) -> Model:
        """The same with its layers, as wide as they are, in place of name and width."""
        if self.name is None and self.width == 1:
            return self
        *hidden, last = self.described()
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
class Neuron(Settings):
    """All neurons of a network; as ``toolchain.layers.LIF``. alpha not given: no synaptic current.

    beta                                       what remains of the membrane potential in each step
    alpha                                      what remains of the synaptic current in each step;
                                               not given: there is none
    threshold                                  volts
    reset                                      "zero", "subtract" the threshold, or "none"
    refractory                                 steps without a spike after one
    learn_beta, learn_alpha, learn_threshold   train them, too
    noise_seed                                 of the noise at inference
    noise               volts, of every spiking neuron; 0: none
    noise_at_inference  False: the trained network, and what is exported, are plain; True: they are
                        noisy, with ``noise_seed``
    levels  thresholds of multi-level firing (``toolchain.layers.MultiLevel``) in place of
            ``threshold``, in all layers but the last one
    """

    TABLE = "neuron"

    beta: Annotated[float, Meta(ge=0, le=1)] = 0.9
    alpha: Annotated[float, Meta(ge=0, le=1)] | None = None
    threshold: float = 1.0
    reset: Annotated[str, one_of(RESETS)] = "zero"
    refractory: Annotated[int, Meta(ge=0, le=1 << 15)] = 0
    learn_beta: bool = False
    learn_alpha: bool = False
    learn_threshold: bool = False
    levels: tuple[float, ...] | None = None
    noise: Annotated[float, Meta(ge=0, le=1e3)] = 0.0
    noise_at_inference: bool = False
    noise_seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] = 0

    def check(self) -> str | None:
        if self.noise_at_inference and not self.noise:
            return "noise_at_inference without noise; noise must be above 0 V"
        if self.noise_seed and not self.noise_at_inference:
            return (
                "noise_seed goes with noise_at_inference; noise in training is drawn with "
                "training.seed"
            )
        if self.levels is not None and (
            not 1 <= len(self.levels) <= MOST_LEVELS
            or any(not low < high for low, high in zip((0.0, *self.levels), self.levels))
        ):
            return (
                f"levels is {list(self.levels)!r}; it must be 1 to {MOST_LEVELS} rising "
                f"thresholds above 0"
            )
        return None


@dataclass(frozen=True)
class Grid(Settings):
    """The chip's number formats; as ``toolchain.layers.Linear``.

    weight_bits    bits of a weight
    fraction_bits  a synaptic current is counted in units of 2**-fraction_bits V
    granularity    not given: "channel" where a layer has batch normalisation, else "layer"
    arithmetic     "integer": training computes what the chip does; "float": PyTorch's own
                   arithmetic (toolchain.layers.floating), to compare with: the same training
                   without a grid, which export then quantises
    """

    TABLE = "grid"

    weight_bits: Annotated[int, Meta(ge=2, le=2 * SYNAPSE_BITS)] = 8
    fraction_bits: Annotated[int, Meta(ge=0, le=MAX_FRACTION_BITS)] = 10
    granularity: Annotated[str, one_of(("layer", "channel"))] | None = None
    arithmetic: Annotated[str, one_of(("integer", "float"))] = "integer"


@dataclass(frozen=True)
class Surrogate(Settings):
    """A surrogate gradient of ``toolchain.layers.surrogate``; parameter: its width, alpha or
    slope.

    name        its shape
    parameter   its width, alpha or slope
    """

    TABLE = "surrogate"

    name: Annotated[str, one_of(SURROGATES)] = "triangle"
    parameter: Annotated[float, Meta(ge=1e-6, le=1e6)] = 1.0
