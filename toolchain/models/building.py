"""From a description to a Network."""

from __future__ import annotations

import math

import torch
from torch import nn

import toolchain.layers as snn
from hardware import limits
from toolchain.data.datasets import DATASETS
from toolchain.data.encoders import Encoding
from toolchain.errors import ConfigError
from toolchain.layers.squeeze_excitation import GAIN_BITS
from toolchain.layers.surrogate import SURROGATES
from toolchain.models.ann import ReluNetwork
from toolchain.models.description import Grid, Layer, Model, Neuron, Surrogate


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
    io = {
        "input_shape": shape,
        "message_bits": message_bits,
        "fraction_bits": k,
        "decode": model.readout,
    }
    layers: dict[str, nn.Module] = {}
    described = model.resolved().layers
    weights = 0
    for number, layer in enumerate(described, 1):
        where = f"model: layer {number} ({layer.kind})"
        if layer.kind == "dropout":
            layers[f"dropout{number}"] = snn.Dropout(layer.rate)
            continue
        if layer.kind == "squeeze_excitation":
            _need_map(where, shape)
            layers[f"squeeze{number}"], k = (
                snn.SqueezeExcitation(shape[0], layer.reduction),
                k + GAIN_BITS,
            )
            continue
        if layer.kind.endswith("_pool"):
            _need_map(where, shape)
            pool = (snn.AvgPool2d if layer.kind == "average_pool" else snn.SumPool2d)(
                layer.kernel, layer.stride
            )
            layers[f"pool{number}"] = pool
            shape, k = _output_shape(where, pool, shape), k + int(math.log2(pool.divisor))
            continue
        if layer.kind == "conv":
            _need_map(where, shape)
            geometry = {
                "stride": layer.stride or 1,
                "padding": layer.padding or 0,
                "dilation": layer.dilation or 1,
                "groups": layer.groups or 1,
            }
            if shape[0] % geometry["groups"] or layer.channels % geometry["groups"]:
                raise ConfigError(
                    f"{where}: {shape[0]} and {layer.channels} channels cannot be divided into "
                    f"{geometry['groups']} groups"
                )
            weights += layer.channels * (shape[0] // geometry["groups"]) * layer.kernel**2
            _check_size(where, weights, most_weights, _map_of(layer, shape))
            synapse: nn.Module = snn.Conv2d(
                shape[0], layer.channels, layer.kernel, **geometry, **_synapse(layer, grid, k)
            )
        else:
            if len(shape) > 1:
                layers[f"flatten{number}"] = snn.Flatten()
                shape = (math.prod(shape),)
            weights += layer.features * (shape[0] + (layer.features if layer.recurrent else 0))
            _check_size(where, weights, most_weights, layer.features)
            synapse = snn.Linear(shape[0], layer.features, **_synapse(layer, grid, k))
        initialise(synapse, model.gain)
        layers[f"{layer.kind}{number}"] = synapse
        shape, k = _output_shape(where, synapse, shape), 0
        last = number == len(described)
        layers["readout" if last else f"lif{number}"] = _neurons(
            layer, shape, model, neuron, grid, surrogate, last
        )
    network = snn.Network(layers, data={"name": dataset, **encoding.describe()}, **io)
    snn.seed_noise(network, neuron.noise_seed)
    return ReluNetwork(network) if model.kind == "ann" else network


def _synapse(layer: Layer, grid: Grid, k: int) -> dict:
    bias = True if layer.bias is None else layer.bias
    numbers = {
        "weight_bits": grid.weight_bits,
        "fraction_bits": grid.fraction_bits,
        "granularity": grid.granularity,
    }
    return {"bias": bias, "source_fraction_bits": k, **numbers}


def _map_of(layer: Layer, shape: tuple[int, ...]) -> int:
    """Neurons behind a convolution, at most."""
    sides = [
        max(1, (size + 2 * (layer.padding or 0)) // (layer.stride or 1) + 1) for size in shape[1:]
    ]
    return layer.channels * math.prod(sides)


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


def initialise(synapse: nn.Module, gain: float) -> None:
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
    decays = {
        "alpha": neuron.alpha,
        "beta": neuron.beta,
        "learn_alpha": neuron.learn_alpha,
        "learn_beta": neuron.learn_beta,
    }
    if last and model.readout != "spike_count":
        if layer.recurrent:
            raise ConfigError(
                "model: the last layer is recurrent, but read by its potential; accepted is "
                'readout = "spike_count"'
            )
        if model.readout_beta is not None:
            decays |= {"beta": model.readout_beta, "learn_beta": False}
        return snn.LI(fraction_bits=grid.fraction_bits, **decays)
    if surrogate is None:
        surrogate = Surrogate("gaussian", neuron.noise) if neuron.noise else Surrogate()
    several = neuron.levels is not None and not last
    if several and layer.recurrent:
        raise ConfigError(
            "model: a recurrent layer feeds back the spikes of one population; accepted with "
            "neuron.levels are others"
        )
    lif = (snn.MultiLevel if several else snn.LIF)(
        neuron.levels if several else neuron.threshold,
        reset=neuron.reset,
        refractory=neuron.refractory,
        learn_threshold=neuron.learn_threshold,
        spike_grad=SURROGATES[surrogate.name](surrogate.parameter),
        noise=neuron.noise,
        noise_at_inference=neuron.noise_at_inference,
        fraction_bits=grid.fraction_bits,
        **decays,
    )
    if not layer.recurrent:
        return lif
    numbers = {
        "weight_bits": grid.weight_bits,
        "fraction_bits": grid.fraction_bits,
        "granularity": grid.granularity,
    }
    feedback = snn.Linear(shape[0], shape[0], bias=False, **numbers)
    initialise(feedback, 0.5 * model.gain)
    return snn.Recurrent(lif, feedback)
