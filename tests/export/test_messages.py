"""No message holds the text of a whole file, whatever part of a graph is long."""

from __future__ import annotations

import nir
import numpy as np
import pytest

import export
from export import metadata
from export.check import checked
from export.errors import ExportError
from tests.export.test_netx import dense, write

LONG = "n" * 100_000
MANY = np.arange(1, 50_000)


def graph(**changes) -> nir.NIRGraph:
    ends = {"in": nir.Input(np.array([2])), "out": nir.Output(np.array([2]))}
    given = {"nodes": ends, "edges": [("in", "out")], **changes}
    return nir.NIRGraph(given["nodes"], given["edges"], type_check=False)


def flatten(start: np.ndarray) -> nir.Flatten:
    node = nir.Flatten(None, 0, -1)
    node.start_dim = start
    return node


def inputs(shape: np.ndarray) -> nir.Input:
    node = nir.Input(np.array([2]))
    node.input_type = {"input": shape}
    return node


OLD = {f"sub.{number}": nir.Input(np.array([2])) for number in range(1000)}
GRAPHS = {
    "name": lambda: graph(nodes={LONG: nir.Input(np.array([2]))}, edges=[]),
    "edge from": lambda: graph(edges=[(LONG, "out")]),
    "edge to": lambda: graph(edges=[("in", LONG)]),
    "old subgraph": lambda: graph(nodes={**graph().nodes, **OLD}, edges=[("in", "sub")]),
    "dimension": lambda: graph(nodes={**graph().nodes, "f": flatten(MANY)}),
    "shape": lambda: graph(nodes={**graph().nodes, "in": inputs(MANY)}),
}


def refused(read) -> str:
    with pytest.raises(ExportError) as caught:
        read()
    return str(caught.value)


@pytest.mark.parametrize("part", GRAPHS)
def test_of_a_graph(part):
    assert len(refused(lambda: checked(GRAPHS[part]()))) < 1000


@pytest.mark.parametrize(
    "given",
    [
        {LONG: 1},
        {"format": LONG},
        {"dt_s": [1] * 50_000},
        {"origin": {"notes": [1] * 50_000}},
        {"nodes": {LONG: {"reset": "soft"}}},
        {"nodes": {"n": {LONG: 1}}},
        {"nodes": {"n": {"reset": LONG}}},
        {"nodes": {"n": {"grid": {"threshold": [-1] * 50_000}}}},
    ],
    ids=["entry", "format", "dt", "notes", "node", "entry of a node", "value", "grid"],
)
def test_of_what_a_graph_says_of_itself(given):
    assert len(refused(lambda: metadata.check(given))) < 1000


NEURON = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 64}


@pytest.mark.parametrize(
    "change",
    [
        {"type": LONG},
        {"n" * 60_000: 1},
        {"shape": MANY},
        {"neuron": {**NEURON, "type": LONG}},
        {"neuron": {**NEURON, "n" * 60_000: 1}},
        {"neuron": {**NEURON, "refDelay": MANY}},
        {"n" * 60_000: np.array(1j)},
    ],
    ids=["type", "key", "shape", "neuron", "key of a neuron", "delay", "place"],
)
def test_of_a_net(tmp_path, change):
    path = write(tmp_path / "a.net", {**dense([[2.0]]), **change})
    assert len(refused(lambda: export.netx.load(path)).replace(str(path), "")) < 1000
