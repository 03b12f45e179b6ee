"""From an ANN to a spiking network by threshold balancing, and the start of hybrid training.

A spike of layer l stands for the activation λ_l, the largest (or a percentile) of the ANN's
pre-activations over training data, times a scale. So the threshold of a neuron would be λ_l /
λ_(l-1) volts for the ANN's own weights; here the weights are divided by it instead and every
threshold stays where the recipe puts it, which gives the same spikes and keeps surrogate gradients
(which are functions of potential - threshold) alike in all layers. The weights end on the chip's
grid, whose step is a fixed number of volts: a larger threshold makes them finer. What is exported
is what was converted.

Sources: Diehl et al., IJCNN 2015; Sengupta et al., Frontiers in Neuroscience 13:95 (2019), who take
the maximum; Rueckauer et al., Frontiers in Neuroscience 11:682 (2017), who take a percentile; Rathi
et al., ICLR 2020 (hybrid: scale 0.7, then surrogate gradients). Ours: λ is measured on the ANN's
activations for all layers at once, over positive pre-activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import nn

import toolchain.layers as snn
from toolchain.data import Dataset, Encoding
from toolchain.errors import ConfigError
from toolchain.models import ReluNetwork
from toolchain.training.config import Config
from toolchain.training.result import Train
from toolchain.training.weights import named, opened

BATCH = 64


@dataclass(frozen=True)
class Balance:
    """One layer of a conversion.

    activation   λ: the ANN's activation that a spike stands for (at the output: the pre-activation
                 of one volt a step)
    threshold    volts, that a neuron of the ANN's own weights would have: λ of this layer / λ of
                 the one before
    """

    layer: str
    activation: float
    threshold: float


def start(
    network: snn.Network,
    config: Config,
    data: Dataset,
    train: Train,
    root: str | Path | None = None,
) -> list[Balance]:
    """Convert the ANN that ``config.model.init`` names into ``network``. ``data``: the training
    split; ``train``: trains the ANN where a recipe is named. Raises ConfigError."""
    init = named(config)
    ann, trained = opened(config, train, root)
    if not isinstance(ann, ReluNetwork):
        raise ConfigError(f'{init.ann}: is a spiking network; it must be one of kind = "ann"')
    if trained.data.name != config.data.name:
        raise ConfigError(
            f"{init.ann}: is for {trained.data.name}, the network for {config.data.name}"
        )

    samples = np.arange(min(init.samples, len(data)))
    x = trained.data.encoder.encode(data, samples).astype(np.float32)[:, 0] * np.float32(
        2.0**-ann.fraction_bits
    )
    strength = input_strength(trained.data.encoder, config.data.encoder)

    return convert(
        ann.eval(),
        network,
        torch.from_numpy(x),
        percentile=init.percentile,
        scale=init.scale,
        strength=strength,
    )


def input_strength(ann: Encoding, network: Encoding) -> float:
    """Mean input of the spiking network over one step, for an input of 1 of the ANN. Raises
    ConfigError where one is no multiple of the other."""
    families = {
        "direct": ("direct", "poisson"),
        "direct_signed": ("direct_signed", "poisson_signed"),
    }
    possible = families[ann.kind]
    if network.kind not in possible:
        raise ConfigError(
            f"model.init: the ANN reads {ann.kind!r}, the network {network.kind!r}; it "
            f"must read {' or '.join(possible)}"
        )
    return network.rate


def convert(
    ann: ReluNetwork,
    network: snn.Network,
    x: torch.Tensor,
    *,
    percentile: float = 100.0,
    scale: float = 1.0,
    strength: float = 1.0,
) -> list[Balance]:
    """Give ``network`` the ANN's weights, balanced on x [sample, *shape], what the ANN reads.

    percentile   of the positive pre-activations of a layer that becomes λ; 100: the maximum
    scale        of λ in the hidden layers: below 1 more spikes, and saturation of the strongest
    strength     mean input of the network for an input of 1 of the ANN

    Raises ConfigError where the layers are not the same or the neurons are no integrators with
    reset by subtraction.
    """
    pairs, neurons = _pairs(ann, network)
    measured = _pre_activations(ann, [name for name, _, _ in pairs], x, percentile)
    last, before, balances = pairs[-1][0], 1.0 / strength, []
    with torch.no_grad():
        for (name, source, target), neuron in zip(pairs, neurons):
            balanced = measured[name] * (1.0 if name == last and not neuron.spiking else scale)
            volts = 1.0 if neuron.threshold is None else float(neuron.threshold)
            target.weight.copy_(source.weight * (volts * before / balanced))
            if source.bias is not None and target.bias is not None:
                target.bias.copy_(source.bias * (volts / balanced))
            balances.append(Balance(name, balanced, balanced / before))
            before = balanced
    return balances


Synapse: TypeAlias = nn.Conv2d | nn.Linear
Pair: TypeAlias = tuple[str, Synapse, Synapse]
"""Name, layer of the ANN, of the network."""


def _pairs(ann: ReluNetwork, network: snn.Network) -> tuple[list[Pair], list[snn.Neuron]]:
    """[(name, layer of the ANN, of the network)], and the neurons behind them."""
    ours = dict(network.named_children())
    theirs = {
        name: layer
        for name, layer in ann.named_children()
        if isinstance(layer, (nn.Conv2d, nn.Linear))
    }
    own = {
        name: layer for name, layer in ours.items() if isinstance(layer, (snn.Conv2d, snn.Linear))
    }
    if _geometry(theirs) != _geometry(own):
        raise ConfigError(
            f"model.init: the ANN has layers {_said(theirs)}, the network {_said(own)}; they "
            f"must be the same"
        )
    _require_simple(network, [theirs, own])

    neurons = [layer for layer in ours.values() if isinstance(layer, snn.Neuron)]
    for neuron in neurons:
        fitting = (
            neuron.alpha is None
            and not neuron.refractory
            and (neuron.reset == "subtract" or not neuron.spiking)
        )
        if (
            not fitting
            or (neuron.threshold is not None and neuron.threshold.numel() > 1)
            or len(neurons) != len(own)
        ):
            raise ConfigError(
                f"model.init: {neuron.where} cannot carry an activation as a rate; it must be "
                "without synaptic current or "
                'refractory period, with one threshold and reset = "subtract"'
            )

    return [(name, theirs[name], layer) for name, layer in own.items()], neurons


def _geometry(layers: Mapping[str, Synapse]) -> list[tuple[str, tuple[int, ...], bool]]:
    return [(name, tuple(x.weight.shape), x.bias is None) for name, x in layers.items()]


def _require_simple(network: snn.Network, layers: Sequence[Mapping[str, nn.Module]]) -> None:
    """Threshold balancing goes from layer to layer, by their weights alone."""
    for name, layer in (entry for part in layers for entry in part.items()):
        if getattr(layer, "norm", None) is not None:
            raise ConfigError(
                f"model.init: {name} has batch normalisation, which threshold balancing does not "
                f'take over; kind = "weights" starts from such a network as it is'
            )
    if not network.plan.row:
        raise ConfigError(
            "model.init: the network has branches; threshold balancing needs layers in a row; kind "
            '= "weights" starts from such a network as it is'
        )


def _said(layers: Mapping[str, Synapse]) -> str:
    return ", ".join(
        f"{name} {tuple(layer.weight.shape)}{'' if layer.bias is None else ' + bias'}"
        for name, layer in layers.items()
    )


def _pre_activations(
    ann: ReluNetwork, names: list[str], x: torch.Tensor, percentile: float
) -> dict[str, float]:
    """The percentile of every layer's positive pre-activations. Raises ConfigError where there are
    none."""
    seen: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def look(name: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def hook(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            values = output[output > 0].numpy()
            seen[name].append(
                values if percentile < 100 else values.max(keepdims=True) if values.size else values
            )

        return hook

    hooks = [getattr(ann, name).register_forward_hook(look(name)) for name in names]
    try:
        with torch.no_grad():
            for part in x.split(BATCH):
                ann(part[None])
    finally:
        for hook in hooks:
            hook.remove()
    percentiles = {}
    for name, parts in seen.items():
        values = np.concatenate(parts)
        if not values.size:
            raise ConfigError(
                f"model.init: layer {name} of the ANN has no positive pre-activation; it passes "
                f"nothing on"
            )
        percentiles[name] = float(np.percentile(values, percentile))
    return percentiles


def describe(balances: list[Balance]) -> list[dict[str, Any]]:
    """Plain values, for a checkpoint's results."""
    return [asdict(balance) for balance in balances]
