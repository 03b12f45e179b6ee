"""NIR nodes and metadata of the layers, as the package's docstring promises them to the exporter.

NIR's equations in forward-Euler form are exactly the discrete rule of the layers when tau = dt *
4096 / decay, r = tau / dt and w_in = tau_syn / dt (source: NIR's definitions of LIF, LI, CubaLIF
and CubaLI). IF and I count their input once a step: r = 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from hardware.arithmetic import DECAY_UNITY
from toolchain.errors import LayerError
from toolchain.layers.noise import NoiseSource

if TYPE_CHECKING:
    import nir
    import torch

    from export.rearranging import NodeRow

Described: TypeAlias = "tuple[nir.NIRNode, dict[str, Any]]"
"""A node and its metadata."""

NO_LEAK = 2.0**40
"""Time constant, in steps, of a decay of 0: rounds to 0 in 12 bits, is lost in float32, and cancels
exactly in r * dt / tau."""


class _Neuron(Protocol):
    """What a node is made from of ``toolchain.layers.neuron.Neuron``, which imports this module."""

    alpha: torch.Tensor | None
    fraction_bits: int
    noise: NoiseSource | None
    overflow: str
    refractory: int
    reset: str

    @property
    def spiking(self) -> bool: ...

    @property
    def stochastic(self) -> bool: ...

    def integers(self, shape: Sequence[int]) -> Mapping[str, torch.Tensor]: ...


class _Synapse(Protocol):
    """The same of the layers of ``toolchain.layers.synapses``."""

    weight_bits: int
    fraction_bits: int
    source_fraction_bits: int

    @property
    def where(self) -> str: ...

    def quantised_weight(self) -> tuple[torch.Tensor, torch.Tensor]: ...

    def quantised_bias(self) -> torch.Tensor | None: ...


class _Linear(_Synapse, Protocol):
    in_features: int


class _Convolution(_Synapse, Protocol):
    in_channels: int
    out_channels: int
    groups: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]


class _Transposed(_Convolution, Protocol):
    output_padding: tuple[int, ...]


class _Pool(Protocol):
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]


def _nir() -> ModuleType:
    import nir

    module: ModuleType = nir
    return module


def _plain(array: np.ndarray) -> int | list[int]:
    """A number where all are equal, else a flat list."""
    flat = array.reshape(-1)
    return int(flat[0]) if np.all(flat == flat[0]) else [int(n) for n in flat]


def _steps(decay: np.ndarray) -> np.ndarray:
    """Time constants in steps."""
    return np.where(decay == 0, NO_LEAK, DECAY_UNITY / np.maximum(decay, 1))


def neuron(layer: _Neuron, shape: tuple[int, ...], dt: float) -> Described:
    """Node and metadata of a Neuron of ``shape``."""
    nir = _nir()
    integers = {name: value.cpu().numpy() for name, value in layer.integers(shape).items()}
    grid: dict[str, Any] = {"fraction_bits": layer.fraction_bits, "overflow": layer.overflow}
    grid |= {name: _plain(value) for name, value in integers.items()}
    if layer.noise is not None and layer.stochastic:
        grid["noise"] = {"seed": layer.noise.seed, "sigma": layer.noise.sigma}

    metadata = {
        "reset": layer.reset if layer.spiking else "none",
        "threshold_comparison": ">",
        "refractory": layer.refractory,
        "grid": grid,
    }

    steps = _steps(integers["voltage_decay"])
    zeros = np.zeros(shape)
    membrane = {"r": steps, "v_leak": zeros}
    spiking = {}
    if layer.spiking:
        spiking = {
            "v_threshold": integers["threshold"] * 2.0**-layer.fraction_bits,
            "v_reset": zeros,
        }

    if layer.alpha is not None:
        steps_syn = _steps(integers["current_decay"])
        kind = nir.CubaLIF if layer.spiking else nir.CubaLI
        return kind(
            tau_syn=steps_syn * dt, tau_mem=steps * dt, w_in=steps_syn, **membrane, **spiking
        ), metadata

    if not integers["voltage_decay"].any():
        # counted once a step, whatever dt: how sinabs and others write these nodes, and how
        # export.lower reads them
        r = np.ones(shape)
        return (nir.IF(r=r, **spiking) if layer.spiking else nir.I(r=r)), metadata

    kind = nir.LIF if layer.spiking else nir.LI
    return kind(tau=steps * dt, **membrane, **spiking), metadata


def _synapse_metadata(layer: _Synapse, exponent: torch.Tensor) -> dict[str, Any]:
    return {
        "grid": {
            "weight_bits": layer.weight_bits,
            "fraction_bits": layer.fraction_bits,
            "exponent": exponent.tolist(),
            "source_fraction_bits": layer.source_fraction_bits,
        }
    }


def linear(layer: _Linear, shape: tuple[int, ...]) -> Described:
    """Node and metadata of a Linear."""
    nir = _nir()
    if shape != (layer.in_features,):
        raise LayerError(
            f"{layer.where}: its input has shape {shape}; it must be ({layer.in_features},): put "
            f"a Flatten in front"
        )
    quantised, exponent = layer.quantised_weight()
    weight, bias = quantised.detach().cpu().double().numpy(), layer.quantised_bias()
    node = (
        nir.Linear(weight=weight)
        if bias is None
        else nir.Affine(weight=weight, bias=bias.detach().cpu().double().numpy())
    )
    return node, _synapse_metadata(layer, exponent)


def convolution(layer: _Convolution, shape: tuple[int, ...]) -> Described:
    """Node and metadata of a Conv1d or Conv2d."""
    nir = _nir()
    dimensions = len(layer.kernel_size)
    if len(shape) != dimensions + 1 or shape[0] != layer.in_channels:
        raise LayerError(
            f"{layer.where}: its input has shape {shape}; it must have {layer.in_channels} "
            f"channels and {dimensions} spatial dimensions"
        )

    weight, exponent = layer.quantised_weight()
    bias = layer.quantised_bias()
    arguments = {
        "weight": weight.detach().cpu().double().numpy(),
        "groups": layer.groups,
        "bias": np.zeros(layer.out_channels)
        if bias is None
        else bias.detach().cpu().double().numpy(),
    }

    if dimensions == 1:
        node = nir.Conv1d(
            input_shape=shape[1],
            stride=layer.stride[0],
            padding=layer.padding[0],
            dilation=layer.dilation[0],
            **arguments,
        )
    else:
        node = nir.Conv2d(
            input_shape=shape[1:],
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            **arguments,
        )

    return node, _synapse_metadata(layer, exponent)


def transposed(layer: _Transposed, shape: tuple[int, ...]) -> dict[str, Any]:
    """Parts of a ConvTranspose2d: zeros between the inputs, and a convolution with the taps in
    reverse order."""
    from export import rearranging

    if len(shape) != 3 or shape[0] != layer.in_channels:
        raise LayerError(
            f"{layer.where}: its input has shape {shape}; it must have {layer.in_channels} "
            f"channels and 2 spatial dimensions"
        )
    weight, exponent = layer.quantised_weight()
    bias = layer.quantised_bias()
    padding = tuple(p for p in layer.padding if isinstance(p, int))
    geometry = zip(
        shape[1:], layer.stride, padding, layer.dilation, layer.kernel_size, layer.output_padding
    )
    size = ((n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, s, p, d, k, extra in geometry)
    row, node = rearranging.spread(
        shape,
        (layer.out_channels, *size),
        weight.detach().cpu().double().numpy(),
        np.zeros(layer.out_channels) if bias is None else bias.detach().cpu().double().numpy(),
        layer.stride,
        padding,
        layer.dilation,
        layer.groups,
    )
    note = {"moves": "zeros between the inputs of a transposed convolution"}
    before = [(name, part, note) for name, part in row.nodes]
    return in_a_row([*before, ("", node, _synapse_metadata(layer, exponent))])


def in_a_row(parts: Sequence[tuple[str, nir.NIRNode, Mapping[str, Any]]]) -> dict[str, Any]:
    """The parts of a layer that follow each other, as ``nir_parts`` gives them; each is (name,
    node, metadata)."""
    names = [name for name, _, _ in parts]
    return {
        "nodes": {name: (node, dict(entry)) for name, node, entry in parts},
        "edges": list(pairwise(names)),
        "input": names[0],
        "output": names[-1],
    }


def moved(row: NodeRow, told: str) -> dict[str, Any]:
    """The parts of a layer that moves or averages elements; ``told``: what it does, in words."""
    entry = {"moves": told}
    if not row.nodes:  # a layer that changes nothing is still there
        return in_a_row([("", _nir().Scale(scale=np.ones(row.in_shape)), entry)])
    *before, (_, last) = row.nodes
    return in_a_row([*((name, node, entry) for name, node in before), ("", last, entry)])


def chosen(index: np.ndarray, shape: tuple[int, ...], told: str) -> dict[str, Any]:
    """The parts of a layer each of whose outputs is one input, or zero (``index`` -1)."""
    from export.rearranging import selection

    return moved(selection(index, shape), told)


def pool(layer: _Pool, kind: str) -> Described:
    """Node and metadata of an AvgPool2d or SumPool2d."""
    return getattr(_nir(), kind)(
        kernel_size=np.array(layer.kernel_size),
        stride=np.array(layer.stride),
        padding=np.array(layer.padding),
    ), {}


def flatten(shape: tuple[int, ...]) -> Described:
    """Node and metadata of a Flatten."""
    return _nir().Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1), {}


def delay(steps: int, shape: tuple[int, ...], dt: float) -> Described:
    """Node and metadata of a Delay."""
    return _nir().Delay(delay=np.full(shape, steps * dt)), {}
