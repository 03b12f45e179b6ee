"""Shared by all tests: the repository on the path, and the data made by others where it is at hand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with data and networks made by others; the test is skipped where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the data sets made by others (../shared/data) are not here")
    return folder


def pytest_runtest_setup(item):
    """Tests marked ``lava`` or ``lava_dl`` need another interpreter; without it they are skipped, and say so."""
    for marker, lava_dl, option in (("lava", False, ""), ("lava_dl", True, " --lava-dl")):
        if item.get_closest_marker(marker):
            from hardware.lava import environment
            from hardware.lava.errors import LavaEnvironmentError

            try:
                environment.interpreter(lava_dl)
            except LavaEnvironmentError:
                pytest.skip(f"needs the Lava environment: spikeport lava setup{option}")
