"""Subgraphs flattened: ``hidden`` with nodes ``lif`` and ``w_rec`` becomes ``hidden.lif`` and
``hidden.w_rec``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import nir

from export.errors import GraphError, UnsupportedError


def sources_of(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Node → nodes with an edge to it, in the order of the edges."""
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    for a, b in edges:
        sources[b].append(a)
    return sources


@dataclass
class Flat:
    """A graph without subgraphs, complete once ``sources`` is asked for the first time.

    virtual   inputs and outputs of what were subgraphs, which pass their signal on
    """

    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    virtual: set[str] = field(default_factory=set)

    @cached_property
    def _sources(self) -> dict[str, list[str]]:
        return sources_of(self.nodes, self.edges)

    def sources(self, name: str) -> list[str]:
        """Nodes with an edge to this one, in the order of the edges."""
        return self._sources[name]


def _named_only_by_edges(graph: nir.NIRGraph) -> list[str]:
    ends = dict.fromkeys(end for edge in graph.edges for end in edge)
    return [name for name in ends if isinstance(name, str) and name not in graph.nodes]


def regrouped(graph: nir.NIRGraph, notes: list[str]) -> nir.NIRGraph:
    """Subgraphs of the old form made into nested graphs; the argument is left alone.

    In files of 2023 a subgraph ``x`` lies among the other nodes as ``x.input``, ``x.lif``,
    ``x.output``, while the edges into and out of it name ``x``. It is read so where ``x.input`` and
    ``x.output`` are its only Input and Output and no other edge leaves it.
    """
    nodes, edges = dict(graph.nodes), [tuple(edge) for edge in graph.edges]
    for name in _named_only_by_edges(graph):
        inner = {
            n: node for n, node in nodes.items() if isinstance(n, str) and n.startswith(f"{name}.")
        }
        ends = [
            (kind, n)
            for n, node in inner.items()
            for kind in (nir.Input, nir.Output)
            if isinstance(node, kind)
        ]
        closed = all((a in inner) == (b in inner) for a, b in edges)
        if (
            sorted(ends, key=str)
            != sorted([(nir.Input, f"{name}.input"), (nir.Output, f"{name}.output")], key=str)
            or not closed
        ):
            continue

        within = nir.NIRGraph.__new__(nir.NIRGraph)  # its constructor asks for checked nodes
        within.nodes = {n[len(name) + 1 :]: node for n, node in inner.items()}
        within.edges = [(a[len(name) + 1 :], b[len(name) + 1 :]) for a, b in edges if a in inner]
        within.metadata = {}
        nodes = {n: node for n, node in nodes.items() if n not in inner} | {name: within}
        edges = [(a, b) for a, b in edges if a not in inner]
        notes.append(
            f"subgraph {name!r}: old form; edges to its name are read to '{name}.input', edges "
            f"from it from '{name}.output'"
        )

    if nodes.keys() == graph.nodes.keys():
        return graph

    nested = nir.NIRGraph.__new__(nir.NIRGraph)
    nested.nodes, nested.edges, nested.metadata = nodes, edges, graph.metadata
    return nested


def flatten(graph: nir.NIRGraph) -> Flat:
    """All nodes under their canonical names, with the ends of subgraphs kept as virtual nodes."""
    flat = Flat()
    _add(flat, graph, "")
    return flat


def _add(flat: Flat, graph: nir.NIRGraph, prefix: str) -> None:
    ends: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, nir.NIRGraph):
            inner = {
                kind: [n for n, part in node.nodes.items() if isinstance(part, kind)]
                for kind in (nir.Input, nir.Output)
            }
            for kind, names in inner.items():
                if len(names) != 1:
                    raise UnsupportedError(
                        f"subgraph {full!r} has {len(names)} {kind.__name__} nodes; there must be "
                        f"one, because an edge cannot say which"
                    )
                flat.virtual.add(f"{full}.{names[0]}")
            ends[name] = (f"{full}.{inner[nir.Input][0]}", f"{full}.{inner[nir.Output][0]}")
            _add(flat, node, full + ".")
        else:
            if full in flat.nodes:
                raise GraphError(f"two nodes are called {full!r} once subgraphs are flattened")
            flat.nodes[full] = node
            ends[name] = (full, full)

    flat.edges += [(ends[a][1], ends[b][0]) for a, b in graph.edges]


def without_virtual(flat: Flat) -> Flat:
    """The same graph with every virtual node replaced by direct edges."""
    edges = list(flat.edges)
    for name in sorted(flat.virtual):
        before = [a for a, b in edges if b == name and a != name]
        after = [b for a, b in edges if a == name and b != name]
        edges = [(a, b) for a, b in edges if name not in (a, b)] + [
            (a, b) for a in before for b in after
        ]
    if len(set(edges)) != len(edges):
        counted = Counter(edges)
        twice = max(counted, key=counted.__getitem__)
        raise GraphError(
            f"two edges from {twice[0]!r} to {twice[1]!r} once subgraphs are flattened"
        )
    return Flat({n: node for n, node in flat.nodes.items() if n not in flat.virtual}, edges, set())
