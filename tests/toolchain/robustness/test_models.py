"""Models of every kind as cells see them: float networks that say nothing of themselves, networks
without a Program."""

from dataclasses import replace

import numpy as np
import pytest

from toolchain.attacks.base import NotApplicable
from toolchain.attacks.registry import AttackSpec
from toolchain.errors import ModelError
from toolchain.robustness import cells, scoring
from toolchain.robustness.cells import CraftJob, ScoreJob
from toolchain.robustness.models import ModelFile, Options, open_model
from toolchain.robustness.records import Scored

PGD = AttackSpec("pgd", {"steps": 5}, {"name": "atan", "params": {"steepness": 2.0}})


def job(model, data, spec=None, epsilon=0.2, **options):
    return CraftJob(model, data.key, spec, "linf", epsilon if spec else 0.0, 0, 40, **options)


def scored(crafted, target, data, arrays, seed=0):
    return Scored.from_arrays(
        *scoring.score(ScoreJob(crafted, target, len(data.labels), seed), data, arrays)
    )


def test_a_float_model_is_attacked_as_it_is_and_scored_on_its_integers(
    float_model, coarse_model, digits
):
    opened = open_model(float_model)
    assert not opened.exact
    assert opened.sample_shape == (1, 8, 8)
    assert opened.program.inputs[0].message_bits == 6
    accuracy = {}
    for model in (float_model, coarse_model):
        for spec in (None, PGD):
            crafted = job(model, digits, spec)
            arrays = cells.craft(crafted, digits)
            for target in ("software", "fast"):
                accuracy[model.name, bool(spec), target] = scored(
                    crafted, target, digits, arrays
                ).accuracy
    assert accuracy["float", False, "software"] > 0.8
    assert accuracy["float", False, "fast"] > 0.75
    assert accuracy["float", True, "software"] < accuracy["float", False, "software"] - 0.3
    # three bits are another network, on the same software
    assert accuracy["coarse", False, "software"] == accuracy["float", False, "software"]
    assert accuracy["coarse", False, "fast"] != accuracy["float", False, "fast"]


def test_software_and_victim_of_a_float_model_predict_alike(float_model, digits):
    crafted = job(float_model, digits)
    record = scored(crafted, "software", digits, cells.craft(crafted, digits))
    assert np.array_equal(
        record.prediction, open_model(float_model).victim().predict(digits.samples).argmax(axis=1)
    )


def test_a_black_box_is_made_on_the_float_model_and_on_its_integers(coarse_model, digits):
    square = AttackSpec("square", {"queries": 20})
    found = {
        on: cells.craft(job(coarse_model, digits, square, on=on), digits)["adversarial"]
        for on in ("software", "fast")
    }
    assert not np.array_equal(found["software"], found["fast"])


def test_options_are_part_of_the_key_and_so_is_the_factorys_text(
    float_model, tmp_path, monkeypatch
):
    assert (
        replace(float_model, options=replace(float_model.options, weight_bits=4)).key
        != float_model.key
    )
    monkeypatch.syspath_prepend(tmp_path)
    keys = set()
    for text in ("one = 1", "two = 2"):
        (tmp_path / "some_factories_of_a_test.py").write_text(text)
        keys.add(ModelFile("x", "some_factories_of_a_test:one").key)
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"encoding": None},
            r"does not say encoding; \[\[models\]\] must say it, with some of input_shape, call",
        ),
        ({"input_shape": (63,)}, r"input_shape is \(63,\); samples of digits have \(1, 8, 8\)"),
    ],
)
def test_a_model_that_is_not_described_is_refused(float_model, change, message):
    with pytest.raises(ModelError, match=message):
        open_model(replace(float_model, options=replace(float_model.options, **change)))


def test_options_that_change_nothing_are_refused(ann):
    with pytest.raises(ModelError, match="steps changes nothing"):
        open_model(replace(ann, options=Options(steps=4)))
    with pytest.raises(
        ModelError, match="weight_bits changes nothing in a model that becomes no Program"
    ):
        open_model(replace(ann, options=Options(weight_bits=4)))


def test_a_model_that_states_its_reading_refuses_to_be_told(float_model, tmp_path):
    for told in ({"reset": "zero"}, {"r_per": "step"}, {"dialect": "sinabs"}):
        with pytest.raises(ModelError, match=f"{next(iter(told))} changes nothing in a factory"):
            open_model(replace(float_model, options=replace(float_model.options, **told)))


def test_an_ann_is_scored_on_software_alone(ann, digits):
    crafted = job(ann, digits, AttackSpec("fgsm", {}, {"name": "training"}), epsilon=0.2)
    arrays = cells.craft(crafted, digits)
    record = scored(crafted, "software", digits, arrays)
    clean = job(ann, digits)
    assert (
        record.accuracy
        < scored(clean, "software", digits, cells.craft(clean, digits)).accuracy - 0.2
    )
    # 3 x 3 kernels at 8 x 8 places: 64 * 9 products less those beyond the edge, (8 * 3 - 2) ** 2,
    # for 4 channels; 256 * 10
    assert record.activity["macs"][0].tolist() == [4 * 22**2, 2560]
    assert record.energy["cmos-45nm"]["dynamic_j"][0] == pytest.approx((4 * 22**2 + 2560) * 4.6e-12)
    with pytest.raises(NotApplicable, match="no Program: the model is no spiking network"):
        scored(crafted, "fast", digits, arrays)
    with pytest.raises(NotApplicable, match="no Program"):
        cells.craft(job(ann, digits, AttackSpec("square", {"queries": 5}), on="fast"), digits)


def test_an_ann_is_a_source_of_transfers(ann, float_model, digits):
    spec = AttackSpec(
        "transfer",
        {"source": "ann", "spec": AttackSpec("pgd", {"steps": 5}, {"name": "training"}).to_json()},
    )
    crafted = job(float_model, digits, spec, source=ann)
    arrays = cells.craft(crafted, digits)
    clean = job(float_model, digits)
    before = scored(clean, "fast", digits, cells.craft(clean, digits)).accuracy
    assert crafted.description()["crafted_on"] == "model ann"
    assert scored(crafted, "fast", digits, arrays).accuracy < before


@pytest.mark.parametrize("name", ["rga", "bptr", "hart", "cba"])
def test_an_estimator_that_a_neuron_does_not_have_is_not_applicable(float_model, digits, name):
    with pytest.raises(NotApplicable, match="needs whole sequences"):
        cells.craft(
            job(float_model, digits, AttackSpec("pgd", {"steps": 1}, {"name": name})), digits
        )


def test_the_size_of_a_change_in_every_threat():
    clean = np.zeros((2, 4, 1, 1, 3), np.uint8)
    clean[0, [0, 1], 0, 0, 0] = clean[0, 2, 0, 0, 1] = clean[1, 3, 0, 0, 2] = 1
    moved = np.zeros_like(clean)
    moved[0, [1, 3], 0, 0, 0] = moved[0, 2, 0, 0, 1] = moved[1, 1, 0, 0, 2] = 1
    # events of the first sample move by 1, 2 and 0 steps
    assert scoring.distance(clean, moved, "shift").tolist() == [1.0, 2.0]
    assert scoring.distance(clean, moved, "flips").tolist() == [2.0, 2.0]
    images = np.array([[0.0, 0.3], [0.5, 0.5]], np.float32)
    assert scoring.distance(images, images + np.float32([0.3, -0.4]), "linf") == pytest.approx(
        [0.4, 0.4]
    )
    assert scoring.distance(images, images + np.float32([0.3, -0.4]), "l2") == pytest.approx(
        [0.5, 0.5]
    )
