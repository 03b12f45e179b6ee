"""Plain tables (TOML, JSON) ↔ frozen dataclasses.

msgspec converts and checks them. It was chosen over pydantic and cattrs because the classes stay
plain dataclasses (``replace``, ``asdict`` and equality work as everywhere), types and ranges stand
on the fields once, the JSON schema for editors follows from the same fields, and it has no
dependencies and is imported in 15 ms; cattrs has neither ranges nor a schema, and pydantic brings
four packages and its own kind of dataclass. What is ours is the wording: an error names the file,
the table, the key, what came and what it must be, and the nearest known key for an unknown one.

    @dataclass(frozen=True)
    class Training(Settings):
        TABLE = "training"
        epochs: Annotated[int, Meta(ge=0, le=100_000)] = 20

    read(Recipe, "recipe.toml", "a recipe, a TOML file,")

    recipe.toml: [training] epochs is 2.5; it must be a whole number from 0 to 100,000
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, fields
from functools import cache
from numbers import Number
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_type_hints

import msgspec
from msgspec import inspect as types

from hardware import _toml
from hardware._text import shown
from toolchain.errors import ConfigError
from toolchain.table_rules import Way, broken, fitting, inner, must

T = TypeVar("T")


class Refused(ConfigError, ValueError):
    """A table that cannot be, where no file is at hand. msgspec adds the place to a ValueError.

    message   without the table's name
    way       to the value in the table that the message begins with; (): it is of the whole table
    """

    def __init__(self, table: str, message: str, way: Way = (), value: object = None) -> None:
        place = _place(way, value)
        super().__init__(f"{table}: {place} {message}" if place else f"{table}: {message}")
        self.message = message
        self.way = way
        self.value = value


class Settings:
    """Base of a dataclass that a table fills: checks its fields however it is made.

    TABLE    its name in errors where no file is at hand
    EXAMPLE  the least that it must hold, as it looks in a file, for errors; "": nothing to show
    REFUSED  raised for fields that cannot be
    """

    TABLE: ClassVar[str] = ""
    EXAMPLE: ClassVar[str] = ""
    REFUSED: ClassVar[type[Refused]] = Refused

    def __post_init__(self) -> None:
        own: type = type(self)
        table = self.TABLE or own.__name__
        for field in _described(own).fields:
            value = _plain(getattr(self, field.name))
            try:
                value = msgspec.convert(value, _hints(own)[field.name], strict=True)
                faults = broken(field.type, value)
            except msgspec.ValidationError as reason:
                faults = iter([_fault(field.type, value, _way(reason))])
            for way, wrong, wanted in faults:
                problem = f"is {shown(wrong)}; it must be {wanted}"
                raise self.REFUSED(table, problem, (field.name, *way), wrong)
            # a list becomes a tuple and 1 becomes 1.0, as from a file: equal settings, equal keys
            object.__setattr__(self, field.name, value)
        message = self.check()
        if message is not None:
            raise self.REFUSED(table, message)

    def check(self) -> str | None:
        """What is wrong between fields that are right each by itself; None: nothing."""
        return None


def read(kind: type[T], path: str | Path, what: str, error: type[ConfigError] = ConfigError) -> T:
    """A dataclass from a TOML file.

    Args:
        kind: the dataclass
        path: of the file
        what: names what the file must be, such as "a recipe, a TOML file,"
        error: raised where the file cannot be read, or says what cannot be
    """
    return from_table(kind, load(kind, path, what, error), str(path), error)


def load(
    kind: type, path: str | Path, what: str, error: type[ConfigError] = ConfigError
) -> dict[str, Any]:
    """The plain table of a TOML file. An empty file is an error, where ``kind`` has an EXAMPLE to
    show: defaults alone are nobody's wish. Arguments as of ``read``."""
    table = _toml.load(path, error, what)
    example = getattr(kind, "EXAMPLE", "")
    if not table and example:
        raise error(f"{path}: is empty; {what.split(',')[0]} must hold at least {example}")
    return table


def from_table(kind: type[T], table: Any, where: str, error: type[ConfigError] = ConfigError) -> T:
    """A dataclass from a table with the same keys; nested dataclasses from nested tables.

    Args:
        kind: the dataclass; its fields are what msgspec knows, lists are ``tuple[X, ...]``
        table: plain values, as TOML and JSON give them
        where: the file, for errors
        error: raised, with file, place, what came and what it must be, for an unknown key, a
            missing one and a value that cannot be
    """
    plain: type = kind
    described = _described(plain)
    for message in _keys(described, table, ()):
        raise error(f"{where}: {message}")
    try:
        return msgspec.convert(table, kind, strict=True)
    except msgspec.ValidationError as reason:
        message = _message(described, table, reason)
    raise error(f"{where}: {message}")


def to_table(value: Any) -> dict[str, Any]:
    """The plain table of a dataclass, without the entries that are None."""

    def plain(item: Any) -> Any:
        if isinstance(item, Mapping):
            return {key: plain(entry) for key, entry in item.items() if entry is not None}
        return [plain(entry) for entry in item] if isinstance(item, (list, tuple)) else item

    table: dict[str, Any] = plain(asdict(value))
    return table


def unknown(key: object, known: Collection[str]) -> str:
    """What is said of a key that there is not: the nearest known one, and all of them."""
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f" (the nearest is {near[0]!r})" if near else ""
    return f"there is no key {shown(key)}{hint}; it must be one of {', '.join(known)}"


@cache
def _described(kind: type) -> types.DataclassType:
    described = types.type_info(kind)
    assert isinstance(described, types.DataclassType), kind
    return described


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in fields(kind)}


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own."""
    own: tuple[type, ...] = (bool, int, float)
    foreign = isinstance(value, Number) and type(value) not in own
    return value.item() if foreign and hasattr(value, "item") else value


def _keys(kind: types.Type, value: Any, way: Way) -> Iterator[str]:
    """Messages on unknown and on missing keys, in tables of any depth."""
    kind = inner(fitting(kind, value))
    if isinstance(kind, types.VarTupleType) and isinstance(value, (list, tuple)):
        for place, item in enumerate(value):
            yield from _keys(kind.item_type, item, (*way, place))
    if not isinstance(kind, types.DataclassType) or not isinstance(value, Mapping):
        return
    known = {field.name: field for field in kind.fields}
    table = _prefix(_place(way, value))
    for key in value:
        if key not in known:
            yield table + unknown(key, known)
    for name, field in known.items():
        if name in value:
            yield from _keys(field.type, value[name], (*way, name))
        elif field.required:
            yield f"{table}{name} is missing; it must be {must(field.type)}"


def _message(described: types.DataclassType, table: Any, reason: msgspec.ValidationError) -> str:
    way = _way(reason)
    refused = reason.__cause__
    if isinstance(refused, Refused):
        if refused.way:
            return f"{_place((*way, *refused.way), refused.value)} {refused.message}"
        return _prefix(_place(way, {})) + refused.message
    way, wrong, wanted = _fault(described, table, way)
    if isinstance(wrong, Mapping) and way and wanted.startswith("a list"):
        wanted = f"{wanted}; a table of a list is written [[{_dotted(way)}]]"
    return f"{_place(way, wrong) or 'it'} is {shown(wrong)}; it must be {wanted}"


_PLACE = re.compile(r" - at `\$([^`]*)`\Z")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


def _way(reason: msgspec.ValidationError) -> Way:
    """Where msgspec says that a value is wrong: "... - at `$.models[1].seeds`"."""
    match = _PLACE.search(str(reason))
    steps = _STEP.findall(match.group(1)) if match else ()
    return tuple(name or int(place) for name, place in steps)


def _fault(kind: types.Type, value: Any, way: Way) -> tuple[Way, object, str]:
    """(way, the value there, what it must be)."""
    for step in way:
        bare = inner(fitting(kind, value))
        if isinstance(bare, types.VarTupleType) and isinstance(step, int):
            kind = bare.item_type
        elif isinstance(bare, types.DataclassType):
            kind = next(field.type for field in bare.fields if field.name == step)
        else:
            break
        value = value[step]
    return way, value, must(kind)


def _place(way: Way, value: object) -> str:
    """A place as it is written in TOML: "[training] epochs", "[[models]] 2, weight_bits"."""
    indices = [i for i, step in enumerate(way) if isinstance(step, int)]
    if not indices:
        return _named(way, isinstance(value, Mapping))
    last = indices[-1]
    before, number, after = way[:last], int(way[last]) + 1, ".".join(map(str, way[last + 1 :]))
    if after:
        return f"[[{_dotted(before)}]] {number}, {after}"
    if isinstance(value, Mapping):
        return f"[[{_dotted(before)}]] {number}"
    return f"{_place(before, None)}, entry {number}"


def _named(way: Way, table: bool) -> str:
    if table and way:
        return f"[{_dotted(way)}]"
    return f"[{_dotted(way[:-1])}] {way[-1]}" if len(way) > 1 else _dotted(way)


def _dotted(way: Way) -> str:
    return ".".join(str(step) if isinstance(step, str) else str(step + 1) for step in way)


def _prefix(place: str) -> str:
    return f"{place}: " if place else ""
