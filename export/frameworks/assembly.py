"""From a traced run to a NIR graph: delays made explicit, factors and normalisations folded, shapes
joined."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from export.errors import UnsupportedError
from export.frameworks.described import Described
from export.frameworks.leaves import GraphPart, Leaf, Shape
from export.frameworks.linear_layers import Normalisation, WeightLeaf
from export.frameworks.moved import Selection
from export.frameworks.readout import Readout
from export.frameworks.snntorch_neurons import SnntorchNeuron
from export.frameworks.tracker import LeafNode


@dataclass
class Edge:
    """``age``: steps that the source's output is old; ``scale``: factor on it."""

    age: int
    scale: float


@dataclass
class TracedNetwork:
    """Leaves by name and the edges between them; the model's input is a name without a leaf."""

    leaves: dict[str, Leaf]
    edges: dict[tuple[str, str], Edge]
    input: str
    input_shape: Shape
    notes: list[str] = field(default_factory=list)

    def into(self, name: str) -> dict[str, Edge]:
        """Source → edge."""
        return {a: e for (a, b), e in self.edges.items() if b == name}

    def out_of(self, name: str) -> dict[str, Edge]:
        """Target → edge."""
        return {b: e for (a, b), e in self.edges.items() if a == name}

    def label(self, name: str) -> str:
        """For messages."""
        return self.leaves[name].label if name in self.leaves else "the model's input"

    def reach(self, start: str, forward: bool = True) -> set[str]:
        """Names that can be reached from one, itself included."""
        seen, waiting = {start}, [start]
        while waiting:
            name = waiting.pop()
            for other in self.out_of(name) if forward else self.into(name):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen

    def shape(self, name: str) -> Shape:
        """Output shape."""
        if name == self.input:
            return self.input_shape
        shape = self.leaves[name].output_shape
        if shape is None:
            raise UnsupportedError(f"{self.label(name)}: it gave no output, so no shape is known")
        return shape


def network(
    nodes: dict[str, LeafNode], input_name: str, input_shape: Shape, steps: int
) -> TracedNetwork:
    """The network that a run of ``steps`` steps shows. Raises UnsupportedError where steps
    differ."""
    nodes = _without_idle(nodes)
    names = {node.leaf.output_name: name for name, node in nodes.items()} | {input_name: input_name}
    net = TracedNetwork({n: node.leaf for n, node in nodes.items()}, {}, input_name, input_shape)
    for name, node in nodes.items():
        _check_calls(node, steps)
        for (source, _), (age, scale) in node.calls[-1].items():
            net.edges[(names[source], name)] = Edge(age, scale)
        for (source, _), (age, _) in node.calls[-1].items():
            leaf = nodes[names[source]].leaf if source != input_name else None
            late = age and not node.constant and all(key[0] != source for key in node.calls[0])
            if late and isinstance(leaf, WeightLeaf) and leaf.bias is not None and leaf.bias.any():
                raise UnsupportedError(
                    f"{leaf.label}: its bias is missing in the first step, because the feedback "
                    f"starts in the second; "
                    "it must have bias=False, or a "
                    "first call with zeros"
                )
    _retime(net)
    return net


def _without_idle(nodes: dict[str, LeafNode]) -> dict[str, LeafNode]:
    """The nodes without operations on elements that no layer reads: a model may slice what it
    prints."""
    owner = {node.leaf.output_name: name for name, node in nodes.items()}
    needed = {name for name, node in nodes.items() if not node.derived}
    waiting = list(needed)
    while waiting:
        for call in nodes[waiting.pop()].calls:
            for source, _ in call:
                name = owner.get(source)
                if name is not None and name not in needed:
                    needed.add(name)
                    waiting.append(name)
    return {name: node for name, node in nodes.items() if name in needed}


def _check_calls(node: LeafNode, steps: int) -> None:
    leaf, calls = node.leaf, node.calls
    if node.constant:
        return
    if not leaf.structural:
        if len(calls) > steps:
            raise UnsupportedError(
                f"{leaf.label}: called {len(calls)} times in {steps} steps; there must be a layer "
                "of its own for each place"
            )
        least = steps - 1 if leaf.stateless else steps
        if len(calls) < least:
            raise UnsupportedError(
                f"{leaf.label}: called {len(calls)} times in {steps} steps; there must be one call "
                f"in each step"
            )

    last = calls[-1]
    if not last:
        raise UnsupportedError(
            f"{leaf.label}: it receives nothing but zeros in {steps} steps; the input must reach it"
        )

    for step, call in enumerate(calls):
        other = any(last.get(key) != edge for key, edge in call.items())
        if other or any(key not in call and age <= step for key, (age, _) in last.items()):
            raise UnsupportedError(
                f"{leaf.label}: its input is {_told(call)} in call {step} and {_told(last)} in the "
                f"last call; it must be the same in each "
                "step"
            )


def _told(call: Mapping[tuple[str, str], tuple[int, float]]) -> str:
    """The edges of a call in words."""
    texts = []
    for (source, _), (age, scale) in sorted(call.items()):
        when = (
            ""
            if not age
            else f" of {abs(age)} step{'s' * (abs(age) > 1)} {'earlier' if age > 0 else 'later'}"
        )
        texts.append((f"{scale:g} times " if scale != 1.0 else "") + repr(source) + when)
    return " and ".join(texts) or "nothing"


def _retime(net: TracedNetwork) -> None:
    """Move delays from the outputs of layers without memory to their inputs, where neurons send
    spikes."""
    changed = True
    while changed:
        changed = False
        for name, leaf in net.leaves.items():
            out = net.out_of(name)
            least = min((e.age for e in out.values()), default=0)
            if leaf.stateless and least:
                changed = True
                for edge in out.values():
                    edge.age -= least
                for edge in net.into(name).values():
                    edge.age += least


def prune(net: TracedNetwork, outputs: Iterable[str]) -> None:
    """Leave out what leads to no output, with a note."""
    needed = set().union(*(net.reach(name, forward=False) for name in outputs))
    if net.input not in needed:
        raise UnsupportedError("the model's input does not reach its output")
    for name in [n for n in net.leaves if n not in needed]:
        net.notes.append(f"{name}: left out, because it leads to no output")
        del net.leaves[name]
        net.edges = {ends: e for ends, e in net.edges.items() if name not in ends}


def fold(net: TracedNetwork) -> None:
    """Normalisations into the layer before them (where that is one of weights that feeds nothing
    else), factors into weights; in place."""
    for name, leaf in list(net.leaves.items()):
        if not isinstance(leaf, Normalisation):
            continue
        into = net.into(name)
        before = next(iter(into))
        weights = net.leaves.get(before)
        if (
            len(into) != 1
            or not isinstance(weights, WeightLeaf)
            or len(net.out_of(before)) != 1
            or into[before].age
            or weights.output_shape != leaf.input_shape
        ):
            net.notes.append(
                f"{name}: batch normalisation of {', '.join(map(net.label, into))}; its factors "
                f"are multiplied into the weights that follow, its offsets are their bias"
            )
            continue

        weights.scale(into[before].scale)
        weights.scale(*leaf.factors())
        how = f"running statistics, eps {leaf.module.eps:g}"
        net.notes.append(
            f"{before}: batch normalisation {name!r} folded into its weights and bias ({how})"
        )

        del net.edges[(before, name)]
        for after, edge in net.out_of(name).items():
            del net.edges[(name, after)]
            net.edges[(before, after)] = edge
        del net.leaves[name]

    for (a, b), edge in net.edges.items():
        if edge.scale == 1.0:
            continue
        source, target = net.leaves.get(a), net.leaves.get(b)
        entering, leaving = net.into(b).values(), net.out_of(a).values()
        factor = edge.scale

        if isinstance(target, WeightLeaf) and {e.scale for e in entering} == {factor}:
            target.scale_input(factor)
            net.notes.append(f"{b}: factor {factor:g} on its input folded into its weights")
            folded = entering
        elif isinstance(source, WeightLeaf) and {e.scale for e in leaving} == {factor}:
            source.scale(factor)
            net.notes.append(f"{a}: factor {factor:g} on its output folded into its weights")
            folded = leaving
        else:
            continue

        for item in folded:
            item.scale = 1.0


def _check_loop(net: TracedNetwork, a: str, b: str) -> bool:
    """Whether an edge with a delay closes a loop; then it must be a layer's own spikes of the step
    before."""
    between = net.reach(b) & net.reach(a, forward=False)
    if not between:
        return False
    neurons = {n for n in between if not net.leaves[n].stateless}
    ages = [e.age for (x, y), e in net.edges.items() if {x, y} <= between and (x, y) != (a, b)]
    if neurons != {a} or any(ages) or net.edges[(a, b)].age != 1:
        raise UnsupportedError(
            f"feedback from {net.label(a)} to {net.label(b)} runs through "
            f"{', '.join(sorted(between))}; "
            "it must lead from one neuron layer to "
            "itself, one step later"
        )
    return True


class Graph:
    """Nodes, entries and edges while they are put together."""

    def __init__(self) -> None:
        self.nodes: dict[str, nir.NIRNode] = {}
        self.entries: dict[str, dict[str, Any]] = {}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, node: nir.NIRNode, entry: dict[str, Any] | None = None) -> str:
        """Add a node; its name, made unique."""
        unique, number = name, 1
        while unique in self.nodes:
            number += 1
            unique = f"{name}_{number}"
        self.nodes[unique] = node
        if entry:
            self.entries[unique] = entry
        return unique


def build(
    net: TracedNetwork, readouts: list[Readout], input_entry: dict[str, Any], dt: float
) -> Graph:
    """The NIR graph of a folded network; ``dt`` in seconds, or 1."""
    _join_shapes(net)
    graph = Graph()
    parts: dict[str, GraphPart] = {}
    for name, leaf in net.leaves.items():
        part = parts[name] = leaf.part(dt)
        for inner, (node, entry) in part.nodes.items():
            if inner in graph.nodes:
                raise UnsupportedError(f"{leaf.label}: two layers are called {inner!r}")
            graph.add(inner, node, entry)
        graph.edges += part.edges

    # the input's own name may be that of a layer
    input_name = graph.add(
        net.input, nir.Input(input_type={"input": np.array(net.input_shape)}), input_entry
    )

    between: dict[tuple[Any, ...], str] = {}
    for (a, b), edge in net.edges.items():
        sources = (input_name,) if a == net.input else parts[a].outputs
        for kind, value, node in _between(net, a, b, edge, dt):
            key = (sources, kind, value)
            if key not in between:
                between[key] = graph.add(f"{sources[0] if len(sources) == 1 else a}_{kind}", node)
                graph.edges += [(source, between[key]) for source in sources]
            sources = (between[key],)
        graph.edges += [(source, target) for source in sources for target in parts[b].inputs]

    for readout in readouts:
        name = "output" if len(readouts) == 1 else f"output_{readout.node}"
        output = graph.add(
            name,
            nir.Output(output_type={"output": np.array(net.shape(readout.node))}),
            {"decode": readout.decode},
        )
        if len(parts[readout.node].outputs) > 1:
            raise UnsupportedError(
                f"{net.label(readout.node)}: the model returns its output, a sum of "
                f"{len(parts[readout.node].outputs)} populations; "
                "a read-out must be a layer of one population: put weights and neurons "
                "behind it"
            )
        graph.edges.append((parts[readout.node].outputs[0], output))

    return graph


def _between(
    net: TracedNetwork, a: str, b: str, edge: Edge, dt: float
) -> list[tuple[str, float, nir.NIRNode]]:
    """Nodes that an edge needs on its way, as (kind, what tells it from others of its kind,
    node)."""
    shape, wanted = net.shape(a), net.leaves[b].given_shape
    nodes: list[tuple[str, float, nir.NIRNode]] = []

    if edge.age and not _check_loop(net, a, b):
        nodes.append(("delay", edge.age, nir.Delay(delay=np.full(shape, edge.age * dt))))

    if edge.scale != 1.0:
        if isinstance(net.leaves[b], Described):
            raise UnsupportedError(
                f"{net.label(b)}: a factor of {edge.scale:g} on its input, which its grid does not "
                f"have; "
                "its weights must contain it"
            )
        nodes.append(("scale", edge.scale, nir.Scale(scale=np.full(shape, edge.scale))))

    if shape != wanted:
        merged = _merged(shape, wanted)
        if merged is None:
            raise UnsupportedError(
                f"{net.label(b)}: takes shape {wanted} from {net.label(a)} of shape {shape}; "
                f"it must be the same shape, or a Flatten of it, such as ({math.prod(shape)},)"
            )
        start, end = merged
        whole = end == len(shape) - 1 and not start
        node = nir.Flatten(
            input_type={"input": np.array(shape)}, start_dim=start, end_dim=-1 if whole else end
        )
        nodes.append(("flatten", 0 if whole else start + end / 10, node))

    return nodes


def _merged(shape: Shape, wanted: Shape) -> tuple[int, int] | None:
    """First and last of the neighbouring dimensions that a Flatten joins, to make one shape of the
    other; None where none does."""
    for start in range(len(shape)):
        for end in range(start + 1, len(shape)):
            joined = math.prod(shape[start : end + 1])
            if (*shape[:start], joined, *shape[end + 1 :]) == wanted:
                return start, end
    return None


def _join_shapes(net: TracedNetwork) -> None:
    """Shapes that differ only in how the same elements are grouped, where that is free: of neurons,
    and of the input."""
    for name, leaf in net.leaves.items():
        taken = {net.leaves[b].given_shape for b in net.out_of(name)}
        if isinstance(leaf, Selection) and len(taken) == 1:
            leaf.wanted(taken.pop())
        shapes = {net.shape(source) for source in net.into(name)}
        if isinstance(leaf, SnntorchNeuron) and len(shapes) == 1:
            (shape,) = shapes
            if shape != leaf.given_shape and _squeezed(shape) == _squeezed(leaf.given_shape):
                leaf.input_shape = leaf.output_shape = shape
    wanted = {net.leaves[b].given_shape for b in net.out_of(net.input)}
    if len(wanted) == 1:
        (shape,) = wanted
        if shape not in (net.input_shape, (math.prod(net.input_shape),)):
            net.notes.append(
                f"{net.input}: of shape {shape}; the model is given {net.input_shape}, the same "
                f"elements in the same order"
            )
            net.input_shape = shape


def _squeezed(shape: Shape) -> Shape:
    return tuple(n for n in shape if n != 1)
