"""How many threads a process computes with: the cells are the parallel part, so each worker has
one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
)
"""What PyTorch, numpy's linear algebra and numba (and with it the fast executor) read when they are
imported."""


def environment(threads: int) -> dict[str, str]:
    """The environment of a new process that computes with so many threads."""
    return {**os.environ, **dict.fromkeys(VARIABLES, str(threads))}


def limit(threads: int) -> Mapping[str, int]:
    """Let this process compute with so many threads; returns what it was before."""
    import numba
    import torch

    before = {"torch": torch.get_num_threads(), "numba": numba.config.NUMBA_NUM_THREADS}
    torch.set_num_threads(threads)
    numba.config.NUMBA_NUM_THREADS = (
        threads  # what hardware.fast reads; numba.set_num_threads is of its own parallel loops
    )
    return before


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """As ``limit``, for a while."""
    before = limit(threads)
    try:
        yield
    finally:
        import numba

        limit(before["torch"])
        numba.config.NUMBA_NUM_THREADS = before["numba"]
