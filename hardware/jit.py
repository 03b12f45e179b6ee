"""How kernels are compiled. Imports numba: to be imported where kernels are, and nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit


def cached(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel compiled without the interpreter lock, and cached on disk where a folder for that
    can be written.

    numba's cache notices a change of the kernel's own file only. A kernel that is made from rules
    of other files must be closed over a digest of them, which is then part of its cache key.
    """
    options = {"nogil": True, "error_model": "numpy"}
    kernel.__qualname__ += f"-{_version(kernel)}"
    compiled: Callable[..., Any]
    try:
        compiled = njit(cache=True, **options)(kernel)
    except RuntimeError:
        # "no locator available": neither the kernel's folder nor the user's cache can be written
        compiled = njit(**options)(kernel)
    return compiled


def _version(kernel: Callable[..., Any]) -> str:
    """A digest of a kernel's file and of the texts that it is closed over, to be part of the name
    of its cache.

    numba unpickles the whole index of a cache before it looks whether that is of this version; an
    index of a version whose classes had other names is then an AttributeError.
    """
    digest = hashlib.sha256(Path(kernel.__code__.co_filename).read_bytes())
    for cell in kernel.__closure__ or ():
        if isinstance(cell.cell_contents, str):
            digest.update(cell.cell_contents.encode())
    return digest.hexdigest()[:12]


part = njit(error_model="numpy", inline="always")
"""A part of a kernel of the same file, compiled into it: a call costs nothing, not even the
counting of references to the arrays that it is given."""
