"""The report writes the same bytes as before.

Where a change is meant: ``python -m tests.toolchain.report.golden`` renews what is kept, and the
commit shows it.
"""

from __future__ import annotations

from tests.toolchain.report import golden


def test_every_table_and_the_facts_are_what_is_kept(tmp_path):
    made = {name: text.encode() for name, text in golden.files(tmp_path).items()}
    kept = {path.name: path.read_bytes() for path in golden.KEPT.iterdir()}
    assert sorted(made) == sorted(kept)
    assert [name for name in made if made[name] != kept[name]] == []


def test_what_is_kept_stays_small():
    assert sum(path.stat().st_size for path in golden.KEPT.iterdir()) < 100_000
