"""From a description to a Network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

import torch
from torch import nn

import toolchain.layers as snn
from hardware import limits
from toolchain.data.datasets import DATASETS
from toolchain.data.encoders import Encoding
from toolchain.errors import ConfigError
from toolchain.layers.floating import floating
from toolchain.layers.graph import INPUT
from toolchain.layers.neurons import LIFOptions
from toolchain.layers.squeeze_excitation import GAIN_BITS
from toolchain.layers.surrogate import SURROGATES
from toolchain.layers.surrogate import Surrogate as SpikeGradient
from toolchain.layers.synapses import WeightFormat
from toolchain.models.ann import ReluNetwork
from toolchain.models.description import Grid, Layer, Model, Neuron, Norm, Surrogate

Entry = TypeVar("Entry")


def build(
    model: Model,
    neuron: Neuron,
    grid: Grid,
    surrogate: Surrogate | None,
    *,
    dataset: str,
    encoding: Encoding,
    most_weights: int = limits.SYNAPSES,
) -> snn.Network | ReluNetwork:
    """A network for a dataset, with fresh weights from torch's generator; of kind "ann" the
    ReluNetwork with the same layers.

    Layers are called conv1, lif1, pool1, conv2, …, dense3, and the last neurons "readout". Raises
    ConfigError where layers do not fit together, LayerError where a number fits no format of the
    chip.

    surrogate      None: Surrogate(), of noisy neurons the normal density of their noise
    most_weights   a network with more is refused before it is made; by default what
                   ``hardware.limits`` allows
    """
    if model.kind == "ann" and not (encoding.constant and encoding.steps == 1):
        raise ConfigError(
            f"model: an ann knows no time, and data is encoded as {encoding.kind!r} in "
            f'{encoding.steps} steps; it must be "direct" or '
            '"direct_signed" with steps = 1'
        )

    shape = DATASETS[dataset][1]
    message_bits, k = encoding.input_format(dataset)
    builder = _Builder(model.resolved(), neuron, grid, surrogate, _Signal(shape, k), most_weights)
    layers, inputs = builder.built()
    network = snn.Network(
        layers,
        inputs=inputs,
        input_shape=shape,
        message_bits=message_bits,
        fraction_bits=k,
        decode=model.readout,
        data={"name": dataset, **encoding.describe()},
    )

    snn.seed_noise(network, neuron.noise_seed)
    if grid.arithmetic == "float":
        network = floating(network)

    if model.kind != "ann":
        return network
    return ReluNetwork(network, model.activation, neuron.threshold, model.levels)


@dataclass(frozen=True)
class _Signal:
    """What a layer gives.

    k         fraction bits of its values
    current   volts, which only neurons read; else spikes or graded values
    spikes    nothing but 0 and 1
    """

    shape: tuple[int, ...]
    k: int
    current: bool = False
    spikes: bool = False


class _SynapseOptions(WeightFormat):
    """Keywords that all synapses take."""

    bias: bool
    source_fraction_bits: int
    norm: snn.BatchNorm | None


class _Builder:
    """Modules by name, in their order, and what each of them reads."""

    def __init__(
        self,
        model: Model,
        neuron: Neuron,
        grid: Grid,
        surrogate: Surrogate | None,
        given: _Signal,
        most_weights: int,
    ) -> None:
        self.model, self.neuron, self.grid, self.surrogate = model, neuron, grid, surrogate
        self.most_weights, self.weights = most_weights, 0
        self.modules: dict[str, nn.Module] = {}
        self.inputs: dict[str, tuple[str, ...]] = {}
        self.signals: dict[str, _Signal] = {INPUT: given}
        self.before, self.given, self.where = INPUT, given, "model"

    def built(self) -> tuple[dict[str, nn.Module], dict[str, tuple[str, ...]]]:
        """(modules, ``inputs`` of a Network)."""
        described = self.model.described()
        for number, layer in enumerate(described, 1):
            self.where = f"model: layer {number} ({layer.kind})"
            self._layer(layer, str(number), last=number == len(described))
        return self.modules, self.inputs

    def _layer(self, layer: Layer, number: str, last: bool = False) -> None:
        sources = layer.inputs or (self.before,)
        self.given = self._sum(sources, apart=layer.kind == "concat")
        if self.given.current and layer.kind != "add":
            raise ConfigError(
                f"{self.where}: reads the currents of {' and '.join(sources)}; it must read "
                f"neurons, or the input"
            )
        if layer.kind == "concat":
            self._concat(layer, number, sources)
        elif layer.kind == "residual":
            self._residual(layer, number, sources)
        elif layer.kind == "add":
            self._add(layer, number, sources)
        elif layer.kind in ("conv", "transposed_conv", "dense"):
            self._weighted(layer, number, sources, last)
        else:
            self._plain(layer, number, sources)

    # what is read

    def _sum(self, sources: tuple[str, ...], apart: bool = False) -> _Signal:
        """What the sum of some layers is; ``apart``: of channels side by side, which may differ in
        their number."""
        for name in sources:
            if name not in self.signals:
                raise ConfigError(
                    f"{self.where}: reads {name!r}; it must read layers before it: "
                    f"{', '.join(self.signals)}"
                )
        signals = [self.signals[name] for name in sources]
        shapes = {signal.shape[1:] if apart else signal.shape for signal in signals}
        if len(shapes) > 1:
            listed = " and ".join(f"{n} {self.signals[n].shape}" for n in sources)
            what = "side by side" if apart else "the sum of"
            raise ConfigError(f"{self.where}: reads {what} {listed}; shapes must be alike")
        spikes = all(s.spikes for s in signals) and (apart or len(signals) == 1)
        current = any(s.current for s in signals)
        return _Signal(signals[0].shape, max(s.k for s in signals), current, spikes)

    def _put(
        self, name: str, module: nn.Module, sources: tuple[str, ...], signal: _Signal
    ) -> tuple[str, ...]:
        """A module under its name; what then comes next reads it."""
        if name in self.modules or name == INPUT:
            raise ConfigError(f"{self.where}: there is a layer {name!r} already; names must differ")
        last = next(reversed(self.modules), INPUT)
        if sources != (last,):
            self.inputs[name] = sources
        self.modules[name], self.signals[name], self.before = module, signal, name
        return (name,)

    # layers

    def _plain(self, layer: Layer, number: str, sources: tuple[str, ...]) -> None:
        """A layer without weights on the grid and without neurons."""
        shape, k, spikes = self.given.shape, self.given.k, self.given.spikes
        module: nn.Module

        if layer.kind == "dropout":
            name, module, spikes = "dropout", snn.Dropout(_given(layer.rate)), False
        elif layer.kind == "delay":
            name, module = "delay", snn.Delay(_given(layer.steps))
        elif layer.kind == "squeeze_excitation":
            self._need_map()
            name, module = "squeeze", snn.SqueezeExcitation(shape[0], _given(layer.reduction))
            k, spikes = k + GAIN_BITS, False
        elif layer.kind in ("upsample", "pixel_shuffle"):
            self._need_map()
            moving = snn.Upsample if layer.kind == "upsample" else snn.PixelShuffle
            name, module = layer.kind.replace("pixel_", ""), moving(_given(layer.factor))
            shape = self._output_shape(module, shape)
        elif layer.kind == "max_pool":
            self._need_map()
            if not spikes:
                raise ConfigError(
                    f"{self.where}: reads other values than 0 and 1, whose maximum is no OR; it "
                    f"must stand behind neurons"
                )
            size = _given(layer.kernel)
            name, module = "pool", snn.MaxPool2d(size, layer.stride, layer.padding or 0)
            shape = self._output_shape(module, shape)
        else:
            self._need_map()
            kind = snn.AvgPool2d if layer.kind == "average_pool" else snn.SumPool2d
            name, module = "pool", (pool := kind(_given(layer.kernel), layer.stride))
            shape, spikes = self._output_shape(module, shape), False
            k += int(math.log2(pool.divisor))

        signal = _Signal(shape, k, spikes=spikes)
        self._put(layer.name or f"{name}{number}", module, sources, signal)

    def _concat(self, layer: Layer, number: str, sources: tuple[str, ...]) -> None:
        channels = sum(self.signals[name].shape[0] for name in sources)
        signal = replace(self.given, shape=(channels, *self.given.shape[1:]))
        self._put(layer.name or f"concat{number}", snn.Concat(), sources, signal)

    def _add(self, layer: Layer, number: str, sources: tuple[str, ...]) -> None:
        if layer.neurons is False:
            signal = replace(self.given, spikes=False)
            self._put(layer.name or f"add{number}", snn.Add(), sources, signal)
            return
        self._neurons(layer, layer.name or f"lif{number}", sources, self.given.shape, last=False)

    def _weighted(self, layer: Layer, number: str, sources: tuple[str, ...], last: bool) -> None:
        """A convolution or a dense layer, and its neurons."""
        shape, k = self.given.shape, self.given.k
        if layer.kind == "dense" and len(shape) > 1:
            shape = (math.prod(shape),)
            sources = self._put(f"flatten{number}", snn.Flatten(), sources, _Signal(shape, k))
        kind = layer.kind.replace("transposed_", "")
        name = f"{kind}{number}"
        if layer.name:
            name = layer.name if layer.neurons is False else f"{layer.name}_{kind}"
        make = self._dense if layer.kind == "dense" else self._convolution
        synapse = make(layer, shape, k, last)
        initialise(synapse, self.model.gain)
        shape = self._output_shape(synapse, shape)
        sources = self._put(name, synapse, sources, _Signal(shape, 0, current=True))
        if layer.neurons is False:
            if last:
                raise ConfigError(f"{self.where}: is the last layer, which must have neurons")
            return
        name = "readout" if last else layer.name or f"lif{number}"
        self._neurons(layer, name, sources, shape, last)

    def _convolution(
        self, layer: Layer, shape: tuple[int, ...], k: int, last: bool
    ) -> snn.Conv2d | snn.ConvTranspose2d:
        self._need_map()
        channels, kernel, groups = _given(layer.channels), _given(layer.kernel), layer.groups or 1
        if shape[0] % groups or channels % groups:
            raise ConfigError(
                f"{self.where}: {shape[0]} and {channels} channels cannot be divided into "
                f"{groups} groups"
            )
        self._check_size(channels * (shape[0] // groups) * kernel**2, _map_of(layer, shape))

        stride, padding = layer.stride or 1, layer.padding or 0
        if layer.kind == "transposed_conv":
            return snn.ConvTranspose2d(
                shape[0],
                channels,
                kernel,
                stride=stride,
                padding=padding,
                output_padding=layer.output_padding or 0,
                groups=groups,
                **self._synapse(layer, k, last),
            )

        return snn.Conv2d(
            shape[0],
            channels,
            kernel,
            stride=stride,
            padding=padding,
            dilation=layer.dilation or 1,
            groups=groups,
            **self._synapse(layer, k, last),
        )

    def _dense(self, layer: Layer, shape: tuple[int, ...], k: int, last: bool) -> snn.Linear:
        features = _given(layer.features)
        back = features if layer.recurrent else 0
        self._check_size(features * (shape[0] + back), features)
        return snn.Linear(
            shape[0],
            features,
            **self._synapse(layer, k, last),
        )

    def _residual(self, layer: Layer, number: str, sources: tuple[str, ...]) -> None:
        """Two convolutions and a shortcut that join."""
        self._need_map()
        name, channels, stride = (
            layer.name or f"block{number}",
            _given(layer.channels),
            layer.stride,
        )
        same = self.given.shape[0] == channels and (stride or 1) == 1
        shortcut = layer.shortcut or ("identity" if same else "conv")
        if shortcut == "identity" and not same:
            raise ConfigError(
                f'{self.where}: shortcut is "identity", which keeps {self.given.shape[0]} channels '
                f"and the size; channels is {channels} and stride {stride or 1}"
            )
        if shortcut == "pool" and (stride or 1) & ((stride or 1) - 1):
            raise ConfigError(
                f'{self.where}: stride is {stride}; with shortcut "pool" it must be a power of two'
            )
        kernel = layer.kernel or 3
        if not kernel % 2:
            raise ConfigError(f"{self.where}: kernel is {kernel}; it must be odd")
        conv = Layer("conv", channels=channels, kernel=kernel, padding=kernel // 2, norm=layer.norm)
        first, second, aside = f"{name}_1", f"{name}_2", f"{name}_shortcut"
        spikes = layer.join == "spikes"

        self._layer(replace(conv, stride=stride, name=first, inputs=sources), first)
        self._layer(replace(conv, name=second, neurons=spikes), second)
        joined = self._shortcut(layer, shortcut, aside, sources, spikes)
        self._layer(Layer("add", name=name, inputs=(second, *joined), neurons=not spikes), name)

    def _shortcut(
        self, layer: Layer, kind: str, name: str, sources: tuple[str, ...], spikes: bool
    ) -> tuple[str, ...]:
        """The shortcut's modules; what the join reads of them."""
        if kind == "identity":
            return sources
        stride = layer.stride
        if kind == "pool" and (stride or 1) > 1:
            pool = Layer("average_pool", kernel=stride, name=f"{name}_pool", inputs=sources)
            self._layer(pool, name)
            sources, stride = (self.before,), None
        conv = Layer("conv", channels=layer.channels, kernel=1, stride=stride, norm=layer.norm)
        self._layer(replace(conv, name=name, inputs=sources, neurons=spikes), name)
        return (name,)

    # their parts

    def _formats(self) -> WeightFormat:
        grid = self.grid
        return {
            "weight_bits": grid.weight_bits,
            "fraction_bits": grid.fraction_bits,
            "granularity": grid.granularity,
        }

    def _synapse(self, layer: Layer, k: int, last: bool) -> _SynapseOptions:
        """What every synapse is given beside its geometry; ``k``: fraction bits of what it
        reads."""
        norm = self._norm(layer, last)
        bias = norm is None if layer.bias is None else layer.bias
        return {"bias": bias, "source_fraction_bits": k, "norm": norm, **self._formats()}

    def _norm(self, layer: Layer, last: bool) -> snn.BatchNorm | None:
        wanted = layer.norm if layer.norm is not None else self.model.norm is not None and not last
        if not wanted:
            return None
        features = _given(layer.channels or layer.features)
        return snn.BatchNorm(features, **asdict(self.model.norm or Norm()))

    def _neurons(
        self,
        layer: Layer,
        name: str,
        sources: tuple[str, ...],
        shape: tuple[int, ...],
        last: bool,
    ) -> None:
        self._check_size(0, math.prod(shape))
        population = self._population(layer, shape, last)
        signal = _Signal(shape, 0, spikes=not isinstance(population, snn.MultiLevel))
        self._put(name, population, sources, signal)

    def _population(self, layer: Layer, shape: tuple[int, ...], last: bool) -> nn.Module:
        neuron, bits = self.neuron, self.grid.fraction_bits
        beta, learn_beta = neuron.beta, neuron.learn_beta
        if last and self.model.readout != "spike_count":
            if layer.recurrent:
                raise ConfigError(
                    "model: the last layer is recurrent, but read by its potential; readout must "
                    'be "spike_count"'
                )
            if self.model.readout_beta is not None:
                beta, learn_beta = self.model.readout_beta, False
            return snn.LI(
                beta,
                alpha=neuron.alpha,
                learn_alpha=neuron.learn_alpha,
                learn_beta=learn_beta,
                fraction_bits=bits,
            )

        options: LIFOptions = {
            "reset": neuron.reset,
            "refractory": neuron.refractory,
            "learn_alpha": neuron.learn_alpha,
            "learn_beta": learn_beta,
            "learn_threshold": neuron.learn_threshold,
            "spike_grad": self._spike_grad(),
            "noise": neuron.noise,
            "noise_at_inference": neuron.noise_at_inference,
            "fraction_bits": bits,
        }

        if neuron.levels is not None and not last:
            if layer.recurrent:
                raise ConfigError(
                    "model: a recurrent layer feeds back the spikes of one population; it "
                    "must not be recurrent with neuron.levels"
                )
            return snn.MultiLevel(neuron.levels, alpha=neuron.alpha, beta=beta, **options)

        lif = snn.LIF(neuron.threshold, alpha=neuron.alpha, beta=beta, **options)
        if not layer.recurrent:
            return lif

        feedback = snn.Linear(shape[0], shape[0], bias=False, **self._formats())
        initialise(feedback, 0.5 * self.model.gain)
        return snn.Recurrent(lif, feedback)

    def _spike_grad(self) -> SpikeGradient:
        surrogate = self.surrogate
        if surrogate is None:
            noise = self.neuron.noise
            surrogate = Surrogate("gaussian", noise) if noise else Surrogate()
        return SURROGATES[surrogate.name](surrogate.parameter)

    # what is refused

    def _check_size(self, weights: int, neurons: int) -> None:
        """Refuse a layer before anything is allocated for it."""
        self.weights += weights
        if self.weights > self.most_weights:
            raise ConfigError(
                f"{self.where}: with it the network has {self.weights:,} weights; it must have at "
                f"most {self.most_weights:,}"
            )
        if neurons > limits.NEURONS:
            raise ConfigError(
                f"{self.where}: has up to {neurons:,} neurons; there must be at most "
                f"{limits.NEURONS:,}"
            )

    def _need_map(self) -> None:
        if len(self.given.shape) != 3:
            raise ConfigError(
                f"{self.where}: stands behind a dense layer, of shape {self.given.shape}; it must "
                f"read (channels, height, width)"
            )

    def _output_shape(self, layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
        training = layer.training
        try:
            with torch.no_grad():
                return tuple(layer.eval()(torch.zeros(1, *shape)).shape[1:])
        except RuntimeError as error:
            raise ConfigError(
                f"{self.where}: does not fit a map of shape {shape}: {error}"
            ) from None
        finally:
            layer.train(training)


def _given(value: Entry | None) -> Entry:
    """An entry that ``Layer.check`` has found to be there."""
    assert value is not None, "Layer.check"
    return value


def _map_of(layer: Layer, shape: tuple[int, ...]) -> int:
    """Neurons behind a convolution, at most."""
    stride, padding = layer.stride or 1, layer.padding or 0
    if layer.kind == "transposed_conv":
        more = _given(layer.kernel) + (layer.output_padding or 0)
        sides = [size * stride + more for size in shape[1:]]
    else:
        sides = [max(1, (size + 2 * padding) // stride + 1) for size in shape[1:]]
    return _given(layer.channels) * math.prod(sides)


def initialise(synapse: snn.Conv2d | snn.ConvTranspose2d | snn.Linear, gain: float) -> None:
    """Weights of standard deviation gain * sqrt(2 / fan-in), biases of 0."""
    fan_in = synapse.by_channel()[0].numel()
    nn.init.normal_(synapse.weight, 0.0, gain * math.sqrt(2.0 / fan_in))
    if synapse.bias is not None:
        nn.init.zeros_(synapse.bias)
