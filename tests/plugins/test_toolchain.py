"""Attacks, defences and data sets of another distribution, through the normal calls; and their code
in the keys of cells."""

from __future__ import annotations

import numpy as np
import pytest

from toolchain import data
from toolchain.attacks.base import Threat
from toolchain.attacks.registry import ATTACKS, AttackSpec, attacks_on, run
from toolchain.cells import closure, plain
from toolchain.errors import ConfigError, DataError
from toolchain.robustness.cells import MADE_BY, SCORED_BY, CraftJob, ScoreJob, maker_of
from toolchain.robustness.models import ModelFile
from toolchain.training import Config, train

RECIPE = {
    "data": {"name": "stripes", "steps": 2},
    "model": {"layers": [{"kind": "dense", "features": 8}], "readout": "max_potential"},
    "training": {"epochs": 1, "batch": 20},
}


class Bright:
    """A victim that says 1 where the mean of an image is above a half."""

    sample_shape, classes, stochastic = (1, 2, 2), 2, False

    def predict(self, samples, *, seed=0):
        bright = samples.mean(axis=(1, 2, 3))
        return np.stack([1 - bright, bright], axis=1).astype(np.float32)


def test_an_attack_runs_by_its_name(examples):
    samples = np.full((2, 1, 2, 2), 0.4, np.float32)
    samples[1] = 0.2
    labels, threat = np.array([0, 0]), Threat("linf", 0.2)
    result = run(AttackSpec("brighter"), Bright(), samples, labels, threat)
    assert result.success.tolist() == [True, False]
    assert np.allclose(result.adversarial, samples + 0.2)
    weaker = run(AttackSpec("brighter", {"share": 0.25}), Bright(), samples, labels, threat)
    assert not weaker.success.any()
    assert "brighter" in attacks_on("linf")
    assert ATTACKS["brighter"].family == "black_box"


def test_its_code_is_part_of_the_keys_of_its_cells(examples, monkeypatch):
    monkeypatch.setattr(CraftJob, "__post_init__", lambda job: None)
    monkeypatch.setattr(ScoreJob, "__post_init__", lambda job: None)
    seen = []
    monkeypatch.setattr("toolchain.cells.maker.of", lambda *modules: seen.append(modules))

    def job(attack, **estimator):
        return CraftJob(ModelFile("m", "m"), "", AttackSpec(attack, **estimator), "linf", 0.1, 0, 9)

    own = job("brighter")
    maker_of(job("square"), MADE_BY)
    maker_of(own, MADE_BY)
    cascade = AttackSpec("cascade", {"stages": [AttackSpec("brighter").to_json()]})
    assert cascade.modules == ("spikeport_example.attacks",)
    ScoreJob(job("square"), "abacus", 9).maker  # noqa: B018 - what it asks for is seen
    assert seen == [
        (MADE_BY,),
        (MADE_BY, "spikeport_example.attacks"),
        (SCORED_BY, "spikeport_example.targets"),
    ]


def test_a_change_of_a_plug_in_changes_the_digest_of_its_code(examples):
    before = closure.of_user("spikeport_example.attacks")
    assert "spikeport_example.attacks" in before.modules
    digest = before.digest
    path = examples / "spikeport_example" / "attacks.py"
    path.write_text(path.read_text().replace("share: float = 1.0", "share: float = 0.9"))
    assert closure.of_user("spikeport_example.attacks").digest != digest


def test_a_data_set_is_read_by_its_name(examples):
    stripes = data.load("stripes", "test")
    assert (len(stripes), stripes.shape, stripes.classes) == (20, (1, 8, 8), 8)
    assert (stripes.images()[3, 0, 3] == 1).all()
    with pytest.raises(DataError, match="there is no split 'validation'"):
        data.load("stripes", "validation")


def test_a_defence_takes_part_in_a_training_on_it(examples):
    plain_recipe = Config.from_table(RECIPE)
    table = {**RECIPE, "defence": {"plugins": {"quiet": {"weight": 0.5}}}}
    recipe = Config.from_table(table)
    assert Config.from_table(recipe.to_table()) == recipe
    assert recipe.defence.modules == ("spikeport_example.defences",)
    result = train(recipe)
    assert result.test_samples == 20
    terms = result.history[0]["terms"]
    assert set(terms) == {"task", "quiet"}
    assert terms["quiet"] > 0
    assert "plugins" not in plain_recipe.to_table().get("defence", {})
    cell, other = (plain.training(r, "fit").description["job"] for r in (recipe, plain_recipe))
    assert cell["plugins"] == closure.of_user("spikeport_example.defences").digest
    assert "plugins" not in other


@pytest.mark.parametrize(
    ("plugins", "words"),
    [
        ({"quiet": {"weigth": 1}}, ".quiet: there is no key 'weigth'.*nearest is 'weight'"),
        ({"loud": {}}, " has no defence 'loud' of another distribution; there are quiet"),
        ({"margin": {}}, " has no defence 'margin' of another distribution"),
    ],
)
def test_a_defence_that_cannot_be_is_refused(examples, plugins, words):
    with pytest.raises(ConfigError, match=rf"^own\.toml: \[defence\]: plugins.*{words}"):
        Config.from_table({**RECIPE, "defence": {"plugins": plugins}}, "own.toml")
