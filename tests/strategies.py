"""Hypothesis strategies for random Programs and inputs, extremes included.

Structure (kinds, shapes, parameters) is drawn by hypothesis, so that a failure shrinks; array
contents come from a drawn seed and a drawn flavour, so that large arrays cost nothing to draw.
"""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from hardware.noise import MAX_SIGMA, Noise, derived
from hardware.program import Convolution, Dense, Input, Output, Population, Program, Sparse

FLAVOURS = ("mixed", "excitatory", "inhibitory", "zero", "upper", "lower", "extremes", "sparse")


def weight_array(
    rng: np.random.Generator, shape: tuple[int, ...], flavour: str, bits: int = 8
) -> np.ndarray:
    """Weights on the chip's grid, int32."""
    step, mixed = 1 << (8 - bits), 1 << (9 - bits)
    top, mixed_top = 256 - step, 256 - mixed
    if flavour == "mixed":
        return rng.integers(-256 // mixed, mixed_top // mixed + 1, shape) * mixed
    if flavour == "excitatory":
        return rng.integers(0, top // step + 1, shape) * step
    if flavour == "inhibitory":
        return -rng.integers(0, top // step + 1, shape) * step
    if flavour == "zero":
        return np.zeros(shape, np.int64)
    if flavour == "upper":
        return np.full(shape, top)
    if flavour == "lower":
        return np.full(shape, -256 if bits == 8 and rng.integers(2) else -top)
    if flavour == "extremes":
        return rng.choice(np.array([-256, 0, mixed_top]), shape)
    weights = rng.integers(-256 // mixed, mixed_top // mixed + 1, shape) * mixed
    return np.where(rng.random(shape) < 0.7, 0, weights)


decays = st.one_of(st.sampled_from([0, 1, 4095, 4096]), st.integers(0, 4096))
thresholds = st.one_of(
    st.sampled_from([0, 1, 64, 131071]),
    st.integers(0, 100),
    st.integers(0, 400),
    st.integers(0, 3000),
)
biases = st.one_of(st.just(0), st.sampled_from([-4096, 4095, 1, -1]), st.integers(-500, 500))


@st.composite
def _parameter(draw, numbers, shape, rng):
    """One number, or sometimes one for each neuron around it."""
    value = draw(numbers)
    if draw(st.integers(0, 5)):
        return value
    others = draw(st.lists(numbers, min_size=1, max_size=4))
    return rng.choice(np.array([value, *others]), shape)


@st.composite
def populations(
    draw, name: str, shape: tuple[int, ...], rng, *, lava_native: bool = False
) -> Population:
    """A population of any kind; ``lava_native``: only kinds that Lava has a fixed-point model
    of."""
    parameters = {
        "current_decay": draw(_parameter(st.one_of(st.just(4096), decays), shape, rng)),
        "voltage_decay": draw(_parameter(decays, shape, rng)),
        "bias": draw(_parameter(biases, shape, rng)),
        "bias_exponent": draw(st.one_of(st.sampled_from([0, 6, 7, -7]), st.integers(-7, 7))),
    }
    own = [] if lava_native else ["subtract", "none", "refractory"]
    kind = draw(st.sampled_from(["lif", "lif", "integrator", *own]))
    if kind == "integrator":
        return Population(name, shape, threshold=None, **parameters)
    parameters["threshold"] = draw(_parameter(thresholds, shape, rng))
    if kind in ("subtract", "none"):
        parameters["reset"] = kind
        if kind == "subtract" and draw(st.booleans()):
            parameters["reset_amount"] = draw(
                _parameter(st.sampled_from([0, 1, 6400, 70000, (1 << 23) - 1]), shape, rng)
            )
    if not lava_native and not draw(st.integers(0, 3)):
        sigma = draw(st.one_of(st.sampled_from([1, 64, 6400, MAX_SIGMA]), st.integers(1, 200_000)))
        parameters["noise"] = Noise(
            derived(draw(st.integers(0, 1000)), zlib.crc32(name.encode())), sigma
        )
    if kind == "refractory" or (kind != "lif" and draw(st.booleans())):
        parameters["refractory"] = draw(st.integers(1, 4))
    return Population(name, shape, **parameters)


@st.composite
def _exponent(draw, channels, low):
    value = draw(st.one_of(st.just(0), st.integers(0, 3), st.integers(low, 7)))
    if draw(st.integers(0, 4)):
        return value
    return np.array(draw(st.lists(st.integers(low, 7), min_size=channels, max_size=channels)))


@st.composite
def _convolution(draw, name, source, rng):
    """A convolution that fits the source (an Input or Population of 2 or 3 dimensions), and the
    shape it gives."""
    channels, *spatial = source.shape
    groups = draw(st.sampled_from([g for g in (1, 2, channels) if channels % g == 0]))
    out = groups * draw(st.integers(1, 3))
    kernel, stride, padding, dilation = [], [], [], []
    for n in spatial:
        p = draw(st.integers(0, 2))
        k = draw(st.integers(1, min(4, n + 2 * p)))
        d = 1 if k == 1 else draw(st.integers(1, max(1, min(3, (n + 2 * p - 1) // (k - 1)))))
        (
            kernel.append(k),
            padding.append(p),
            dilation.append(d),
            stride.append(draw(st.integers(1, 3))),
        )
    bits = draw(st.sampled_from([8, 8, 8, 1, 4, 6]))
    convolution = Convolution(
        name,
        source.name,
        "?",
        weight_array(
            rng, (out, channels // groups, *kernel), draw(st.sampled_from(FLAVOURS)), bits
        ),
        exponent=draw(_exponent(out, 0)),
        weight_bits=bits,
        delay=draw(st.sampled_from([0, 0, 0, 1, 3])),
        stride=tuple(stride),
        padding=tuple(padding),
        dilation=tuple(dilation),
        groups=groups,
    )
    return convolution, convolution.output_shape(source.shape)


@st.composite
def _matrix(draw, name, source, target, target_shape, rng, *, recurrent=False):
    """A dense or sparse projection."""
    bits = draw(st.sampled_from([8, 8, 8, 1, 4, 6]))
    flavour = draw(st.sampled_from(FLAVOURS))
    exponent = draw(_exponent(target_shape[0], -8))
    rows, columns = (
        int(np.prod(target_shape)),
        source.size if not recurrent else int(np.prod(target_shape)),
    )
    delay_kind = draw(st.sampled_from(["none", "none", "scalar", "array"]))
    source_name = target if recurrent else source.name
    if draw(st.booleans()):
        weights = weight_array(rng, (rows, columns), flavour, bits)
        delay = {
            "none": 0,
            "scalar": draw(st.integers(0, 4)),
            "array": rng.integers(0, 4, (rows, columns)),
        }[delay_kind]
        return Dense(
            name, source_name, target, weights, exponent=exponent, weight_bits=bits, delay=delay
        )
    chosen = np.argwhere(rng.random((rows, columns)) < draw(st.sampled_from([0.0, 0.2, 0.7])))
    weights = weight_array(rng, (len(chosen),), flavour, bits)
    delay = {
        "none": 0,
        "scalar": draw(st.integers(0, 4)),
        "array": rng.integers(0, 4, len(chosen)),
    }[delay_kind]
    return Sparse(
        name,
        source_name,
        target,
        weights,
        exponent=exponent,
        weight_bits=bits,
        delay=delay,
        rows=chosen[:, 0].astype(np.int32),
        columns=chosen[:, 1].astype(np.int32),
    )


@st.composite
def programs(draw, *, max_populations: int = 3, lava_native: bool = False) -> Program:
    """A valid Program of one to three populations: chains, skips, recurrence, constant sources, one
    or two inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    input_shapes = st.one_of(
        st.tuples(st.integers(1, 12)),
        st.tuples(st.integers(1, 3), st.integers(1, 9)),
        st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    )
    nodes: list = [
        Input("input", draw(input_shapes), message_bits=draw(st.sampled_from([0, 0, 0, 1, 8, 16])))
    ]
    if not draw(st.integers(0, 5)):
        nodes.append(
            Input("second input", draw(input_shapes), message_bits=draw(st.sampled_from([0, 4])))
        )
    inputs = list(nodes)
    projections: list = []
    for number in range(draw(st.integers(1, max_populations))):
        name = f"layer {number}"
        sources = [n for n in nodes if isinstance(n, Input) or n.spiking]
        source = draw(st.sampled_from(sources[-2:]))
        if len(source.shape) > 1 and draw(st.booleans()):
            projection, shape = draw(_convolution(f"into {number}", source, rng))
            projections.append(replace(projection, target=name))
        elif number and not draw(st.integers(0, 7)):
            shape = (draw(st.integers(1, 4)),)  # a constant source: bias alone
        else:
            shape = draw(
                st.one_of(
                    st.tuples(st.integers(1, 10)),
                    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
                )
            )
            projections.append(draw(_matrix(f"into {number}", source, name, shape, rng)))
        if len(sources) > 1 and draw(st.booleans()):
            projections.append(
                draw(
                    _matrix(f"skip into {number}", draw(st.sampled_from(sources)), name, shape, rng)
                )
            )
        if not draw(st.integers(0, 3)):
            projections.append(
                draw(_matrix(f"recurrent {number}", None, name, shape, rng, recurrent=True))
            )
        population = draw(populations(name, shape, rng, lava_native=lava_native))
        if not population.spiking:
            projections = [p for p in projections if not (p.recurrent and p.target == name)]
        nodes.append(population)
    layers = nodes[len(inputs) :]
    outputs = [
        Output(p.name, "spike_count" if p.spiking else "last_potential") for p in layers[-1:]
    ]
    return Program(tuple(inputs), tuple(layers), tuple(projections), tuple(outputs))


@st.composite
def inputs_for(
    draw, program: Program, *, samples: int | None = None, steps: int | None = None
) -> dict[str, np.ndarray]:
    """Inputs for a Program: name → [sample, step, *shape]; silent, full, sparse, and at the ends of
    the graded range."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    samples = draw(st.integers(1, 3)) if samples is None else samples
    steps = draw(st.integers(1, 9)) if steps is None else steps
    arrays = {}
    for part in program.inputs:
        shape = (samples, steps, *part.shape)
        low, high = part.value_range
        kind = draw(st.sampled_from(["half", "sparse", "full", "full", "silent"]))
        density = {"sparse": 0.1, "half": 0.5, "full": 1.0, "silent": 0.0}[kind]
        if part.message_bits and draw(st.booleans()):
            values = rng.choice(np.array([low, high]), shape)
        else:
            values = rng.integers(low, high + 1, shape)
        if part.message_bits == 0:
            values = np.ones(shape, np.int64)
        values = np.where(rng.random(shape) < density, values, 0)
        arrays[part.name] = values.astype(np.uint8 if part.message_bits == 0 else np.int32)
    return arrays
