"""Random networks of branches: batch normalisation, sums, concatenations, pools of all kinds,
transposed convolutions, and layers that only move elements."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from hypothesis import strategies as st
from torch import nn

import toolchain.layers as snn

MOST = 160
"""Most neurons of a layer: networks are small, so that many are drawn."""


@dataclass(frozen=True)
class Map:
    """What a layer gives: its name, shape, fraction bits, and whether it is spikes."""

    name: str
    shape: tuple[int, ...]
    bits: int = 0
    spikes: bool = True


@dataclass
class Drawn:
    """A network while it is drawn."""

    layers: dict[str, nn.Module] = field(default_factory=dict)
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, kind: str, layer: nn.Module, *sources: Map) -> str:
        name = f"{kind}{len(self.layers)}"
        self.layers[name] = layer
        self.inputs[name] = tuple(source.name for source in sources)
        return name


def shape_of(layer: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(layer.eval()(torch.zeros(1, 1, *shape)).shape[2:])


def movers(shape: tuple[int, ...], source: Map | None) -> dict[str, tuple[nn.Module, int]]:
    """Layers without weights that fit, and by how much they raise the fraction bits; ``source``:
    what they read, None for currents."""
    channels, height, width = shape
    found: dict[str, tuple[nn.Module, int]] = {
        "pad": (snn.ZeroPad2d((0, 1, 2, 0)), 0),
        "up": (snn.Upsample((1, 2)), 0),
    }
    if height > 2:
        found["crop"] = (snn.Crop(height=(1, None), width=(0, None, 2)), 0)
        found["over"] = (snn.AvgPool2d((2, 1), 1), 1)
    if channels > 1:
        found["some"] = (snn.Crop(channels=(1, None)), 0)
    if channels % 4 == 0:
        found["shuffle"] = (snn.PixelShuffle(2), 0)
    if source is None:
        del found["pad"]  # currents that are zero in some places only
        return {k: v for k, v in found.items() if k != "over"}
    if height > 1 and width > 1:
        found["sum"] = (snn.SumPool2d(2), 0)
        if height == 3:
            found["adapt"] = (snn.AdaptiveAvgPool2d((2, width)), 1)
    if source.spikes:
        found["max"] = (snn.MaxPool2d((2, 1), 1, (1, 0)), 0)
    return found


@st.composite
def graphs(draw: st.DrawFn) -> tuple[snn.Network, np.ndarray]:
    """(network in evaluation mode, integers to feed [sample, step, *shape])."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 4)), draw(st.integers(2, 4)))
    message_bits = draw(st.sampled_from([0, 3]))
    bits = 2 if message_bits else 0
    fraction_bits = draw(st.integers(8, 12))
    drawn = Drawn()
    maps = [Map("input", shape, bits, not message_bits)]
    for _ in range(draw(st.integers(1, 3))):
        maps.append(draw(blocks(drawn, maps, rng, fraction_bits)))
    last = maps[-1]
    name = drawn.add("flatten", snn.Flatten(), last)
    size = int(np.prod(last.shape))
    grid = {"fraction_bits": fraction_bits}
    dense = snn.Linear(size, 3, **grid)
    name = drawn.add("dense", dense, Map(name, (size,)))
    drawn.add("out", snn.LI(beta=0.75, **grid), Map(name, (3,)))
    network = snn.Network(
        drawn.layers, inputs=drawn.inputs, input_shape=shape, message_bits=message_bits,
        fraction_bits=bits, decode="last_potential",
    ).eval()  # fmt: skip
    low, high = (0, 2) if not message_bits else (-4, 4)
    return network, rng.integers(low, high, (2, draw(st.integers(2, 5)), *shape))


@st.composite
def blocks(draw: st.DrawFn, drawn: Drawn, maps: list[Map], rng, fraction_bits: int) -> Map:
    """One population with what leads to it; what it gives."""
    last = maps[-1]
    source = draw(joined(drawn, maps))
    for _ in range(draw(st.integers(0, 2))):
        source = draw(moved(drawn, source))
    name, shape = draw(weighted(drawn, source, rng, fraction_bits))
    if draw(st.booleans()):
        options = movers(shape, None)
        kind = draw(st.sampled_from(sorted(options)))
        layer, _ = options[kind]
        if np.prod(shape_of(layer, shape)) <= MOST:
            name, shape = drawn.add(kind, layer, Map(name, shape)), shape_of(layer, shape)
    currents = [Map(name, shape)]
    if last.shape == shape and last.spikes and last.name != "input" and draw(st.booleans()):
        currents.append(last)  # an identity shortcut
    neuron = snn.LIF(
        threshold=draw(st.sampled_from([0.05, 0.25, 1.0])),
        beta=draw(st.sampled_from([0.0, 0.5, 0.9])),
        alpha=draw(st.sampled_from([None, None, 0.5])),
        reset=draw(st.sampled_from(["zero", "subtract"])),
        fraction_bits=fraction_bits,
    )
    return Map(drawn.add("lif", neuron, *currents), shape)


@st.composite
def joined(draw: st.DrawFn, drawn: Drawn, maps: list[Map]) -> Map:
    """The last map alone, its sum with an earlier one, or side by side with one."""
    last = maps[-1]
    others = [m for m in maps[:-1] if m.shape[1:] == last.shape[1:] and m.name != "input"]
    if not others or draw(st.booleans()):
        return last
    other = draw(st.sampled_from(others))
    if other.shape == last.shape and draw(st.booleans()):
        pool = snn.SumPool2d(1)  # the sum of spikes has a name of its own
        return Map(drawn.add("added", pool, last, other), last.shape, spikes=False)
    shape = (last.shape[0] + other.shape[0], *last.shape[1:])
    return Map(drawn.add("concat", snn.Concat(), other, last), shape)


@st.composite
def moved(draw: st.DrawFn, drawn: Drawn, source: Map) -> Map:
    options = movers(source.shape, source)
    kind = draw(st.sampled_from(sorted(options)))
    layer, bits = options[kind]
    shape = shape_of(layer, source.shape)
    if np.prod(shape) > MOST:
        return source
    spikes = source.spikes and kind not in ("sum", "over", "adapt")
    return Map(drawn.add(kind, layer, source), shape, source.bits + bits, spikes)


@st.composite
def weighted(
    draw: st.DrawFn, drawn: Drawn, source: Map, rng, fraction_bits: int
) -> tuple[str, tuple[int, ...]]:
    """(name, shape) of a convolution or a transposed one."""
    channels, (_, height, width) = draw(st.integers(1, 4)), source.shape
    options = {
        "norm": draw(st.sampled_from([None, True])),
        "fraction_bits": fraction_bits,
        "source_fraction_bits": source.bits,
        "granularity": draw(st.sampled_from(["layer", "channel"])),
        "weight_bits": draw(st.sampled_from([8, 8, 4])),
    }
    kernel = (draw(st.integers(1, min(3, height))), draw(st.integers(1, min(3, width))))
    if draw(st.booleans()) and height * width <= 16:
        stride = draw(st.sampled_from([1, 2]))
        layer: nn.Module = snn.ConvTranspose2d(
            source.shape[0], channels, kernel, stride,
            output_padding=stride - 1, **options,
        )  # fmt: skip
    else:
        padding = draw(st.integers(0, 1))
        layer = snn.Conv2d(
            source.shape[0], channels, kernel, draw(st.integers(1, 2)), padding, **options
        )
    with torch.no_grad():
        layer.weight.mul_(2.0)
        if layer.norm is not None:
            n = layer.norm.features
            layer.norm.weight.copy_(torch.from_numpy(rng.normal(0, 0.5, n)))
            layer.norm.bias.copy_(torch.from_numpy(rng.normal(0, 0.2, n)))
            layer.norm.running_mean.copy_(torch.from_numpy(rng.normal(0, 0.2, n)))
            layer.norm.running_var.copy_(torch.from_numpy(rng.uniform(0.1, 1, n)))
    return drawn.add("conv", layer, source), shape_of(layer, source.shape)
