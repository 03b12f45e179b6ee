"""What PyTorch operations between layers mean for the values that they are applied to.

Operations that only move elements (view, permute, indexing, unbind ...) are understood by applying
them to the element numbers instead of the elements: whatever way they are spelled, the outcome says
which step and which order. Sums and multiplications with a number are followed; everything else
gives an Opaque value, which a readout may hold and a layer refuses.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np
import torch
from torch.overrides import resolve_name

from export.frameworks import readings
from export.frameworks.taint import CREATING
from export.frameworks.values import (
    CHOSEN,
    INPUT,
    SPIKES,
    WEIGHTED,
    Opaque,
    Sources,
    Stack,
    Traced,
    Value,
    sources_of,
    tensors_in,
    terms_of,
)

MOVING = {
    *(
        "view",
        "reshape",
        "flatten",
        "unflatten",
        "squeeze",
        "unsqueeze",
        "permute",
        "transpose",
        "swapaxes",
        "swapdims",
        "movedim",
    ),
    *(
        "moveaxis",
        "t",
        "T",
        "mT",
        "__getitem__",
        "select",
        "narrow",
        "unbind",
        "split",
        "chunk",
        "tensor_split",
        "expand",
        "expand_as",
    ),
    *(
        "repeat",
        "tile",
        "view_as",
        "reshape_as",
        "broadcast_to",
        "ravel",
        "flip",
        "index_select",
        "atleast_2d",
        "atleast_3d",
    ),
}
"""Operations that move or repeat elements and leave them as they are."""

CHOOSING = {
    *("pad", "constant_pad_nd", "upsample_nearest1d", "upsample_nearest2d", "interpolate"),
    *("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "pixel_shuffle"),
    *("pixel_unshuffle", "channel_shuffle", "roll", "repeat_interleave", "rot90", "fliplr"),
    *("flipud", "take_along_dim", "index_fill", "masked_fill"),
}
"""Further operations whose results hold elements of their argument, or zeros."""

JOINING = {"cat", "concat", "concatenate", "hstack", "vstack"}

SAME = {
    *(
        "contiguous",
        "clone",
        "detach",
        "to",
        "type",
        "type_as",
        "float",
        "double",
        "half",
        "bfloat16",
        "int",
        "long",
        "cpu",
        "cuda",
    ),
    *("requires_grad_", "data", "alias", "positive", "__pos__"),
}
"""Operations whose result equals their argument, unless a change of type rounds it (which is
noticed, and then not followed)."""

DROPOUTS = {
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
    "feature_dropout",
}

ARITHMETIC = {
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), "add"),
    **dict.fromkeys(("sub", "subtract", "__sub__", "__isub__"), "sub"),
    **dict.fromkeys(("rsub", "__rsub__"), "rsub"),
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__", "__imul__"), "mul"),
    **dict.fromkeys(("div", "divide", "true_divide", "__truediv__", "__itruediv__"), "div"),
    **dict.fromkeys(("neg", "negative", "__neg__"), "neg"),
}


def name_of(function: Callable[..., Any]) -> str:
    """Short name of a torch function or method; in-place variants and attribute getters under the
    plain name."""
    full: str = resolve_name(function) or getattr(function, "__name__", "an operation")
    parts = full.split(".")
    name = parts[-2] if parts[-1] == "__get__" else parts[-1]
    return name if name.startswith("__") else name.rstrip("_") if name != "requires_grad_" else name


@dataclass(frozen=True, eq=False)
class Piece:
    """What one tensor brings to a result.

    sources  the tensor of each step, [batch, *features]
    index    of the shape of one row of the result: the feature, or -1
    """

    value: Value | Stack
    sources: list[torch.Tensor]
    index: np.ndarray


class Interpreter:
    """Finds the value of a result.

    ``lookup(tensor)`` gives the value of a tensor (zero for untracked tensors that hold only zeros,
    None for other untracked ones).
    """

    def __init__(self, lookup: Callable[[torch.Tensor], Traced | None], batch: int) -> None:
        self.lookup, self.batch = lookup, batch

    def derive(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        result: Any,
        where: str,
    ) -> list[tuple[torch.Tensor, Traced]]:
        """(tensor, value) of every tensor in ``result``; ``where``: path of the module that runs
        the operation."""
        name = name_of(function)
        results = [
            r
            for r in (result if isinstance(result, (tuple, list)) else (result,))
            if isinstance(r, torch.Tensor)
        ]
        if not results or name in CREATING:
            return []

        inputs = tensors_in((*args, *kwargs.values()))
        values: list[Traced] | None = None
        if name in MOVING and self._only(inputs):
            values = self._moved(function, args, kwargs, inputs[0], results, name, where)
        elif name in SAME or name in DROPOUTS:
            values = self._same(inputs[0], results)
        elif name in ARITHMETIC:
            value = self._arithmetic(ARITHMETIC[name], args, kwargs)
            values = None if value is None else [value]
        elif name == "stack" or name in JOINING:
            value = self._joined(name, args, kwargs, results[0])
            values = None if value is None else [value]
        elif name in ("sum", "mean", "max", "amax"):
            values = self._reduced(name, args, kwargs, where)

        if values is None or len(values) != len(results):
            opaque = self._opaque(name, where, inputs)
            one = inputs[0] if len(inputs) == 1 else None
            read = (
                None if one is None else readings.after(name, args, kwargs, one, self.lookup(one))
            )
            values = [replace(opaque, reading=read)] * len(results)

        return list(zip(results, values))

    def _opaque(self, name: str, where: str, inputs: Sequence[torch.Tensor]) -> Opaque:
        """What is not followed; the first operation that could not be is the one to name."""
        values = [self.lookup(t) for t in inputs]
        earlier = next((v for v in values if isinstance(v, Opaque) and v.reading is None), None)
        sources: Sources = frozenset().union(*map(sources_of, values))
        return (
            Opaque(name, where, sources) if earlier is None else replace(earlier, sources=sources)
        )

    def _only(self, inputs: list[torch.Tensor]) -> bool:
        """Only the first tensor is a traced one (others may give a shape, or an index)."""
        return (
            bool(inputs)
            and self.lookup(inputs[0]) is not None
            and not any(sources_of(self.lookup(t)) for t in inputs[1:])
        )

    def _same(self, source: torch.Tensor, results: list[torch.Tensor]) -> list[Traced] | None:
        value = self.lookup(source)
        result = results[0]
        if (
            value is None
            or result.shape != source.shape
            or not torch.equal(result.to(source.device, torch.float64), source.double())
        ):
            return None
        return [value]

    def _moved(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        source: torch.Tensor,
        results: list[torch.Tensor],
        name: str,
        where: str,
    ) -> list[Traced] | None:
        value = self.lookup(source)
        if value is None or (isinstance(value, Opaque) and value.reading is None):
            return None if value is None else [value] * len(results)

        numbers_ = torch.arange(source.numel(), device=source.device).reshape(source.shape)
        replaced = [numbers_ if a is source else a for a in args]
        moved = function(
            *replaced, **{k: numbers_ if v is source else v for k, v in kwargs.items()}
        )
        moved = [
            m
            for m in (moved if isinstance(moved, (tuple, list)) else (moved,))
            if isinstance(m, torch.Tensor)
        ]

        if isinstance(value, Opaque):
            kept = [readings.moved(value.reading, source, r, m) for r, m in zip(results, moved)]
            lost = self._opaque(name, where, [source])
            return [lost if read is None else value for read in kept]

        values: list[Traced] = []
        for order in moved:
            rearranged = self._rearranged(value, order, source)
            if rearranged is None:
                return None
            values.append(rearranged)
        return values

    def _rearranged(
        self, value: Value | Stack, moved: torch.Tensor, source: torch.Tensor
    ) -> Value | Stack | None:
        """The value whose element numbers are ``moved``; None where it is no longer batch first
        with features in C order."""
        if isinstance(value, Value):
            everything = torch.arange(source.numel(), device=moved.device)
            if moved.numel() == source.numel():
                return value if torch.equal(moved.reshape(-1), everything) else None
            # a constant input repeated along a new axis
            if not value.constant or not source.numel() or moved.numel() % source.numel():
                return None
            return self._laid_out(
                (value,) * (moved.numel() // source.numel()), moved, everything, repeated=True
            )

        count, features = len(value.items), source.numel() // (len(value.items) * self.batch)
        # of each element of the source: its step, its row of the batch, its place in the item
        number = torch.arange(source.numel(), device=moved.device)
        first, rest = number // features, number % features
        if value.layout[0] == "S":
            step, row = first // self.batch, first % self.batch
        else:
            row, step = first // count, first % count
        place = row * features + rest

        chosen = step[moved.reshape(-1)]
        size = self.batch * features
        if not moved.numel() or moved.numel() % size:
            return None

        if moved.numel() == size and bool((chosen == chosen[0]).all()):
            whole = torch.arange(size, device=moved.device)
            return (
                value.items[int(chosen[0])]
                if torch.equal(place[moved.reshape(-1)], whole)
                else None
            )

        places = place[moved.reshape(-1)]
        for layout in ("SB", "BS"):
            arranged = self._by_item(chosen, moved.numel() // size, features, layout)
            if bool((arranged == arranged[:, :1]).all()):
                items = tuple(value.items[int(row[0])] for row in arranged)
                return self._laid_out(items, moved, places, layouts=(layout,))
        return None

    def _by_item(self, flat: torch.Tensor, count: int, features: int, layout: str) -> torch.Tensor:
        """[item, batch * features] from a flat tensor in the layout."""
        if layout == "SB":
            return flat.reshape(count, -1)
        return flat.reshape(self.batch, count, features).transpose(0, 1).reshape(count, -1)

    def _laid_out(
        self,
        items: tuple[Value, ...],
        moved: torch.Tensor,
        places: torch.Tensor,
        layouts: Sequence[str] = ("SB", "BS"),
        repeated: bool = False,
    ) -> Stack | None:
        """A Stack if, in one of the layouts, every item holds all its elements in order, and the
        shape shows it."""
        count, size = len(items), moved.numel() // len(items)
        flat = moved.reshape(-1) if repeated else places
        whole = torch.arange(size, device=moved.device)
        for layout in layouts:
            if not bool((self._by_item(flat, count, size // self.batch, layout) == whole).all()):
                continue
            lead = (count, self.batch) if layout == "SB" else (self.batch, count)
            if tuple(moved.shape[:2]) == lead:
                return Stack(items, layout)
            if moved.shape[0] == count * self.batch:
                return Stack(items, layout[0] + "*" + layout[1])
        return None

    def _operand(self, item: object) -> Traced | float | None:
        """A value, a number, or None for what is neither."""
        if isinstance(item, numbers.Real):
            return float(item)
        if not isinstance(item, torch.Tensor):
            return None
        value = self.lookup(item)
        untracked = value is None or (isinstance(value, Value) and not value.terms)
        if untracked and item.numel() == 1 and not item.is_complex():
            return float(item)
        return value

    def _arithmetic(self, kind: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Traced | None:
        operands: list[Value | Stack | float] = []
        for item in (*args[:2], *(kwargs[k] for k in ("input", "other") if k in kwargs)):
            operand = self._operand(item)
            if operand is None or isinstance(operand, Opaque):
                return None
            operands.append(operand)
        if kwargs.get("rounding_mode"):
            return None

        a, b = (*operands, 0.0)[:2]
        if kind == "neg":
            if isinstance(a, float):
                return Value() if not a else None
            return _each(a, lambda v: v.scaled(-1.0))
        if kind in ("mul", "div"):
            if kind == "div" and not isinstance(b, float):
                return None
            if isinstance(a, float):
                a, b = b, a
            if isinstance(a, float) or not isinstance(b, float):
                return None
            if kind == "div" and not b:
                return None
            ratio = b if kind == "mul" else 1.0 / b
            return _each(a, lambda v: v.scaled(ratio))

        # a number that is added is a constant current; zero is the start of many a loop
        if isinstance(a, float) or isinstance(b, float):
            number, value = (a, b) if isinstance(a, float) else (b, a)
            if number != 0.0 or isinstance(value, float):
                return None
            sign = (
                -1.0 if (kind == "sub" and value is b) or (kind == "rsub" and value is a) else 1.0
            )
            return _each(value, lambda v: v.scaled(sign))

        factor = float(kwargs.get("alpha", 1.0)) * (1.0 if kind == "add" else -1.0)
        first, second = (b, a) if kind == "rsub" else (a, b)
        shapes = {
            tuple(x.shape)
            for x in args[:2]
            if isinstance(x, torch.Tensor) and sources_of(self.lookup(x))
        }
        if len(shapes) > 1:
            return None
        return _pairwise(first, second, factor)

    def _joined(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], result: torch.Tensor
    ) -> Traced | None:
        tensors = list(args[0] if args else kwargs["tensors"])
        axis = args[1] if len(args) > 1 else kwargs.get("dim", 0)
        values: list[Value | Stack] = []
        for tensor in tensors:
            value = self.lookup(tensor)
            if value is None or isinstance(value, Opaque):
                return None
            values.append(value)
        if not isinstance(axis, int):
            return None
        axis += result.dim() if axis < 0 else 0

        if name == "stack":
            steps = tuple(v for v in values if isinstance(v, Value))
            if axis > 1 or len(steps) != len(values) or result.shape[1 - axis] != self.batch:
                return None
            return Stack(steps, "SB" if axis == 0 else "BS")

        if name not in ("cat", "concat", "concatenate"):
            return None
        if axis > 1 or _of_one_step(values):
            return None

        layout = "SB" if axis == 0 else "BS"
        items: list[Value] = []
        for tensor, part in zip(tensors, values):
            if isinstance(part, Stack):
                if part.layout != layout:
                    return None
                items += part.items
            elif (
                axis <= 1 < tensor.dim()
                and tensor.shape[axis] == 1
                and tensor.shape[1 - axis] == self.batch
            ):
                items.append(part)
            else:
                return None
        return Stack(tuple(items), layout)

    def chosen(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> list[tuple[torch.Tensor, list[Piece]]] | None:
        """(tensor, pieces) of every tensor in the result, whose rows hold features of the
        arguments, or zeros, in all steps alike; None where they hold anything else."""
        name = name_of(function)
        if name in JOINING:
            sources = list(args[0] if args else kwargs["tensors"])
        elif name in MOVING or name in CHOOSING:
            inputs = tensors_in((*args, *kwargs.values()))
            if not self._only(inputs):
                return None
            sources = inputs[:1]
        else:
            return None

        results = [
            r for r in (result if isinstance(result, (tuple, list)) else (result,))
            if isinstance(r, torch.Tensor)
        ]  # fmt: skip
        values = [v for v in map(self.lookup, sources) if _choosable(v)]
        if len(values) < len(sources) or not any(sources_of(v) for v in values):
            return None
        if len({(type(v), getattr(v, "layout", ""), len(_items(v))) for v in values}) > 1:
            return None

        pieces: list[list[Piece]] = [[] for _ in results]
        for place, (source, value) in enumerate(zip(sources, values)):
            numbers_ = torch.arange(1, 1 + source.numel(), dtype=torch.float64).reshape(
                source.shape
            )
            numbered = [torch.zeros(t.shape, dtype=torch.float64) for t in sources]
            numbered[place] = numbers_
            if name in JOINING:
                returned = function(
                    numbered, *args[1:], **{k: kwargs[k] for k in kwargs if k != "tensors"}
                )
            else:
                returned = function(
                    *(numbers_ if a is source else a for a in args),
                    **{k: numbers_ if v is source else v for k, v in kwargs.items()},
                )
            moved = returned if isinstance(returned, (tuple, list)) else (returned,)
            for part, numbers_of_result in zip(pieces, moved):
                index = self._pattern(value, numbers_, numbers_of_result)
                if index is None:
                    return None
                part.append(Piece(value, _split(value, source, self.batch), index))

        return list(zip(results, pieces))

    def _pattern(
        self, value: Value | Stack, numbers_: torch.Tensor, moved: torch.Tensor
    ) -> np.ndarray | None:
        """Which features each row of a result holds, -1 for zeros; None where rows or steps
        differ."""
        lead = 2 if isinstance(value, Stack) and "*" not in value.layout else 1
        if moved.dim() <= lead or moved.shape[:lead] != numbers_.shape[:lead] or 0 in moved.shape:
            return None

        kept: list[torch.Tensor] = []
        for before, after in zip(
            _split(value, numbers_, self.batch), _split(value, moved, self.batch)
        ):
            if before.shape[0] != self.batch or after.shape[0] != self.batch:
                return None

            flat = after.reshape(self.batch, -1)
            place = flat - before.reshape(self.batch, -1)[:, :1]
            size = before[0].numel()
            inside = (place >= 0) & (place < size) & (place == place.round())
            if not bool((inside | (flat == 0)).all()):
                return None
            place = torch.where(flat == 0, -torch.ones_like(place), place)
            rows = torch.cat([*kept, place])
            if not bool((rows == rows[:1]).all()):
                return None
            kept = [place[:1]]

        index: np.ndarray = kept[0].reshape(after.shape[1:]).long().numpy()
        return index

    def _reduced(
        self, name: str, args: Sequence[Any], kwargs: dict[str, Any], where: str
    ) -> list[Traced] | None:
        """A sum, mean or maximum over the steps of a Stack; None for another."""
        tensor = args[0] if args else kwargs.get("input")
        if not isinstance(tensor, torch.Tensor):
            return None
        value = self.lookup(tensor)
        axis = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
        if isinstance(axis, (tuple, list)) and len(axis) == 1:
            axis = axis[0]

        if (
            isinstance(axis, bool)
            or not isinstance(axis, int)
            or not isinstance(value, Stack)
            or "*" in value.layout
        ):
            return None
        if axis % tensor.dim() != value.layout.index("S"):
            return None

        if name in ("max", "amax"):
            opaque = self._opaque(name, where, [tensor])
            maximum = replace(opaque, reading=readings.over_time(value))
            return [maximum, opaque] if name == "max" else [maximum]

        total = Value()
        for item in value.items:
            total = total.plus(item, 1.0 if name == "sum" else 1.0 / len(value.items))
        return [total]


def _items(value: Value | Stack) -> tuple[Value, ...]:
    return value.items if isinstance(value, Stack) else ()


def _split(value: Value | Stack, tensor: torch.Tensor, batch: int) -> list[torch.Tensor]:
    return value.split(tensor, batch) if isinstance(value, Stack) else [tensor]


def _choosable(value: Traced | None) -> TypeGuard[Value | Stack]:
    """Whether elements of a value can be moved by nodes of their own: spikes and weighted sums, no
    sum over steps."""
    if not isinstance(value, (Value, Stack)):
        return False
    ports = {term.port for term in terms_of(value)}
    one_step = all(
        len({(t.node, t.port) for t in item.terms}) == len(item.terms)
        for item in (_items(value) or (value,))
        if isinstance(item, Value)
    )
    return one_step and all(p in (SPIKES, WEIGHTED, INPUT) or p.startswith(CHOSEN) for p in ports)


def _of_one_step(values: Sequence[Traced | None]) -> bool:
    """Whether several values belong to the same step, so that joining them is no sequence of
    steps."""
    steps = [
        max((t.step for t in v.terms if t.step is not None), default=None)
        for v in values
        if isinstance(v, Value) and v.terms
    ]
    return len(steps) > 1 and len(set(steps)) == 1 and steps[0] is not None


def _each(value: Value | Stack, function: Callable[[Value], Value]) -> Value | Stack:
    return value.map(function) if isinstance(value, Stack) else function(value)


def _pairwise(a: Value | Stack, b: Value | Stack, factor: float) -> Value | Stack | None:
    """a + factor * b; a zero fits any layout."""
    if isinstance(a, Stack) and isinstance(b, Stack):
        if a.layout != b.layout or len(a.items) != len(b.items):
            return None
        return Stack(tuple(x.plus(y, factor) for x, y in zip(a.items, b.items)), a.layout)
    if isinstance(a, Value) and isinstance(b, Value):
        return a.plus(b, factor)
    if isinstance(b, Stack):
        return None if terms_of(a) else b.map(lambda v: v.scaled(factor))
    return None if b.terms else a
