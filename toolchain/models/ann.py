"""ANNs: the same layers with rectifiers in place of neurons, in floating point; to compare with, to
convert, to attack from."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

import toolchain.layers as snn
from toolchain.errors import ConfigError


class ReluNetwork(nn.Module):
    """The rectifier twin of a Network: every synapse in floating point, ReLU for every neuron, the
    last one left out.

    network   whose layers, names, input and data it takes over; its weights are copied

    ``net(x)``: x [time, batch, *input_shape] float -> scores of every step, [time, batch, n]; there
    is no state. ``net.scores(x)``: their mean, [batch, n]. ``spikeport_io()`` says "program":
    False: no integer Program computes it.
    """

    decode = "mean_potential"

    def __init__(self, network: snn.Network) -> None:
        super().__init__()
        layers = list(network.named_children())
        for name, layer in layers[:-1]:
            self.add_module(name, _twin(name, layer))
        if not isinstance(layers[-1][1], snn.Neuron):
            raise ConfigError(
                f"model: the last layer is a {type(layers[-1][1]).__name__}; an ANN has no "
                f"recurrent layers"
            )
        self.input_shape, self.message_bits, self.fraction_bits = (
            network.input_shape,
            network.message_bits,
            network.fraction_bits,
        )
        self.data = network.data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of every step, [time, batch, n]."""
        values = x.flatten(0, 1)
        for layer in self.children():
            values = layer(values)
        return values.reshape(x.shape[0], x.shape[1], -1)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Mean over steps, [batch, n]."""
        trace: torch.Tensor = self(x)
        return trace.mean(0)

    def spikeport_io(self) -> dict[str, Any]:
        """As ``Network.spikeport_io``, with "program": False."""
        return {
            "program": False,
            "input": {
                "shape": list(self.input_shape),
                "message_bits": self.message_bits,
                "fraction_bits": self.fraction_bits,
            },
            "output": {"decode": self.decode},
            "call": "sequence",
            "data": self.data,
            "origin": {"framework": "spikeport", "kind": "ann"},
        }

    def macs(self) -> dict[str, int]:
        """Multiply-accumulates of one inference for each layer with weights."""
        found: dict[str, int] = {}
        hooks = []
        for name, layer in self.named_children():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                fan_in = math.prod(layer.weight.shape[1:])
                hooks.append(
                    layer.register_forward_hook(
                        lambda _, __, y, name=name, fan_in=fan_in: found.update(
                            {name: fan_in * y[0].numel()}
                        )
                    )
                )
        try:
            with torch.no_grad():
                self(torch.zeros(1, 1, *self.input_shape, device=next(self.parameters()).device))
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _twin(name: str, layer: nn.Module) -> nn.Module:
    if isinstance(layer, snn.Conv2d):
        geometry: dict[str, Any] = {
            key: getattr(layer, key)
            for key in ("kernel_size", "stride", "padding", "dilation", "groups")
        }
        made: nn.Module = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            bias=layer.bias is not None,
            **geometry,
        )
    elif isinstance(layer, snn.Linear):
        made = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    elif isinstance(layer, snn.Dropout):
        return nn.Dropout(layer.rate)
    elif isinstance(layer, snn.Neuron):
        return nn.ReLU()
    elif isinstance(layer, (snn.SumPool2d, snn.Flatten)):  # linear, without weights: as they are
        return layer
    else:
        raise ConfigError(f"model: layer {name} is a {type(layer).__name__}, which no ANN has")
    made.load_state_dict(layer.state_dict())
    return made
