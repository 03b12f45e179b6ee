"""What lowering refuses, and how it says so."""

from __future__ import annotations

import nir
import numpy as np
import pytest

import export
from export.errors import (
    GraphError,
    MissingInformationError,
    QuantizationError,
    RefusedError,
    UnsupportedError,
)
from tests.export.grid_graphs import chain, graph_of
from tests.export.nodes import cuba, full, inp, lif, out, spiking

# what is refused


@pytest.mark.parametrize(
    ("middle", "text"),
    [
        ([("n", lif(2, reset=-1.0))], "v_reset is -1 V and v_leak is 0 V"),
        (
            [("n", nir.IF(r=np.ones(2), v_threshold=np.ones(2), v_reset=np.full(2, 0.5)))],
            "there is no leak",
        ),
        ([("n", spiking(2, -1.0))], "threshold -1 V"),
        ([("n", lif(2, tau=1e-4))], "time constant 0.0001 s is shorter than the time step 0.001 s"),
        ([("n", cuba(2, tau_syn=1e-4))], "time constant 0.0001 s is shorter"),
        ([("d", nir.Delay(full(2, 0.0015))), ("n", spiking(2))], "1.5 steps"),
        ([("d", nir.Delay(full(2, 0.1))), ("n", spiking(2))], "100 steps; it must be at most 62"),
        (
            [("n", nir.I(r=np.ones(2))), ("v", nir.Linear(np.eye(2))), ("m", spiking(2))],
            "sends its potential to 'm'",
        ),
        (
            [
                ("w2", nir.Linear(np.eye(2))),
                ("n", spiking(2)),
                ("m", nir.LI(tau=full(2, 1), r=np.ones(2), v_leak=np.zeros(2))),
                ("k", spiking(2)),
            ],
            "sends its potential to 'k'",
        ),
    ],
)
def test_what_has_no_integer_counterpart_is_refused_with_an_audit(middle, text):
    graph = chain(("in", inp(2)), ("w", nir.Linear(np.eye(2))), *middle, ("out", out(2)), dt=1e-3)
    with pytest.raises(RefusedError, match=text) as caught:
        export.lower(graph)
    audit = caught.value.audit
    assert audit.verdict == "refused"
    refused = [layer for layer in audit.layers if layer.verdict == "refused"]
    assert len(refused) == len(caught.value.causes) == 1
    assert text.split(";")[0] in refused[0].reasons[0]


def test_all_refusals_are_told_at_once():
    graph = chain(
        ("in", inp(2)),
        ("n", spiking(2, -1.0)),
        ("w", nir.Linear(np.eye(2))),
        ("m", lif(2, tau=1e-4)),
        ("out", out(2)),
        dt=1e-3,
    )
    with pytest.raises(RefusedError, match="and 1 more") as caught:
        export.lower(graph)
    assert {type(c) for c in caught.value.causes} == {UnsupportedError}
    assert [layer.name for layer in caught.value.audit.layers if layer.verdict == "refused"] == [
        "n",
        "m",
    ]


def test_loops_are_refused_unless_they_return_to_their_neuron():
    nodes = {
        "in": inp(2),
        "a": spiking(2),
        "b": spiking(2),
        "w": nir.Linear(np.eye(2)),
        "v": nir.Linear(np.eye(2)),
        "out": out(2),
    }
    edges = [("in", "a"), ("a", "w"), ("w", "b"), ("b", "v"), ("v", "a"), ("b", "out")]
    with pytest.raises(UnsupportedError, match="a loop through several populations: a, b"):
        export.lower(graph_of(nodes, edges))
    nodes = {
        "in": inp(2),
        "a": spiking(2),
        "w": nir.Linear(np.eye(2)),
        "v": nir.Linear(np.eye(2)),
        "out": out(2),
    }
    edges = [("in", "w"), ("w", "v"), ("v", "w"), ("v", "a"), ("a", "out")]
    with pytest.raises(RefusedError, match="passes through no neuron"):
        export.lower(graph_of(nodes, edges))


def test_dangling_nodes_are_refused():
    nodes = {"in": inp(2), "a": spiking(2), "w": nir.Linear(np.eye(2)), "out": out(2)}
    with pytest.raises(RefusedError, match=r"'w' \(Linear\) leads to no neuron"):
        export.lower(graph_of(nodes, [("in", "a"), ("a", "out"), ("a", "w")]))
    with pytest.raises(RefusedError, match="nothing is connected"):
        export.lower(graph_of(nodes, [("in", "a"), ("a", "out"), ("w", "a")]))
    with pytest.raises(RefusedError, match="output 'out': nothing is connected"):
        export.lower(graph_of(nodes, [("in", "w"), ("w", "a")]))


def test_unknown_nodes_and_discretizations_are_refused():
    class Odd(nir.IF):
        pass

    graph = nir.NIRGraph(
        {"in": inp(2), "n": Odd(r=np.ones(2), v_threshold=np.ones(2)), "out": out(2)},
        [("in", "n"), ("n", "out")],
        type_check=False,
    )
    with pytest.raises(UnsupportedError, match=r"node 'n' \(Odd\): an unknown kind of node"):
        export.lower(graph)
    graph.nodes["n"] = spiking(2)
    with pytest.raises(MissingInformationError, match="it must be one of euler, exponential"):
        export.lower(graph, discretization="rk4")


def test_chains_and_branches_without_end_are_refused():
    """Neither a chain of thousands nor 2**60 ways through a ladder of branches may hang or overflow
    the stack."""
    links = [(f"w{i}", nir.Linear(np.eye(1))) for i in range(1500)]
    with pytest.raises(RefusedError, match="more than 200 nodes in a row"):
        export.lower(chain(("in", inp(1)), *links, ("n", spiking(1)), ("out", out(1))))
    nodes, edges = (
        {"in": inp(1), "out": out(1), "n": spiking(1), "w0": nir.Linear(np.eye(1))},
        [("n", "out")],
    )
    for i in range(60):
        nodes |= {f"{side}{i}": nir.Linear(np.eye(1)) for side in "ab"} | {
            f"w{i + 1}": nir.Linear(np.eye(1))
        }
        edges += [
            (f"w{i}", f"a{i}"),
            (f"w{i}", f"b{i}"),
            (f"a{i}", f"w{i + 1}"),
            (f"b{i}", f"w{i + 1}"),
        ]
    with pytest.raises(RefusedError, match="more than 100000 nodes are passed on the ways to 'n'"):
        export.lower(graph_of(nodes, [*edges, ("in", "n"), ("w60", "n")]))


def test_a_fan_in_that_the_accumulator_cannot_hold_is_refused():
    graph = chain(
        ("in", inp(300)),
        ("w", nir.Linear(np.ones((1, 300)))),
        ("n", nir.I(r=np.ones(1))),
        ("out", out(1)),
        entries={"in": {"message_bits": 24}},
    )
    with pytest.raises(QuantizationError, match="leaves no bits for its weights"):
        export.lower(graph)


def test_a_current_that_nothing_bounds_needs_calibration_data():
    graph = chain(
        ("in", inp(1)),
        ("w", nir.Linear(full((1, 1), 1e9))),
        ("n", cuba(1, tau_syn=1e9)),
        ("out", out(1)),
    )
    with pytest.raises(
        QuantizationError, match=r"population 'n': nothing bounds the synaptic current.*calibration"
    ):
        export.lower(graph)
    program, _ = export.lower(graph, calibration=np.ones((1, 5, 1), int))
    assert int(program.nodes["n"].current_decay) == 0


def test_products_beyond_floating_point_are_refused():
    neuron = nir.IF(r=full(1, 1e200), v_threshold=full(1, 1))
    huge = chain(
        ("in", inp(2)), ("w", nir.Linear(np.array([[1e200, 0.0]]))), ("n", neuron), ("out", out(1))
    )
    with pytest.raises(
        QuantizationError, match="'w': weights times the neuron's gain are infinite"
    ):
        export.lower(huge, r_per="step")


@pytest.mark.parametrize("weight", [1e150, 1e-160, 1e-310])
def test_weights_whose_squares_floating_point_cannot_hold_are_refused(weight):
    graph = chain(
        ("in", inp(2)),
        ("w", nir.Linear(np.array([[weight, 0.0]]))),
        ("n", spiking(1)),
        ("out", out(1)),
    )
    with pytest.raises(
        QuantizationError,
        match=r"weights times the neuron's gain are up to .*; they must be from 1e-100 to 1e\+100 "
        r"V",
    ):
        export.lower(graph)


def test_a_threshold_that_would_become_zero_is_refused():
    """Its neurons would fire at every positive potential."""
    graph = chain(
        ("in", inp(100)),
        ("w", nir.Linear(full((1, 100), 1e4))),
        ("n", spiking(1, 1.0)),
        ("out", out(1)),
    )
    with pytest.raises(
        QuantizationError,
        match=r"population 'n': threshold 1 V is less than half an integer step of .* V",
    ):
        export.lower(graph)


# grids that are wrong


def grid_chain(weight=0.5, threshold=1.0, node=None, exponent=0, **grid):
    node = node or spiking(1, threshold)
    neuron = {"fraction_bits": 4, "current_decay": 4096, "voltage_decay": 0, **grid}
    entries = {
        "n": {"reset": "zero", "threshold_comparison": ">", "grid": neuron},
        "in": {"message_bits": 0},
    }
    entries["w"] = {
        "grid": {
            "weight_bits": 8,
            "fraction_bits": 4,
            "exponent": exponent,
            "source_fraction_bits": 0,
        }
    }
    return chain(
        ("in", inp(1)),
        ("w", nir.Linear(np.full((1, 1), weight))),
        ("n", node),
        ("out", out(1)),
        entries=entries,
        dt=1e-3,
    )


def test_stated_grids_come_out_as_they_are():
    program, audit = export.lower(grid_chain())
    assert program.projections[0].weights.tolist() == [[8]]
    assert int(program.nodes["n"].threshold) == 16
    assert program.metadata["fraction_bits"] == {"n": 4}
    assert audit.verdict == "faithful"
    shared = {
        "tau": full(1, 1e-3 * 4096 / 100),
        "r": full(1, 40.96),
        "v_leak": np.zeros(1),
        "v_threshold": np.ones(1),
    }
    program, _ = export.lower(grid_chain(node=nir.LIF(**shared), voltage_decay=[100], threshold=16))
    assert int(program.nodes["n"].voltage_decay) == 100


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"weight": 0.51},
            "projection 'w': off the grid of 8 bits with exponent 0: a weight is 8.16 steps",
        ),
        ({"threshold": 1.01}, r"threshold 1.01 V is off the grid of 0.0625 V"),
        ({"fraction_bits": 5}, "fraction_bits 5, but those of 'w' are 4"),
        ({"voltage_decay": 100}, "grid states voltage_decay 100; the node's time constant is 0"),
        ({"node": nir.IF(r=np.full(1, 2.0), v_threshold=np.ones(1))}, "r and w_in make it 2"),
        ({"voltage_decay": [0, 0]}, "2 values of voltage_decay; there must be one or 1"),
        (
            {"exponent": [0, 1]},
            "the grid has 2 exponents; there must be one, or one for each of 1 output channels",
        ),
    ],
)
def test_numbers_off_their_grid_are_an_error(changes, text):
    wrong = {"threshold": None, **changes}
    if wrong["threshold"] is None:
        del wrong["threshold"]
    with pytest.raises((QuantizationError, GraphError, RefusedError), match=text):
        export.lower(grid_chain(**wrong))


def test_a_stated_threshold_must_be_the_nodes():
    graph = grid_chain()
    entries = export.metadata.of(graph)
    entries["nodes"]["n"]["grid"]["threshold"] = 17
    graph.metadata["spikeport"] = export.metadata.dumps(entries)
    with pytest.raises(RefusedError, match="grid states threshold 17; the node's is 16"):
        export.lower(graph)
