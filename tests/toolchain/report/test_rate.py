"""Static energy of a report at a rate of inferences, and what a page says of the error against
measurement.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.toolchain.report import synthetic
from tests.toolchain.report.parsed import parse
from toolchain.report import page, results, sections, tables
from toolchain.report.facts import Energy, Facts
from toolchain.report.gather import gather
from toolchain.report.rate import at_rate
from toolchain.report.run import ReportError, load

FEW = {
    "models": synthetic.MODELS[:1],
    "targets": {"software": 6, "fast": 6},
    "epsilons": (0.1,),
    "seeds": (0,),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return load(synthetic.write_run(tmp_path_factory.mktemp("rate") / "run", **FEW))


@pytest.fixture(scope="module")
def gathered(run):
    return gather(run)


def rows(found: Facts) -> list[Energy]:
    model = found.models[0]
    return [
        model.answer.energy["clean"],
        *(row for entry in model.targets for row in entry.energy),
    ]


def test_static_energy_at_a_rate_is_its_power_over_the_rate(gathered, run):
    """1.1 uJ in 12 us, 0.6 in 8, and 2.4 in 24 are 92, 75 and 100 mW."""
    found = replace(at_rate(gathered[0], 50.0), rate_hz=50.0)
    for row in rows(found):
        ends = [row.static_j, row.static_low_j, row.static_high_j]
        assert ends == pytest.approx([1.1 / 12 / 50, 0.6 / 8 / 50, 2.4 / 24 / 50])
        dynamic = row.dynamic_j.value
        assert row.static_share == pytest.approx(ends[0] / (ends[0] + dynamic))
        assert row.time_s == pytest.approx(12e-6)
    answers = page.answer(found).replace("\xa0", " ")
    assert "of static energy at 50 inferences in a second; it takes 12.0 µs" in answers
    said = next(table.caption for table in tables.build(found) if table.name == "energy")
    assert "static energy is for 50 inferences in a second" in said


@pytest.mark.parametrize("rate", [0.0, -3.0, float("nan"), 1e6])
def test_a_rate_that_cannot_be_is_refused_with_the_highest_that_can(gathered, rate):
    with pytest.raises(
        ReportError,
        match=r"it must be above 0 and at most 1\.25e\+05: .* an inference takes 8\.00 µs",
    ):
        at_rate(gathered[0], rate)


def test_a_run_without_the_band_of_the_time_says_so(gathered):
    (model,) = gathered[0].models
    targets = tuple(
        replace(entry, energy=tuple(replace(row, time_low_s=None) for row in entry.energy))
        for entry in model.targets
    )
    found = replace(gathered[0], models=(replace(model, targets=targets),))
    with pytest.raises(ReportError, match="which this run does not hold"):
        at_rate(found, 50.0)
    assert at_rate(found, None) is found


def test_the_page_says_the_error_against_measurement_and_what_limits_the_time(gathered):
    text = parse(page.build(*gathered)).all("section")
    energy = next(e.text for e in text if e.attributes["id"] == "energy")
    told = gathered[0].about["energy"]
    assert told["measured_text"] in energy
    assert told["static_text"] in energy
    for task in told["tasks"]:
        assert task["source"] in energy
    answer = next(e.text for e in text if e.attributes["id"] == "answer").replace("\xa0", " ")
    assert f"limited by synaptic reads of {synthetic.EVIL_LAYER}" in answer
    assert "(8.00 µs to 24.0 µs)" in answer


def test_a_run_that_does_not_hold_the_error_says_so(gathered):
    gone = ("measured", "measured_text", "static_text", "tasks")
    energy = {k: v for k, v in gathered[0].about["energy"].items() if k not in gone}
    found = replace(gathered[0], about={**gathered[0].about, "energy": energy})
    assert sections.NO_ERROR in parse(page.build(found, gathered[1])).all("body")[0].text
    assert not {"measured", "measured_tasks"} & {table.name for table in tables.build(found)}


def test_the_results_of_several_runs_say_the_error_once(gathered):
    first, *_ = results.build([gathered[0], gathered[0]])
    assert first.caption.count(gathered[0].about["energy"]["measured_text"]) == 1
