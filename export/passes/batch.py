"""Dimensions of a batch or of time that an exporter left in a graph, taken out where nothing else
fits.

A NIR shape has neither. Rockpool and Norse write Input (1, n) and Output (1, 1, m), older exporters
neurons of shape (1, n) and a Flatten that counts the batch, others Input [steps, n]. Every way of
taking such dimensions out is tried; the graph is read so only where exactly one of them makes every
edge fit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError
from export.shapes import ENDS, PARAMETERS, Shape, infer, own_shapes

MOST = 3
"""Most leading dimensions that are taken out of one shape."""

MOST_WORK = 10_000
"""Most nodes in all ways together: some seconds. Networks of 100 nodes have a few dozen ways."""

_FLATTEN = ("as it is", "input_type without the batch", "dimensions counted without the batch")


@dataclass(frozen=True)
class _Trial:
    """Leading dimensions taken out of each kind of node; ``ones``: only those of size 1."""

    inputs: int
    outputs: int
    neurons: int
    flatten: int
    ones: bool


def _leading(shape: Shape, most: int, ones: bool) -> int:
    """How many leading dimensions go: at most ``most``, and one is left. Without ``ones`` the first
    of them may have any size."""
    count = 0
    while count < min(most, len(shape) - 1) and (shape[count] == 1 or (not ones and count == 0)):
        count += 1
    return count


def _end(node: nir.NIRNode, count: int, ones: bool) -> nir.NIRNode:
    key = "input" if isinstance(node, nir.Input) else "output"
    shape = own_shapes(node)[0] or ()
    left = np.array(shape[_leading(shape, count, ones) :])
    return (
        nir.Input({key: left}, metadata=node.metadata)
        if key == "input"
        else nir.Output({key: left}, metadata=node.metadata)
    )


def _elementwise(node: nir.NIRNode, count: int) -> nir.NIRNode:
    changed = copy.copy(node)
    for field in PARAMETERS[type(node)]:
        value = getattr(node, field)
        setattr(changed, field, value.reshape(value.shape[_leading(value.shape, count, True) :]))
    return changed


def _flatten(node: nir.Flatten, how: int) -> nir.Flatten:
    changed = copy.copy(node)
    stated = node.input_type.get("input") if node.input_type else None
    if how and stated is not None and len(np.ravel(stated)) > 1 and np.ravel(stated)[0] == 1:
        changed.input_type = {"input": np.ravel(stated)[1:]}
    if how == 2:
        changed.start_dim, changed.end_dim = (
            int(d) - 1 if int(d) > 0 else int(d) for d in (node.start_dim, node.end_dim)
        )
    return changed


def _tried(nodes: Mapping[str, nir.NIRNode], trial: _Trial) -> dict[str, nir.NIRNode]:
    """The nodes as a trial takes them; those that it leaves alone are the same objects."""
    taken = {}
    for name, node in nodes.items():
        if isinstance(node, ENDS):
            count = trial.inputs if isinstance(node, nir.Input) else trial.outputs
            node = _end(node, count, trial.ones) if count else node
        elif type(node) in PARAMETERS and trial.neurons:
            node = _elementwise(node, trial.neurons)
        elif isinstance(node, nir.Flatten) and trial.flatten:
            node = _flatten(node, trial.flatten)
        taken[name] = node
    return taken


def _trials(nodes: Mapping[str, nir.NIRNode], ones: bool) -> Iterator[_Trial]:
    """All ways, those that change less first."""

    def most(shapes: Iterable[Shape | None], ones: bool) -> range:
        return range(1 + max((_leading(shape, MOST, ones) for shape in shapes if shape), default=0))

    ends = [
        most((own_shapes(n)[0] for n in nodes.values() if isinstance(n, kind)), ones)
        for kind in ENDS
    ]
    neurons = most((own_shapes(n)[0] for n in nodes.values() if type(n) in PARAMETERS), True)
    flatten = range(len(_FLATTEN) if any(isinstance(n, nir.Flatten) for n in nodes.values()) else 1)
    for first, second, third, fourth in product(*ends, neurons, flatten):
        yield _Trial(first, second, third, fourth, ones)


def _fitting(
    nodes: Mapping[str, nir.NIRNode], edges: Iterable[tuple[str, str]], ones: bool
) -> dict[tuple[Any, ...], dict[str, nir.NIRNode]]:
    """Shapes of the whole graph → the nodes, for each way in which every edge fits."""
    fits: dict[tuple[Any, ...], dict[str, nir.NIRNode]] = {}
    trials = list(_trials(nodes, ones))
    if len(trials) == 1:
        return fits  # the graph as it is
    if len(trials) * len(nodes) > MOST_WORK:
        raise _TooMuch(f"{len(trials)} ways of leaving dimensions out of {len(nodes)} nodes")

    for trial in trials:
        tried = _tried(nodes, trial)
        try:
            shapes = infer(tried, edges)
        except (GraphError, UnsupportedError):
            continue
        fits.setdefault(tuple(sorted(shapes.items())), tried)
    return fits


class _TooMuch(Exception):
    """There are more ways than are tried."""


def _note(name: str, before: nir.NIRNode, after: nir.NIRNode, ones: bool) -> str:
    where = f"node {name!r} ({type(before).__name__})"
    why = "nothing else makes every edge fit, and a NIR shape has neither batch nor time"
    if isinstance(before, nir.Flatten):
        was, now = (f"{int(n.start_dim)} to {int(n.end_dim)}" for n in (before, after))
        dims = f"dimensions {was} read as {now}"
        return f"{where}: {dims}, because they count a batch: {why}"
    old, new = own_shapes(before)[0] or (), own_shapes(after)[0] or ()
    dropped = old[: len(old) - len(new)]
    what = (
        "a batch of 1"
        if ones or set(dropped) == {1}
        else f"time steps or a batch of {', '.join(str(n) for n in dropped if n != 1)}"
    )
    return f"{where}: shape {old} read as {new}, without {what}: {why}"


def without(
    nodes: dict[str, nir.NIRNode],
    edges: list[tuple[str, str]],
    error: GraphError | UnsupportedError,
) -> list[str]:
    """Take batch and time out of the nodes, in place; what was done, for the audit.

    ``error``: why the graph does not fit as it is. It is raised where no way makes every edge fit,
    with the reason where several do.
    """
    for ones in (True, False):
        try:
            fits = _fitting(nodes, edges, ones)
        except _TooMuch as many:
            raise type(error)(f"{error}; a batch was not looked for, in {many}") from None
        if len(fits) > 1:
            raise type(error)(
                f"{error}; without its leading dimensions it fits in {len(fits)} ways: state "
                "shapes without batch and time"
            )

        for tried in fits.values():
            notes = [
                _note(name, nodes[name], node, ones)
                for name, node in tried.items()
                if _differs(nodes[name], node)
            ]
            for name, node in tried.items():
                vars(nodes[name]).update(vars(node))
            return notes

    raise error


def _differs(before: nir.NIRNode, after: nir.NIRNode) -> bool:
    if isinstance(before, nir.Flatten):
        return (int(before.start_dim), int(before.end_dim)) != (
            int(after.start_dim),
            int(after.end_dim),
        )
    return before is not after and own_shapes(before)[0] != own_shapes(after)[0]
