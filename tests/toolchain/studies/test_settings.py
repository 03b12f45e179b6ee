"""The studies of one setting and of the four networks: small ones from end to end, resumed, and
what their files may say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from toolchain.attacks.registry import AttackSpec
from toolchain.cells.store import Store
from toolchain.cli import run as spikeport
from toolchain.errors import ConfigError
from toolchain.models import Model
from toolchain.studies import (
    attacked,
    attacking,
    base,
    leak,
    networks,
    quantisation,
    setting,
    steps,
    study,
)
from toolchain.studies.attacked import Attack
from toolchain.studies.registry import STUDIES
from toolchain.training import Config, Data, Training

POISSON = """
[data]
encoding = "poisson_signed"
steps = 3
[model]
layers = [{ kind = "dense", features = 16 }, { kind = "dense", features = 10 }]
readout = "last_potential"
readout_beta = 1.0
[neuron]
reset = "subtract"
[training]
epochs = 2
samples = 256
"""
STUDY = """
values = [1.0, 0.5]
seeds = [0, 1]
[[networks]]
name = "<b>signed</b>"
recipe = "poisson.toml"
[attack]
samples = 12
naive_steps = 2
steps = 2
eot = 2
queries = 3
draws = 3
"""
ANN = (
    POISSON.replace("poisson_signed", "direct_signed")
    .replace("steps = 3", "steps = 1")
    .replace("[model]", '[model]\nkind = "ann"')
)
CONVERTED = (
    POISSON.replace("poisson_signed", "direct_signed")
    .replace("[model]", '[model]\ninit = { kind = "conversion", ann = "ann.toml" }')
    .replace("epochs = 2", "epochs = 0")
)
NETWORKS = """
seeds = [0, 1]
[[networks]]
name = "converted"
recipe = "converted.toml"
[[networks]]
name = "ANN"
recipe = "ann.toml"
[attack]
samples = 12
naive_steps = 2
steps = 2
queries = 3
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (
        ("poisson", POISSON),
        ("leak", STUDY),
        ("ann", ANN),
        ("converted", CONVERTED),
        ("networks", NETWORKS),
    ):
        (tmp_path / f"{name}.toml").write_text(text)
    return tmp_path


def test_a_study_from_its_file_to_its_page(folder, capsys):
    arguments = [
        "study",
        "leak",
        str(folder / "leak.toml"),
        "-o",
        str(folder / "run"),
        "--workers",
        "1",
        "--json",
        str(folder / "leak.json"),
    ]
    assert spikeport(arguments) == 0
    answer = json.loads((folder / "leak.json").read_text())
    rows = {(row["value"], row["name"]): row["each"] for row in answer["rows"]}
    assert all(len(each) == 2 for each in rows.values())
    for value in (1.0, 0.5):
        worst = np.array(rows[value, "worst of all"])
        for (at, name), each in rows.items():
            assert at != value or np.all(worst <= np.array(each) + 1e-12), name
        assert np.all(worst <= np.array(rows[value, "worst of honest"]))
    assert {name for _, name in rows} >= {
        "clean",
        "fgsm from a second seed",
        "sa_pgd 2 · assg 0.85 · EOT 2",
        "square 3 · EOT 2",
    }
    html = (folder / "run" / "leak.html").read_text()
    assert "<b>signed" not in html
    assert "&lt;b&gt;signed&lt;/b&gt;" in html
    assert "FEEL-SNN" in html  # the anchor, as published elsewhere
    assert "http" not in html.replace("http-equiv", "")
    assert html.count('class="whisker"') >= 12  # an error bar at every point
    csv = (folder / "run" / "leak.csv").read_text().splitlines()
    assert len(csv) == 1 + len(answer["rows"])
    # again: everything is there, so nothing is computed
    before = kept(folder / "run")
    assert spikeport([*arguments, "--force"]) == 0
    assert kept(folder / "run") == before


def kept(folder):
    """Key of every finished cell of a run -> what is kept with it."""
    with Store(folder, read_only=True) as store:
        return dict(store.cells("result"))


def test_the_four_networks_and_who_fools_whom(folder):
    findings = study.run("networks", folder / "networks.toml", folder / "run", workers=1)
    rows = {(row["network"], row["name"]): row["each"] for row in findings.facts["rows"]}
    for target in ("ANN", "converted"):
        assert {name for network, name in rows if network == target} >= {
            "pgd from ANN",
            "pgd from converted",
            "worst of all",
        }
    cells = list(kept(folder / "run").values())
    trained = {cell["label"]: cell["job"] for cell in cells if cell["label"].endswith("training")}
    assert (
        trained["converted, seed 1: training"]["ann"]
        == trained["ANN, seed 1: training"]["checkpoint"]
    )
    ann, converted = (rows[name, "worst of all"] for name in ("ANN", "converted"))
    apart = min(ann) > max(converted) or min(converted) > max(ann)
    assert ("no network keeps more" in findings.title) == (not apart)


def test_the_headline_names_a_network_only_where_its_worst_seed_is_above_all_others_best():
    share = {
        (name, "worst of all"): each
        for name, each in (("a", [0.3, 0.4]), ("b", [0.5, 0.6]), ("c", [0.45, 0.55]))
    }
    assert networks._title(share, ["a", "b"]).startswith("b keeps most in the worst case: 55.0")
    assert "no network keeps more" in networks._title(share, ["a", "b", "c"])


def test_spread_of_correctness_over_a_random_encoder_is_a_majority(folder):
    config = Config(
        data=Data(encoding="poisson_signed", steps=2),
        model=Model("mlp"),
        training=Training(epochs=1, samples=64),
    )
    cell = base.training(config, "training")
    measured = attacked.cells(
        cell, config, "a", Attack(samples=10, draws=3, steps=1, naive_steps=1, queries=1), 0, {}
    )
    clean = measured["clean"][1]
    result = base.run([clean], folder, workers=1)[clean.key]
    victim, _ = attacking._victim(str(folder / cell.product))
    pixels, labels = attacking.images("digits", 10)
    from toolchain.attacks.randomness import derived_seed

    votes = sum(
        (
            victim.predict(pixels, seed=derived_seed(0, "evaluation", draw)).argmax(1) == labels
        ).astype(int)
        for draw in range(3)
    )
    assert np.array_equal(attacked.right(result), votes >= 2)
    assert result["random"] is True


def test_worst_case_is_sample_by_sample():
    assert attacked.worst([{"correct": "1110"}, {"correct": "0111"}]) == 0.5


def test_what_is_honest_depends_on_the_network():
    plain, ann = (
        Config(data=Data(steps=2)),
        Config(data=Data(steps=1), model=Model("mlp", kind="ann")),
    )
    noisy = replace(plain, neuron=replace(plain.neuron, noise=0.25, noise_at_inference=True))
    assert {spec.eot for spec in attacked.honest(Attack(eot=7), plain)} == {1}
    assert {spec.eot for spec in attacked.honest(Attack(eot=7), noisy)} == {7}
    assert {
        spec.eot
        for spec in attacked.honest(Attack(eot=7), replace(plain, data=Data(encoding="poisson")))
    } == {7}
    assert "assg" in {
        spec.estimator["name"] for spec in attacked.honest(Attack(), plain) if spec.estimator
    }
    assert {
        spec.estimator["name"] for spec in attacked.honest(Attack(), ann) if spec.estimator
    } == {"training"}
    assert AttackSpec(
        "pgd", {"steps": 7, "step": 0.25}, {"name": "training", "params": {}}
    ) in attacked.naive(Attack())


def test_each_setting_changes_that_alone():
    config = Config(
        data=Data(encoding="poisson", steps=8),
        model=Model("mlp", readout="last_potential"),
        training=Training(logit_scale=0.5),
    )
    assert leak.put(config, 0.25) == replace(config, neuron=replace(config.neuron, beta=0.25))
    assert quantisation.put(config, 3) == replace(config, data=replace(config.data, bits=3))
    changed = steps.put(config, 4)
    assert changed.data.steps == 4
    assert changed.training.logit_scale == 1.0  # the potential sums over half as many steps
    assert (
        steps.put(
            replace(config, model=Model("mlp", readout="mean_potential")), 4
        ).training.logit_scale
        == 0.5
    )


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "leak",
            "values = [1.0, 0.5]",
            "values = [1.5]",
            "what remains in each step, and must be from 0 to 1",
        ),
        ("leak", "values = [1.0, 0.5]", "values = [1.0, 1.0]", "none of them twice"),
        ("leak", "values = [1.0, 0.5]", "", "values is missing; it must be a list"),
        ("leak", "samples = 12", "sample = 12", "no key 'sample' .the nearest is 'samples'"),
        ("leak", "samples = 12", "samples = 0", "samples is 0"),
        ("leak", "poisson.toml", "gone.toml", "cannot be read"),
        ("networks", "seeds = [0, 1]", "seeds = [0]", "two or more"),
        (
            "networks",
            '[[networks]]\nname = "ANN"\nrecipe = "ann.toml"',
            "",
            "0 networks are ANNs; there must be one",
        ),
    ],
)
def test_study_files_are_checked(folder, name, old, new, message):
    path = folder / f"{name}.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=message):
        study.read(name, path)


def test_recipes_of_events_are_refused_before_anything_is_trained(folder):
    (folder / "dvs.toml").write_text('[data]\nname = "nmnist"\nencoding = "events"\nsteps = 4\n')
    path = folder / "leak.toml"
    path.write_text(path.read_text().replace("poisson.toml", "dvs.toml"))
    with pytest.raises(ConfigError, match="change pixels, and nmnist are events"):
        study.read("leak", path)


@pytest.mark.parametrize(
    ("put", "value"),
    [(steps.put, 2.5), (steps.put, 0), (quantisation.put, 9), (quantisation.put, 1.5)],
)
def test_settings_that_are_none_are_refused(put, value):
    with pytest.raises(ConfigError, match="it must be a whole number"):
        put(Config(), value)


@pytest.mark.parametrize("name", ["leak", "steps", "quantisation", "networks"])
def test_the_examples_can_be_planned(name, request):
    path = request.config.rootpath / "examples" / "studies" / f"{name}.toml"
    module, plan = study.read(name, path)
    planned = base.everything(module.cells(plan))
    assert len({cell.key for cell in planned}) == len(planned)
    assert len({seed for *_, seed in plan.trained}) >= 3
    assert module in (leak.LEAK, steps.STEPS, quantisation.QUANTISATION, networks)
    assert name in STUDIES
    assert all(what in setting._OURS for what, _ in setting.SHARMIN)
