"""The page that lists every key of the TOML files that a user writes, from the dataclasses which
the files fill: their docstrings, types, ranges and defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect as types

from toolchain.table_rules import inner, must
from toolchain.table_schema import meanings


def page() -> Iterator[str]:
    """The page, a block of Markdown each."""
    from toolchain.robustness.parts import SweepFile
    from toolchain.studies import study
    from toolchain.studies.registry import STUDIES
    from toolchain.training import Config

    yield "# Keys of TOML files"
    yield (
        "What `spikeport train`, `bench` and `study` read. Every other key is refused, with the "
        "nearest known one. [`spikeport schema`](../howto/schema.md) writes the same for an editor."
    )
    yield "## A recipe"
    yield "Read by `spikeport train` ([how to](../howto/train.md))."
    yield from tables(Config)
    yield "## A sweep"
    yield "Read by `spikeport bench` ([how to](../robustness.md))."
    yield from tables(SweepFile)
    for name in STUDIES:
        yield f"## The study {name}"
        yield f"Read by `spikeport study {name}` ([how to](../studies.md))."
        yield from tables(study.named(name).settings)


def tables(root: type) -> Iterator[str]:
    """Every table of a file: its heading and its keys."""
    waiting: list[tuple[str, type, bool]] = [("", root, False)]
    seen: set[type] = set()
    while waiting:
        place, kind, several = waiting.pop(0)
        if kind in seen:
            continue
        seen.add(kind)
        described = types.type_info(kind)
        if place:
            yield f"### `[[{place}]]`" if several else f"### `[{place}]`"
        rows = ["| Key | Meaning | Must be | Default |", "|---|---|---|---|"]
        for field in described.fields:
            inside = f"{place}.{field.name}" if place else field.name
            found = _table(field.type)
            if found is not None:
                waiting.append((inside, *found))
            rows.append(_row(kind, field, inside, found))
        yield "\n".join(rows)


def _row(kind: type, field: types.Field, place: str, table: tuple[type, bool] | None) -> str:
    meaning = meanings(kind).get(field.name, "")
    if table is None:
        wanted = must(field.type)
    else:
        wanted = f"tables `[[{place}]]`" if table[1] else f"the table `[{place}]`"
    cells = (f"`{field.name}`", meaning, wanted, _default(field))
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _table(kind: types.Type) -> tuple[type, bool] | None:
    """The dataclass that a field's table fills, and whether there are several; None: no table."""
    bare = inner(kind)
    if isinstance(bare, types.UnionType):
        found = [table for one in bare.types if (table := _table(one)) is not None]
        return found[0] if found else None
    if isinstance(bare, types.VarTupleType):
        one = _table(bare.item_type)
        return None if one is None else (one[0], True)
    return (bare.cls, False) if isinstance(bare, types.DataclassType) else None


def _default(field: types.Field) -> str:
    """As it is written in TOML."""
    if field.required:
        return "must be given"
    if field.default_factory is not msgspec.NODEFAULT:
        return "may be left out"
    if field.default is None:
        return "not given"
    return f"`{_toml(field.default)}`"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value) if isinstance(value, (str, bool)) else repr(value)


def _cell(text: str) -> str:
    words = " ".join(text.split()).replace("``", "`")
    code = words.split("`")  # outside of code, what Markdown would take for markup is escaped
    code[::2] = [part.replace("*", "\\*").replace("<", "&lt;") for part in code[::2]]
    return "`".join(code).replace("|", "\\|")
