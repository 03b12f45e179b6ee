"""What must hold for every NIR graph, read from a file or made in memory; and what can be completed
without doubt.

Completed: scalar neuron parameters are spread over the population, convolutions and Flatten get the
input shape that they are given, integers and strides become tuples, batch and time leave the shapes
(export.passes.batch), subgraphs of the old form become nested graphs. Node order becomes canonical:
sources first, equals in natural order of their names. A reset that is stated nowhere stays open:
the entry "reset" of such a neuron is "unknown", and export.reading asks for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import nir
import numpy as np

from export import metadata as graph_metadata
from export.errors import GraphError, UnsupportedError
from export.node_values import Found, checked_node, label
from export.passes import batch
from export.passes.subgraphs import Flat, flatten, regrouped, sources_of
from export.shapes import ENDS, LINEAR, NEURONS, PARAMETERS, SPIKING, infer
from hardware._text import shown

MAX_NODES = 2_000
MAX_DEPTH = 8


def _natural(name: str) -> tuple[Any, ...]:
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d{1,9})", name)
        if part
    )


def ordered(nodes: Mapping[str, nir.NIRNode], edges: list[tuple[str, str]]) -> list[str]:
    """Names in canonical order: sources first, equals in natural order; loops are entered at a
    neuron where there is one."""
    waiting = sorted(nodes, key=_natural)
    sources = {name: set(names) for name, names in sources_of(nodes, edges).items()}
    done: dict[str, None] = {}
    while waiting:
        ready = [n for n in waiting if sources[n] <= done.keys()]
        entered = [n for n in waiting if sources[n] & done.keys()] or waiting
        chosen = ready or sorted(
            entered, key=lambda n: not isinstance(nodes[n], (*NEURONS, nir.NIRGraph))
        )
        name = min(ready, key=lambda n: not isinstance(nodes[n], nir.Input)) if ready else chosen[0]
        done[name] = None
        waiting.remove(name)
    return list(done)


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _graph(graph: nir.NIRGraph, prefix: str, depth: int, findings: Found) -> nir.NIRGraph:
    """A checked copy of a graph and its subgraphs; shapes come later."""
    if depth > MAX_DEPTH:
        raise GraphError(f"subgraph {prefix[:-1]!r}: nested deeper than {MAX_DEPTH} levels")
    graph = regrouped(graph, findings.notes)
    nodes: dict[str, nir.NIRNode] = {}
    for name, node in graph.nodes.items():
        findings.count += 1
        if findings.count > MAX_NODES:
            raise GraphError(f"more than {MAX_NODES} nodes")
        if (
            not isinstance(name, str)
            or not name
            or len(prefix + name) > 150
            or "/" in name
            or not name.isprintable()
        ):
            raise GraphError(
                "a node's name is 1 to 150 printable characters without '/', subgraphs included, "
                f"not {shown(prefix + str(name))}"
            )

        if isinstance(node, nir.NIRGraph):
            nodes[name] = _graph(node, f"{prefix}{name}.", depth + 1, findings)
        else:
            nodes[name] = checked_node(prefix + name, node, findings)

    edges = []
    for a, b in graph.edges:
        for end in (a, b):
            if end not in nodes:
                edge = f"{shown(prefix + str(a))} → {shown(prefix + str(b))}"
                near = sorted(n for n in nodes if n.startswith(f"{end}."))
                hint = (
                    f"; there are {_few(near)}: an old form of subgraph, in which edges to its "
                    f"name led nowhere"
                    if near
                    else ""
                )
                raise GraphError(
                    f"the edge {edge} names {shown(prefix + str(end))}, which is no node{hint}"
                )
        edges.append((a, b))

    if len(set(edges)) != len(edges):
        (a, b), _ = Counter(edges).most_common(1)[0]
        raise GraphError(f"the edge {prefix + a!r} → {prefix + b!r} occurs twice")
    for a, b in edges:
        if isinstance(nodes[b], nir.Input):
            raise GraphError(f"the edge {prefix + a!r} → {prefix + b!r} ends in an Input")
        if isinstance(nodes[a], nir.Output):
            raise GraphError(f"the edge {prefix + a!r} → {prefix + b!r} starts at an Output")

    order = ordered(nodes, edges)
    rank = {name: number for number, name in enumerate(order)}
    edges.sort(key=lambda edge: (rank[edge[0]], rank[edge[1]]))
    extra = dict(graph.metadata) if isinstance(graph.metadata, Mapping) else {}
    return nir.NIRGraph({n: nodes[n] for n in order}, edges, metadata=extra, type_check=False)


_ENTRIES = {
    "neuron": {
        "reset",
        "reset_amount_v",
        "threshold_comparison",
        "refractory",
        "caveats",
        "grid",
        "r_per",
        "pooling",
    },
    "weight": {"grid", "moves"},
    "Input": {"message_bits", "fraction_bits"},
    "Output": {"decode"},
}
_GRIDS = {
    "neuron": {"fraction_bits", "current_decay", "voltage_decay", "threshold", "overflow", "noise"},
    "weight": {"weight_bits", "fraction_bits", "exponent", "source_fraction_bits"},
}


def _check_entries(flat: Flat, meta: dict[str, Any]) -> None:
    """Every entry of the metadata belongs to a node that can have it."""
    for name, entry in meta["nodes"].items():
        if name not in flat.nodes:
            raise GraphError(
                f"graph metadata 'spikeport' speaks of node {shown(name)}, which is not there"
            )
        node = flat.nodes[name]
        kind = (
            "neuron"
            if isinstance(node, NEURONS)
            else "weight"
            if isinstance(node, LINEAR)
            else type(node).__name__
        )

        strange = set(entry) - _ENTRIES[kind]
        if isinstance(node, NEURONS) and not isinstance(node, SPIKING):
            strange |= set(entry) & {"reset_amount_v"} | (
                {"refractory"} if entry.get("refractory") else set()
            )
            strange |= {"reset"} if entry.get("reset", "none") != "none" else set()
        strange |= set(entry.get("grid", ())) - _GRIDS.get(kind, set())
        strange |= {"pooling"} & set(entry) if not isinstance(node, nir.Threshold) else set()
        strange |= {"r_per"} & set(entry) if not isinstance(node, (nir.IF, nir.I)) else set()
        if not isinstance(node, SPIKING) or isinstance(
            node, nir.Threshold
        ):  # a Threshold may become part of an integrator
            strange |= set(entry.get("grid", ())) & {"noise"}

        if strange:
            raise GraphError(
                f"graph metadata 'spikeport': {label(name, node)} cannot have the entry "
                f"{shown(sorted(strange)[0])}"
            )


def _complete(
    graph: nir.NIRGraph, prefix: str, shapes: Mapping[str, Any], notes: list[str]
) -> None:
    """Fill in what the shapes say, in place."""
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, nir.NIRGraph):
            _complete(node, full + ".", shapes, notes)
            node.__post_init__()
            continue
        takes, gives = shapes[full]
        if type(node) in PARAMETERS and own_scalar(node):
            for field in PARAMETERS[type(node)]:
                setattr(node, field, np.full(takes, getattr(node, field)))
            notes.append(
                f"{label(full, node)}: parameters given once, used for all of shape {takes}"
            )
        if isinstance(node, nir.Conv1d):
            node.input_shape = takes[1]
        elif isinstance(node, nir.Conv2d):
            node.input_shape = takes[1:]
        node.input_type = {"input": np.array(takes)}
        node.output_type = {"output": np.array(gives)}


def own_scalar(node: nir.NIRNode) -> bool:
    """Parameters given as numbers, not as arrays."""
    return bool(getattr(node, PARAMETERS[type(node)][0]).shape == ())


def checked(graph: nir.NIRGraph) -> nir.NIRGraph:
    """A complete copy of a graph in canonical order; the argument is left alone.

    What was completed is said in the metadata, ``origin.notes``. Raises GraphError or
    UnsupportedError, naming the node.
    """
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"the graph is {type(graph).__name__}; it must be a nir.NIRGraph")
    if not graph.nodes:
        raise GraphError("the graph has no nodes")

    findings = Found()
    copy = _graph(graph, "", 0, findings)
    flat = flatten(copy)
    for kind in ENDS:
        if not any(
            isinstance(node, kind) for name, node in flat.nodes.items() if name not in flat.virtual
        ):
            raise GraphError(f"the graph has no {kind.__name__} node")

    meta = graph_metadata.of(copy)
    _check_entries(flat, meta)
    _complete(copy, "", _shapes(flat, findings.notes), findings.notes)
    copy.__post_init__()

    stated = graph_metadata.KEY in copy.metadata
    if _record(meta, findings) or stated:
        copy.metadata[graph_metadata.KEY] = graph_metadata.dumps(meta)
    return copy


def _shapes(flat: Flat, notes: list[str]) -> Mapping[str, Any]:
    """Shapes of all nodes, after dimensions of a batch or of time were taken out where nothing else
    fits."""
    try:
        return infer(flat.nodes, flat.edges)
    except (GraphError, UnsupportedError) as error:
        notes += batch.without(flat.nodes, flat.edges, error)
        return infer(flat.nodes, flat.edges)


def _record(meta: dict[str, Any], findings: Found) -> bool:
    """Put what was found into the metadata; whether there was anything."""
    for part, texts in (("notes", findings.notes), ("placeholders", findings.placeholders)):
        known = meta["origin"].get(part, [])
        if texts:
            meta["origin"][part] = [*known, *(text for text in texts if text not in known)]
    unstated = [name for name in findings.unstated if "reset" not in meta["nodes"].get(name, {})]
    for name in unstated:
        meta["nodes"].setdefault(name, {})["reset"] = graph_metadata.UNKNOWN
    return bool(findings.notes or findings.placeholders or unstated)
