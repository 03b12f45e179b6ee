"""A run opened from Python: its facts and tables are the report's."""

import pytest

import spikeport
from toolchain.report import tables


def test_an_opened_run_shows_the_reports_numbers(run_folder, gathered, tmp_path):
    found = spikeport.open_run(run_folder)
    facts, _ = gathered
    expected = tables.build(facts)
    assert list(found.tables) == [table.name for table in expected]
    assert [t.records() for t in found.tables.values()] == [t.records() for t in expected]
    assert f"{len(found.run.records)} scored cells" in repr(found)
    assert "<table>" in found._repr_html_()
    assert found.report(tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype")


def test_a_table_becomes_a_frame(run_folder):
    pytest.importorskip("pandas")
    found = spikeport.open_run(run_folder)
    frame = found.to_frame("energy")
    assert list(frame.columns) == found.tables["energy"].header()
    assert len(frame) == len(found.tables["energy"].rows)
    with pytest.raises(spikeport.ArgumentError, match=r"table is 'bogus'.*summary"):
        found.to_frame("bogus")
