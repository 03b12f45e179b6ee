"""The registry of targets: what an entry says, and who imports whom."""

from __future__ import annotations

from pathlib import Path

import pytest

import hardware
from hardware.errors import TargetError
from hardware.targets import TARGETS
from tests.end_to_end.test_architecture import imported

ROOT = Path(hardware.__file__).parent


def test_what_runs_a_program_knows_nothing_of_the_registry():
    for path in (*ROOT.glob("fast/*.py"), *ROOT.glob("lava/**/*.py"), ROOT / "chunks.py"):
        assert "hardware.targets" not in imported(path), path


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_says_what_it_is(name):
    target = TARGETS[name]
    assert target.name == name
    assert all((target.title, target.needs, target.phrase))
    assert target.mark.startswith("m")


def test_ranks_name_one_target_that_is_nearest_to_the_chip():
    ranks = [target.rank for target in TARGETS.values()]
    assert len(set(ranks)) == len(ranks)


def test_an_unknown_target_is_refused_with_those_that_there_are():
    with pytest.raises(TargetError, match="no target 'abacus'; there are reference, fast, lava"):
        TARGETS["abacus"]
    assert "abacus" not in TARGETS
    assert TARGETS.get("abacus") is None
