"""Several trainings of one method, on one page: means and spreads before the networks."""

from dataclasses import replace

import numpy as np
import pytest

from tests.toolchain.report import synthetic
from tests.toolchain.report.parsed import parse
from tests.toolchain.report.synthetic import Model
from toolchain.report import methods, page, tables
from toolchain.report.gather import gather
from toolchain.report.pareto import CROWDED
from toolchain.report.run import load
from toolchain.report.trainings import grouped, several

SMALL = {"targets": {"software": 24, "fast": 24, "lava": 6}, "seeds": (0,)}


def models(count: int):
    return [
        Model(f"{name} seed {seed}", synthetic.program(12 + 4 * seed), scale=1 + seed, method=name)
        for name in "ab"
        for seed in range(count)
    ]


@pytest.fixture(scope="module", params=[2, CROWDED // 2 + 1])
def gathered(request, tmp_path_factory):
    return gather(
        load(synthetic.write_run(tmp_path_factory.mktemp("run"), models(request.param), **SMALL))
    )


def test_a_method_is_the_mean_of_its_trainings_with_the_smallest_and_the_largest(gathered):
    facts, _ = gathered
    assert list(grouped(facts.models)) == ["a", "b"]
    together = methods.merged(facts).models
    for name, merged in zip("ab", together):
        mine = [m for m in facts.models if m.name.startswith(name)]
        target = mine[0].answer.target
        entries = [e for m in mine for e in m.targets if e.target == target]
        (entry,) = merged.targets
        for at, row in enumerate(entry.worst):
            each = [e.worst[at].share.value for e in entries]
            assert (row.share.value, row.share.low, row.share.high) == (
                np.mean(each),
                min(each),
                max(each),
            )
        spent = [e.energy[0].dynamic_j.value for e in entries]
        assert entry.energy[0].dynamic_j.value == pytest.approx(np.mean(spent))
        assert entry.energy[0].band_low_j == min(e.energy[0].band_low_j for e in entries)


def test_the_page_shows_methods_first_and_every_network_of_many_behind_a_click(gathered):
    facts, shown = gathered
    html = page.build(facts, shown)
    parse(html)
    crowded = len(facts.models) > CROWDED
    assert html.count("plot-methods") > 0
    assert html.count('id="table-methods"') == html.count('id="table-methods_masking"') == 1
    assert ("plot-pareto" in html) == (not crowded)
    assert html.count("<summary>Every network</summary>") == (4 if crowded else 0)
    if crowded:
        least = min(m.targets[0].worst[0].share.value for m in methods.merged(facts).models)
        assert f"<strong>{100 * least:.1f}\xa0%</strong>" in html
        assert "means over trainings" in html


def test_its_table_has_the_targets_of_most_samples_and_csv_has_it_too(gathered, tmp_path):
    facts, _ = gathered
    made = {table.name: table for table in tables.build(facts)}
    most = max(e.samples for m in facts.models for e in m.targets)
    assert {row["samples"] for row in made["methods"].rows} == {most}
    assert len(made["methods_masking"].rows) == 2 * len(facts.radii)
    tables.write(facts, tmp_path / "csv")
    assert (tmp_path / "csv" / "methods.csv").read_text().startswith("method,samples,")


def test_networks_of_one_training_each_are_no_methods(tmp_path):
    facts, shown = gather(load(synthetic.write_run(tmp_path / "run", **SMALL)))
    assert not several(facts)
    assert "plot-methods" not in page.build(facts, shown)
    assert "methods" not in {table.name for table in tables.build(facts)}


def test_a_run_that_is_not_finished_shows_the_trainings_that_are(tmp_path):
    facts, shown = gather(load(synthetic.write_run(tmp_path / "run", models(2), **SMALL)))
    entries = [e for m in facts.models[:2] for e in m.targets if e.target == m.answer.target]
    gone = entries[1].worst[-1].epsilon
    model = facts.models[1]
    shorter = replace(entries[1], worst=entries[1].worst[:-1])
    targets = tuple(shorter if e.target == shorter.target else e for e in model.targets)
    rest = (replace(model, targets=targets), *facts.models[2:])
    facts = replace(facts, models=(facts.models[0], *rest))
    (merged, _) = methods.merged(facts).models
    assert gone not in [row.epsilon for row in merged.targets[0].worst]
    assert len(merged.targets[0].worst) == len(facts.radii) - 1
    row = next(
        r
        for r in methods.results([facts]).rows
        if (r["method"], r["epsilon"], r["target"]) == ("a", gone, entries[1].target)
    )
    assert row["worst_case"] is None
    page.build(facts, shown)
