"""Random quantisation-aware networks, and the Programs that they must equal, built from the layers'
own integers.

The Program is built here on purpose, without the exporter: pools and Flatten become part of a
matrix that is read off with unit vectors; convolutions stay convolutions where nothing stands in
front of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st

import toolchain.layers as snn
from hardware.noise import Noise
from hardware.program import Convolution, Dense, Input, Output, Population, Program
from toolchain.layers.grid import mantissas


@dataclass
class Block:
    """Layers without weights, a synapse, a neuron (or Recurrent)."""

    before: list
    synapse: torch.nn.Module
    neuron: torch.nn.Module
    shape: tuple[int, ...]


@dataclass
class Case:
    """A network as blocks in a row, its input and the integers to feed, [step, batch, *shape]."""

    blocks: list[Block]
    input_shape: tuple[int, ...]
    message_bits: int
    fraction_bits: int
    inputs: np.ndarray

    def run(self, dtype=torch.float32) -> list[tuple[torch.Tensor | None, torch.Tensor]]:
        """(spikes, mem) of every neuron layer, [step, batch, *shape]."""
        x = torch.from_numpy(self.inputs).to(dtype) * 2.0**-self.fraction_bits
        traces = []
        for block in self.blocks:
            for layer in block.before:
                x = layer(x, sequence=True) if getattr(layer, "temporal", False) else layer(x)
            states = block.neuron(block.synapse(x), sequence=True, return_states=True)
            inner = getattr(block.neuron, "neuron", block.neuron)
            spikes, mem = (
                (states[0] if inner.spiking else None),
                states[int(inner.spiking) + inner.states.index("mem")],
            )
            traces.append((spikes, mem))
            x = spikes
        return traces


def network_strategy_weights(
    rng: np.random.Generator, shape, flavour: str, size: float
) -> torch.Tensor:
    """Float weights of a magnitude up to ``size`` volts."""
    if flavour == "normal":
        weights = rng.normal(0, size / 4, shape).clip(-size, size)
    elif flavour == "positive":
        weights = rng.uniform(0, size, shape)
    elif flavour == "negative":
        weights = -rng.uniform(0, size, shape)
    elif flavour == "zero":
        weights = np.zeros(shape)
    elif flavour == "extreme":
        weights = rng.choice([-size, 0.0, size], shape)
    else:
        weights = rng.normal(0, size / 4, shape).clip(-size, size) * (rng.random(shape) < 0.3)
    return torch.tensor(weights, dtype=torch.float32)


decays = st.one_of(st.sampled_from([0, 1, 4095, 4096]), st.integers(0, 4096))


@st.composite
def _neuron(draw, rng, shape, fraction_bits, biased):
    """A neuron of any kind, with one number or one for each neuron for its parameters."""

    def numbers(strategy, to_float):
        value = draw(strategy)
        if draw(st.integers(0, 3)):
            return to_float(value)
        return torch.tensor(
            np.vectorize(to_float)(rng.choice([value, draw(strategy)], shape)), dtype=torch.float32
        )

    arguments = {"beta": numbers(decays, lambda d: 1 - d / 4096), "fraction_bits": fraction_bits}
    if draw(st.booleans()):
        arguments["alpha"] = numbers(decays.filter(lambda d: d < 4096), lambda d: 1 - d / 4096)
    elif not biased and draw(st.booleans()):
        arguments["overflow"] = "wrap"
    kind = draw(st.sampled_from(["zero", "zero", "subtract", "none", "integrator"]))
    if kind == "integrator":
        return snn.LI(**arguments)
    thresholds = st.one_of(
        st.sampled_from([0, 1, 131071]), st.integers(0, 1 << fraction_bits), st.integers(0, 20000)
    )
    threshold = numbers(thresholds, lambda n: n * 2.0**-fraction_bits)
    if not draw(st.integers(0, 3)):
        sigma = draw(st.sampled_from([1, 3000, 1 << 20]))
        arguments |= {
            "noise": sigma * 2.0 ** -(fraction_bits + 6),
            "noise_at_inference": True,
            "noise_seed": int(rng.integers(1 << 62)),
        }
    return snn.LIF(
        threshold, reset=kind, refractory=draw(st.sampled_from([0, 0, 0, 1, 3])), **arguments
    ).eval()


@st.composite
def _synapse(draw, rng, shape, k, fraction_bits):
    """(layers in front, synapse, shape that it gives, shift of the source's fraction bits by
    pools)."""
    before = []
    grid = {
        "weight_bits": draw(st.sampled_from([8, 8, 8, 2, 4, 7, 16, 11])),
        "fraction_bits": fraction_bits,
        "granularity": draw(st.sampled_from(["layer", "channel"])),
    }
    if len(shape) == 3 and shape[1] > 1 and shape[2] > 1 and draw(st.booleans()):
        average = draw(st.booleans())
        kernel = draw(st.sampled_from([(2, 2), (1, 2), (2, 1)] if average else [(2, 2), (1, 2)]))
        pool = (snn.AvgPool2d if average else snn.SumPool2d)(kernel)
        before.append(pool)
        k += int(np.log2(pool.divisor))
        shape = tuple(pool(torch.zeros(1, *shape)).shape[1:])
    bias = draw(st.booleans())
    if len(shape) == 1 or draw(st.booleans()):
        before.append(snn.Flatten())
        out = draw(st.integers(1, 6))
        synapse = snn.Linear(int(np.prod(shape)), out, bias=bias, source_fraction_bits=k, **grid)
    else:
        channels, *spatial = shape
        groups = draw(st.sampled_from([g for g in (1, channels) if channels % g == 0]))
        kernel, stride, padding, dilation = [], [], [], []
        for n in spatial:
            p = draw(st.integers(0, 2))
            size = draw(st.integers(1, min(4, n + 2 * p)))
            d = (
                1
                if size == 1
                else draw(st.integers(1, max(1, min(2, (n + 2 * p - 1) // (size - 1)))))
            )
            (
                kernel.append(size),
                padding.append(p),
                dilation.append(d),
                stride.append(draw(st.integers(1, 2))),
            )
        kind = snn.Conv1d if len(spatial) == 1 else snn.Conv2d
        synapse = kind(
            channels,
            groups * draw(st.integers(1, 3)),
            tuple(kernel),
            tuple(stride),
            tuple(padding),
            tuple(dilation),
            groups,
            bias=bias,
            source_fraction_bits=k,
            **grid,
        )
    _fill(draw, rng, synapse, fraction_bits)
    shape = (int(np.prod(shape)),) if isinstance(synapse, snn.Linear) else shape
    return before, synapse, tuple(synapse(torch.zeros(1, *shape)).shape[1:])


FLAVOURS = ["normal", "normal", "positive", "negative", "zero", "extreme", "sparse"]


def _fill(draw, rng, synapse, fraction_bits):
    """Weights up to the largest that the format holds, or around the threshold, or tiny; a bias of
    any size that fits."""
    largest = (
        254
        * 2.0 ** (7 - fraction_bits + synapse.source_fraction_bits)
        * (1 if synapse.weight_bits == 8 else 0.4)
    )
    size = draw(
        st.sampled_from(
            [largest, largest / 50, 100 * 2.0 ** (-fraction_bits + synapse.source_fraction_bits)]
        )
    )
    with torch.no_grad():
        synapse.weight.copy_(
            network_strategy_weights(
                rng, synapse.weight.shape, draw(st.sampled_from(FLAVOURS)), size
            )
        )
        if synapse.bias is not None:
            reach = draw(st.sampled_from([0, 50, 2000, 8190])) * 2.0**-fraction_bits
            synapse.bias.copy_(torch.tensor(rng.uniform(-reach, reach, synapse.bias.shape)))


@st.composite
def cases(draw) -> Case:
    """Networks of one to three layers of any kind, driven from silence into saturation and wrap."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    input_shape = draw(
        st.one_of(
            st.tuples(st.integers(1, 8)),
            st.tuples(st.integers(1, 2), st.integers(1, 7)),
            st.tuples(st.integers(1, 2), st.integers(1, 6), st.integers(1, 6)),
        )
    )
    message_bits = draw(st.sampled_from([0, 0, 1, 6, 16]))
    input_bits = draw(st.integers(0, 6)) if message_bits else 0
    steps, batch = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    if message_bits:
        span = (-(1 << (message_bits - 1)), (1 << (message_bits - 1)) - 1)
        inputs = rng.integers(span[0], span[1] + 1, (steps, batch, *input_shape))
    else:
        inputs = (
            rng.random((steps, batch, *input_shape)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
        ).astype(np.int64)
    shape, k, blocks = tuple(input_shape), input_bits, []
    for _ in range(draw(st.integers(1, 3))):
        fraction_bits = draw(st.integers(6, 12))
        before, synapse, shape = draw(_synapse(rng, shape, k, fraction_bits))
        neuron = draw(_neuron(rng, shape, fraction_bits, synapse.bias is not None))
        if (
            neuron.spiking
            and len(shape) == 1
            and neuron.overflow == "error"
            and not draw(st.integers(0, 2))
        ):
            feedback = snn.Linear(
                shape[0],
                shape[0],
                bias=draw(st.booleans()) and synapse.bias is None,
                weight_bits=draw(st.sampled_from([8, 8, 16])),
                fraction_bits=fraction_bits,
            )
            _fill(draw, rng, feedback, fraction_bits)
            neuron = snn.Recurrent(neuron, feedback)
        blocks.append(Block(before, synapse, neuron, shape))
        k = 0
        if not getattr(neuron, "neuron", neuron).spiking:
            break
    return Case(blocks, tuple(input_shape), message_bits, input_bits, inputs)


def _exponent(exponent: torch.Tensor):
    return int(exponent) if exponent.dim() == 0 else exponent.numpy()


def _weights(block_before, synapse, source_shape):
    """(mantissas over everything between two populations, exponent, bits) of each projection: a
    convolution where nothing is in front, else a matrix. Of more than 8 bits the low byte and the
    rest, as two."""
    weight, exponent = synapse.quantised_weight()
    bits, finer = synapse.weight_bits, max(synapse.weight_bits - 9, 0)
    k = synapse.source_fraction_bits
    integers = mantissas(weight, exponent - finer, synapse.fraction_bits, k)
    if not block_before and not isinstance(synapse, snn.Linear):
        whole = integers.numpy()
    else:
        whole = _matrix(block_before, synapse, source_shape, integers.to(torch.float64))
    if bits <= 8:
        return [(whole, _exponent(exponent), bits)]
    return [
        (whole // 256 * 2 ** (17 - bits), _exponent(exponent), bits - 8),
        (whole % 256, _exponent(exponent - finer), 8),
    ]


def _matrix(block_before, synapse, source_shape, whole: torch.Tensor) -> np.ndarray:
    """The layers in front and the synapse with these weights as one matrix of whole numbers."""
    x = torch.eye(int(np.prod(source_shape)), dtype=torch.float64).reshape(-1, *source_shape)
    for layer in block_before:
        x = layer(x)
    source = 1.0
    for layer in block_before:
        source *= getattr(layer, "divisor", 1)
    if isinstance(synapse, snn.Linear):
        columns = torch.nn.functional.linear(x, whole)
    else:
        function = (
            torch.nn.functional.conv1d
            if isinstance(synapse, snn.Conv1d)
            else torch.nn.functional.conv2d
        )
        columns = function(
            x, whole, None, synapse.stride, synapse.padding, synapse.dilation, synapse.groups
        )
    matrix = (columns * source).flatten(1).T.numpy()
    assert np.array_equal(matrix, np.round(matrix))
    return matrix.astype(np.int64)


def _bias_units(synapse, shape) -> np.ndarray:
    units = torch.round(synapse.quantised_bias().detach().double() * 2.0**synapse.fraction_bits).to(
        torch.int64
    )
    return np.broadcast_to(units.reshape(-1, *(1,) * (len(shape) - 1)).numpy(), shape)


def program_of(case: Case) -> Program:
    """The Program that ``case`` must equal; population names "p0", "p1", …"""
    populations, projections, source, source_shape = [], [], "input", case.input_shape
    for number, block in enumerate(case.blocks):
        name = f"p{number}"
        inner = getattr(block.neuron, "neuron", block.neuron)
        integers = {n: v.numpy() for n, v in inner.integers(block.shape).items()}
        integers.setdefault("threshold", None)
        synapses = [block.synapse] + (
            [block.neuron.recurrent] if isinstance(block.neuron, snn.Recurrent) else []
        )
        bias = sum(
            (_bias_units(s, block.shape) for s in synapses if s.bias is not None),
            np.zeros(block.shape, np.int64),
        )
        arguments = {"reset": inner.reset, "refractory": inner.refractory} if inner.spiking else {}
        if inner.stochastic:
            arguments["noise"] = Noise(inner.noise.seed, inner.noise.sigma)
        if inner.alpha is None:
            exponent = 6 if np.abs(bias).max() <= 4095 else 7
            arguments |= {"bias": bias >> (exponent - 6), "bias_exponent": exponent}
        populations.append(Population(name, block.shape, **integers, **arguments))
        for weights, exponent, bits in _weights(block.before, block.synapse, source_shape):
            shared = {"exponent": exponent, "weight_bits": bits}
            part = f"{source}-{name} {len(projections)}"
            if weights.ndim == 2:
                projections.append(Dense(part, source, name, weights, **shared))
            else:
                s = block.synapse
                geometry = {
                    "stride": s.stride,
                    "padding": s.padding,
                    "dilation": s.dilation,
                    "groups": s.groups,
                }
                projections.append(Convolution(part, source, name, weights, **shared, **geometry))
        if isinstance(block.neuron, snn.Recurrent):
            for weights, exponent, bits in _weights([], block.neuron.recurrent, block.shape):
                part = f"{name}-{name} {len(projections)}"
                projections.append(
                    Dense(part, name, name, weights, exponent=exponent, weight_bits=bits)
                )
        if inner.alpha is not None and bias.any():
            constant = f"{name} constant"
            populations.append(Population(constant, (1,), threshold=0, bias=1, bias_exponent=6))
            high, low = bias.ravel() >> 6, bias.ravel() & 63
            for part, values, shift in (
                ("up", high.clip(0), 6),
                ("down", high.clip(None, 0), 6),
                ("low", low, 0),
            ):
                projections.append(
                    Dense(f"{constant} {part}", constant, name, values[:, None], exponent=shift)
                )
        source, source_shape = name, block.shape
    return Program(
        (Input("input", case.input_shape, case.message_bits),),
        populations,
        projections,
        (Output("p0", "last_potential"),),
    )
