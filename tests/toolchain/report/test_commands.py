"""spikeport bench and spikeport report, from the command line."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.toolchain.report import synthetic
from toolchain import training
from toolchain.cells.estimate import Left
from toolchain.cli import run
from toolchain.cli.bench import Bars
from toolchain.robustness.sweep import load

SWEEP = """
[data]
samples = 8
[[models]]
name = "small"
source = "small.safetensors"
[attacks]
epsilons = [0.2]
list = [
  {attack = "noise", params = {kind = "uniform", tries = 2}},
  {attack = "pgd", params = {steps = 3}, estimator = {name = "atan", params = {steepness = 2.0}}},
]
[targets]
names = ["software", "fast"]
"""


@pytest.fixture
def spikeport(capsys, tmp_path, monkeypatch):
    """Runs the command line in an empty folder: ``code, out, err = spikeport("report", ...)``."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A checkpoint of a small network."""
    layers = [{"kind": "dense", "features": 16}, {"kind": "dense", "features": 10}]
    table = {
        "data": {"name": "digits", "steps": 3},
        "model": {"layers": layers},
        "training": {"epochs": 2, "samples": 400},
    }
    config = training.Config.from_table(table)
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    training.save_checkpoint(path, training.train(config).model, config)
    return path


def test_bench_then_report(spikeport, model, tmp_path):
    shutil.copy(model, tmp_path / "small.safetensors")
    (tmp_path / "tiny sweep.toml").write_text(SWEEP)
    code, out, err = spikeport("bench", "tiny sweep.toml", "--workers", 1, "--json", "bench.json")
    assert code == 0, err
    facts = json.loads((tmp_path / "bench.json").read_text())
    worst = facts["models"][0]["targets"][1]["worst"][0]["share"]
    row = next(line for line in out.splitlines() if line.startswith("small  fast"))
    assert (
        f"{100 * worst['value']:.1f} % ({100 * worst['low']:.1f}–{100 * worst['high']:.1f})" in row
    )
    assert "J" in row
    assert "spikeport report 'runs/tiny sweep' -o report.html" in out
    assert facts["models"][0]["comparisons"][0]["identical"]

    code, again, err = spikeport(
        "bench", "tiny sweep.toml", "-o", "runs/tiny sweep", "--workers", 1
    )
    assert code == 0, err
    assert again == out

    code, out, err = spikeport(
        "report",
        "runs/tiny sweep",
        "-o",
        "report.html",
        "--json",
        "report.json",
        "--neurobench",
        "nb.json",
        "--csv",
        "t",
    )
    assert code == 0, err
    assert out.startswith("\nSmoke test: upper bounds of robust accuracy. ")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (
        "spikeport bench &#x27;tiny sweep.toml&#x27; -o &#x27;runs/tiny sweep&#x27; --workers 1"
        in page
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["models"][0]["targets"] == facts["models"][0]["targets"]
    assert report["models"][0]["placement"]["fits"]
    with open(tmp_path / "t" / "summary.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["worst_case_0.2"]) for r in rows] == [
        e["worst"][0]["share"]["value"] for e in report["models"][0]["targets"]
    ]
    entries = json.loads((tmp_path / "nb.json").read_text())["entries"]
    assert [e["results"]["ClassificationAccuracy"] for e in entries if e["inputs"] == "clean"] == [
        facts["models"][0]["targets"][0]["clean"]["value"]
    ] * 2


def test_report_refuses_before_it_writes(spikeport, run_folder, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "attacks.csv").write_text("mine")
    for arguments, words in (
        (("nothing here", "-o", "r.html"), "there is no run here"),
        ((run_folder, "-o", "r.html", "--json", "r.html"), "same name"),
        ((run_folder, "-o", "r.html", "--csv", "t"), "attacks.csv: exists already"),
        ((run_folder, "-o", "absent/r.html"), "does not exist"),
    ):
        code, _, err = spikeport("report", *arguments)
        assert code == 2
        assert err.count("\n") == 1
        assert words in err
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["attacks.csv"]
    code, _, err = spikeport("report", run_folder, "-o", "r.html", "--csv", "t", "--force")
    assert code == 0, err
    assert (
        (tmp_path / "t" / "attacks.csv")
        .read_text(encoding="utf-8")
        .startswith("model,target,attack")
    )


def test_report_of_an_unfinished_run_says_so(spikeport, tmp_path):
    folder = synthetic.write_run(
        tmp_path / "run",
        synthetic.MODELS[:1],
        targets={"fast": 5},
        epsilons=(0.1,),
        seeds=(0,),
        unfinished=2,
    )
    code, out, err = spikeport("report", folder, "-o", "r.html")
    assert code == 0, err
    assert out.startswith("unfinished: 2 of 16 cells are missing; the page says so\n")
    assert "Smoke test" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.toml",), "cannot be read"),
        (
            ("sweep.toml", "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"),
            "--workers goes with a run on this machine",
        ),
        (("sweep.toml", "--scheduler", "tcp://127.0.0.1:9"), "--insecure-scheduler"),
        (
            ("sweep.toml", "--scheduler", "tcp://127.0.0.1:9", "--insecure-scheduler"),
            "no Dask scheduler answers at tcp://127.0.0.1:9",
        ),
    ],
)
def test_bench_refuses_what_it_cannot_run(
    spikeport, model, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.setattr("toolchain.cells.remote.GIVE_UP_S", 0.5)
    shutil.copy(model, tmp_path / "small.safetensors")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    code, out, err = spikeport("bench", *arguments)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1 + err.count("spikeport: waiting for")
    assert words in err


def test_progress_has_the_time_left_over_all_and_for_each_cell(monkeypatch, capsys):
    import sys

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("toolchain.cli.bench.DELAY", 0.0)
    monkeypatch.setattr("toolchain.cli.bench.REFRESH", 0.0)
    with Bars() as bars:
        bars.cell("", 0, 4, Left(unknown=4))
        bars.inside("digits: pgd 10", 50, 200)
        bars.inside("digits: pgd 10", 100, 200)
        bars.cell("digits: pgd 10", 1, 4, Left(90.9, unknown=2))
        bars.cell("digits: pgd 20", 2, 4, Left(61.9))
        bars.cell("digits: pgd 30", 4, 4, Left())
        bars.inside("digits: pgd 10", 200, 200)
    shown = capsys.readouterr().err
    assert "digits: pgd 10:  50%" in shown
    assert re.search(r"0 of 4 cells.* gone, time left unknown\]", shown)
    assert re.search(r"1 of 4 cells.* gone, at least 01:30 left\]", shown)
    assert re.search(r"2 of 4 cells.* gone, about 01:01 left\]", shown)
    assert re.search(r"4 of 4 cells.* gone\]", shown)
    assert "200/200" not in shown


def test_the_example_sweep_is_one():
    path = Path(__file__).parents[3] / "examples" / "robustness" / "digits-quick.toml"
    sweep = load(path)
    assert sweep.attacks.preset == "quick"
    assert sweep.targets.names == ("software", "fast", "lava")
    for part in sweep.models:
        assert training.read_config(sweep.path(part.recipe)).data.name == "digits"
