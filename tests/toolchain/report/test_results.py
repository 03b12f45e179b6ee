"""Several runs in one table, beside published figures."""

import json

import numpy as np
import pytest

from tests.toolchain.report import synthetic
from tests.toolchain.report.synthetic import Model
from toolchain.cli import run
from toolchain.pages.table import Interval
from toolchain.report import results
from toolchain.report.analysis import analyse
from toolchain.report.run import ReportError, load
from toolchain.robustness.statistics import worst_case

MODELS = (
    Model("small seed 0", synthetic.program(12), method="small"),
    Model("small seed 1", synthetic.program(24), scale=2.0, method="small"),
    Model(synthetic.EVIL, synthetic.program(16)),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return synthetic.write_run(tmp_path_factory.mktemp("run"), MODELS)


def analysed(folder):
    found = load(folder)
    return analyse(found.records, found.about)


def test_models_that_differ_in_the_seed_alone_are_one_method(folder):
    facts = analysed(folder)
    table, _, _ = results.build([facts])
    row = next(
        r for r in table.rows if (r["method"], r["target"], r["epsilon"]) == ("small", "fast", 0.1)
    )
    assert (row["trainings"], row["ends"]) == (2, "smallest and largest training")
    entries = [next(e for e in m.targets if e.target == "fast") for m in facts.models[:2]]
    worst = [next(w for w in e.worst if w.epsilon == 0.1).share.value for e in entries]
    assert row["worst_case"] == Interval(np.mean(worst), min(worst), max(worst))
    fgsm = [
        [
            a.attacked_accuracy.value
            for a in e.attacks
            if a.name == "fgsm · training" and a.epsilon == 0.1
        ]
        for e in entries
    ]
    assert row["fgsm"].value == pytest.approx(np.mean(fgsm))
    assert row["pgd"].value != row["fgsm"].value
    # 3 models in 2 methods, on 3 targets at 2 radii
    assert len(table.rows) == 2 * 3 * 2


def test_each_kind_of_attack_alone_says_what_the_training_surrogate_does_not_see(folder):
    facts = analysed(folder)
    table = results.build([facts])[1]
    row = next(r for r in table.rows if (r["method"], r["epsilon"]) == ("small", 0.1))
    models = facts.models[:2]
    rows = [next(w for w in m.targets[0].worst if w.epsilon == 0.1) for m in models]
    kinds = {
        "training surrogate": ("fgsm · training", "pgd 10 · training"),
        "other gradients": ("pgd 10 · atan 2",),
        "no gradient": ("square 200", "noise 5 uniform"),
    }
    records = load(folder).records
    for model, worst in zip(models, rows):
        assert worst.kinds["from another network"] is None
        said = {"model": model.name, "target": "software", "epsilon": 0.1}
        for kind, names in kinds.items():
            those = [
                r
                for r in records
                if r.description["name"] in names and {k: r.description[k] for k in said} == said
            ]
            assert len(those) == len(names) * 2  # seeds
            assert worst.kinds[kind].value == worst_case(those).mean()
    assert row["other gradients"].value == pytest.approx(
        np.mean([w.kinds["other gradients"].value for w in rows])
    )
    assert row["from another network"] is None
    assert row["near_threshold"] == Interval(0.25, 0.25, 0.25)
    assert len(table.rows) == 2 * 2  # methods, radii


def test_published_figures_are_those_of_the_same_data_with_what_differs(folder):
    facts = analysed(folder)
    assert results.build([facts])[2].rows == ()
    facts.about["sweep"]["data"]["name"] = "cifar10"
    rows = results.build([facts])[2].rows
    guarded = next(r for r in rows if r["method"] == "RAT + TGO")
    assert (guarded["clean"], guarded["pgd"]) == pytest.approx((0.8733, 0.3313))
    for said in (
        "the first 120 test samples",
        "multiply-accumulates instead of WRN-16",
        "8 time steps",
        "radius 0.1 and 0.2",
    ):
        assert said in guarded["differs"]


def test_no_published_figure_rests_on_memory(monkeypatch):
    found = results.published()
    assert all(entry["source"].startswith(("S:", "S3:")) and entry["setting"] for entry in found)
    assert all(
        0 <= row[n] <= 100
        for entry in found
        for row in entry["rows"]
        for n in ("clean", "fgsm", "pgd", "worst")
        if n in row
    )
    monkeypatch.setattr(
        results.tomllib,
        "loads",
        lambda text: {"figure": [{"work": "x", "source": "M: remembered", "rows": []}]},
    )
    with pytest.raises(ReportError, match="must begin with S: or S3:"):
        results.published()


def test_the_command_writes_markdown_and_html_that_markup_cannot_leave(folder, tmp_path, capsys):
    assert run(["results", str(folder), str(folder), "-o", str(tmp_path / "r.md")]) == 0
    text = (tmp_path / "r.md").read_text()
    assert text.count("\n| small |") == 2 * (3 * 2 + 2)
    assert "<script" not in text.replace("\\<script", "")
    assert "No published figure that we have read" in text
    assert (
        run(
            [
                "results",
                str(folder),
                "-o",
                str(tmp_path / "r.html"),
                "--json",
                str(tmp_path / "r.json"),
            ]
        )
        == 0
    )
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["results"][0]["method"] == "small"
    assert "Against measurement: PilotNet" in found["captions"]["results"]
    page = (tmp_path / "r.html").read_text()
    assert "<script>alert(1)" not in page
    assert json.dumps("small")[1:-1] in page
    assert run(["results", str(folder), "-o", str(tmp_path / "r.pdf")]) == 2
    assert "the ending must be .html or .md or .tex" in capsys.readouterr().err
    assert run(["results", str(folder), "-o", str(tmp_path / "r.md")]) == 2
