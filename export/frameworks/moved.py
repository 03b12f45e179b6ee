"""What PyTorch functions without weights do to maps: elements chosen and moved, windows averaged or
searched for a spike.

Functions have no name and may be used anywhere, so such a layer is known by what it computes and
what it is applied to (``Tracker.derived``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import nir
import numpy as np

from export.errors import UnsupportedError
from export.frameworks.leaves import GraphPart, Leaf, Shape
from export.rearranging import NodeRow, along_axes, selection
from export.windows import Geometry, or_of_windows


@dataclass
class Selection(Leaf):
    """Each output is one input, or zero: slices, parts of a concatenation, padding, nearest
    upsampling, pixel shuffle."""

    index: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    operation: str = ""

    @property
    def structural(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return f"operation {self.operation!r} (in {self.path or 'the model'})"

    @property
    def what(self) -> tuple[object, ...]:
        """What tells it from others of its name."""
        return self.input_shape, self.index.shape, self.index.tobytes()

    def wanted(self, shape: Shape) -> None:
        """Called with the shape that those take that read it: its elements may be regrouped."""
        self.index = self.index.reshape(shape)
        self.output_shape = self.index.shape

    @property
    def row(self) -> NodeRow:
        dims = len(self.given_shape)
        index = with_places(self.index, self.given_shape)
        if index.ndim != dims:
            raise UnsupportedError(
                f"{self.label}: it makes shape {index.shape} of {self.given_shape}; it must have "
                f"{dims} dimensions, without batch"
            )
        try:
            return selection(index, self.given_shape)
        except UnsupportedError as error:
            raise UnsupportedError(f"{self.label}: {error}") from None

    def part(self, dt: float) -> GraphPart:
        return _part(self.name, self.row, self.operation)


@dataclass
class Windows(Leaf):
    """Average pooling over windows of different sizes: one matrix along each spatial axis."""

    matrices: list[np.ndarray] = field(default_factory=list)

    @property
    def structural(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return f"average pooling {self.path or 'of the model'!r}"

    @property
    def what(self) -> tuple[object, ...]:
        """What tells it from others of its name."""
        return self.input_shape, *((m.shape, m.tobytes()) for m in self.matrices)

    def part(self, dt: float) -> GraphPart:
        row = along_axes(self.given_shape, self.matrices)
        return _part(self.name, row, "average pooling over windows of different sizes")


@dataclass
class Maximum(Leaf):
    """Max pooling of spikes: neurons that fire where one spike of their window arrives, in the same
    step."""

    geometry: Geometry = field(default_factory=lambda: Geometry((), (), (), ()))

    @property
    def structural(self) -> bool:
        return True

    @property
    def stateless(self) -> bool:
        return False

    @property
    def label(self) -> str:
        return f"max pooling {self.path or 'of the model'!r}"

    @property
    def what(self) -> tuple[object, ...]:
        """What tells it from others of its name."""
        return self.input_shape, self.geometry

    def part(self, dt: float) -> GraphPart:
        stages = or_of_windows(self.given_shape, self.geometry)
        names = [self.name if n == "fires" else f"{self.name}.{n}" for n, _, _ in stages]
        nodes = {n: (node, entry) for n, (_, node, entry) in zip(names, stages)}
        return in_a_row(nodes)


def in_a_row(nodes: dict[str, tuple[nir.NIRNode, dict[str, Any]]]) -> GraphPart:
    """A part whose nodes follow each other."""
    names = list(nodes)
    return GraphPart(nodes, list(pairwise(names)), (names[0],), (names[-1],))


def _part(name: str, row: NodeRow, moves: str) -> GraphPart:
    single = len(row.nodes) == 1
    entry = {"moves": moves}
    return in_a_row(
        {name if single else f"{name}.{n}": (node, dict(entry)) for n, node in row.nodes}
    )


def numbers(value: Any, count: int) -> Shape:
    """One number, or one for each axis, as PyTorch's functions take them."""
    return (
        tuple(int(n) for n in value) if isinstance(value, (tuple, list)) else (int(value),) * count
    )


def with_places(index: np.ndarray, in_shape: Shape) -> np.ndarray:
    """A choice with as many dimensions as its input: what lost an axis (a number as index) is given
    one of size 1."""
    missing = len(in_shape) - index.ndim
    if missing <= 0 or len(in_shape) == 1:
        return index
    ones = (1,) * missing
    return index.reshape(-1, *ones) if index.ndim == 1 else index.reshape(*ones, *index.shape)
