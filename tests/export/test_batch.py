"""Dimensions of a batch or of time leave a graph where nothing else makes it fit, and the audit
says so."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

import export
from export import metadata as graph_metadata
from export.check import checked
from export.errors import GraphError, UnsupportedError
from tests.export.nodes import full, inp, lif, out, spiking

MATRIX = np.ones((5, 6))


def sequence(*nodes: nir.NIRNode) -> nir.NIRGraph:
    names = [f"n{i}" for i in range(len(nodes))]
    return nir.NIRGraph(dict(zip(names, nodes)), list(pairwise(names)), type_check=False)


def shapes(graph: nir.NIRGraph) -> list[tuple[int, ...]]:
    return [tuple(node.output_type["output"].tolist()) for node in checked(graph).nodes.values()]


def notes(graph: nir.NIRGraph) -> list[str]:
    return graph_metadata.of(checked(graph))["origin"].get("notes", [])


def convolution() -> nir.Conv2d:
    return nir.Conv2d(None, np.ones((3, 1, 3, 3)), 1, 0, 1, 1, np.zeros(3))


@pytest.mark.parametrize(
    ("graph", "wanted"),
    [
        (sequence(inp(1, 6), nir.Linear(MATRIX), lif(5), out(1, 1, 5)), [(6,), (5,), (5,), (5,)]),
        (
            sequence(inp(1, 6), nir.Linear(MATRIX), spiking((1, 5)), out(1, 5)),
            [(6,), (5,), (5,), (5,)],
        ),
        (
            sequence(inp(1, 1, 5, 5), convolution(), spiking((3, 3, 3)), out(3, 3, 3)),
            [(1, 5, 5), (3, 3, 3), (3, 3, 3), (3, 3, 3)],
        ),
        (
            sequence(inp(2, 3), nir.Flatten(None, 1, -1), nir.Linear(MATRIX), spiking(5), out(5)),
            [(2, 3), (6,), (5,), (5,), (5,)],
        ),
        (sequence(inp(256, 6), nir.Linear(MATRIX), spiking(5), out(5)), [(6,), (5,), (5,), (5,)]),
        (
            sequence(inp(20, 1, 6), nir.Linear(MATRIX), spiking(5), out(20, 5)),
            [(6,), (5,), (5,), (5,)],
        ),
    ],
)
def test_the_only_reading_that_fits_is_taken_and_said(graph, wanted):
    assert shapes(graph) == wanted
    assert any("nothing else makes every edge fit" in note for note in notes(graph))
    assert any(
        "nothing else makes every edge fit" in note
        for note in export.lower(graph, **needed(graph)).audit.notes
    )


def needed(graph: nir.NIRGraph) -> dict:
    return {"dt": 1e-3} if any(isinstance(node, nir.LIF) for node in graph.nodes.values()) else {}


def test_what_is_dropped_is_named():
    assert any(
        r"(1, 1, 5) read as (5,), without a batch of 1" in n
        for n in notes(sequence(inp(1, 6), nir.Linear(MATRIX), out(1, 1, 5)))
    )
    timed = notes(sequence(inp(256, 6), nir.Linear(MATRIX), out(5)))
    assert any("(256, 6) read as (6,), without time steps or a batch of 256" in n for n in timed)


def test_a_graph_that_fits_is_left_alone():
    graph = sequence(inp(1, 5, 5), convolution(), spiking((3, 3, 3)), out(3, 3, 3))
    assert shapes(graph)[0] == (1, 5, 5)
    assert not notes(graph)
    squeezed = sequence(inp(1, 6), spiking((1, 6)), out(1, 6))
    assert shapes(squeezed) == [(1, 6)] * 3


def test_several_readings_that_fit_are_none():
    """Flatten counts the batch; whether the Input has it makes no difference to the edges."""
    with pytest.raises(
        GraphError, match=r"joins shape .*it fits in 2 ways: state shapes without batch and time"
    ):
        checked(sequence(inp(1, 2, 3), nir.Flatten(None, 1, -1), nir.Linear(MATRIX), out(5)))


def test_what_never_fits_says_why_it_does_not_as_it_is():
    with pytest.raises(
        GraphError, match=r"'n0' → 'n1' joins shape \(1, 7\) \(Input\) to shape \(6,\) \(Linear\)$"
    ):
        checked(sequence(inp(1, 7), nir.Linear(MATRIX), out(5)))
    with pytest.raises(UnsupportedError, match="without batch or time"):
        checked(sequence(inp(2, 2, 2, 6), spiking((2, 2, 2, 6)), out(2, 2, 2, 6)))


def test_no_graph_takes_longer_than_its_size_allows():
    nodes = [
        inp(1, 1, 1, 5),
        *(nir.Scale(full((1, 1, 1, 5), 1)) for _ in range(400)),
        out(1, 1, 1, 7),
    ]
    with pytest.raises(
        GraphError,
        match=r"'n400' → 'n401' joins .*; a batch was not looked for, in 64 ways .* 402 nodes",
    ):
        checked(sequence(*nodes))


# subgraphs of the old form


def old_form(**changes) -> nir.NIRGraph:
    nodes = {
        "input": inp(6),
        "fc": nir.Linear(MATRIX),
        "rec.input": inp(5),
        "rec.lif": lif(5),
        "rec.w": nir.Linear(np.eye(5)),
        "rec.output": out(5),
        "output": out(5),
    } | changes
    inner = [
        ("rec.input", "rec.lif"),
        ("rec.lif", "rec.w"),
        ("rec.w", "rec.lif"),
        ("rec.lif", "rec.output"),
    ]
    return nir.NIRGraph(
        nodes, [("input", "fc"), ("fc", "rec"), ("rec", "output"), *inner], type_check=False
    )


def test_an_old_subgraph_is_one_population_with_feedback():
    program, audit = export.lower(old_form(), dt=1e-3)
    assert [p.name for p in program.inputs] == ["input"]
    assert {(p.source, p.target) for p in program.projections} == {
        ("input", "rec.lif"),
        ("rec.lif", "rec.lif"),
    }
    assert [o.population for o in program.outputs] == ["rec.lif"]
    assert any("subgraph 'rec': old form" in note for note in audit.notes)


def test_an_old_subgraph_that_is_no_clear_one_is_refused():
    second, leak = old_form(**{"rec.more": inp(5)}), old_form()
    leak.edges.append(("rec.lif", "output"))
    for graph in (second, leak):
        with pytest.raises(GraphError, match=r"'rec', which is no node; there are rec\.input"):
            checked(graph)
    missing = old_form(**{"rec.input": nir.Scale(full(5, 1))})
    with pytest.raises(GraphError, match="'rec', which is no node"):
        checked(missing)
