"""The study of margins and exactness: a tiny one from the file to the page, and what it says of
numbers made up for it."""

from __future__ import annotations

import csv

import pytest

from toolchain.errors import ConfigError
from toolchain.pages.table import to_csv
from toolchain.studies import base, margin, margin_page, study
from toolchain.studies.margin_settings import MarginStudy

RECIPE = """
[data]
steps = 3
[model]
layers = [{ kind = "dense", features = 8 }, { kind = "dense", features = 10 }]
[neuron]
beta = 0.875
[defence]
margin = { delta = 0.5, lambda_max = 20.0 }
[training]
epochs = 1
samples = 64
"""


@pytest.fixture
def config(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    path = tmp_path / "margin.toml"
    path.write_text(
        'recipe = "recipe.toml"\ndeltas = [0.0, 1.0]\nweight_bits = [8, 3]\nseeds = [0, 1]\n'
    )
    return path


def test_the_study_from_its_file_to_its_page(tmp_path, config):
    findings = study.run("margin", config, tmp_path / "run", workers=1)
    page = (tmp_path / "run" / "margin.html").read_text()
    assert findings.title in page
    assert page.count("<svg") >= 4
    with open(tmp_path / "run" / "margin.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 * 2 * 2  # deltas, seeds, bits, modes, layers
    assert {row["layer"] for row in rows} == {"lif1", "readout"}
    by = {(r["delta"], r["seed"], r["weight_bits"], r["mode"], r["layer"]): r for r in rows}
    first = [by["0.0", "0", "3", mode, "lif1"]["flips"] for mode in ("free", "forced")]
    assert first[0] == first[1], "the first layer reads the input either way"
    coarse, fine = (
        sum(int(r["flips"]) for r in rows if r["weight_bits"] == bits) for bits in ("3", "8")
    )
    assert coarse > fine
    assert all(int(r["comparisons"]) == 364 * 3 * (8 if r["layer"] == "lif1" else 10) for r in rows)
    assert (
        by["0.0", "0", "8", "free", "lif1"]["share_near_threshold"]
        != by["1.0", "0", "8", "free", "lif1"]["share_near_threshold"]
    )
    aware = findings.facts["on_the_grid"]["seeds"]
    assert [entry["flips"] for entry in aware.values()] == [0, 0]
    assert all(entry["comparisons"] == 364 * 3 * 18 for entry in aware.values())


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"deltas": "[0.5]"}, "it must have 0, the network without constraint"),
        ({"deltas": "[0.0, 0.0]"}, "none of them twice"),
        ({"deltas": "[0.0, -1.0]"}, "deltas, entry 2 is -1.0"),
        ({"weight_bits": "[9]"}, "weight_bits, entry 1 is 9; it must be a whole .* from 2 to 8"),
        ({"weight_bits": "[]"}, "at least one entry"),
        ({"near": "0.0"}, "near is 0.0"),
        ({"margin": "1"}, "there is no key 'margin'"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, config, changes, text):
    entries = {"recipe": '"recipe.toml"', "deltas": "[0.0]"} | changes
    config.write_text("".join(f"{key} = {value}\n" for key, value in entries.items()))
    with pytest.raises(ConfigError, match=text):
        study.read("margin", config)


@pytest.mark.parametrize(
    "defence",
    [
        "",
        "[defence]\nsparsity = { weight = 0.1, h = 0.1 }\nmargin = { delta = 1.0, lambda_max = 1.0 "
        "}\n",
    ],
)
def test_the_recipe_must_have_the_margin_alone(tmp_path, config, defence):
    (tmp_path / "recipe.toml").write_text(RECIPE.split("[defence]")[0] + defence)
    with pytest.raises(ConfigError, match="must have the defence margin, and no other"):
        study.read("margin", config)


def test_every_network_is_trained_once_and_apart_from_those_on_the_grid(config):
    _, plan = study.read("margin", config)
    cells = base.everything(margin.cells(plan))
    products = [cell.product for cell in cells if cell.product]
    assert len(products) == len(set(products)) == 2 * 2 + 2
    assert sum(product.startswith("models/float-") for product in products) == 4
    assert plan.measured[0.0, 0].after[0].job["job"]["config"]["defence"] == {}
    assert plan.measured[1.0, 1].after[0].job["job"]["config"]["defence"]["margin"]["delta"] == 1.0
    assert plan.aware[1].after[0].job["job"]["config"]["grid"]["weight_bits"] == 3


def made_up(flips, accuracy=0.9):
    """A measurement with so many flips of 1000 comparisons in one layer."""
    counts = {"flips": flips, "comparisons": 1000, "spikes": 100, "samples": min(flips, 10)}
    part = {
        "accuracy": accuracy,
        "changed": 0.01,
        "flips": {"free": {"lif": counts}, "forced": {"lif": counts | {"error": 0.1}}},
    }
    return {
        "accuracy": 0.9,
        "samples": 10,
        "near": {"lif": 0.05},
        "within": {"lif": 0.1},
        "size": {"lif": 2.0},
        "bits": {"8": part},
    }


def said(*flips):
    """Findings on networks with deltas 0, 1, … and those flips, the same for two seeds."""
    settings = MarginStudy("recipe.toml", tuple(map(float, range(len(flips)))), (8,), (0, 1))
    measured = {(float(d), seed): made_up(n) for d, n in enumerate(flips) for seed in (0, 1)}
    aware = {seed: {"accuracy": 0.8, "flips": 0, "comparisons": 7} for seed in (0, 1)}
    recipe = margin.Config.from_table({"defence": {"margin": {"delta": 1.0, "lambda_max": 2.0}}})
    return margin_page.findings(settings, recipe, measured, aware)


def test_the_title_is_what_the_numbers_say():
    assert (
        said(40, 20, 0).title
        == "A margin makes the deployment exact: from δ = 2 V at 8 bits, no spike differs"
    )
    fewer = said(40, 20, 10).title
    assert fewer.startswith(
        "A wide margin makes fewer spikes flip, and no deployment exact: at 8 bits 400 of 10,000 "
        "comparisons flip"
    )
    assert fewer.endswith("100 with δ = 2 V")
    assert (
        said(20, 40).title
        == "No margin made the deployment more exact: at 8 bits the fewest spikes flip without one"
    )


def test_one_flip_is_not_exact():
    """Exactness is asked of every seed and every comparison."""
    assert "no deployment exact" in said(40, 1).title
    assert said(40, 1).facts["exact"] == []


def test_the_table_holds_every_number_and_the_zero_has_its_place_in_the_plot():
    findings = said(40, 0)
    assert "40,1000,100" in to_csv(findings.table).replace("\r\n", "\n")
    plot = findings.sections[0].figures[0]
    assert "No flip at all stands at 5.0" in plot.caption
    assert "No flip" not in said(40, 1).sections[0].figures[0].caption
    assert "δ = 1 V, 8 bits: 0 flips per 10,000 (0 to 0 over 2 seeds)" in plot.picture
