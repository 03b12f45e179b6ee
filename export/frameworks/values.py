"""What a traced tensor stands for: sums of scaled layer outputs, each of a known time step.

Three kinds, told apart by class:

    Value    one time step, tensor [batch, *features] in C order
    Stack    several Values along one more axis (time, or branches that are summed later)
    Opaque   made by an operation that no layer of a chip computes; fine in a readout, refused as
             the input of a layer
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch

SPIKES, POTENTIAL, CURRENT, WEIGHTED, INPUT = "spikes", "potential", "current", "weighted", "input"
CHOSEN = "chosen spikes"
"""What a term carries: a neuron's spikes, membrane potential or synaptic current; a weighted sum;
the model's input; spikes chosen and moved. Parts of one concatenation of spikes carry "chosen
spikes of NAME", the same NAME for all."""


Sources = frozenset[tuple[str, str]]
"""(node, port) of what something was made from."""


@dataclass(frozen=True)
class Term:
    """``scale`` times one output of a node in one step; step None: the same in every step (a
    constant input)."""

    node: str
    port: str
    step: int | None
    scale: float = 1.0


@dataclass(frozen=True)
class Value:
    """A sum of terms; no terms: zero."""

    terms: tuple[Term, ...] = ()

    def scaled(self, factor: float) -> Value:
        """Every term times ``factor``."""
        return Value(tuple(replace(t, scale=t.scale * factor) for t in self.terms if factor))

    def plus(self, other: Value, factor: float = 1.0) -> Value:
        """Sum; equal outputs are merged."""
        merged: dict[tuple[Any, ...], Term] = {}
        for term in (*self.terms, *other.scaled(factor).terms):
            key = (term.node, term.port, term.step)
            known = merged.get(key)
            merged[key] = term if known is None else replace(known, scale=known.scale + term.scale)
        return Value(tuple(t for t in merged.values() if t.scale))

    @property
    def common_scale(self) -> float | None:
        """The scale that all terms share; None where they differ. 1 for zero."""
        scales = {t.scale for t in self.terms}
        return 1.0 if not scales else scales.pop() if len(scales) == 1 else None

    @property
    def constant(self) -> bool:
        """The same in every step (and not merely zero)."""
        return bool(self.terms) and all(t.step is None for t in self.terms)


@dataclass(frozen=True)
class Stack:
    """``items`` along an axis of their own.

    ``layout``: "SB" [item, batch, ...]; "BS" [batch, item, ...]; "S*B" and "B*S" the same with both
    axes merged into one.
    """

    items: tuple[Value, ...]
    layout: str = "SB"

    def map(self, function: Callable[[Value], Value]) -> Stack:
        """The function applied to every item."""
        return Stack(tuple(function(item) for item in self.items), self.layout)

    def split(self, tensor: torch.Tensor, batch: int) -> list[torch.Tensor]:
        """The tensor of every item, [batch, *features] each."""
        count = len(self.items)
        if self.layout == "S*B":
            tensor = tensor.reshape(count, batch, *tensor.shape[1:])
        elif self.layout == "B*S":
            tensor = tensor.reshape(batch, count, *tensor.shape[1:])
        return list(tensor.unbind(0 if self.layout[0] == "S" else 1))


@dataclass(frozen=True)
class Opaque:
    """The result of an operation that is not followed further.

    operation   its name
    where       path of the module that ran it
    sources     (node, port) of what it was made from, without the steps: their number would grow
                with every step
    reading     set where the operation merely reads layers out (a maximum over time, a softmax):
                see ``LayerReading``
    """

    operation: str
    where: str
    sources: Sources = frozenset()
    reading: LayerReading | None = None


@dataclass(frozen=True)
class LayerReading:
    """How a node's output was read over the first ``steps`` steps.

    how     "trace", "sum", "mean", "last" or "max"
    factor  on what was read (1 / steps of a mean left aside)
    lead    leading axes of the tensor that hold no features: batch, and steps of a trace
    after   operations that came after and keep the largest score the largest, in order
    """

    node: str
    port: str
    how: str
    steps: int
    factor: float = 1.0
    lead: int = 1
    after: tuple[str, ...] = ()


Traced = Value | Stack | Opaque


def terms_of(value: Value | Stack) -> tuple[Term, ...]:
    """All terms in a value."""
    if isinstance(value, Value):
        return value.terms
    return tuple(term for item in value.items for term in item.terms)


def sources_of(value: Traced | None) -> Sources:
    """(node, port) of everything in a value, whatever its kind."""
    if value is None:
        return frozenset()
    if isinstance(value, Opaque):
        return value.sources
    return frozenset((term.node, term.port) for term in terms_of(value))


def tensors_in(arguments: Iterable[Any]) -> list[torch.Tensor]:
    """Tensors among positional and keyword arguments, one level of lists deep."""
    tensors: list[torch.Tensor] = []
    for item in arguments:
        if isinstance(item, torch.Tensor):
            tensors.append(item)
        elif isinstance(item, (list, tuple)):
            tensors += [x for x in item if isinstance(x, torch.Tensor)]
    return tensors
