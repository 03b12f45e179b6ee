"""Graphs with a training grid: the Program computes what the graph computes, every spike and every
potential."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import export
import hardware
from tests.examples import many
from tests.export.grid_graphs import chain, graph_of, grid_graphs
from tests.export.interpreter import Interpreter

pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same'"
)  # PyTorch's remark on its own convolution


def agree(drawn):
    """Lower a graph and run it beside its interpreter."""
    graph, inputs, names = drawn
    program, audit = export.lower(graph)
    assert audit.verdict == "faithful"
    recording = hardware.run(
        program,
        {n: x[None] for n, x in inputs.items()},
        "reference",
        record=hardware.Record(True, True),
    )
    for name, (spikes, potentials) in Interpreter(graph, inputs).run(names).items():
        if name in recording.spikes:
            np.testing.assert_array_equal(recording.spikes[name][0], spikes, err_msg=name)
        np.testing.assert_array_equal(recording.potentials[name][0], potentials, err_msg=name)


PATIENT = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=many(150), deadline=None, suppress_health_check=PATIENT)
@given(grid_graphs())
def test_grid_graph_and_program_agree(drawn):
    agree(drawn)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None, suppress_health_check=PATIENT)
@given(grid_graphs())
def test_many_grid_graphs_and_programs_agree(drawn):
    agree(drawn)


def inp(*shape):
    return nir.Input(np.array(shape))


def out(*shape):
    return nir.Output(np.array(shape))


def pool(kind, size, stride=None, padding=0):
    return kind(np.array([size, size]), np.array([stride or size] * 2), np.array([padding] * 2))


def weights(*shape, seed=0, spread=8):
    """Even mantissas of 1/64 V."""
    return (np.random.default_rng(seed).integers(-spread, spread + 1, shape) * 2.0 / 64).astype(
        np.float32
    )


def conv(out_channels, channels, size=3, padding=1, stride=1):
    return nir.Conv2d(
        None,
        weights(out_channels, channels, size, size, spread=2),
        stride,
        padding,
        1,
        1,
        weights(out_channels, seed=1),
    )


def neuron(*shape, threshold=0.25):
    return nir.IF(r=np.ones(shape), v_threshold=np.full(shape, threshold))


def nested():
    """A recurrent layer as a subgraph, as snnTorch exports RLeaky."""
    n = np.full(5, 4.096)
    lif = nir.LIF(tau=n * 1e-3, r=n, v_leak=0 * n, v_threshold=np.full(5, 0.25))
    nodes = {
        "input": inp(5),
        "lif": lif,
        "w_rec": nir.Affine(weights(5, 5), weights(5, seed=2)),
        "output": out(5),
    }
    return nir.NIRGraph(
        nodes,
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
        type_check=False,
    )


def whole(out_channels, channels, padding):
    """A convolution with weights -1, 0 and 1 V, so that its product with another one fits 8
    bits."""
    kernel = (
        np.random.default_rng(3).integers(-1, 2, (out_channels, channels, 3, 3)).astype(np.float32)
    )
    return nir.Conv2d(None, kernel, 1, padding, 1, 1, np.array([0.25, -0.5], np.float32))


SINGLE = {
    "convolution flattened into neurons": [
        inp(2, 5, 5),
        conv(3, 2),
        nir.Flatten(None, 0, -1),
        neuron(75),
        out(75),
    ],
    "pooling with a remainder, then padding": [
        inp(2, 7, 7),
        pool(nir.SumPool2d, 2),
        conv(3, 2),
        neuron(3, 3, 3),
        out(3, 3, 3),
    ],
    "overlapping pooling, then convolution": [
        inp(2, 8, 8),
        pool(nir.SumPool2d, 3, 2),
        conv(3, 2, padding=0),
        neuron(3, 1, 1),
        out(3, 1, 1),
    ],
    "padded average pooling, then convolution": [
        inp(2, 8, 8),
        pool(nir.AvgPool2d, 2, 2, 1),
        conv(3, 2),
        neuron(3, 5, 5),
        out(3, 5, 5),
    ],
    "convolution, then pooling": [
        inp(2, 8, 8),
        conv(4, 2),
        pool(nir.SumPool2d, 2),
        neuron(4, 4, 4),
        out(4, 4, 4),
    ],
    "pooling twice": [
        inp(2, 8, 8),
        pool(nir.AvgPool2d, 2),
        pool(nir.SumPool2d, 2),
        neuron(2, 2, 2),
        out(2, 2, 2),
    ],
    "average pooling into neurons": [
        inp(2, 8, 8),
        pool(nir.AvgPool2d, 2),
        neuron(2, 4, 4),
        out(2, 4, 4),
    ],
    "two convolutions": [
        inp(2, 6, 6),
        whole(2, 2, 0),
        conv(3, 2, size=2, padding=0),
        neuron(3, 3, 3),
        out(3, 3, 3),
    ],
    "two padded convolutions": [
        inp(2, 6, 6),
        whole(2, 2, 1),
        conv(3, 2),
        neuron(3, 6, 6),
        out(3, 6, 6),
    ],
    "two matrices": [
        inp(6),
        nir.Affine(weights(4, 6, spread=2), weights(4)),
        nir.Linear(np.eye(4, dtype=np.float32)),
        neuron(4),
        out(4),
    ],
    "scaled channels": [
        inp(2, 4, 4),
        nir.Scale(np.full((2, 4, 4), [[[0.5]], [[2.0]]])),
        conv(3, 2),
        neuron(3, 4, 4),
        out(3, 4, 4),
    ],
    "scaled pixels": [
        inp(1, 3, 3),
        nir.Scale(2.0 ** (np.arange(9).reshape(1, 3, 3) % 3 - 1)),
        conv(2, 1),
        neuron(2, 3, 3),
        out(2, 3, 3),
    ],
    "spikes straight into neurons": [inp(2, 3), neuron(2, 3), neuron(2, 3), out(2, 3)],
    "spikes flattened into neurons": [inp(2, 3), nir.Flatten(None, 0, -1), neuron(6), out(6)],
    "an output flattened": [inp(2, 3), neuron(2, 3), nir.Flatten(None, 0, -1), out(6)],
    "differing delays into a matrix": [
        inp(4),
        nir.Delay(np.arange(4) * 1e-3),
        nir.Linear(weights(3, 4)),
        nir.Delay(np.full(3, 2e-3)),
        neuron(3, threshold=0.0625),
        out(3),
    ],
    "a recurrent subgraph": [
        inp(6),
        nir.Linear(weights(5, 6)),
        nested(),
        nir.Linear(weights(3, 5)),
        neuron(3),
        out(3),
    ],
}


def on_a_grid(nodes):
    """The chain with a grid of 1/256 V for every neuron and no grid stated for weights: they are
    found to be on it."""
    names = [f"n{i}" for i in range(len(nodes))]
    entries = {}
    for name, node in [
        *zip(names, nodes),
        *(
            (f"n{i}.lif", n.nodes["lif"])
            for i, n in enumerate(nodes)
            if isinstance(n, nir.NIRGraph)
        ),
    ]:
        if isinstance(node, (nir.IF, nir.LIF)):
            decay = 0 if isinstance(node, nir.IF) else 1000
            grid = {"fraction_bits": 8, "current_decay": 4096, "voltage_decay": decay}
            entries[name] = {"reset": "zero", "threshold_comparison": ">", "grid": grid}
    entries["n0"] = {"message_bits": 0}
    return chain(*zip(names, nodes), entries=entries), list(entries)[:-1]


@pytest.mark.parametrize("name", SINGLE)
def test_chains_that_passes_rewrite_agree(name):
    graph, populations = on_a_grid(SINGLE[name])
    program, audit = export.lower(graph)
    assert audit.verdict == "faithful"
    x = np.random.default_rng(0).integers(0, 2, (8, *program.inputs[0].shape))
    recording = hardware.run(program, x[None], "reference", record=hardware.Record(True, True))
    total = 0
    for population, (spikes, potentials) in Interpreter(graph, {"n0": x}).run(populations).items():
        np.testing.assert_array_equal(recording.spikes[population][0], spikes)
        np.testing.assert_array_equal(recording.potentials[population][0], potentials)
        total += spikes.sum()
    assert total > 3


def test_two_inputs_and_a_skip_agree():
    nodes = {
        "a": inp(3),
        "b": inp(4),
        "wa": nir.Linear(weights(5, 3)),
        "wb": nir.Affine(weights(5, 4), weights(5)),
    }
    nodes |= {
        "n": neuron(5),
        "w": nir.Linear(weights(2, 5)),
        "skip": nir.Linear(weights(2, 3)),
        "m": neuron(2),
        "o": out(2),
        "p": out(5),
    }
    edges = [
        ("a", "wa"),
        ("b", "wb"),
        ("wa", "n"),
        ("wb", "n"),
        ("n", "w"),
        ("w", "m"),
        ("a", "skip"),
        ("skip", "m"),
        ("m", "o"),
        ("n", "p"),
    ]
    grid = {
        "reset": "zero",
        "threshold_comparison": ">",
        "grid": {"fraction_bits": 8, "current_decay": 4096, "voltage_decay": 0},
    }
    graph = graph_of(nodes, edges, entries={"n": grid, "m": grid})
    rng = np.random.default_rng(0)
    inputs = {"a": rng.integers(0, 2, (12, 3)), "b": rng.integers(0, 2, (12, 4))}
    program, _ = export.lower(graph)
    recording = hardware.run(
        program,
        {n: x[None] for n, x in inputs.items()},
        "reference",
        record=hardware.Record(True, True),
    )
    for population, (spikes, potentials) in Interpreter(graph, inputs).run(["n", "m"]).items():
        np.testing.assert_array_equal(recording.spikes[population][0], spikes)
        np.testing.assert_array_equal(recording.potentials[population][0], potentials)
        assert spikes.sum() > 3
