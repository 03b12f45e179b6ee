"""From a description to a Network."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

import toolchain.layers as snn
from hardware import limits
from toolchain.data.datasets import DATASETS
from toolchain.data.encoders import Encoding
from toolchain.errors import ConfigError
from toolchain.layers.neurons import LIFOptions
from toolchain.layers.squeeze_excitation import GAIN_BITS
from toolchain.layers.surrogate import SURROGATES
from toolchain.layers.synapses import WeightFormat
from toolchain.models.ann import ReluNetwork
from toolchain.models.description import Grid, Layer, Model, Neuron, Surrogate

Number = TypeVar("Number", int, float)


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
            f'{encoding.steps} steps; accepted are "direct" and '
            '"direct_signed" with steps = 1'
        )
    shape = DATASETS[dataset][1]
    message_bits, k = encoding.input_format(dataset)
    input_shape, fraction_bits = shape, k
    layers: dict[str, nn.Module] = {}
    described = model.resolved().described()
    weights = 0
    for number, layer in enumerate(described, 1):
        where = f"model: layer {number} ({layer.kind})"
        if layer.kind == "dropout":
            layers[f"dropout{number}"] = snn.Dropout(_given(where, "rate", layer.rate))
            continue
        if layer.kind == "squeeze_excitation":
            _need_map(where, shape)
            reduction = _given(where, "reduction", layer.reduction)
            layers[f"squeeze{number}"] = snn.SqueezeExcitation(shape[0], reduction)
            k += GAIN_BITS
            continue
        if layer.kind.endswith("_pool"):
            _need_map(where, shape)
            pool = (snn.AvgPool2d if layer.kind == "average_pool" else snn.SumPool2d)(
                _given(where, "kernel", layer.kernel), layer.stride
            )
            layers[f"pool{number}"] = pool
            shape, k = _output_shape(where, pool, shape), k + int(math.log2(pool.divisor))
            continue
        if layer.kind == "conv":
            _need_map(where, shape)
            channels = _given(where, "channels", layer.channels)
            kernel = _given(where, "kernel", layer.kernel)
            groups = layer.groups or 1
            if shape[0] % groups or channels % groups:
                raise ConfigError(
                    f"{where}: {shape[0]} and {channels} channels cannot be divided into "
                    f"{groups} groups"
                )
            weights += channels * (shape[0] // groups) * kernel**2
            _check_size(where, weights, most_weights, channels * _map_of(layer, shape))
            synapse: snn.Conv2d | snn.Linear = snn.Conv2d(
                shape[0],
                channels,
                kernel,
                stride=layer.stride or 1,
                padding=layer.padding or 0,
                dilation=layer.dilation or 1,
                groups=groups,
                bias=layer.bias is not False,
                source_fraction_bits=k,
                **_formats(grid),
            )
        else:
            features = _given(where, "features", layer.features)
            if len(shape) > 1:
                layers[f"flatten{number}"] = snn.Flatten()
                shape = (math.prod(shape),)
            weights += features * (shape[0] + (features if layer.recurrent else 0))
            _check_size(where, weights, most_weights, features)
            synapse = snn.Linear(
                shape[0],
                features,
                bias=layer.bias is not False,
                source_fraction_bits=k,
                **_formats(grid),
            )
        initialise(synapse, model.gain)
        layers[f"{layer.kind}{number}"] = synapse
        shape, k = _output_shape(where, synapse, shape), 0
        last = number == len(described)
        layers["readout" if last else f"lif{number}"] = _neurons(
            layer, shape, model, neuron, grid, surrogate, last
        )
    network = snn.Network(
        layers,
        input_shape=input_shape,
        message_bits=message_bits,
        fraction_bits=fraction_bits,
        decode=model.readout,
        data={"name": dataset, **encoding.describe()},
    )
    snn.seed_noise(network, neuron.noise_seed)
    return ReluNetwork(network) if model.kind == "ann" else network


def _given(where: str, name: str, value: Number | None) -> Number:
    """An entry that a layer of its kind must have."""
    if value is None:
        raise ConfigError(f"{where}: {name} is missing")
    return value


def _formats(grid: Grid) -> WeightFormat:
    return {
        "weight_bits": grid.weight_bits,
        "fraction_bits": grid.fraction_bits,
        "granularity": grid.granularity,
    }


def _map_of(layer: Layer, shape: tuple[int, ...]) -> int:
    """Neurons of one channel behind a convolution, at most."""
    sides = [
        max(1, (size + 2 * (layer.padding or 0)) // (layer.stride or 1) + 1) for size in shape[1:]
    ]
    return math.prod(sides)


def _check_size(where: str, weights: int, most_weights: int, neurons: int) -> None:
    """Refuse a layer before anything is allocated for it."""
    if weights > most_weights:
        raise ConfigError(
            f"{where}: with it the network has {weights:,} weights; it must have at most "
            f"{most_weights:,}"
        )
    if neurons > limits.NEURONS:
        raise ConfigError(
            f"{where}: has up to {neurons:,} neurons; there must be at most {limits.NEURONS:,}"
        )


def _need_map(where: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 3:
        raise ConfigError(
            f"{where}: stands behind a dense layer, of shape {shape}; accepted is (channels, "
            f"height, width)"
        )


def _output_shape(where: str, layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    try:
        with torch.no_grad():
            return tuple(layer(torch.zeros(1, *shape)).shape[1:])
    except RuntimeError as error:
        raise ConfigError(f"{where}: does not fit a map of shape {shape}: {error}") from None


def initialise(synapse: snn.Conv2d | snn.Linear, gain: float) -> None:
    """Weights at random as ``Model.gain`` says, biases 0."""
    nn.init.normal_(synapse.weight, 0.0, gain * math.sqrt(2.0 / synapse.weight[0].numel()))
    if synapse.bias is not None:
        nn.init.zeros_(synapse.bias)


def _neurons(
    layer: Layer,
    shape: tuple[int, ...],
    model: Model,
    neuron: Neuron,
    grid: Grid,
    surrogate: Surrogate | None,
    last: bool,
) -> nn.Module:
    beta, learn_beta = neuron.beta, neuron.learn_beta
    if last and model.readout != "spike_count":
        if layer.recurrent:
            raise ConfigError(
                "model: the last layer is recurrent, but read by its potential; accepted is "
                'readout = "spike_count"'
            )
        if model.readout_beta is not None:
            beta, learn_beta = model.readout_beta, False
        return snn.LI(
            beta,
            alpha=neuron.alpha,
            learn_alpha=neuron.learn_alpha,
            learn_beta=learn_beta,
            fraction_bits=grid.fraction_bits,
        )
    if surrogate is None:
        surrogate = Surrogate("gaussian", neuron.noise) if neuron.noise else Surrogate()
    options: LIFOptions = {
        "reset": neuron.reset,
        "refractory": neuron.refractory,
        "learn_alpha": neuron.learn_alpha,
        "learn_beta": learn_beta,
        "learn_threshold": neuron.learn_threshold,
        "spike_grad": SURROGATES[surrogate.name](surrogate.parameter),
        "noise": neuron.noise,
        "noise_at_inference": neuron.noise_at_inference,
        "fraction_bits": grid.fraction_bits,
    }
    if neuron.levels is not None and not last:
        if layer.recurrent:
            raise ConfigError(
                "model: a recurrent layer feeds back the spikes of one population; accepted with "
                "neuron.levels are others"
            )
        return snn.MultiLevel(neuron.levels, alpha=neuron.alpha, beta=beta, **options)
    lif = snn.LIF(neuron.threshold, alpha=neuron.alpha, beta=beta, **options)
    if not layer.recurrent:
        return lif
    feedback = snn.Linear(shape[0], shape[0], bias=False, **_formats(grid))
    initialise(feedback, 0.5 * model.gain)
    return snn.Recurrent(lif, feedback)
