"""NIR graphs on disk: reading files that nobody vouches for, and writing without loss.

(skeleton: signatures)
"""

from __future__ import annotations

from pathlib import Path

import nir


def read(path: str | Path) -> nir.NIRGraph:
    """Read a .nir file; bounded, checked. Raises GraphFileError or GraphError."""
    raise NotImplementedError


def write(graph: nir.NIRGraph, path: str | Path, force: bool = False) -> None:
    """Write a .nir file atomically. Raises GraphFileError where the path exists (without ``force``) or cannot be written."""
    raise NotImplementedError
