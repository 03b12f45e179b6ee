"""Plain tables (TOML, JSON) ↔ dataclasses: every key known, every value of the right type and
range, or a typed error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from hardware._text import shown
from toolchain.errors import ConfigError

T = TypeVar("T")


def from_table(kind: type[T], table: Any, where: str) -> T:
    """A dataclass from a table with the same keys; nested dataclasses from nested tables.

    Fields may be int, float (a whole number is accepted), str, bool, dataclasses, ``X | None``, and
    tuples of tables. Raises ConfigError, which names ``where``, the key and what is accepted.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"{where}: is {shown(table)}; accepted is a table")
    hints = _hints(kind)
    known = [f.name for f in fields(kind)]
    unknown = [str(key) for key in table if key not in known]
    if unknown:
        raise ConfigError(
            f"{where}: unknown key {shown(unknown[0])}; accepted are {', '.join(known)}"
        )
    values = {
        name: _value(hints[name], table[name], f"{where}.{name}") for name in known if name in table
    }
    try:
        return kind(**values)
    except TypeError:
        needed = [f.name for f in fields(kind) if f.name not in values]
        raise ConfigError(f"{where}: lacks a key; not given are {', '.join(needed)}") from None


_hints = cache(get_type_hints)


def _value(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, UnionType):
        return (
            None
            if value is None
            else _value(next(a for a in get_args(hint) if a is not NoneType), value, where)
        )
    if is_dataclass(hint):
        return from_table(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: is {shown(value)}; accepted is a list")
        return tuple(
            _value(get_args(hint)[0], item, f"{where}[{number}]")
            for number, item in enumerate(value)
        )
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise ConfigError(f"{where}: is {shown(value)}; accepted is {_NAMES[hint]}")
    return value


_NAMES = {int: "a whole number", float: "a finite number", str: "a text", bool: "true or false"}


def to_table(value: Any) -> dict:
    """The plain table of a dataclass, without the entries that are None."""

    def plain(item):
        if isinstance(item, Mapping):
            return {key: plain(entry) for key, entry in item.items() if entry is not None}
        return [plain(entry) for entry in item] if isinstance(item, (list, tuple)) else item

    return plain(asdict(value))


def bounds(where: str, **values: tuple[Any, float, float]) -> None:
    """Raise ConfigError for a number outside [low, high]; name → (value, low, high)."""
    for name, (value, low, high) in values.items():
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{where}: {name} is {shown(value)}; accepted are {low} to {high}")


def one_of(where: str, **values: tuple[Any, Any]) -> None:
    """Raise ConfigError for a value that is none of the accepted; name → (value, accepted)."""
    for name, (value, accepted) in values.items():
        if value not in accepted:
            raise ConfigError(
                f"{where}: {name} is {shown(value)}; accepted are {', '.join(map(str, accepted))}"
            )
