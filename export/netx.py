"""lava-dl's .net (HDF5) → Program. (skeleton: signatures)"""

from __future__ import annotations

from pathlib import Path

from export.lower import Lowered


def load(path: str | Path, *, input_shape: tuple[int, ...] | None = None) -> Lowered:
    """Read a .net file. Raises an ExportError."""
    raise NotImplementedError
