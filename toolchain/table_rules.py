"""What a value of a table must be: said once, on the field, for reader, error and schema alike.

Types and ranges are msgspec's own (``Annotated[int, Meta(ge=1, le=8)]``). What msgspec has no word
for is a ``Rule``: names that others can add to, entries that must differ, printable texts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta
from msgspec import inspect as types

Way = tuple["str | int", ...]
"""Keys and places in lists that lead from a table to a value in it."""


@dataclass(frozen=True)
class Rule:
    """A condition on one value.

    holds   value -> whether it is met; the value is of the right type already
    must    what is demanded, after "it must be"; None: the type's own words with ``extra`` behind
    schema  the same in words of JSON schema
    """

    holds: Callable[[Any], bool]
    must: Callable[[], str] | None
    schema: Callable[[], dict[str, Any]]
    extra: str = ""


def one_of(known: Collection[Any]) -> Meta:
    """The value must be one of these. They are looked up when a value is checked, so that a
    registry may grow."""
    rule = Rule(
        holds=lambda value: any(type(value) is type(one) and value == one for one in known),
        must=lambda: f"one of {', '.join(map(str, known))}",
        schema=lambda: {"enum": list(known)},
    )
    return Meta(extra={"rule": rule})


DISTINCT = Meta(
    min_length=1,
    extra={
        "rule": Rule(
            holds=lambda value: all(one not in value[:i] for i, one in enumerate(value)),
            must=None,
            schema=lambda: {"uniqueItems": True},
            extra=", none of them twice",
        )
    },
)
"""Of a list: at least one entry, none of them twice."""

Text = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=500,
        extra={
            "rule": Rule(
                holds=str.isprintable,
                must=lambda: "a text of 1 to 500 printable characters",
                schema=dict,
            )
        },
    ),
]
Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
Seed = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]


def must(kind: types.Type) -> str:
    """What a value of this type must be, in words."""
    if isinstance(kind, types.Metadata):
        rule = rule_of(kind)
        if rule is None:
            return must(kind.type)
        return rule.must() if rule.must is not None else must(kind.type) + rule.extra

    if isinstance(kind, types.UnionType):
        return " or ".join(must(one) for one in kind.types if not isinstance(one, types.NoneType))
    if isinstance(kind, types.VarTupleType):
        least = " with at least one entry" if kind.min_length else ""
        return f"a list{least}, each {must(kind.item_type)}"

    if isinstance(kind, types.DataclassType):
        example = getattr(kind.cls, "EXAMPLE", "")
        if example:
            return f"a table, such as {example}"
        return "a table with " + ", ".join(field.name for field in kind.fields)

    if isinstance(kind, types.IntType):
        return "a whole number" + _range(kind)
    if isinstance(kind, types.FloatType):
        return "a finite number" + _range(kind)
    if isinstance(kind, types.StrType):
        return "a text"
    if isinstance(kind, types.BoolType):
        return "true or false"
    return "a table"


def _range(kind: types.IntType | types.FloatType) -> str:
    low = "" if kind.ge is None else f" from {_number(kind.ge)}"
    low = low if kind.gt is None else f" above {_number(kind.gt)}"
    return low + ("" if kind.le is None else f" to {_number(kind.le)}")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def rule_of(kind: types.Type) -> Rule | None:
    """The rule that is annotated to a type; None: none is."""
    return (kind.extra or {}).get("rule") if isinstance(kind, types.Metadata) else None


def inner(kind: types.Type) -> types.Type:
    """A type without what is annotated to it."""
    return inner(kind.type) if isinstance(kind, types.Metadata) else kind


def fitting(kind: types.Type, value: object) -> types.Type:
    """Of a union the member that a value is meant for; any other type as it is."""
    kind = kind.type if isinstance(kind, types.Metadata) and rule_of(kind) is None else kind
    if not isinstance(kind, types.UnionType):
        return kind
    for one in kind.types:
        if isinstance(inner(one), _KINDS.get(type(value), ())):
            return one
    return kind


_LISTS: tuple[type, ...] = (types.VarTupleType,)
_TABLES: tuple[type, ...] = (types.DataclassType, types.DictType)
_KINDS: Mapping[type, tuple[type, ...]] = {
    list: _LISTS,
    tuple: _LISTS,
    dict: _TABLES,
    int: (types.IntType, types.FloatType),
    float: (types.FloatType,),
    str: (types.StrType,),
    bool: (types.BoolType,),
    type(None): (types.NoneType,),
}


def broken(kind: types.Type, value: Any, way: Way = ()) -> Iterator[tuple[Way, object, str]]:
    """(way to a value, the value, what it must be) for every rule that is broken, of values whose
    types are right. Tables inside are left out: they check themselves."""
    kind = fitting(kind, value)
    bare, rule = inner(kind), rule_of(kind)
    # msgspec lets infinities and NaN pass where a field has no range
    endless = isinstance(bare, types.FloatType) and not math.isfinite(value)
    if endless or (rule is not None and not rule.holds(value)):
        yield way, value, must(kind)
    elif isinstance(bare, types.VarTupleType) and isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from broken(bare.item_type, item, (*way, place))
