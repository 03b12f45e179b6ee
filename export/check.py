"""What must hold for every NIR graph, read from a file or made in memory; and what can be completed without doubt.

Completed: scalar neuron parameters are spread over the population, convolutions and Flatten get the input shape that they are given,
integers and strides become tuples, batch and time leave the shapes (export.passes.batch), subgraphs of the old form become nested graphs.
Node order becomes canonical: sources first, equals in natural order of their names. A reset that is stated nowhere stays open: the entry
"reset" of such a neuron is "unknown", and export.reading asks for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default

import nir
import numpy as np

from export import metadata as graph_metadata
from export.errors import GraphError, UnsupportedError
from export.passes import batch
from export.passes.subgraphs import Flat, flatten, regrouped, sources_of
from export.shapes import ENDS, LINEAR, NEURONS, PARAMETERS, SPIKING, infer, tuple_of

MAX_NODES = 2_000
MAX_DEPTH = 8
KNOWN = (*ENDS, *NEURONS, *LINEAR, nir.NIRGraph)

_POSITIVE = ("tau", "tau_syn", "tau_mem")
_ABSENT = {"v_reset": 0.0, "w_in": 1.0}
"""What parameters are that older files leave out: w_in by NIR's definition, v_reset until the reset is known."""


@dataclass
class _Found:
    """What is found on the way through a graph.

    notes          what was completed, for the audit
    unstated       neurons whose file has no v_reset
    placeholders   Flatten nodes whose input_type is all zeros
    """

    notes: list[str] = default(default_factory=list)
    unstated: list[str] = default(default_factory=list)
    placeholders: list[str] = default(default_factory=list)
    count: int = 0


def _label(name: str, node) -> str:
    return f"node {name!r} ({type(node).__name__})"


def _array(where: str, field: str, value) -> np.ndarray:
    """A finite floating-point array."""
    try:
        array = np.asarray(value)
    except Exception:
        raise GraphError(f"{where}: {field} is {type(value).__name__}; accepted is an array of numbers") from None
    if array.dtype.kind not in "fiu":
        raise GraphError(f"{where}: {field} has type {array.dtype}; accepted are real numbers")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        first = np.argwhere(~np.isfinite(array))[0].tolist()
        raise GraphError(f"{where}: {field} holds NaN or infinite values, the first at {first}")
    return array


def _whole(where: str, field: str, value, low: int, dimensions: int) -> tuple[int, ...]:
    """Whole numbers of at least ``low``, one for each dimension."""
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.size not in (1, dimensions) or not np.all(array == np.round(array.astype(np.float64))):
        raise GraphError(f"{where}: {field} is {value!r}; accepted are whole numbers, one or {dimensions}")
    if array.size and not (low <= array.min() and array.max() <= 1 << 15):
        raise GraphError(f"{where}: {field} is {value!r}; accepted are whole numbers from {low} to {1 << 15}")
    return tuple_of(array, dimensions)


def _dimension(where: str, field: str, value) -> int:
    """One whole number, which may be negative."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.size != 1:
        raise GraphError(f"{where}: {field} is {value!r}; accepted is one whole number")
    return int(array.reshape(-1)[0])


def _shape(where: str, value, field: str = "shape") -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.ndim > 1 or array.size < 1 or array.min() < 1 or array.size > 8:
        raise GraphError(f"{where}: {field} is {array.tolist()!r}; accepted are positive whole numbers, one for each dimension")
    return array.reshape(-1).astype(np.int64)


def _elementwise(name: str, node, found: _Found) -> dict[str, np.ndarray]:
    """The parameters of a node with one value for each element; scalars among arrays are spread."""
    where = _label(name, node)
    given = {field: getattr(node, field) for field in PARAMETERS[type(node)]}
    absent = [field for field, value in given.items() if value is None and field in _ABSENT]
    if "v_reset" in absent:
        found.unstated.append(name)
    if "w_in" in absent:
        found.notes.append(f"{where}: w_in is absent; {_ABSENT['w_in']:g} by NIR's definition")
    values = {field: _array(where, field, _ABSENT[field] if field in absent else value) for field, value in given.items()}
    shapes = {a.shape for a in values.values() if a.shape}
    if len(shapes) > 1:
        listed = ", ".join(f"{field} {a.shape}" for field, a in values.items())
        raise GraphError(f"{where}: parameters of different shapes: {listed}")
    if shapes:
        spread = [field for field, a in values.items() if not a.shape and field not in absent]
        if spread:
            shape = next(iter(shapes))
            found.notes.append(f"{where}: {', '.join(spread)} given once, used for all of shape {shape}")
        values = {field: np.array(np.broadcast_to(a, next(iter(shapes)))) for field, a in values.items()}
    for field, array in values.items():
        if not array.size:
            raise GraphError(f"{where}: {field} is empty; accepted is one value for each element")
    for field in _POSITIVE:
        if field in values and values[field].min() <= 0:
            raise GraphError(f"{where}: {field} is {values[field].min():g} s; accepted are positive times")
    if isinstance(node, nir.Delay) and values["delay"].min() < 0:
        raise GraphError(f"{where}: delay is {values['delay'].min():g} s; accepted are delays from 0")
    return values


def _convolution(where: str, node) -> dict:
    dimensions = 1 if isinstance(node, nir.Conv1d) else 2
    weight = _array(where, "weight", node.weight)
    if weight.ndim != dimensions + 2 or 0 in weight.shape:
        form = "[out, in / groups, length]" if dimensions == 1 else "[out, in / groups, height, width]"
        raise GraphError(f"{where}: weight has shape {weight.shape}; accepted is {form}")
    bias = _array(where, "bias", node.bias if node.bias is not None else np.zeros(weight.shape[0], weight.dtype))
    if bias.shape != weight.shape[:1]:
        raise GraphError(f"{where}: bias has shape {bias.shape}; accepted is one for each output channel, {weight.shape[:1]}")
    (groups,) = _whole(where, "groups", node.groups, 1, 1)
    if weight.shape[0] % groups:
        raise GraphError(f"{where}: {weight.shape[0]} output channels cannot be divided into {groups} groups")
    stride = _whole(where, "stride", node.stride, 1, dimensions)
    padding = node.padding
    if isinstance(padding, bytes):
        padding = padding.decode("ascii", "replace")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise GraphError(f"{where}: padding is {padding!r}; accepted are 'same', 'valid' and whole numbers")
        if padding == "same" and set(stride) != {1}:
            raise GraphError(f"{where}: padding 'same' goes with stride 1, not {stride}")
    else:
        padding = _whole(where, "padding", padding, 0, dimensions)
    values = {"stride": stride, "padding": padding, "dilation": _whole(where, "dilation", node.dilation, 1, dimensions)}
    if dimensions == 1:
        values = {k: v if isinstance(v, str) else v[0] for k, v in values.items()}
    stated = None if node.input_shape is None else _whole(where, "input_shape", node.input_shape, 1, dimensions)
    return {
        "input_shape": stated if stated is None or dimensions == 2 else stated[0],
        "weight": weight,
        "groups": groups,
        "bias": bias,
        **values,
    }


def _node(name: str, node: nir.NIRNode, found: _Found) -> nir.NIRNode:
    """A copy of a node with checked values. Raises GraphError or UnsupportedError."""
    where, kind = _label(name, node), type(node)
    if kind not in KNOWN:
        raise UnsupportedError(f"{where}: an unknown kind of node; known are {', '.join(sorted(k.__name__ for k in KNOWN))}")
    extra = {"metadata": dict(node.metadata) if isinstance(node.metadata, Mapping) else {}}
    if kind is nir.Input:
        return nir.Input(input_type={"input": _shape(where, node.input_type["input"])}, **extra)
    if kind is nir.Output:
        return nir.Output(output_type={"output": _shape(where, node.output_type["output"])}, **extra)
    if kind in PARAMETERS:
        return kind(**_elementwise(name, node, found), **extra)
    if kind in (nir.Linear, nir.Affine):
        values = {"weight": _array(where, "weight", node.weight)}
        if values["weight"].ndim != 2 or 0 in values["weight"].shape:
            raise GraphError(f"{where}: weight has shape {values['weight'].shape}; accepted is [out, in]")
        if kind is nir.Affine:
            values["bias"] = _array(where, "bias", node.bias)
            if values["bias"].shape != values["weight"].shape[:1]:
                raise GraphError(
                    f"{where}: bias has shape {values['bias'].shape}; accepted is one for each output, {values['weight'].shape[:1]}"
                )
        return kind(**values, **extra)
    if kind in (nir.Conv1d, nir.Conv2d):
        return kind(**_convolution(where, node), **extra)
    if kind in (nir.SumPool2d, nir.AvgPool2d):
        low = {"kernel_size": 1, "stride": 1, "padding": 0}
        values = {field: np.array(_whole(where, field, getattr(node, field), least, 2)) for field, least in low.items()}
        if np.any(values["padding"] >= values["kernel_size"]):
            raise GraphError(
                f"{where}: padding {values['padding'].tolist()} is not smaller than the window {values['kernel_size'].tolist()}"
            )
        return kind(**values, **extra)
    stated = (node.input_type or {}).get("input")
    if stated is not None and np.size(stated) and not np.any(stated):
        found.placeholders.append(name)
        found.notes.append(f"{where}: input_type is zeros, a placeholder; the shape is inferred")
        stated = None
    dims = {field: _dimension(where, field, getattr(node, field)) for field in ("start_dim", "end_dim")}
    copy = nir.Flatten(input_type=None, **dims, **extra)
    copy.input_type = {"input": None if stated is None else _shape(where, stated, "input_type")}
    return copy


def _natural(name: str) -> tuple:
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,9})", name) if part)


def ordered(nodes: Mapping[str, nir.NIRNode], edges: list[tuple[str, str]]) -> list[str]:
    """Names in canonical order: sources first, equals in natural order; loops are entered at a neuron where there is one."""
    waiting = sorted(nodes, key=_natural)
    sources = {name: set(found) for name, found in sources_of(nodes, edges).items()}
    done: dict[str, None] = {}
    while waiting:
        ready = [n for n in waiting if sources[n] <= done.keys()]
        entered = [n for n in waiting if sources[n] & done.keys()] or waiting
        chosen = ready or sorted(entered, key=lambda n: not isinstance(nodes[n], (*NEURONS, nir.NIRGraph)))
        name = min(ready, key=lambda n: not isinstance(nodes[n], nir.Input)) if ready else chosen[0]
        done[name] = None
        waiting.remove(name)
    return list(done)


def _graph(graph: nir.NIRGraph, prefix: str, depth: int, found: _Found) -> nir.NIRGraph:
    """A checked copy of a graph and its subgraphs; shapes come later."""
    if depth > MAX_DEPTH:
        raise GraphError(f"subgraph {prefix[:-1]!r}: nested deeper than {MAX_DEPTH} levels")
    graph = regrouped(graph, found.notes)
    nodes: dict[str, nir.NIRNode] = {}
    for name, node in graph.nodes.items():
        found.count += 1
        if found.count > MAX_NODES:
            raise GraphError(f"more than {MAX_NODES} nodes")
        if not isinstance(name, str) or not name or len(prefix + name) > 150 or "/" in name or not name.isprintable():
            raise GraphError(f"a node's name is 1 to 150 printable characters without '/', subgraphs included, not {prefix + str(name)!r}")
        if isinstance(node, nir.NIRGraph):
            nodes[name] = _graph(node, f"{prefix}{name}.", depth + 1, found)
        else:
            nodes[name] = _node(prefix + name, node, found)
    edges = []
    for a, b in graph.edges:
        for end in (a, b):
            if end not in nodes:
                near = [n for n in nodes if n.startswith(f"{end}.")]
                hint = (
                    f"; there are {', '.join(sorted(near))}: an old form of subgraph, in which edges to its name led nowhere"
                    if near
                    else ""
                )
                raise GraphError(f"the edge {prefix + str(a)!r} → {prefix + str(b)!r} names {prefix + str(end)!r}, which is no node{hint}")
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
    "neuron": {"reset", "reset_amount_v", "threshold_comparison", "refractory", "caveats", "grid", "r_per"},
    "weight": {"grid"},
    "Input": {"message_bits", "fraction_bits"},
    "Output": {"decode"},
}
_GRIDS = {
    "neuron": {"fraction_bits", "current_decay", "voltage_decay", "threshold", "overflow", "noise"},
    "weight": {"weight_bits", "fraction_bits", "exponent", "source_fraction_bits"},
}


def _check_entries(flat: Flat, meta: dict) -> None:
    """Every entry of the metadata belongs to a node that can have it."""
    for name, entry in meta["nodes"].items():
        if name not in flat.nodes:
            raise GraphError(f"graph metadata 'spikeport' speaks of node {name!r}, which is not there")
        node = flat.nodes[name]
        kind = "neuron" if isinstance(node, NEURONS) else "weight" if isinstance(node, LINEAR) else type(node).__name__
        strange = set(entry) - _ENTRIES[kind]
        if isinstance(node, NEURONS) and not isinstance(node, SPIKING):
            strange |= set(entry) & {"reset_amount_v"} | ({"refractory"} if entry.get("refractory") else set())
            strange |= {"reset"} if entry.get("reset", "none") != "none" else set()
        strange |= set(entry.get("grid", ())) - _GRIDS.get(kind, set())
        strange |= {"r_per"} & set(entry) if not isinstance(node, (nir.IF, nir.I)) else set()
        if not isinstance(node, SPIKING) or isinstance(node, nir.Threshold):  # a Threshold may become part of an integrator
            strange |= set(entry.get("grid", ())) & {"noise"}
        if strange:
            raise GraphError(f"graph metadata 'spikeport': {_label(name, node)} cannot have the entry {sorted(strange)[0]!r}")


def _complete(graph: nir.NIRGraph, prefix: str, shapes: Mapping, notes: list[str]) -> None:
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
            notes.append(f"{_label(full, node)}: parameters given once, used for all of shape {takes}")
        if isinstance(node, nir.Conv1d):
            node.input_shape = takes[1]
        elif isinstance(node, nir.Conv2d):
            node.input_shape = takes[1:]
        node.input_type = {"input": np.array(takes)}
        node.output_type = {"output": np.array(gives)}


def own_scalar(node: nir.NIRNode) -> bool:
    """Parameters given as numbers, not as arrays."""
    return getattr(node, PARAMETERS[type(node)][0]).shape == ()


def checked(graph: nir.NIRGraph) -> nir.NIRGraph:
    """A complete copy of a graph in canonical order; the argument is left alone.

    What was completed is said in the metadata, ``origin.notes``. Raises GraphError or UnsupportedError, naming the node.
    """
    if not isinstance(graph, nir.NIRGraph):
        raise GraphError(f"accepted is a nir.NIRGraph, not {type(graph).__name__}")
    if not graph.nodes:
        raise GraphError("the graph has no nodes")
    found = _Found()
    copy = _graph(graph, "", 0, found)
    flat = flatten(copy)
    for kind in ENDS:
        if not any(isinstance(node, kind) for name, node in flat.nodes.items() if name not in flat.virtual):
            raise GraphError(f"the graph has no {kind.__name__} node")
    meta = graph_metadata.of(copy)
    _check_entries(flat, meta)
    _complete(copy, "", _shapes(flat, found.notes), found.notes)
    copy.__post_init__()
    stated = graph_metadata.KEY in copy.metadata
    if _record(meta, found) or stated:
        copy.metadata[graph_metadata.KEY] = graph_metadata.dumps(meta)
    return copy


def _shapes(flat: Flat, notes: list[str]) -> Mapping:
    """Shapes of all nodes, after dimensions of a batch or of time were taken out where nothing else fits."""
    try:
        return infer(flat.nodes, flat.edges)
    except (GraphError, UnsupportedError) as error:
        notes += batch.without(flat.nodes, flat.edges, error)
        return infer(flat.nodes, flat.edges)


def _record(meta: dict, found: _Found) -> bool:
    """Put what was found into the metadata; whether there was anything."""
    for part, texts in (("notes", found.notes), ("placeholders", found.placeholders)):
        known = meta["origin"].get(part, [])
        if texts:
            meta["origin"][part] = [*known, *(text for text in texts if text not in known)]
    unstated = [name for name in found.unstated if "reset" not in meta["nodes"].get(name, {})]
    for name in unstated:
        meta["nodes"].setdefault(name, {})["reset"] = graph_metadata.UNKNOWN
    return bool(found.notes or found.placeholders or unstated)
