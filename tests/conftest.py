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

from tests import examples  # noqa: E402, F401  (loads the profile of the random tests)

# Workers of one run share the cores: further threads in each only wait for one another.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(config, items):
    """With several workers (``-n``): tests that share fixtures go to one worker, a folder with a
    conftest.py or a file."""
    if not config.pluginmanager.hasplugin("xdist"):
        return

    for item in items:
        folder = item.path.parent
        shares = folder != ROOT / "tests" and (folder / "conftest.py").exists()
        group = folder if shares else item.path
        item.add_marker(pytest.mark.xdist_group(group.relative_to(ROOT).as_posix()))


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
