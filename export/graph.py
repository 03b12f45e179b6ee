"""NIR graphs on disk: reading files that nobody vouches for, and writing without loss.

Files are those of ``nir.read`` and ``nir.write``; ``nir.read`` itself loads whatever a file claims
to hold and fails on malformed ones with whatever error comes up first, so files are walked here and
nodes made from what was found.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np

from export import metadata as graph_metadata
from export.check import MAX_DEPTH, checked
from export.errors import GraphError, GraphFileError, MissingInformationError, UnsupportedError
from export.hdf5 import Tree, read_tree, write_atomic
from export.node_values import KNOWN
from export.shapes import PARAMETERS
from hardware.parameters import parameter

_MAY_BE_ABSENT = ("v_reset", "w_in")
_KINDS = {kind.__name__: kind for kind in KNOWN}

_FIELDS: Mapping[type, tuple[tuple[str, ...], tuple[str, ...]]] = {
    nir.Input: (("shape",), ()),
    nir.Output: (("shape",), ()),
    nir.Linear: (("weight",), ()),
    nir.Affine: (("weight", "bias"), ()),
    nir.Conv1d: (("weight", "stride", "padding", "dilation", "groups", "bias"), ("input_shape",)),
    nir.Conv2d: (("weight", "stride", "padding", "dilation", "groups", "bias"), ("input_shape",)),
    nir.SumPool2d: (("kernel_size", "stride", "padding"), ()),
    nir.AvgPool2d: (("kernel_size", "stride", "padding"), ()),
    nir.Flatten: (("start_dim", "end_dim"), ("input_type",)),
    nir.NIRGraph: (("nodes", "edges"), ()),
    **{
        kind: (
            tuple(n for n in names if n not in _MAY_BE_ABSENT),
            tuple(n for n in names if n in _MAY_BE_ABSENT),
        )
        for kind, names in PARAMETERS.items()
    },
}
"""Fields that a node of each kind must have, and those that it may have."""


def _metadata(where: str, tree: Tree) -> dict[str, Any]:
    """Metadata as nir writes it: a group of plain values, possibly nested."""
    metadata = tree.get("metadata", {})
    if not isinstance(metadata, dict):
        raise GraphFileError(f"{where}: metadata is no group")
    return metadata


def _node(tree: Tree, where: str, depth: int) -> nir.NIRNode:
    """One node from the tree of its group. Raises GraphFileError, GraphError or UnsupportedError
    naming the place."""
    if depth > MAX_DEPTH:
        raise GraphError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    if not isinstance(tree, dict) or not isinstance(tree.get("type"), str):
        raise GraphFileError(f"{where}: a node is a group with a text 'type'")
    name = tree["type"]
    if name not in _KINDS:
        raise UnsupportedError(
            f"{where}: unknown kind of node {name!r}; known are {', '.join(sorted(_KINDS))}"
        )

    kind = _KINDS[name]
    required, optional = _FIELDS[kind]
    for field in required:
        if field not in tree:
            raise GraphFileError(
                f"{where} ({name}): {field} is missing; a {name} has {', '.join(required)}"
            )
    strange = set(tree) - {"type", "metadata", *required, *optional}
    if strange:
        raise UnsupportedError(
            f"{where} ({name}): unknown field {sorted(strange)[0]!r}; known are "
            f"{', '.join((*required, *optional))}"
        )

    values = {field: tree[field] for field in (*required, *optional) if field in tree}
    nested = kind is nir.NIRGraph
    for field, value in values.items():
        if isinstance(value, dict) and not (nested and field == "nodes"):
            raise GraphFileError(f"{where} ({name}): {field} is a group; it must be a value")
        text = isinstance(value, str) or getattr(value, "dtype", np.dtype(float)).kind == "O"
        if text and field not in ("padding", "edges"):
            raise GraphFileError(f"{where} ({name}): {field} is text; it must be numbers")

    extra = {"metadata": _metadata(where, tree)}
    if nested:
        return _graph(values, where, depth, extra["metadata"])
    if kind is nir.Input:
        return nir.Input(input_type={"input": values["shape"]}, **extra)
    if kind is nir.Output:
        return nir.Output(output_type={"output": values["shape"]}, **extra)
    if kind is nir.Flatten:
        node = nir.Flatten(
            input_type=None, start_dim=values["start_dim"], end_dim=values["end_dim"], **extra
        )
        node.input_type = {"input": values.get("input_type")}
        return node

    # nir's constructors check shapes with bare asserts; ours are checked in export.check, so the
    # values are set directly
    node = kind.__new__(kind)
    for field in (*required, *optional):
        setattr(node, field, values.get(field))
    node.metadata = extra["metadata"]
    return node


def _graph(values: Tree, where: str, depth: int, metadata: dict[str, Any]) -> nir.NIRGraph:
    edges = values["edges"]
    if not isinstance(values["nodes"], dict):
        raise GraphFileError(f"{where}: nodes is no group")
    if not isinstance(edges, np.ndarray) or (
        edges.size and (edges.dtype != object or edges.ndim != 2 or edges.shape[1] != 2)
    ):
        raise GraphFileError(f"{where}: edges must be pairs of names")
    nodes = {
        name: _node(tree, f"{where}/nodes/{name}", depth + 1)
        for name, tree in values["nodes"].items()
    }
    # built without nir's constructor, which derives types from nodes that are not checked yet
    graph = nir.NIRGraph.__new__(nir.NIRGraph)
    graph.nodes, graph.edges, graph.metadata = (
        nodes,
        [(str(a), str(b)) for a, b in edges] if edges.size else [],
        metadata,
    )
    return graph


def _with_version(graph: nir.NIRGraph, version: object) -> nir.NIRGraph:
    """The graph with the version of nir that wrote its file in its metadata; one that is there is
    older and is kept."""
    meta = graph_metadata.of(graph)
    if isinstance(version, str) and 0 < len(version) <= 40 and version.isprintable():
        meta["origin"].setdefault("nir_version", version)
        graph.metadata[graph_metadata.KEY] = graph_metadata.dumps(meta)
    return graph


def read(path: str | Path) -> nir.NIRGraph:
    """Read a .nir file into a complete, checked graph in canonical order (see export.check).

    What the file leaves open (time step, reset, what r counts) stays open: ``export.lower`` and
    ``export.state`` settle it.


    Raises GraphFileError where the file is not NIR, damaged or unreasonably large, GraphError where
    the graph contradicts itself, UnsupportedError for unknown kinds of nodes. The texts name the
    file and the place in it.
    """
    tree = read_tree(path)
    if not isinstance(tree.get("node"), dict):
        raise GraphFileError(f"{path}: an HDF5 file, but not NIR: there is no group 'node'")
    try:
        graph = _node(tree["node"], "/node", 0)
        if not isinstance(graph, nir.NIRGraph):
            raise GraphError(f"holds a single {type(graph).__name__}; it must be a NIRGraph")
        return _with_version(checked(graph), tree.get("version"))
    except (GraphFileError, GraphError, UnsupportedError) as error:
        raise type(error)(f"{path}: {error}") from error


def write(graph: nir.NIRGraph, path: str | Path, force: bool = False) -> None:
    """Write a graph as a .nir file that ``nir.read`` reads; shapes and metadata complete, nodes in
    canonical order.

    The file appears whole or not at all. nir 1.0.8 infers wrong shapes for non-square kernels and
    for groups: such files need ``nir.read(path, type_check=False)``. Raises GraphError or
    UnsupportedError for an unusable graph, MissingInformationError for one in steps instead of
    seconds, GraphFileError where the path exists (without ``force``) or cannot be written.
    """
    complete = checked(graph)
    if graph_metadata.in_steps(graph_metadata.of(complete)):
        raise MissingInformationError(
            f"{path}: the graph's time constants are in steps, a NIR file's are in seconds: state "
            f"the time step with {parameter('dt')}"
        )
    write_atomic(path, lambda memory: nir.write(memory, complete), force)
