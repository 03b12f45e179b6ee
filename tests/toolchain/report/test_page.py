"""The page without a browser: safe, self-contained, well formed, and the same numbers as everywhere
else."""

import base64
import csv
import hashlib
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.toolchain.report import synthetic
from tests.toolchain.report.parsed import parse
from tests.toolchain.report.test_analysis import record
from toolchain.errors import OutputError
from toolchain.pages.table import Column, Table, to_csv
from toolchain.report import accuracy_tables, page, pareto, tables
from toolchain.report.analysis import analyse
from toolchain.report.answer import answer
from toolchain.report.facts import Facts, to_json
from toolchain.report.gather import gather
from toolchain.report.legends import letters_of
from toolchain.report.pareto import CROWDED
from toolchain.report.run import StoredRun, load
from toolchain.robustness.strength import Strength


@pytest.fixture(scope="module")
def html(gathered):
    return page.build(*gathered)


@pytest.fixture(scope="module")
def parsed(html):
    return parse(html)


def test_names_from_files_stay_text(html, parsed):
    scripts = parsed.all("script")
    assert len(scripts) == 1
    assert "alert" not in scripts[0].text
    assert all(
        image.attributes["src"].startswith("data:image/png;base64,") for image in parsed.all("img")
    )
    assert not [e for e in parsed.elements if any(name.startswith("on") for name in e.attributes)]
    assert not [e for e in parsed.elements if "style" in e.attributes]
    headings = [e.text for e in parsed.all("h3")]
    assert any(synthetic.EVIL in text for text in headings)
    assert any(synthetic.EVIL_LAYER in e.text for e in parsed.all("td"))
    assert "<script>alert" not in html
    assert "<img src=x" not in html


def test_the_policy_allows_what_is_on_the_page_and_nothing_else(html, parsed):
    policy = next(
        e.attributes["content"]
        for e in parsed.all("meta")
        if e.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL).group(1)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_nothing_comes_from_outside(parsed):
    for element in parsed.elements:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:")), (element.tag, value)
    assert "url(http" not in parsed.all("style")[0].text
    assert "@import" not in parsed.all("style")[0].text


def test_every_name_is_there_once_and_every_link_leads_somewhere(parsed):
    names = [e.attributes["id"] for e in parsed.elements if "id" in e.attributes]
    assert len(names) == len(set(names))
    for link in parsed.all("a"):
        assert link.attributes["href"][1:] in names, link.attributes
    for element in parsed.elements:
        for name in element.attributes.get("aria-labelledby", "").split():
            assert name in names


def test_what_a_screen_reader_needs(parsed):
    for table in parsed.all("table"):
        assert table.attributes["id"] in {e.attributes.get("id") for e in parsed.all("table")}
    captions = [e for e in parsed.all("p") if e.attributes.get("class") == "caption"]
    assert len(captions) == len(parsed.all("table"))
    assert {e.attributes["id"] for e in captions} == {
        e.attributes["aria-labelledby"] for e in parsed.all("table")
    }
    assert all(e.attributes.get("scope") in ("row", "col") for e in parsed.all("th"))
    assert all(e.attributes.get("alt") for e in parsed.all("img"))
    drawings = [e for e in parsed.all("svg") if e.attributes.get("role")]
    assert len(drawings) == len([e for e in parsed.all("title") if "svg" in e.inside]) == 4
    assert all(
        e.attributes.get("aria-hidden") == "true"
        for e in parsed.all("svg")
        if not e.attributes.get("role")
    )
    marks = [e for e in parsed.all("g") if "mark" in e.attributes.get("class", "")]
    assert len(marks) > 100
    assert all(e.attributes["aria-label"] for e in marks)
    assert parsed.all("html")[0].attributes["lang"] == "en"


def test_the_tables_are_the_csv_files_to_the_last_digit(parsed, gathered, tmp_path):
    facts, _ = gathered
    written = tables.write(facts, tmp_path / "tables")
    assert {path.stem for path in written} == set(parsed.tables)
    for table, path in zip(tables.build(facts), written):
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
        assert lines[0] == table.header()
        assert len(lines) - 1 == len(parsed.tables[table.name]) == len(table.rows) > 0
        for line, cells in zip(lines[1:], parsed.tables[table.name]):
            flat = []
            for column, cell in zip(table.columns, cells):
                width = (
                    3
                    if column.kind in ("share", "points", "change", "joules")
                    else 2
                    if column.kind == "used"
                    else 1
                )
                flat += ["" if v is None else v for v in cell[:width]]
            assert [text.removeprefix("'") for text in line] == flat


def test_the_tables_are_the_json_too(parsed, gathered):
    facts = json.loads(json.dumps(to_json(gathered[0]), allow_nan=False))
    shown = iter(parsed.tables["attacks"])
    for model, own in zip(facts["models"], gathered[0].models):
        measured = [entry.target for entry in own.measured]
        for entry in (e for e in model["targets"] if e["target"] in measured):
            for row in entry["attacks"]:
                cells = next(shown)
                assert (cells[0][0], cells[1][0], cells[2][0]) == (
                    model["name"],
                    entry["target"],
                    row["name"],
                )
                share = row["attacked_accuracy"]
                assert tuple(map(float, cells[8])) == (share["value"], share["low"], share["high"])
                assert float(cells[17][0]) == row["dynamic_j"]
    assert next(shown, None) is None


def test_the_answer_comes_first_and_in_words(gathered, parsed):
    sections = [e.attributes["id"] for e in parsed.all("section")]
    assert sections[0] == "answer"
    first, second, third = (e.text.replace("\xa0", " ") for e in parsed.all("article"))
    told = [m.answer for m in gathered[0].models]
    share = told[0].worst.share
    worst = f"{100 * share.value:.1f} % ({100 * share.low:.1f}–{100 * share.high:.1f})"
    assert f"keeps at most {worst} under the worst of 5 attacks at ε = 0.1" in first
    assert "exactly as in software" in first
    assert "Lava, on the first 20 samples, too" in first
    row = told[1].software.worst
    assert "exactly" not in second
    assert (
        f"Hardware minus software: {100 * row.difference:+.1f} points".replace("-", "−") in second
    )
    assert f"{row.right_only_on_baseline} samples only software gets right" in second
    assert "2 flags" in third
    assert "noise beats gradient" in third


def test_flags_are_with_their_numbers_and_explained(parsed, gathered):
    accused = [e for e in parsed.all("tr") if e.attributes.get("class") == "flagged"]
    shown = [row for table in tables.build(gathered[0]) for row in table.rows]
    rows = sum(bool(row.get("flags")) and row["flags"] != ["not tested"] for row in shown)
    assert len(accused) == rows > 0
    explained = next(
        e for e in parsed.all("div") if e.attributes.get("id") == "flag-noise_beats_gradient"
    )
    assert "Random noise of the same size left a lower accuracy" in explained.text
    assert "at 0.1 noise 5 uniform leaves" in explained.text
    flags = [
        e
        for e in parsed.elements
        if "flagmark" in e.attributes.get("class", "") and "svg" in e.inside
    ]
    assert flags
    said = [
        e.attributes["aria-label"]
        for e in parsed.all("g")
        if "mark" in e.attributes.get("class", "")
    ]
    assert any("flags: " in text and "noise beats gradient" in text for text in said)


def test_energy_says_what_it_is_and_is_not(parsed):
    text = next(e.text for e in parsed.all("section") if e.attributes["id"] == "energy")
    for words in (
        "No energy of an operation of Loihi 2 is public",
        "Not covered",
        "the host computer",
        "an assumption",
        "a source & a page",
    ):
        assert words in text


def test_how_it_was_made(parsed):
    text = next(e.text for e in parsed.all("section") if e.attributes["id"] == "made")
    for words in (
        "spikeport bench digits-quick.toml -o run",
        "numpy 2.0",
        "c" * 16,
        "0, 1",
        synthetic.MODELS[0].program.fingerprint[:16],
    ):
        assert words in text


def test_an_unfinished_run_is_called_so(gathered):
    cells = {"cells": {"planned": 400, "stored": 393}}
    facts = replace(gathered[0], about={**gathered[0].about, **cells})
    notes = [
        e.text for e in parse(page.build(facts, [])).all("p") if e.attributes.get("role") == "note"
    ]
    assert any("7 of 400 cells are missing" in note for note in notes)


WORST = ("summary", "worst_case", "software_hardware", "published", "masking")


def test_a_weak_battery_is_the_first_that_is_read_and_stands_at_every_worst_case(gathered, parsed):
    headline = next(e.text for e in parsed.all("h1"))
    assert headline.startswith("Smoke test: upper bounds of robust accuracy. ")
    assert parsed.all("title")[0].text.startswith("Smoke test")
    note = next(e.text for e in parsed.all("p") if e.attributes.get("role") == "note")
    assert "upper bound of its robust accuracy" in note
    assert "200 rounds of a local search on the integer Program" in note
    paragraphs = [e for e in parsed.all("p") if e.attributes.get("class") == "caption"]
    captions = {e.attributes["id"]: e.text for e in paragraphs}
    for name in WORST:
        assert captions[f"table-{name}-caption"].startswith(
            "Smoke test: accuracies under attack are upper bounds"
        ), name
    made = {table.name: table for table in tables.build(gathered[0])}
    said = {row["battery"] for name in WORST[:2] for row in made[name].rows}
    assert said - {None} == {"smoke test: upper bound"}  # None: a target that repeats another
    assert gathered[0].battery.level == "smoke test"


def believed(facts: Facts, level: str) -> Facts:
    """The first model of some facts without flags, as if its battery had been of this level."""
    tried = Strength(level, () if level != "smoke test" else ("200 queries",))
    model = facts.models[0]
    targets = tuple(
        replace(
            entry,
            flags=(),
            battery=tried,
            worst=tuple(replace(row, flags=(), battery=tried) for row in entry.worst),
            attacks=tuple(replace(row, flags=()) for row in entry.attacks),
        )
        for entry in model.targets
    )
    answer = replace(
        model.answer, flags=(), worst=replace(model.answer.worst, flags=(), battery=tried)
    )
    model = replace(model, targets=targets, answer=answer, battery=tried)
    return replace(facts, models=(model,), battery=tried)


def test_no_flag_is_said_of_a_strong_battery_alone(gathered):
    strong, weak = (believed(gathered[0], level) for level in ("standard", "smoke test"))
    assert "No flag: none of" in answer(strong)
    assert "keeps at most" not in answer(strong)
    assert "Smoke test" not in page.build(strong, [])
    assert accuracy_tables.glance(strong).rows[0]["flags"] == []
    assert "No flag, which here means nothing: not tested" in answer(weak)
    assert "keeps at most" in answer(weak)
    assert {tuple(row["flags"]) for row in accuracy_tables.worst(weak).rows} == {("not tested",)}


def test_the_form_of_a_defence_stands_beside_its_numbers(gathered):
    first, *rest = gathered[0].models
    changed = replace(first, differs=("margin penalty <without> noise",))
    facts = replace(gathered[0], models=(changed, *rest))
    table = accuracy_tables.glance(facts)
    assert [row["differs"] for row in table.rows if row["model"] == first.name] == [
        "margin penalty <without> noise"
    ] * 3
    assert "Its form differs from its paper in: margin penalty &lt;without&gt; noise." in answer(
        facts
    )
    assert "differs" not in [column.key for column in accuracy_tables.glance(gathered[0]).columns]


def small(tmp_path, *records):
    """A page of a few records; their Program is a made-up one."""
    made = synthetic.program()
    said = {"program": made.fingerprint}
    records = [replace(r, description={**r.description, **said}) for r in records]
    about = dict.fromkeys(("sweep", "models", "versions", "code", "energy", "command"))
    about |= {"cells": {"planned": 1, "stored": 1}, "makers": []}
    synthetic.write_run(
        tmp_path / "empty", synthetic.MODELS[:1], targets={"fast": 3}, epsilons=(0.1,), seeds=(0,)
    )
    run = StoredRun(
        tmp_path / "empty",
        [r for r in records if r.description["family"] in ("clean", "noise")],
        about,
        {made.fingerprint: made},
    )
    return parse(page.build(*gather(run)))


def test_without_attacks(tmp_path):
    parsed = small(tmp_path, record("clean", [1, 1, 0], family="clean"))
    assert [e.attributes["id"] for e in parsed.all("section")] == [
        "answer",
        "energy",
        "layers",
        "chip",
        "made",
        "appendix",
    ]
    assert "No attack was run." in parsed.all("header")[0].text
    assert "In software (software) it gets 66.7 %" in parsed.all("article")[0].text.replace(
        "\xa0", " "
    )


@pytest.mark.parametrize(
    ("norm", "words"), [("l2", "ε₂ = 2"), ("flips", "2 changed events"), ("shift", "2 steps")]
)
def test_other_threats_have_their_own_units(tmp_path, norm, words):
    noise = record("noise", [1, 0, 0], family="noise", epsilon=2.0, norm=norm)
    parsed = small(tmp_path, record("clean", [1, 1, 0], family="clean", norm=norm), noise)
    assert words in parsed.all("article")[0].text.replace("\xa0", " ")
    assert "No flag, which here means nothing: not tested" in parsed.all("article")[0].text


def test_every_model_has_its_letter():
    records = [record("clean", [1, 0], family="clean", model=f"m{i:02}") for i in range(28)]
    found = letters_of(analyse(records, {}))
    assert (found["m00"], found["m25"], found["m26"], found["m27"]) == ("A", "Z", "AA", "AB")


def test_the_page_is_written_once(run_folder, tmp_path, html):
    page.write(run_folder, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html
    with pytest.raises(OutputError, match="exists already"):
        page.write(run_folder, tmp_path / "report.html")
    page.write(run_folder, tmp_path / "report.html", force=True)


def test_a_spreadsheet_takes_no_text_for_a_formula():
    table = Table(
        "t",
        "",
        (Column("a", "a"), Column("b", "b", "number")),
        ({"a": "=1+1", "b": -2.0}, {"a": "@x", "b": None}),
    )
    assert to_csv(table) == "a,b\r\n'=1+1,-2.0\r\n'@x,\r\n"


def test_the_same_run_gives_the_same_page(run_folder, html):
    assert page.build(*gather(load(run_folder))) == html


def test_energies_far_apart_get_a_logarithmic_axis():
    cheap = [
        record(n, [1, 0], family=f, model="cheap", energy=1e-9)
        for n, f in (("clean", "clean"), ("noise", "noise"))
    ]
    dear = [
        record(n, [1, 1], family=f, model="dear", energy=1e-6)
        for n, f in (("clean", "clean"), ("noise", "noise"))
    ]
    from toolchain.report.pictures import pareto

    drawn = parse(pareto(analyse([*cheap, *dear], {})))
    labels = [e.text for e in drawn.all("text")]
    assert {"0.001", "0.01", "0.1", "1"} <= set(labels)
    where = {e.text: float(e.attributes["x"]) for e in drawn.all("text")}
    assert np.isclose(where["0.1"] - where["0.01"], where["1"] - where["0.1"], atol=0.02)


def test_many_networks_are_summed_up_first(gathered):
    facts, _ = gathered
    models = tuple(
        replace(model, name=f"{model.name} {k}") for k in range(4) for model in facts.models
    )
    assert len(models) > CROWDED
    html = answer(replace(facts, models=models))
    told = [model.answer for model in models]
    same = [t.software.identical for t in told if t.software is not None]
    assert 0 < sum(same) < len(same)
    first, rest = html.split("<details")
    assert f"{sum(same)} of {len(same)} networks with a Program compute" in first
    worst = [t.worst.share.value for t in told if t.worst]
    assert f"<strong>{100 * min(worst):.1f}\xa0%</strong>" in first
    assert f"<strong>{100 * max(worst):.1f}\xa0%</strong>" in first
    assert rest.count("<article") == len(models)
    assert "<details" not in answer(replace(facts, models=models[:CROWDED]))


def test_a_crowded_picture_leaves_out_targets_of_fewer_samples(gathered):
    facts, _ = gathered
    models = tuple(
        replace(model, name=f"{model.name} {k}") for k in range(4) for model in facts.models
    )
    few = tuple(
        replace(m, targets=(*m.targets, replace(m.targets[0], target="loihi2", samples=1)))
        for m in models
    )
    assert len(models) > CROWDED
    points = [
        pareto.points_at(replace(facts, models=some), facts.radii[0])
        for some in (models[:2], few[:2], few)
    ]
    assert len(points[1]) == len(points[0]) + 2
    assert len(points[2]) < sum(len(m.targets) for m in few)
