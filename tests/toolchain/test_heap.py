"""Memory that is kept inside and goes back behind it."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain import heap

pytestmark = pytest.mark.skipif(heap._glibc() is None, reason="needs glibc")


def faults() -> int:
    """Pages that were touched first, of this process."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def touch(times: int) -> int:
    """Pages that are new in so many uses of 64 MiB."""
    before = faults()
    for _ in range(times):
        np.empty(8 << 20).fill(1.0)
    return faults() - before


def test_freed_memory_is_used_again_inside_and_goes_back_behind():
    outside = touch(4)
    with heap.kept():
        touch(1)
        with heap.kept():
            assert touch(4) < outside / 8
        assert touch(4) < outside / 8
    assert touch(4) > outside / 2


def test_the_user_may_leave_the_allocator_as_it_is(monkeypatch):
    monkeypatch.setenv(heap.VARIABLE, "0")
    outside = touch(4)
    with heap.kept():
        touch(1)
        assert touch(4) > outside / 2
