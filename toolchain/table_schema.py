"""JSON schema of a dataclass that a table fills, for editors: they underline what
``toolchain.tables`` refuses, and show a field's docstring where it is typed."""

from __future__ import annotations

import re
from inspect import getdoc
from typing import Any

import msgspec
from msgspec import inspect as types

from toolchain.table_rules import rule_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(kind: type, title: str) -> dict[str, Any]:
    """The schema of a file.

    Args:
        kind: the dataclass that the file fills
        title: what the file is, for people

    Returns:
        Plain JSON values, JSON schema 2020-12. Every table refuses keys that it does not know. What
        a rule between several fields refuses, the schema does not.
    """
    generated = msgspec.json.schema(kind)
    described = types.type_info(kind)
    assert isinstance(described, types.DataclassType), kind
    for part in _tables(described, {}).values():
        _refine(generated["$defs"][part.cls.__name__], part)
    whole = {"$schema": DIALECT, "title": title, **generated}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))  # tuples as lists
    return plain


def meanings(kind: type) -> dict[str, str]:
    """Field → what it means, as the docstring of a dataclass says it in columns; those of its bases
    count, too."""
    texts = [getdoc(cls) or "" for cls in kind.__mro__ if cls.__module__ != "builtins"]
    return {name: text for doc in reversed(texts) for name, text in _described(doc).items()}


def _tables(kind: types.Type, found: dict[type, types.DataclassType]) -> dict[type, Any]:
    """All dataclasses in a type."""
    if isinstance(kind, types.Metadata):
        return _tables(kind.type, found)
    if isinstance(kind, types.UnionType):
        for one in kind.types:
            _tables(one, found)
    elif isinstance(kind, types.VarTupleType):
        _tables(kind.item_type, found)
    elif isinstance(kind, types.DataclassType) and kind.cls not in found:
        found[kind.cls] = kind
        for field in kind.fields:
            _tables(field.type, found)
    return found


def _refine(node: dict[str, Any], kind: types.DataclassType) -> None:
    node["additionalProperties"] = False
    described = meanings(kind.cls)
    for field in kind.fields:
        part = node["properties"][field.name]
        _refine_value(part, field.type)
        if part.get("default", 0) is None:
            del part["default"]
        if field.name in described:
            part["description"] = described[field.name]


def _refine_value(node: dict[str, Any], kind: types.Type) -> None:
    """What msgspec has no word for; TOML has no null."""
    if isinstance(kind, types.Metadata):
        rule = rule_of(kind)
        if rule is not None:
            node.update(rule.schema())
        _refine_value(node, kind.type)
    elif isinstance(kind, types.UnionType):
        for part, one in zip(node["anyOf"], kind.types):
            _refine_value(part, one)
        left = [part for part in node["anyOf"] if part != {"type": "null"}]
        if len(left) == 1:
            del node["anyOf"]
            node.update(left[0])
        else:
            node["anyOf"] = left
    elif isinstance(kind, types.VarTupleType):
        _refine_value(node["items"], kind.item_type)


_FIELD = re.compile(r"^(\w+(?:, \w+)*)  +(\S.*)$")


def _described(doc: str) -> dict[str, str]:
    """Field → its lines in a docstring of the house's form: "name   text", "a, b   text"."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in doc.splitlines():
        begins = _FIELD.match(line)
        if begins:
            names = begins.group(1).split(", ")
            meanings |= dict.fromkeys(names, begins.group(2).strip())
        elif line.startswith("  ") and names:
            meanings |= {name: f"{meanings[name]} {line.strip()}" for name in names}
        else:
            names = []
    return meanings
