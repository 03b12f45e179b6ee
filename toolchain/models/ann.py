"""ANNs: the same layers with rectifiers in place of neurons, in floating point; to compare with, to
convert, to attack from."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional

import toolchain.layers as snn
from toolchain.errors import ConfigError
from toolchain.layers.memory import channels_last

Weighted: TypeAlias = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


class _Steps(torch.autograd.Function):
    """0 to ``top`` in equal steps; the gradient of the clipping alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, top: float, levels: int) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.top = top
        return functional.hardtanh(x, 0.0, top).mul_(levels / top).round_().mul_(top / levels)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, x, 0.0, ctx.top), None, None


class Clip(nn.Module):
    """0 to ``top``, in ``levels`` equal steps (0: continuous): what the rate of a neuron with
    threshold ``top`` can carry in so many time steps.

    The gradient passes the rounding straight through (Bu et al., ICLR 2022, whose threshold is
    learned).
    """

    def __init__(self, top: float, levels: int = 0) -> None:
        super().__init__()
        self.top, self.levels = top, levels

    def extra_repr(self) -> str:
        return f"top={self.top:g}, levels={self.levels}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the shape of ``x``."""
        if not self.levels:
            return functional.hardtanh(x, 0.0, self.top)
        stepped: torch.Tensor = _Steps.apply(  # type: ignore[no-untyped-call]  # torch's
            x, self.top, self.levels
        )
        return stepped


class ReluNetwork(nn.Module):
    """The rectifier twin of a Network: every synapse in floating point, a rectifier for every
    neuron, the last one left out.

    network      whose layers, names, branches, input and data it takes over; its weights are copied
    activation   "relu"; "clip": Clip(top, levels)

    ``net(x)``: x [time, batch, *input_shape] float -> scores of every step, [time, batch, n]; there
    is no state. ``net.scores(x)``: their mean, [batch, n]. ``spikeport_io()`` says "program":
    False: no integer Program computes it.
    """

    decode = "mean_potential"

    def __init__(
        self, network: snn.Network, activation: str = "relu", top: float = 1.0, levels: int = 0
    ) -> None:
        super().__init__()
        layers = list(network.named_children())

        for name, layer in layers:
            if isinstance(layer, snn.Neuron):
                last = name == network.plan.output
                rectifier = nn.ReLU() if activation == "relu" else Clip(top, levels)
                self.add_module(name, nn.Identity() if last else rectifier)
            elif name == network.plan.output:
                raise ConfigError(
                    f"model: the last layer is a {type(layer).__name__}; an ANN has no recurrent "
                    f"layers"
                )
            else:
                self.add_module(name, _twin(name, layer))

        self.plan = network.plan
        self.input_shape, self.message_bits, self.fraction_bits = (
            network.input_shape,
            network.message_bits,
            network.fraction_bits,
        )
        self.data = network.data

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of every step, [time, batch, n]."""
        maps = channels_last(x.flatten(0, 1))
        values = self.plan.run(maps, lambda name, *given: getattr(self, name)(*given))
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
        counts: dict[str, int] = {}
        hooks = []

        def count(name: str, layer: Weighted, given: torch.Tensor, result: torch.Tensor) -> None:
            # a weight of a transposed convolution is used once for each input, not each output
            times = given if isinstance(layer, nn.ConvTranspose2d) else result
            counts[name] = math.prod(layer.weight.shape[1:]) * times[0].numel()

        for name, layer in self.named_children():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                hooks.append(
                    layer.register_forward_hook(
                        lambda layer, given, y, name=name: count(name, layer, given[0], y)
                    )
                )
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                self(torch.zeros(1, 1, *self.input_shape, device=next(self.parameters()).device))
        finally:
            self.train(training)
            for hook in hooks:
                hook.remove()
        return counts


class _Normalised(nn.Module):
    """Mixed into PyTorch's layers: behind them the batch normalisation that their quantised twins
    fold in."""

    norm: nn.BatchNorm1d | nn.BatchNorm2d | None

    def forward(self, x: torch.Tensor, *more: Any) -> torch.Tensor:
        """[sample, ...]."""
        y: torch.Tensor = super().forward(x, *more)
        return y if self.norm is None else self.norm(y)


class _Conv2d(_Normalised, nn.Conv2d):
    pass


class _ConvTranspose2d(_Normalised, nn.ConvTranspose2d):
    pass


class _Linear(_Normalised, nn.Linear):
    pass


LINEAR = (snn.SumPool2d, snn.Flatten, snn.Add, snn.Concat, snn.Upsample, snn.PixelShuffle)

AnyNetwork: TypeAlias = snn.Network | ReluNetwork
"""What a recipe describes: a spiking network, or an ANN."""


def _twin(name: str, layer: nn.Module) -> nn.Module:
    if isinstance(layer, snn.Conv2d):
        geometry: dict[str, Any] = {
            key: getattr(layer, key)
            for key in ("kernel_size", "stride", "padding", "dilation", "groups")
        }
        twin: nn.Module = _Conv2d(
            layer.in_channels, layer.out_channels, bias=layer.bias is not None, **geometry
        )
        kind: type[nn.BatchNorm1d | nn.BatchNorm2d] = nn.BatchNorm2d
    elif isinstance(layer, snn.ConvTranspose2d):
        geometry = {
            key: getattr(layer, key)
            for key in ("kernel_size", "stride", "padding", "output_padding", "groups")
        }
        twin = _ConvTranspose2d(
            layer.in_channels, layer.out_channels, bias=layer.bias is not None, **geometry
        )
        kind = nn.BatchNorm2d
    elif isinstance(layer, snn.Linear):
        twin = _Linear(layer.in_features, layer.out_features, layer.bias is not None)
        kind = nn.BatchNorm1d
    elif isinstance(layer, snn.Dropout):
        return nn.Dropout(layer.rate)
    elif isinstance(layer, snn.MaxPool2d):
        return nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding)
    elif isinstance(layer, LINEAR):
        return layer  # linear, without weights: as they are
    else:
        raise ConfigError(f"model: layer {name} is a {type(layer).__name__}, which no ANN has")

    norm = layer.norm
    twin.register_module(
        "norm", None if norm is None else kind(norm.features, norm.eps, norm.momentum)
    )
    twin.load_state_dict(layer.state_dict())
    return twin
