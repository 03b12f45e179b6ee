"""Output files: refused before any work where they exist or cannot be written; written whole or not
at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hardware import _files
from hardware.parameters import parameter
from toolchain.errors import OutputError


def require_ending(path: str | Path, endings: Iterable[str]) -> None:
    """Refuse a file whose ending nobody writes. Raises OutputError."""
    known = list(endings)
    if Path(path).suffix not in known:
        raise OutputError(f"{path}: the ending must be {' or '.join(known)}")


def claim(paths: Iterable[str | Path | None], force: bool = False) -> None:
    """Refuse early what would be refused after the work. ``None`` stands for an output that nobody
    asked for.

    Raises OutputError where two outputs are the same file, one exists (without ``force``) or is a
    folder, or its folder does not exist or cannot be written. Leaves nothing behind.
    """
    seen: set[Path] = set()
    for path in (Path(p) for p in paths if p is not None):
        if path.resolve() in seen:
            raise OutputError(f"{path}: two outputs have the same name")
        seen.add(path.resolve())
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; a file name is needed")
        if os.path.lexists(path) and not force:
            raise OutputError(f"{path}: exists already; {parameter('force', True)} replaces it")
        _probe(path.parent, path)


def claim_folder(path: str | Path, names: Iterable[str], force: bool = False) -> Path:
    """Make an output folder (its parents too) and claim files in it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror}") from None
    claim([folder / name for name in names], force)
    return folder


def _probe(folder: Path, path: Path) -> None:
    if not folder.is_dir():
        raise OutputError(f"{path}: the folder {folder} does not exist")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from None


def write_text(path: str | Path, text: str, force: bool = False) -> None:
    """Write a text file, UTF-8, whole or not at all. Raises OutputError as ``claim`` does."""
    write_bytes(path, text.encode("utf-8"), force)


def write_bytes(path: str | Path, content: bytes, force: bool = False) -> None:
    """Write a file, whole or not at all. Raises OutputError as ``claim`` does."""
    path = Path(path)
    claim([path], force)
    _files.write_bytes(path, content, OutputError)


def write_json(path: str | Path, value: Mapping[str, Any], force: bool = False) -> None:
    """Write plain JSON values; NaN and infinity are refused, because JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n", force)
