"""Checks of graphs made in memory; shapes against PyTorch; canonical order; the metadata's own
rules."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from export import metadata as graph_metadata
from export.check import checked, ordered
from export.errors import GraphError, UnsupportedError
from export.shapes import flattened, infer, padding_of
from tests.examples import many
from tests.export.grid_graphs import chain, graph_of


def inp(*shape):
    return nir.Input(np.array(shape))


def out(*shape):
    return nir.Output(np.array(shape))


def flat(first, last):
    node = nir.Flatten(None, 0, -1)
    node.start_dim, node.end_dim = first, last
    return node


def neuron(*shape):
    return nir.IF(r=np.ones(shape), v_threshold=np.ones(shape))


def conv(
    out_channels=1, channels=1, kernel=(3, 3), stride=1, padding=0, dilation=1, groups=1, **changes
):
    values = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": np.zeros(out_channels),
    }
    kind = nir.Conv2d if len(kernel) == 2 else nir.Conv1d
    return kind(
        **{
            "input_shape": None,
            "weight": np.ones((out_channels, channels // groups, *kernel)),
            **values,
            **changes,
        }
    )


pytestmark = pytest.mark.filterwarnings(
    "ignore:Using padding='same'"
)  # PyTorch's remark on its own convolution


@settings(max_examples=many(200), deadline=None)
@given(st.data())
def test_shapes_are_pytorchs(data):
    dims = data.draw(st.integers(1, 2))
    spatial = data.draw(st.lists(st.integers(3, 9), min_size=dims, max_size=dims))
    kernel = data.draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims))
    groups = data.draw(st.sampled_from([1, 2]))
    dilation = data.draw(st.integers(1, 2))
    same = data.draw(st.booleans())
    stride, padding = (
        (1, "same")
        if same
        else (data.draw(st.integers(1, 3)), data.draw(st.sampled_from([0, 1, 2, "valid"])))
    )
    node = conv(4, 2, tuple(kernel), stride, padding, dilation, groups)
    convolve = torch.nn.functional.conv1d if dims == 1 else torch.nn.functional.conv2d
    try:
        wanted = convolve(
            torch.ones(1, 2, *spatial),
            torch.ones(4, 2 // groups, *kernel),
            None,
            stride,
            padding,
            dilation,
            groups,
        ).shape[1:]
    except RuntimeError:
        with pytest.raises(GraphError, match="does not fit"):
            infer({"in": inp(2, *spatial), "c": node}, [("in", "c")])
        return
    assert infer({"in": inp(2, *spatial), "c": node}, [("in", "c")])["c"][1] == tuple(wanted)
    if same:
        assert all(after - before in (0, 1) for before, after in padding_of(node))


@pytest.mark.parametrize(("first", "last"), [(0, -1), (1, -1), (0, 1), (1, 2), (2, 2), (-2, -1)])
def test_flatten_joins_the_dimensions_that_pytorch_joins(first, last):
    node = nir.Flatten(None, first, last)
    assert flattened("f", node, (2, 3, 4)) == tuple(
        torch.flatten(torch.ones(2, 3, 4), first, last).shape
    )


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        (
            [inp(2, 4), conv(2, 1, (3, 3)), out(2, 4)],
            r"takes shape \(1, height, width\); it is given \(2, 4\)",
        ),
        (
            [inp(3, 8, 8), conv(2, 1, (3, 3)), out(2, 6, 6)],
            r"takes shape \(1, height, width\); it is given \(3, 8, 8\)",
        ),
        (
            [inp(1, 2, 2), conv(), out(1, 1, 1)],
            r"the kernel \(3, 3\) does not fit into \(1, 2, 2\)",
        ),
        (
            [inp(1, 8, 8), conv(input_shape=(9, 8)), out(1, 6, 6)],
            r"states input_shape \(9, 8\); it is given \(8, 8\)",
        ),
        ([inp(1, 8, 8), conv(padding="same", stride=2), out(1, 4, 4)], "'same' goes with stride 1"),
        (
            [inp(1, 8, 8), conv(padding=-1), out(1, 4, 4)],
            r"padding is \(-1, -1\); it must be whole numbers from 0",
        ),
        (
            [inp(1, 8, 8), conv(stride=0), out(1, 4, 4)],
            r"stride is \(0, 0\); it must be whole numbers from 1",
        ),
        (
            [inp(1, 8, 8), conv(stride=(1, 1, 1)), out(1, 4, 4)],
            "it must be whole numbers, one or 2",
        ),
        (
            [inp(3, 8, 8), conv(3, 2, groups=2), out(3, 6, 6)],
            "3 output channels cannot be divided into 2 groups",
        ),
        (
            [inp(1, 8, 8), conv(bias=np.zeros(2)), out(1, 6, 6)],
            r"bias has shape \(2,\); there must be one for each output channel",
        ),
        (
            [inp(1, 8, 8), conv(weight=np.ones((1, 1, 3))), out(1, 6, 6)],
            r"it must be \[out, in / groups, height, width\]",
        ),
        (
            [inp(4), nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), out(2)],
            r"takes shape \(channels, height, width\)",
        ),
        (
            [
                inp(1, 4, 4),
                nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([2, 2])),
                out(1, 4, 4),
            ],
            "is not smaller than the window",
        ),
        ([inp(2, 3), nir.Flatten(None, 1, 3), out(6)], "joins dimensions 1 to 3; it is given"),
        (
            [inp(2, 3), nir.Flatten({"input": np.array([3, 2])}, 0, -1), out(6)],
            r"states input_type \(3, 2\); it is given \(2, 3\)",
        ),
        (
            [inp(3), nir.Linear(np.ones((2, 3))), out(3)],
            r"joins shape \(2,\) \(Linear\) to shape \(3,\) \(Output\)",
        ),
        ([inp(3), nir.Affine(np.ones((2, 3)), np.ones(3)), out(2)], "bias has shape"),
        ([inp(3), nir.Linear(np.ones((1, 2, 3))), out(2)], r"it must be \[out, in\]"),
        (
            [
                inp(3),
                nir.LIF(
                    tau=np.array([1, 1, 0.0]),
                    r=np.ones(3),
                    v_leak=np.zeros(3),
                    v_threshold=np.ones(3),
                ),
                out(3),
            ],
            "tau is 0 s",
        ),
        ([inp(3), nir.Delay(np.array([0.1, -0.1, 0])), out(3)], "delay is -0.1 s"),
        (
            [inp(3), nir.Scale(np.array([1, np.inf, 0])), out(3)],
            r"scale holds NaN or infinite values, the first at \[1\]",
        ),
        ([inp(3), nir.Scale(np.array(["a", "b", "c"])), out(3)], "it must hold real numbers"),
        (
            [
                inp(3),
                nir.LIF(tau=np.ones(0), r=np.ones(0), v_leak=np.ones(0), v_threshold=np.ones(0)),
                out(3),
            ],
            "tau is empty",
        ),
        (
            [inp(2, 3), flat(np.zeros(0, int), -1), out(6)],
            "start_dim is .*; it must be one whole number",
        ),
        ([inp(2, 3), flat(0, np.nan), out(6)], "end_dim is nan; it must be one whole number"),
        ([inp(2, 3), flat(0.5, -1), out(6)], "start_dim is 0.5; it must be one whole number"),
        (
            [inp(2, 2, 3, 4), nir.Scale(np.ones((2, 2, 3, 4))), out(2, 2, 3, 4)],
            "without batch or time",
        ),
    ],
)
def test_contradictions_name_the_node(nodes, text):
    with pytest.raises((GraphError, UnsupportedError), match=text):
        checked(chain(*((f"n{i}", node) for i, node in enumerate(nodes))))


@pytest.mark.parametrize(
    ("nodes", "edges", "text"),
    [
        ({}, [], "no nodes"),
        ({"o": out(2)}, [], "no Input node"),
        ({"i": inp(2)}, [], "no Output node"),
        ({"i": inp(2), "o": out(2)}, [("i", "x")], "names 'x', which is no node"),
        ({"i": inp(2), "o": out(2)}, [("i", "o"), ("i", "o")], "occurs twice"),
        ({"i": inp(2), "o": out(2)}, [("i", "o"), ("o", "i")], "'o' → 'i' ends in an Input"),
        ({"i": inp(2), "o": out(2), "p": out(2)}, [("i", "o"), ("o", "p")], "starts at an Output"),
        ({"i": inp(2), "a/b": out(2)}, [("i", "a/b")], "without '/'"),
        ({"i": inp(2), "": out(2)}, [("i", "")], "1 to 150 printable"),
        (
            {"i": inp(1, 4, 4), "c": conv(), "d": conv(), "o": out(1, 2, 2)},
            [("i", "o"), ("c", "d"), ("d", "c")],
            "cannot be known",
        ),
    ],
)
def test_broken_structure_names_the_place(nodes, edges, text):
    with pytest.raises(GraphError, match=text):
        checked(nir.NIRGraph(nodes, edges, type_check=False))


def test_only_graphs_are_accepted():
    with pytest.raises(GraphError, match=r"the graph is IF; it must be a nir.NIRGraph"):
        checked(neuron(2))


def test_endless_nesting_is_refused():
    graph = nir.NIRGraph({"i": inp(1), "o": out(1)}, [("i", "o")], type_check=False)
    for _ in range(10):
        graph = nir.NIRGraph(
            {"i": inp(1), "s": graph, "o": out(1)}, [("i", "s"), ("s", "o")], type_check=False
        )
    with pytest.raises(GraphError, match="nested deeper than 8"):
        checked(graph)


def test_torch_tensors_and_integers_become_arrays():
    graph = chain(
        ("i", inp(1, 4, 4)),
        ("c", conv(weight=torch.ones(1, 1, 3, 3), bias=None)),
        ("n", neuron(1, 2, 2)),
        ("o", out(1, 2, 2)),
    )
    copy = checked(graph)
    assert isinstance(copy.nodes["c"].weight, np.ndarray)
    assert copy.nodes["c"].bias.tolist() == [0]
    assert copy.nodes["c"].stride == (1, 1)


def test_absent_parameters_take_nirs_definition_and_say_so():
    node = nir.CubaLIF(
        tau_syn=np.ones(2),
        tau_mem=np.ones(2),
        r=np.ones(2),
        v_leak=np.ones(2),
        v_threshold=np.ones(2),
    )
    node.v_reset = node.w_in = None
    copy = checked(chain(("i", inp(2)), ("n", node), ("o", out(2))))
    assert copy.nodes["n"].w_in.tolist() == [1, 1]
    assert copy.nodes["n"].v_reset.tolist() == [0, 0]
    assert graph_metadata.of(copy)["origin"]["notes"] == [
        "node 'n' (CubaLIF): w_in is absent; 1 by NIR's definition",
    ]
    assert graph_metadata.of(copy)["nodes"] == {"n": {"reset": "unknown"}}
    again = checked(copy)
    assert graph_metadata.of(again) == graph_metadata.of(copy)


def test_order_is_natural_and_enters_loops_at_the_neuron():
    nodes = {
        "w": nir.Linear(np.eye(1)),
        "n10": neuron(1),
        "n9": neuron(1),
        "i": inp(1),
        "o": out(1),
    }
    edges = [("i", "n10"), ("i", "n9"), ("n9", "w"), ("w", "n9"), ("n10", "o")]
    assert ordered(nodes, edges) == ["i", "n10", "o", "n9", "w"]
    assert ordered(nodes, edges).index("n9") < ordered(nodes, edges).index("w")
    assert ordered(dict(reversed(nodes.items())), edges[::-1]) == ordered(nodes, edges)


def test_any_printable_name_has_a_place_in_the_order():
    assert ordered({name: neuron(1) for name in ("²", "10", "2")}, []) == ["2", "10", "²"]


def test_edges_are_in_canonical_order_too():
    nodes = {"i": inp(1), "a": neuron(1), "b": neuron(1), "o": out(1), "p": out(1)}
    edges = [("i", "a"), ("i", "b"), ("a", "o"), ("b", "p")]
    wanted = checked(nir.NIRGraph(dict(nodes), list(edges), type_check=False)).edges
    assert wanted == sorted(
        wanted,
        key=lambda e: [
            list(checked(nir.NIRGraph(nodes, edges, type_check=False)).nodes).index(n) for n in e
        ],
    )
    assert checked(nir.NIRGraph(dict(nodes), edges[::-1], type_check=False)).edges == wanted


# metadata


def test_metadata_survives_its_text():
    text = graph_metadata.dumps(
        {
            "dt_s": 1e-3,
            "nodes": {
                "n": {"reset": "none", "grid": {"fraction_bits": 3, "voltage_decay": [1, 2]}}
            },
        }
    )
    graph = nir.NIRGraph({"i": inp(1)}, [], metadata={"spikeport": text}, type_check=False)
    assert graph_metadata.of(graph)["dt_s"] == 1e-3
    assert graph_metadata.of(graph)["nodes"]["n"]["grid"]["voltage_decay"] == [1, 2]
    graph.metadata = {"spikeport": text.encode()}
    assert graph_metadata.of(graph)["nodes"]["n"]["reset"] == "none"
    graph.metadata = {"other": 1}
    assert graph_metadata.of(graph) == graph_metadata.empty()


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ([], "must be a JSON object"),
        ({"dt": 1}, "unknown entry 'dt'; known are format, dt_s"),
        ({"dt_s": 0}, "it must be a positive number"),
        ({"dt_s": float("inf")}, "it must be a positive number"),
        ({"dt_s": True}, "it must be a positive number"),
        ({"nodes": []}, "nodes must be a JSON object"),
        ({"nodes": {"n": 1}}, "node 'n' must be a JSON object"),
        (
            {"nodes": {"n": {"reset": "soft"}}},
            "reset is 'soft'; it must be one of zero, subtract, none",
        ),
        ({"nodes": {"n": {"refractory": -1}}}, "refractory is -1"),
        ({"nodes": {"n": {"reset_amount_v": "much"}}}, "a number of volts"),
        (
            {"nodes": {"n": {"grid": {"weight_bits": 17}}}},
            "weight_bits is 17; it must be an integer from 1 to 16",
        ),
        (
            {"nodes": {"n": {"grid": {"exponent": []}}}},
            "an integer from -8 to 7, or a list of them",
        ),
        ({"nodes": {"n": {"grid": {"exponent": [1, 99]}}}}, "or a list of them"),
        ({"nodes": {"n": {"grid": {"scale": 1}}}}, "unknown entry 'scale'"),
        (
            {"nodes": {"n": {"grid": {"noise": 3}}}},
            "noise is 3; it must be an object with a seed from 0 to",
        ),
        ({"nodes": {"n": {"grid": {"noise": {"seed": 1}}}}}, "it must be an object with a seed"),
        (
            {"nodes": {"n": {"grid": {"noise": {"seed": 1, "sigma": 0}}}}},
            "and a sigma from 1 to 1048576",
        ),
        (
            {"nodes": {"n": {"grid": {"noise": {"seed": -1, "sigma": 5}}}}},
            "it must be an object with a seed",
        ),
        (
            {"nodes": {"n": {"grid": {"noise": {"seed": 1.5, "sigma": 5}}}}},
            "it must be an object with a seed",
        ),
        (
            {"nodes": {"n": {"grid": {"noise": {"seed": 1, "sigma": 5, "mean": 0}}}}},
            "it must be an object with a seed",
        ),
        ({"nodes": {"n": {"decode": "argmax"}}}, "decode is 'argmax'"),
        ({"origin": {"x": object()}}, "plain JSON values"),
        ({"origin": {"notes": 5}}, "notes is 5; it must be a list of texts"),
        ({"origin": {"notes": ["a", 5]}}, "it must be a list of texts"),
    ],
)
def test_wrong_metadata_names_the_entry(metadata, text):
    with pytest.raises(GraphError, match=text):
        graph_metadata.dumps(metadata)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, 7])
def test_metadata_that_is_no_json_is_refused(text):
    graph = nir.NIRGraph({"i": inp(1)}, [], metadata={"spikeport": text}, type_check=False)
    with pytest.raises(GraphError, match="spikeport"):
        graph_metadata.of(graph)


def test_entries_must_fit_their_node():
    nodes, edges = {"i": inp(2), "n": nir.I(r=np.ones(2)), "o": out(2)}, [("i", "n"), ("n", "o")]
    noise = {"noise": {"seed": 1, "sigma": 2}}
    for name, entry, key in (
        ("i", {"decode": "spike_count"}, "decode"),
        ("n", {"message_bits": 1}, "message_bits"),
        ("n", {"reset": "zero"}, "reset"),
        ("n", {"refractory": 1}, "refractory"),
        ("n", {"grid": {"exponent": 1}}, "exponent"),
        ("n", {"grid": noise}, "noise"),
        ("o", {"grid": {"exponent": 1}}, "exponent|grid"),
    ):
        with pytest.raises(GraphError, match=rf"'{name}' .* cannot have the entry '({key})'"):
            checked(graph_of(nodes, edges, entries={name: entry}))
    with pytest.raises(GraphError, match=r"'n' .* cannot have the entry 'noise'"):
        checked(
            graph_of(
                nodes | {"n": nir.Threshold(threshold=np.ones(2))},
                edges,
                entries={"n": {"grid": noise}},
            )
        )
    checked(
        graph_of(nodes, edges, entries={"n": {"reset": "none"}, "o": {"decode": "last_potential"}})
    )
