"""What the tracer treats as one layer, and what it asks of it.

A leaf says what shapes it takes, what its outputs carry, what its weights compute (so that a run
can check it) and which NIR nodes it becomes. The kinds: ``linear_layers``, ``snntorch_neurons``,
``described``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

from export.errors import GraphError, UnsupportedError
from export.frameworks.values import WEIGHTED

Shape = tuple[int, ...]


@dataclass
class GraphPart:
    """A leaf as NIR: nodes with their metadata entries, edges between them, and the names that the
    outside connects to.

    Every input is given what comes in; what goes out is the sum of the outputs.
    """

    nodes: dict[str, tuple[nir.NIRNode, dict[str, Any]]]
    edges: list[tuple[str, str]] = field(default_factory=list)
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    @classmethod
    def single(cls, name: str, node: nir.NIRNode, entry: dict[str, Any] | None = None) -> GraphPart:
        """One node."""
        return cls({name: (node, entry or {})}, [], (name,), (name,))


@dataclass
class Leaf:
    """A layer. ``path`` is its place in the model, ``name`` that in the graph (pools in several
    places have several)."""

    path: str
    module: nn.Module | None = None
    name: str = ""
    input_shape: Shape | None = None
    output_shape: Shape | None = None
    notes: list[str] = field(default_factory=list)

    spike_scale = 1.0

    def __post_init__(self) -> None:
        self.name = self.name or self.path or "model"

    @property
    def given_shape(self) -> Shape:
        """``input_shape``, once it is known. Raises UnsupportedError before."""
        if self.input_shape is None:
            raise UnsupportedError(f"{self.label}: it was not called, so its shapes are not known")
        return self.input_shape

    @property
    def stateless(self) -> bool:
        """False where its output depends on earlier steps."""
        return True

    @property
    def structural(self) -> bool:
        """True where it only rearranges, averages or scales, so that its step is its source's."""
        return False

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"layer {self.path or 'model'!r} ({type(self.module).__name__})"

    @property
    def output_name(self) -> str:
        """Name of the node that its output comes from."""
        return self.name

    def prepare(self) -> None:
        """Before the first step of a run."""

    def accept(self, layout: str | None, kwargs: Mapping[str, Any]) -> None:
        """Raises UnsupportedError where the layer would not treat its input step by step.
        ``layout``: of a Stack, else None."""

    def check_state(
        self,
        module: nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        given: torch.Tensor,
    ) -> None:
        """Raises UnsupportedError where the layer does not start from zero, or does not go on from
        where it was."""

    def state(self, module: nn.Module, outputs: list[torch.Tensor]) -> dict[str, Any]:
        """What ``check_state`` compares with in the next step."""
        return {}

    def held(self, module: nn.Module) -> list[tuple[str, torch.Tensor]]:
        """(port, tensor) of the states that a model may read as attributes of the module after a
        call."""
        return []

    def fixed(self) -> dict[str, torch.Tensor]:
        """Parameters that a run must leave as they are, where ``compute`` does not show it."""
        return {}

    def ports(self, count: int) -> tuple[str, ...]:
        """What each of its outputs carries."""
        return (WEIGHTED,) * count

    def compute(self, given: torch.Tensor) -> torch.Tensor | None:
        """The output that the exported weights give; None where that is shown in another way."""
        return None

    def see_shapes(self, shape: Shape) -> None:
        """Called with the shape of every input, without batch."""
        if self.input_shape is None:
            self.input_shape = shape
        elif self.input_shape != shape:
            raise UnsupportedError(
                f"{self.label}: called with inputs of shape {self.input_shape} and {shape}; "
                f"there must be one shape"
            )

    def see_output(self, shape: Shape) -> None:
        """Called with the shape of every output, without batch."""
        self.output_shape = shape

    def prove(self) -> None:
        """Raises UnsupportedError where a run of the layer alone does not give what it is exported
        as; for layers whose ``compute`` does not show it."""

    def remarks(self) -> list[str]:
        """What the audit should say about it."""
        return []

    def part(self, dt: float) -> GraphPart:
        """The leaf as NIR."""
        raise NotImplementedError


def array(label: str, name: str, tensor: torch.Tensor) -> np.ndarray:
    """A parameter as an array, float32 or float64. Raises GraphError on NaN or infinite values."""
    tensor = tensor.detach().cpu()
    values = (tensor if tensor.dtype == torch.float64 else tensor.float()).numpy().copy()
    if not np.all(np.isfinite(values)):
        raise GraphError(
            f"{label}: {name} holds NaN or infinite values, the first at "
            f"{np.argwhere(~np.isfinite(values))[0].tolist()}"
        )
    finite: np.ndarray = values
    return finite
