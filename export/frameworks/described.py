"""Layers that describe themselves, and how the leaves of a model are found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from export.errors import ExportError, UnsupportedError
from export.frameworks import snntorch_neurons
from export.frameworks.leaves import GraphPart, Leaf
from export.frameworks.linear_layers import TRANSPOSED, Normalisation, WeightLeaf
from export.frameworks.values import CURRENT, POTENTIAL, SPIKES, WEIGHTED
from export.shapes import NEURONS, SPIKING, tuple_of


@dataclass
class Described(Leaf):
    """A layer that describes itself: ``nir_node(input_shape, dt=1.0) -> (node, metadata)`` or
    ``nir_parts`` (several nodes)."""

    module: Any  # of whoever wrote it; known by what it has

    def _description(self, dt: float) -> GraphPart:
        prefix = f"{self.name}." if self.path else ""

        def named(part: str) -> str:
            return prefix + part if part else self.name

        try:
            if hasattr(self.module, "nir_parts"):
                parts = self.module.nir_parts(self.input_shape, dt=dt)
                nodes = {named(n): (node, entry) for n, (node, entry) in parts["nodes"].items()}
                edges = [(named(a), named(b)) for a, b in parts["edges"]]
                inputs, outputs = (
                    (ends,) if isinstance(ends, str) else ends
                    for ends in (parts["input"], parts["output"])
                )
                return GraphPart(
                    nodes,
                    edges,
                    tuple(named(n) for n in inputs),
                    tuple(named(n) for n in outputs),
                )
            node, entry = self.module.nir_node(self.input_shape, dt=dt)
        except ExportError:
            raise
        except Exception as error:
            raise UnsupportedError(f"{self.label}: it has no NIR form: {error}") from error
        return GraphPart.single(self.name, node, dict(entry))

    @property
    def described(self) -> GraphPart:
        """Its description with a time step of 1; only after its input shape is known."""
        if not hasattr(self, "_cached"):
            self._cached = self._description(1.0)
        return self._cached

    @property
    def node(self) -> nir.NIRNode:
        """The node that its output comes from; of several, which are alike, the first."""
        return self.described.nodes[self.output_name][0]

    @property
    def output_name(self) -> str:
        return self.described.outputs[0]

    @property
    def stateless(self) -> bool:
        return not any(
            isinstance(node, (*NEURONS, nir.Delay)) for node, _ in self.described.nodes.values()
        )

    @property
    def structural(self) -> bool:
        kinds = (nir.SumPool2d, nir.AvgPool2d, nir.Flatten, nir.Threshold)
        return all(
            isinstance(node, kinds) or "moves" in entry
            for node, entry in self.described.nodes.values()
        )

    def accept(self, layout: str | None, kwargs: Mapping[str, Any]) -> None:
        if getattr(self.module, "temporal", False) and bool(kwargs.get("sequence")) != (
            layout is not None
        ):
            called_with = "several time steps" if layout is not None else "one time step"
            raise UnsupportedError(
                f"{self.label}: called with {called_with} and "
                f"sequence={bool(kwargs.get('sequence'))}; it must be "
                f"sequence={layout is not None} there"
            )
        if getattr(self.module, "temporal", False) and layout not in (None, "SB"):
            raise UnsupportedError(
                f"{self.label}: its input must be [time, batch, ...], time first"
            )

    def prepare(self) -> None:
        reset = getattr(self.module, "reset_mem", None)
        if callable(reset):
            reset()

    def ports(self, count: int) -> tuple[str, ...]:
        if not isinstance(self.node, NEURONS):
            return (WEIGHTED,) * count
        names: tuple[str, ...] = getattr(self.module, "states", ())
        if not names:
            names = getattr(getattr(self.module, "neuron", None), "states", ())
        states = tuple(POTENTIAL if name == "mem" else CURRENT for name in names)
        if isinstance(self.node, SPIKING):
            return (
                (SPIKES, *states)[:count]
                if count <= 1 + len(states)
                else (SPIKES, *(CURRENT,) * (count - 1))
            )
        return states if count == len(states) > 1 else (POTENTIAL,) * count

    def compute(self, given: torch.Tensor) -> torch.Tensor | None:
        described = self.described
        names = list(described.nodes)
        in_a_row = (described.inputs, described.outputs) == ((names[0],), (names[-1],))
        if not in_a_row or described.edges != list(pairwise(names)):
            return None
        result = given.double()
        for node, _ in described.nodes.values():
            computed = _computed(node, result)
            if computed is None:
                return None
            result = computed
        return result

    def part(self, dt: float) -> GraphPart:
        return self._description(dt)

    def remarks(self) -> list[str]:
        """ "notes" of its ``nir_parts``."""
        if not hasattr(self.module, "nir_parts"):
            return []
        return [
            f"{self.name}: {note}"
            for note in self.module.nir_parts(self.input_shape).get("notes", ())
        ]


def _computed(node: nir.NIRNode, given: torch.Tensor) -> torch.Tensor | None:
    """What a node without memory computes, [batch, ...] in float64; None for other nodes."""

    def array(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, np.float64)).to(given.device)

    if isinstance(node, (nir.Linear, nir.Affine)):
        bias = array(node.bias) if isinstance(node, nir.Affine) else None
        return functional.linear(given, array(node.weight), bias)
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        convolve = functional.conv1d if isinstance(node, nir.Conv1d) else functional.conv2d
        geometry = (node.stride, node.padding, node.dilation, int(node.groups))
        return convolve(given, array(node.weight), array(node.bias), *geometry)
    if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
        size, stride, padding = (
            tuple_of(v, 2) for v in (node.kernel_size, node.stride, node.padding)
        )
        divisor = 1 if isinstance(node, nir.SumPool2d) else None
        return functional.avg_pool2d(given, size, stride, padding, divisor_override=divisor)
    if isinstance(node, nir.Scale):
        return given * array(node.scale)
    if isinstance(node, nir.Threshold):
        return (given > array(node.threshold)).double()
    return None


def find(model: nn.Module) -> dict[str, Leaf]:
    """The leaves of a model by path. Raises UnsupportedError for layers that are known not to be
    exportable."""
    leaves: dict[str, Leaf] = {}
    inside: tuple[str, ...] = ()
    for path, module in model.named_modules():
        if inside and any(path.startswith(p + ".") or p == "" for p in inside):
            continue
        leaf = _leaf(path, module)
        if leaf is not None:
            leaves[path] = leaf
            inside = (*inside, path)
    return leaves


def _leaf(path: str, module: nn.Module) -> Leaf | None:
    if callable(getattr(module, "nir_node", None)) or callable(getattr(module, "nir_parts", None)):
        return Described(path, module)
    if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, *TRANSPOSED)):
        return WeightLeaf(path, module)
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        return Normalisation(path, module)
    return snntorch_neurons.leaf(path, module)
