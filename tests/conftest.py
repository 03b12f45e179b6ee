"""Shared by all tests: the repository on the path, and the data made by others where it is at
hand."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests import examples, parallel  # noqa: E402, F401  (loads the profile of random tests)

# Workers of one run share the cores: further threads in each only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config, items):
    """In a worker: the longest groups of tests first."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: parallel.place(item.nodeid))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """With several workers (``-n``), whatever ``--dist`` says."""
    return parallel.scheduler(config, log)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with data and networks made by others; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the data sets made by others (../shared/data) are not here")
    return folder


def pytest_runtest_setup(item):
    """Tests marked ``lava`` or ``lava_dl`` need another interpreter; without it they are skipped,
    and say so."""
    for marker, lava_dl, option in (("lava", False, ""), ("lava_dl", True, " --lava-dl")):
        if item.get_closest_marker(marker):
            from hardware.lava import environment
            from hardware.lava.errors import LavaEnvironmentError

            try:
                environment.interpreter(lava_dl)
            except LavaEnvironmentError:
                pytest.skip(f"needs the Lava environment: spikeport lava setup{option}")
