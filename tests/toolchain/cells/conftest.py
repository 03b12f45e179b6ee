from __future__ import annotations

from collections.abc import Callable

import pytest

from toolchain.cells import engine
from toolchain.cells.plain import cell
from toolchain.cells.pool import Pool
from toolchain.cells.store import Store

JOBS = "tests.toolchain.cells.jobs"


def job(name, label="", after=(), product=None, **values):
    """A cell of a function of ``jobs``."""
    return cell(f"{JOBS}:{name}", values, label or f"{name} {values}", after, product)


@pytest.fixture
def compute(tmp_path) -> Callable:
    """Computes cells into tmp_path/run; returns the store's results by key."""

    def run(cells, workers=1, **report):
        with Store(tmp_path / "run") as store:
            engine.run(
                cells,
                store,
                lambda count, shared, inside: Pool(workers, shared, inside),
                engine.EngineReport(**report),
            )
            return {cell.key: store.get(cell.key)[0] for cell in engine.everything(cells)}

    return run
