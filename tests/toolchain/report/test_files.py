"""What a report writes besides its page: figures, TeX, and every sample."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.toolchain.report import synthetic
from toolchain.cli import run as command
from toolchain.errors import OutputError
from toolchain.pages import plain, standalone, tex
from toolchain.pages.table import Column, Interval, Table, Used
from toolchain.report import figures, records, tables
from toolchain.report.gather import gather
from toolchain.report.run import load


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A small run."""
    return synthetic.write_run(
        tmp_path_factory.mktemp("files") / "run",
        synthetic.MODELS[1:],
        targets={"software": 6, "lava": 4},
        epsilons=(0.1,),
        seeds=(0,),
    )


@pytest.fixture(scope="module")
def facts(few):
    return gather(load(few))[0]


def test_figures_are_svg_that_needs_no_stylesheet(facts, tmp_path):
    written = figures.write(facts, tmp_path / "figures")
    assert {path.name for path in written} >= {"pareto.svg", "curves.svg", "layers.svg"}
    for path in written:
        text = path.read_text(encoding="utf-8")
        assert "var(" not in text
        assert "class=" not in text
        root = ElementTree.fromstring(text)
        assert root.tag == f"{{{standalone.SVG}}}svg"
        assert float(root.attrib["width"]) > 0
        drawn = [e for e in root.iter() if e.tag.endswith(("path", "circle", "text"))]
        assert any(e.attrib.get("stroke") or e.attrib.get("fill") for e in drawn)
    with pytest.raises(OutputError, match="exists already"):
        figures.write(facts, tmp_path / "figures")


def test_a_mark_has_the_colour_of_its_network():
    drawing = (
        '<svg viewBox="0 0 9 9"><title>t</title><desc>d</desc>'
        '<g class="mark c1"><circle class="ring"/></g></svg>'
    )
    (ring,) = [
        e for e in ElementTree.fromstring(standalone.svg(drawing)).iter() if "circle" in e.tag
    ]
    variables, _ = standalone._rules()
    assert (ring.attrib["stroke"], ring.attrib["fill"]) == (variables["--c1"], "none")


def test_figures_as_pdf(facts, tmp_path):
    pytest.importorskip("cairosvg", reason="needs CairoSVG: pip install spikeport[figures]")
    written = figures.write(facts, tmp_path / "figures", pdf=True)
    assert [p.read_bytes()[:5] for p in written if p.suffix == ".pdf"] == [b"%PDF-"] * (
        len(written) // 2
    )


@pytest.mark.parametrize(
    ("module", "write", "words"),
    [
        (
            "cairosvg",
            lambda facts, run, to: figures.write(facts, to, pdf=True),
            "spikeport\\[figures",
        ),
        (
            "pyarrow",
            lambda facts, run, to: records.write(run, to, parquet=True),
            "spikeport\\[parquet",
        ),
    ],
)
def test_what_is_not_installed_is_said_before_anything_is_written(
    facts, few, tmp_path, monkeypatch, module, write, words
):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(OutputError, match=words):
        write(facts, load(few), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_cells_as_plain_text():
    cells = (
        ("share", Interval(0.5, 0.25, 0.75), "50.0 % (25.0–75.0)"),
        ("points", Interval(-0.1), "−10.0"),
        ("change", Interval(0.5, -0.1, 1.0), "+50.0 % (−10.0 to 100.0)"),
        ("joules", Interval(1e-6, 5e-7, 2e-6), "1.00 µJ (500 nJ to 2.00 µJ)"),
        ("seconds", 0.002, "2.00 ms"),
        ("used", Used(3, 1024), "3 of 1,024"),
        ("flags", ["one", "other"], "one; other"),
        ("count", None, "–"),
    )
    assert [plain.cell(Column("x", "x", kind), value) for kind, value, _ in cells] == [
        text for _, _, text in cells
    ]


def test_tex_has_every_table_and_no_markup_from_names(facts):
    written = tables.to_tex(facts)
    assert written.count("\\begin{longtable}") == written.count("\\end{longtable}")
    for table in tables.build(facts):
        assert (f"\\label{{tab:{table.name}}}" in written) == bool(table.rows)
    table = Table("t", "50 % & more", (Column("a", "a_b"),), ({"a": "\\input{x} ε=1\n$#"},))
    lines = tex.to_tex(table).splitlines()
    assert lines[1] == "\\caption{50 \\% \\& more}\\label{tab:t}\\\\"
    assert lines[2] == "\\hline a\\_b \\\\\\hline\\endhead"
    assert lines[3] == "\\textbackslash{}input\\{x\\} $\\varepsilon$=1 \\$\\# \\\\"


def test_every_sample_comes_back_from_a_run_and_from_its_files(few, tmp_path):
    run = load(few)
    columns = records.records(run)
    assert tuple(columns) == records.COLUMNS
    assert {len(values) for values in columns.values()} == {2 * 7 * (6 + 4)}
    assert np.array_equal(columns["correct"], columns["label"] == columns["prediction"])

    found = list(records.samples(run))
    assert len(found) == 2 * 7
    clean = next(s for s in found if s.attack == "clean")
    attacked = next(s for s in found if s.attack.startswith("pgd") and s.model == clean.model)
    assert clean.inputs.shape == attacked.inputs.shape == (6, 1, 8, 8)
    assert np.abs(attacked.inputs - clean.inputs).max() <= attacked.epsilon + 1e-6

    records.write(run, tmp_path / "out")
    with np.load(tmp_path / "out" / "records.npz", allow_pickle=False) as file:
        assert all(np.array_equal(file[name], columns[name]) for name in records.COLUMNS)
    said = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert set(said) == set(columns["crafted"]) == {s.key for s in found}
    assert said[attacked.key]["attack"] == attacked.attack
    with np.load(tmp_path / "out" / "samples" / f"{attacked.key}.npz") as file:
        assert np.array_equal(file["inputs"], attacked.inputs)
        assert np.array_equal(file["index"], attacked.index)


def test_records_as_parquet(few, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install spikeport[parquet]")
    records.write(load(few), tmp_path / "out", parquet=True)
    columns = records.records(load(few))
    read = parquet.read_table(tmp_path / "out" / "records.parquet").to_pydict()
    assert {name: values.tolist() for name, values in columns.items()} == read


def test_the_command_writes_them_and_refuses_other_endings(few, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert command(["report", str(few), "-o", "r.pdf"]) == 2
    assert command(["report", str(few), "-o", "r.html", "--pdf"]) == 2
    assert command(["results", str(few), "-o", "r.pdf"]) == 2
    said = capsys.readouterr().err
    assert "r.pdf: the ending must be .html or .tex" in said
    assert "r.pdf: the ending must be .html or .md or .tex" in said
    assert not list(tmp_path.iterdir())
    wanted = ["-o", "r.tex", "--figures", "f", "--samples", "s"]
    assert command(["report", str(few), *wanted]) == 0
    assert command(["results", str(few), "-o", "results.tex"]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"r.tex", "results.tex", "f", "s"}
    assert "longtable" in (tmp_path / "results.tex").read_text(encoding="utf-8")
