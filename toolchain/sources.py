"""The text of our own sources, as a part of the key of what they compute."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
"""The folder of the packages."""


def digest(parts: Collection[str], without: Collection[str] = ()) -> str:
    """SHA-256 over the sources (.py, and .toml: tables of devices and chips) among ``parts``, in their order.

    parts    files and folders, from the root
    without  files that do not count
    """
    found = hashlib.sha256()
    for part in (ROOT / name for name in parts):
        for path in [part] if part.is_file() else sorted(path for path in part.rglob("*") if path.suffix in (".py", ".toml")):
            name = path.relative_to(ROOT).as_posix()
            if name not in without:
                found.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
