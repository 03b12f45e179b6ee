"""What operations without weights make of the values they are applied to: pooled maps, and elements
chosen, moved and put side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from export.frameworks.linear_layers import Derived, maximum_leaf, pool_leaf
from export.frameworks.moved import Selection
from export.frameworks.operations import Piece
from export.frameworks.values import (
    CHOSEN,
    INPUT,
    SPIKES,
    WEIGHTED,
    Opaque,
    Stack,
    Traced,
    Value,
    sources_of,
)

POOLS = {"avg_pool1d", "avg_pool2d", "adaptive_avg_pool1d", "adaptive_avg_pool2d"}
MAXIMA = {"max_pool1d", "max_pool2d"}
RATE = 0.25
"""Share of ones among the random spikes: enough to tell elements apart, few enough not to overflow
integer currents."""


class TraceRun(Protocol):
    """The run that is followed (``tracker.Tracker``): ``binary``: its input is spikes; ``shapes``:
    of what each node sends, without batch."""

    batch: int
    binary: bool
    random: torch.Generator
    modules: dict[str, nn.Module]
    shapes: dict[str, tuple[int, ...]]

    def where(self) -> str: ...

    def place(self, path: str) -> str: ...

    def chooses(self, output: str) -> bool: ...

    def check_numbers(self, label: str, value: Value | Stack, tensor: torch.Tensor) -> None: ...

    def derived(
        self,
        leaf: Derived,
        value: Value,
        source: torch.Tensor,
        result: torch.Tensor,
        factor: float = 1.0,
        port: str = WEIGHTED,
    ) -> Value: ...


def pooled(
    run: TraceRun,
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    before: Mapping[int, Traced | None],
    result: torch.Tensor,
) -> Traced:
    """Average and max pooling."""
    source, where = args[0] if args else kwargs["input"], run.where()
    value = before[id(source)]
    opaque = Opaque(name, where, sources_of(value))
    if isinstance(value, Opaque):
        return replace(opaque, operation=value.operation, where=value.where)
    if value is None or (isinstance(value, Stack) and "*" not in value.layout):
        return opaque

    items = value.items if isinstance(value, Stack) else (value,)
    if name in MAXIMA:
        if not all(_binary(run, item) for item in items):
            return opaque
        # windows of spikes nearly all fire, which would prove little: others stand for them
        fires = torch.rand(result.shape, generator=run.random) < RATE
        result.copy_(fires * next((v.common_scale or 1.0 for v in items if v.terms), 1.0))

    parts = value.split(source, run.batch) if isinstance(value, Stack) else [source]
    results = value.split(result, run.batch) if isinstance(value, Stack) else [result]
    pooled_items = []
    for item, given, output in zip(items, parts, results):
        if not item.terms:
            output.zero_()
            pooled_items.append(item)
        elif name in MAXIMA:
            leaf = maximum_leaf(name, args, kwargs, where, given, output)
            pooled_items.append(run.derived(leaf, item, given, output, port=SPIKES))
        else:
            pool, factor = pool_leaf(name, args, kwargs, where, given, output)
            pooled_items.append(run.derived(pool, item, given, output, factor))

    return Stack(tuple(pooled_items), value.layout) if isinstance(value, Stack) else pooled_items[0]


def _binary(run: TraceRun, value: Value) -> bool:
    """Whether a value is zeros and one other number, above zero: spikes, chosen or
    concatenated."""
    if not value.terms:
        return True
    scale = value.common_scale
    if scale is None or scale <= 0:
        return False
    ports = {term.port for term in value.terms}
    if len(value.terms) > 1:
        return len(ports) == 1 and next(iter(ports)).startswith(f"{CHOSEN} of ")
    port = next(iter(ports))
    return port == SPIKES or port.startswith(CHOSEN) or (port == INPUT and run.binary)


def chosen(run: TraceRun, name: str, pieces: list[Piece], result: torch.Tensor) -> Traced:
    """Elements of one or several tensors, side by side: the sum of what each of them gives."""
    selections = [_choice(run, name, number, pieces) for number in range(len(pieces))]
    sums = [Value()] * len(selections[0])
    for values in selections:
        sums = [total.plus(value) for total, value in zip(sums, values)]
    first = pieces[0].value
    total = Stack(tuple(sums), first.layout) if isinstance(first, Stack) else sums[0]
    run.check_numbers(f"the operation {name!r} (in {run.place(run.where())})", total, result)
    return total


def _choice(run: TraceRun, name: str, number: int, pieces: list[Piece]) -> list[Value]:
    piece = pieces[number]
    items = piece.value.items if isinstance(piece.value, Stack) else (piece.value,)
    return [
        _choice_of(run, name, number, pieces, item, given)
        for item, given in zip(items, piece.sources)
    ]


def _choice_of(
    run: TraceRun, name: str, number: int, pieces: list[Piece], value: Value, given: torch.Tensor
) -> Value:
    if not value.terms:
        return value
    index, shape = pieces[number].index, tuple(given.shape[1:])
    if index.size == given[0].numel() and np.array_equal(index.reshape(-1), np.arange(index.size)):
        return value

    where, operation = run.where(), name.strip("_")
    operation = "slice" if operation == "getitem" else operation
    plain = where and not any(True for _ in run.modules[where].children())
    own = type(run.modules[where]).__module__.startswith("torch.nn") if plain else False
    base = where if own else f"{where}.{operation}" if where else operation

    # elements keep their numbers when a map is reshaped, so the source's own shape will do
    sent = {run.shapes[term.node] for term in value.terms}
    if len(sent) == 1 and not any(run.chooses(term.node) for term in value.terms):
        (shape,) = sent

    leaf = Selection(where, None, base, input_shape=shape, index=index, operation=operation)
    leaf.output_shape = index.shape
    binary = _binary(run, value)
    port = CHOSEN if binary else WEIGHTED
    if binary and len(pieces) > 1:
        # only parts of the very same concatenation lie side by side
        named = ("+".join(sorted(n for n, _ in sources_of(p.value))) for p in pieces)
        port = f"{CHOSEN} of {base} ({' | '.join(named)})"

    flat = given.detach().double().cpu().reshape(run.batch, -1).numpy()
    numbers = index.reshape(-1)
    result = np.where(numbers < 0, 0.0, flat[:, np.maximum(numbers, 0)])
    return run.derived(leaf, value, given, torch.from_numpy(result), port=port)
