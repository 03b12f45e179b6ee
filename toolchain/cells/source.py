"""One source file: what it imports, the texts in it that may name modules, and what it does, apart
from its words."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType

from toolchain.errors import ToolchainError

Import = tuple[int, str, tuple[str, ...]]
"""(dots before the name, module, names that are taken from it)."""


class ClosureError(ToolchainError):
    """A file that a result rests on cannot be found or read, so that the result cannot be keyed."""


@dataclass(frozen=True)
class SourceFile:
    """imports: all of its import statements, those for type checkers alone left out. strings: its
    string constants without docstrings. text: SHA-256 of its bytes. meaning: of what it does;
    comments, docstrings and places in the text do not count."""

    imports: tuple[Import, ...]
    strings: frozenset[str]
    text: str
    meaning: str


def read(path: Path) -> SourceFile:
    """A file as it is now; of a data file, its bytes are what it does. Raises ClosureError."""
    try:
        status = path.stat()
        return _read(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise _unreadable(path, error) from None


def text_of(path: Path) -> str:
    """SHA-256 of the bytes of a file: what ``read`` says of it, without reading what it means.
    Raises ClosureError."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ClosureError:
    return ClosureError(f"{path}: cannot be read, and a result rests on it: {error.strerror}")


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, size: int) -> SourceFile:
    content = path.read_bytes()
    text = hashlib.sha256(content).hexdigest()
    if path.suffix != ".py":
        return SourceFile((), frozenset(), text, text)
    try:
        tree = ast.parse(content)
        _without_texts(tree.body)
        imports = tuple(_imports(tree.body))
        # level 2: assertions go, which stop a computation and change none
        code = compile(tree, path.name, "exec", dont_inherit=True, optimize=2)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ClosureError(
            f"{path}: is no Python that can be read, and a result rests on it: {error}"
        ) from None
    strings: set[str] = set()
    meaning = hashlib.sha256(_described(code, strings).encode("utf-8", "surrogatepass")).hexdigest()
    return SourceFile(imports, frozenset(strings), text, meaning)


def _blocks(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    """The blocks of statements inside a statement."""
    yield from (
        block for name in ("body", "orelse", "finalbody") if (block := getattr(node, name, None))
    )
    yield from (
        inner.body for inner in (*getattr(node, "handlers", ()), *getattr(node, "cases", ()))
    )


def _without_texts(statements: list[ast.stmt]) -> None:
    """Take out statements that are a text alone: docstrings, and descriptions below a constant.
    They leave a trace in code."""
    kept = [
        node for node in statements if not (isinstance(node, ast.Expr) and _is_text(node.value))
    ]
    statements[:] = kept or [ast.copy_location(ast.Pass(), node) for node in statements[:1]]
    for node in statements:
        for block in _blocks(node):
            _without_texts(block)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _imports(statements: list[ast.stmt]) -> Iterator[Import]:
    """Import statements in a block and in all blocks inside it."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)
        elif isinstance(node, ast.If) and _is_of_type_checkers(node.test):
            yield from _imports(node.orelse)
        else:
            for block in _blocks(node):
                yield from _imports(block)


def _is_of_type_checkers(test: ast.expr) -> bool:
    """Whether a condition names TYPE_CHECKING, alone or of a module."""
    return any(
        getattr(node, "id", getattr(node, "attr", "")) == "TYPE_CHECKING" for node in ast.walk(test)
    )


def _described(value: object, strings: set[str]) -> str:
    """A constant, or compiled code without places in the text, as a text that is the same in every
    process; notes strings."""
    if isinstance(value, CodeType):
        names = (
            value.co_name,
            value.co_names,
            value.co_varnames,
            value.co_freevars,
            value.co_cellvars,
        )
        counts = (
            value.co_argcount,
            value.co_posonlyargcount,
            value.co_kwonlyargcount,
            value.co_flags,
        )
        caught = getattr(value, "co_exceptiontable", b"")
        inside = ",".join(_described(constant, strings) for constant in value.co_consts)
        return f"<{names!r}{counts!r}{value.co_code!r}{caught!r}[{inside}]>"

    if isinstance(value, (tuple, frozenset)):
        parts = [_described(part, strings) for part in value]
        parts = parts if isinstance(value, tuple) else sorted(parts)
        return f"{type(value).__name__}({','.join(parts)})"

    if isinstance(value, str):
        strings.add(value)
    return repr(value)
