"""The short form: 300 damaged files in this process. The long form: `make fuzz`."""

from __future__ import annotations

import pytest

from tests.fuzz.judging import judge
from tests.fuzz.kinds import KINDS

FILES = 300


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_a_typed_error_or_is_read_rightly(tmp_path, kind):
    path, wrong = tmp_path / f"case{KINDS[kind].ending}", {}
    for seed in range(FILES // len(KINDS)):
        path.write_bytes(KINDS[kind].case(seed))
        if found := judge(kind, path):
            wrong[seed] = found
    assert not wrong, f"python -m tests.fuzz --kind {kind} --seed SEED --files 1"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_damaged_is_read(tmp_path, kind):
    for content in KINDS[kind].contents:
        path = tmp_path / f"sound{KINDS[kind].ending}"
        path.write_bytes(content)
        if kind == "arrays" and b"inputs" not in content:
            continue  # a recording of events, for which this network states no bins
        KINDS[kind].read(path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_file_again(kind):
    assert KINDS[kind].case(7) == KINDS[kind].case(7)
    assert len({KINDS[kind].case(seed) for seed in range(5)}) > 3
