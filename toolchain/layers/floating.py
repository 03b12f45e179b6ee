"""A plain floating-point network: the layers of toolchain.layers with the chip's arithmetic left
out.

``floating(network)`` gives every layer the same parameters, names and places, and PyTorch's own
arithmetic: no grid, no rounding, no saturation. What is trained so knows nothing of a chip, and is
quantised after training by ``export.lower``, as any float model is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from toolchain import layers as snn
from toolchain.errors import LayerError
from toolchain.layers.neuron import NeuronRun
from toolchain.layers.nir_nodes import Described
from toolchain.layers.norm import channelwise


class FloatLinear(snn.Linear):
    """torch.nn.Linear."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _normalised(self, functional.linear(x, self.weight, self.bias))

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> Described:
        """(nir.Linear or nir.Affine, no metadata)."""
        import nir

        weight, bias = self.folded()
        return (
            nir.Linear(_array(weight)) if bias is None else nir.Affine(_array(weight), _array(bias))
        ), {}


class FloatConv2d(snn.Conv2d):
    """torch.nn.Conv2d, with any leading dimensions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = functional.conv2d(
            x.reshape(-1, *x.shape[-3:]),
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )
        return _normalised(self, maps.reshape(*x.shape[:-3], *maps.shape[1:]))

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> Described:
        """(nir.Conv2d, no metadata)."""
        import nir

        weight, offset = self.folded()
        bias = np.zeros(self.out_channels) if offset is None else _array(offset)
        return nir.Conv2d(
            tuple(input_shape)[1:],
            _array(weight),
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            bias,
        ), {}


def _normalised(layer: FloatLinear | FloatConv2d, z: torch.Tensor) -> torch.Tensor:
    """Batch normalisation behind the weighted sums, as PyTorch computes it."""
    norm = layer.norm
    if norm is None:
        return z
    if norm.batch_statistics:
        return layer.with_batch_statistics(z, norm)
    factor = channelwise(norm.factor(), layer.weight.dim() - 1)
    offset = channelwise(norm.bias - norm.running_mean * norm.factor(), layer.weight.dim() - 1)
    return z * factor + offset


def _no_states(layer: snn.LIF | snn.LI, states: Sequence[torch.Tensor | None]) -> None:
    if any(state is not None and state.numel() for state in states):
        raise LayerError(f"{layer.where}: in floating point a whole sample is run, from zero state")


def _membrane(layer: snn.LIF | snn.LI, shape: tuple[int, ...], dt: float) -> dict[str, Any] | None:
    """Arguments of NIR's leaky nodes; None without leak."""
    leak = float(1 - _array(layer.beta))
    return (
        {"tau": np.full(shape, dt / leak), "r": np.full(shape, 1 / leak), "v_leak": np.zeros(shape)}
        if leak
        else None
    )


def _threshold(layer: snn.LIF) -> torch.Tensor:
    if layer.threshold is None:
        raise LayerError(f"{layer.where}: an integrator, which has no threshold")
    return layer.threshold


class FloatLIF(snn.LIF):
    """v = beta * v + input; a spike where v > threshold; then 0, or less the threshold, in the same
    step."""

    def _run(
        self, current: torch.Tensor, states: Sequence[torch.Tensor | None], traces: bool
    ) -> NeuronRun:
        _no_states(self, states)
        threshold = _threshold(self)
        potential, before, spikes, after = torch.zeros_like(current[0]), [], [], []
        for arriving in current:
            potential = self.beta * potential + arriving
            before.append(potential)
            fired = self.spike_grad(potential - threshold)
            if self.reset == "zero":
                potential = potential * (1 - fired.detach())
            elif self.reset == "subtract":
                potential = potential - threshold * fired.detach()
            spikes.append(fired)
            after.append(potential)
        if self.observer is not None:
            self.observer((torch.stack(before), threshold.expand(current.shape[2:]), None))
        return torch.stack(spikes), [torch.stack(after)]

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> Described:
        """(nir.LIF, or nir.IF without leak; metadata: reset and comparison)."""
        import nir

        threshold = np.broadcast_to(_array(_threshold(self)), tuple(input_shape)).copy()
        membrane = _membrane(self, tuple(input_shape), dt)
        node = (
            nir.IF(np.ones(input_shape), threshold)
            if membrane is None
            else nir.LIF(**membrane, v_threshold=threshold)
        )
        return node, {"reset": self.reset, "threshold_comparison": ">"}


class FloatLI(snn.LI):
    """v = beta * v + input."""

    def _run(
        self, current: torch.Tensor, states: Sequence[torch.Tensor | None], traces: bool
    ) -> NeuronRun:
        _no_states(self, states)
        potential, after = torch.zeros_like(current[0]), []
        for arriving in current:
            potential = self.beta * potential + arriving
            after.append(potential)
        return None, [torch.stack(after)]

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> Described:
        """(nir.LI, or nir.I without leak; no metadata)."""
        import nir

        membrane = _membrane(self, tuple(input_shape), dt)
        return (nir.I(np.ones(input_shape)) if membrane is None else nir.LI(**membrane)), {}


_FLOAT = {snn.Linear: FloatLinear, snn.Conv2d: FloatConv2d, snn.LIF: FloatLIF, snn.LI: FloatLI}
_KEPT = (
    *(snn.Flatten, snn.AvgPool2d, snn.SumPool2d, snn.Dropout, snn.Add, snn.Concat, snn.MaxPool2d),
    *(snn.Upsample, snn.ZeroPad2d, snn.Crop, snn.PixelShuffle, snn.AdaptiveAvgPool2d),
)


def floating(network: nn.Module) -> snn.Network:
    """The same network in floating point, changed in place.

    Raises LayerError for layers and neurons that have no floating-point form here. Linear, Conv2d,
    pools, Flatten and Dropout have one, and LIF and LI without synaptic current, refractory period
    and noise.
    """
    for name, layer in network.named_children():
        if type(layer) not in (*_FLOAT, *_KEPT):
            raise LayerError(
                f"layer {name!r} ({type(layer).__name__}) has no floating-point form here"
            )
        if isinstance(layer, (snn.LIF, snn.LI)) and (
            layer.alpha is not None or layer.refractory or layer.noise is not None
        ):
            raise LayerError(
                f"layer {name!r}: in floating point without synaptic current, refractory period "
                f"and noise"
            )
        layer.__class__ = _FLOAT.get(type(layer), type(layer))
    if not isinstance(network, snn.Network):
        raise LayerError(f"a {type(network).__name__} has no floating-point form here")
    return network


def _array(tensor: torch.Tensor | nn.Parameter) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
