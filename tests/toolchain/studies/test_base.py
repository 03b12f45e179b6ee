import re
from dataclasses import replace

import pytest

from toolchain.cells.errors import StoreError
from toolchain.errors import ConfigError
from toolchain.models import Model
from toolchain.pages import plot
from toolchain.pages.table import Column, Table
from toolchain.studies import base, page, study
from toolchain.studies.base import StudyError, cell, run
from toolchain.training import Config, Training, load_checkpoint

WORK = "tests.toolchain.studies.work"


def doubled(value, after=()):
    return cell(f"{WORK}:double", {"value": value}, f"double {value}", after)


def calls(folder, value):
    path = folder / f"called-{value}"
    return len(path.read_text()) if path.exists() else 0


def test_a_finished_cell_is_never_computed_again(tmp_path):
    cells = [doubled(1), doubled(2)]
    first = run(cells, tmp_path, workers=1)
    assert [first[cell.key]["value"] for cell in cells] == [2, 4]
    seen = []
    again = run(
        [*cells, doubled(3, after=(cells[0],))],
        tmp_path,
        workers=1,
        progress=lambda *args: seen.append(args),
    )
    assert [calls(tmp_path, n) for n in (1, 2, 3)] == [1, 1, 1]
    assert seen == [("", 2, 3), ("double 3", 3, 3)]
    assert sorted(r["value"] for r in again.values()) == [2, 4, 6]


def test_a_process_that_dies_has_its_cell_computed_again(tmp_path):
    cells = [cell(f"{WORK}:die", {}, "die"), *(doubled(n) for n in range(3))]
    results = run(cells, tmp_path, workers=2)
    assert [results[cell.key]["value"] for cell in cells] == [1, 0, 2, 4]
    assert [calls(tmp_path, n) for n in range(3)] == [1, 1, 1]


def test_a_cell_that_kills_every_process_is_named_and_costs_no_other(tmp_path):
    with pytest.raises(
        StudyError, match=r"1 cells failed.*always: its process died 4 times \(signal 9"
    ):
        run([cell(f"{WORK}:die_always", {}, "always"), doubled(1)], tmp_path, workers=2)
    assert calls(tmp_path, 1) == 1


def test_failures_are_named_and_what_rests_on_them_is_not_run(tmp_path):
    failing = cell(f"{WORK}:fail", {}, "the first")
    with pytest.raises(
        StudyError,
        match=r"2 cells failed.*the first: ValueError: no such number; double 5: what it needs "
        r"failed",
    ):
        run([doubled(5, after=(failing,)), doubled(1)], tmp_path, workers=1)
    assert (calls(tmp_path, 1), calls(tmp_path, 5)) == (1, 0)


def test_a_result_that_json_cannot_hold_is_refused(tmp_path):
    with pytest.raises(StudyError, match="endless: ValueError"):
        run([cell(f"{WORK}:infinite", {}, "endless")], tmp_path, workers=1)


def test_keys_are_of_contents(tmp_path):
    assert doubled(1).key == cell(f"{WORK}:double", {"value": 1}, "another label").key
    others = [doubled(2), cell(f"{WORK}:fail", {"value": 1}, ""), doubled(1, after=(doubled(2),))]
    assert len({doubled(1).key, *(cell.key for cell in others)}) == 4


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "results.sqlite").write_text("once upon a time\n")
    with pytest.raises(StoreError, match="file is not a database"):
        run([doubled(1)], tmp_path, workers=1)


def test_a_checkpoint_that_is_gone_or_another_is_trained_again(tmp_path):
    config = Config(model=Model("mlp"), training=Training(epochs=1, samples=32))
    trained = base.training(config, "training")
    accuracy = run([trained], tmp_path, workers=1)[trained.key]["accuracy"]
    path = tmp_path / trained.product
    before = path.read_bytes()
    _, said = load_checkpoint(path)
    assert said == replace(config, model=config.model.resolved())
    for spoil in (path.unlink, lambda: path.write_bytes(before[:-1])):
        spoil()
        assert run([trained], tmp_path, workers=1)[trained.key]["accuracy"] == accuracy
        assert path.read_bytes() == before


def test_the_page_needs_nothing_from_outside_and_escapes_every_text(tmp_path):
    evil = "<script>alert(1)</script>"
    lines = (
        plot.Line(
            evil, 0, (plot.Point(0.0, 0.5, 0.4, 0.6, evil), plot.Point(1.0, 0.6, None, None, "b"))
        ),
    )
    panels = [plot.PlotPanel(evil, lines)]
    picture = plot.lines(
        "p",
        evil,
        panels,
        plot.Axis(evil, names=((0.0, evil), (1.0, "b"))),
        plot.Axis(evil, "share"),
    )
    table = Table(
        "t", evil, (Column("a", evil), Column("b", "B", "number")), ({"a": evil, "b": 1.0},)
    )
    section = page.Section(
        "one", evil, (evil,), (evil,), (page.Figure(picture, plot.legend(panels), evil),), (table,)
    )
    html = page.build(evil, page.Findings(evil, evil, (section,), table), evil)
    assert html.count("<script>") == 1  # the page's own
    assert "http://" not in html
    assert "https://" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10


@pytest.mark.parametrize("kind", ["number", "log", "share"])
def test_marks_stand_where_their_values_are(kind):
    points = tuple(
        plot.Point(x, y, y / 1.1, y * 1.1, f"{x} {y}")
        for x, y in ((0.1, 0.1), (1.0, 0.5), (10.0, 0.9))
    )
    panels = [plot.PlotPanel("a", (plot.Line("one", 0, points),))]
    svg = plot.lines("p", "t", panels, plot.Axis("x", "log"), plot.Axis("y", kind))
    ys = [
        float(part.split('class="blob"')[0].split('d="M')[-1].split("m")[0].split()[1])
        for part in svg.split('aria-label="')[1:]
    ]
    assert ys[0] > ys[1] > ys[2]


def test_marks_of_a_category_stand_side_by_side_and_every_name_is_inside():
    each = [
        plot.Line(
            name,
            k,
            tuple(plot.Point(float(x), 0.5, None, None, name) for x in range(3)),
            joined=False,
        )
        for k, name in enumerate("ab")
    ]
    names = tuple((float(x), "a long name" * 2) for x in range(3))
    svg = plot.lines(
        "p",
        "t",
        [plot.PlotPanel("a", tuple(each))],
        plot.Axis("x", "category", names),
        plot.Axis("y", "share"),
    )
    marks = [float(x) for x in re.findall(r'd="M([\d.]+) [\d.]+[^"]*" class="blob"', svg)]
    assert len(set(marks)) == len(marks) == 6
    ticks = [float(x) for x in re.findall(r'<path d="M([\d.]+) [\d.]+v5" class="axis"', svg)]
    assert max(ticks) < 0.9 * float(re.search(r'viewBox="0 0 ([\d.]+)', svg).group(1))


def test_study_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no study"):
        study.read("nothing", tmp_path / "a.toml")
