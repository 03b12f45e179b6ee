"""Every flag trips on records that show its sign, and stays silent on records of an honest
evaluation."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from toolchain.robustness.flags import CHECKS, Evidence, check
from toolchain.robustness.records import Scored

SAMPLES = 200


def record(
    name,
    accuracy,
    family="iterative",
    *,
    epsilon=0.03,
    iterations=10,
    estimator="training",
    eot=1,
    stochastic=False,
    crafted_on="software",
    target="fast",
    zero=0.0,
    optimiser=None,
    params=None,
    known_seed=None,
):
    correct = np.arange(SAMPLES) < round(accuracy * SAMPLES)
    description = {
        "name": name,
        "family": family,
        "epsilon": epsilon,
        "iterations": iterations,
        "estimator": estimator if family in ("single_step", "iterative", "energy") else None,
        "eot": eot,
        "stochastic": stochastic,
        "crafted_on": crafted_on,
        "target": target,
        "norm": "linf",
        "seed": 0,
        "optimiser": optimiser or name.rstrip("0123456789"),
        "params": params or {},
        "known_seed": known_seed,
        "layers": [],
    }
    zeros = np.zeros(SAMPLES)
    return Scored(
        description,
        np.arange(SAMPLES),
        correct,
        zeros,
        zeros,
        {},
        (),
        {"zero_gradient": np.full((3, SAMPLES), zero)},
    )


HONEST = (
    record("clean", 0.97, "clean", epsilon=0.0),
    record("noise", 0.95, "noise"),
    record("fgsm", 0.5, "single_step", iterations=1),
    record("pgd10", 0.2),
    record("pgd40", 0.195, iterations=40),
    record("pgd10", 0.1, epsilon=0.06),
    record("square", 0.3, "black_box", crafted_on="fast"),
    record("pgd40", 0.0, epsilon=1.0, iterations=40),
    record("sponge", 0.97, "energy"),
)

TRIPPING = {
    "more_steps_did_not_help": [record("pgd40", 0.6, iterations=40), record("pgd10", 0.2)],
    "larger_epsilon_did_not_lower_accuracy": [
        record("pgd10", 0.6, epsilon=0.1),
        record("pgd10", 0.2, epsilon=0.03),
    ],
    "accuracy_above_chance_at_epsilon_one": [record("pgd40", 0.5, epsilon=1.0)],
    "black_box_beats_white_box": [record("pgd10", 0.6), record("square", 0.2, "black_box")],
    "noise_beats_gradient": [record("pgd10", 0.6), record("noise", 0.2, "noise")],
    "zero_gradients": [
        record("pgd10", 0.6, zero=1.0),
        record("pgd10", 0.55, zero=0.9, estimator="atan 2"),
    ],
    "other_gradients_beat_training_surrogate": [
        record("pgd10", 0.6),
        record("pgd10", 0.3, estimator="atan 2"),
    ],
    "pgd_weaker_than_fgsm": [record("pgd10", 0.6), record("fgsm", 0.3, "single_step")],
    "randomness_without_eot": [record("pgd10", 0.6, stochastic=True, eot=1)],
    "quantisation_masks": [
        record("square", 0.6, "black_box", crafted_on="fast"),
        record("square", 0.2, "black_box"),
    ],
}


@pytest.mark.parametrize("name", TRIPPING)
def test_a_flag_trips_on_its_sign(name):
    flags = {flag.name: flag for flag in check(Evidence(TRIPPING[name], classes=10))}
    assert name in flags
    assert "%" in flags[name].finding or "draw" in flags[name].finding
    assert flags[name].attacks


SILENT = {
    "black_box_beats_white_box": [
        record("pgd10", 0.6),
        record("pgd10", 0.2, estimator="atan 2"),
        record("square", 0.3, "black_box"),
    ],
    "noise_beats_gradient": [
        record("pgd10", 0.6),
        record("pgd10", 0.2, estimator="atan 2"),
        record("noise", 0.5, "noise"),
    ],
    "zero_gradients": [record("pgd10", 0.6, zero=1.0), record("pgd10", 0.6, estimator="atan 2")],
    "other_gradients_beat_training_surrogate": [
        record("pgd10", 0.6),
        record("pgd10", 0.58, estimator="atan 2"),
        record("apgd_dlr", 0.3, iterations=50, estimator="atan 2"),
        record("pgd10", 0.3, estimator="atan 2", params={"loss": "margin"}),
    ],
    "randomness_without_eot": [
        record("pgd10", 0.6, stochastic=True),
        record("pgd10", 0.6, stochastic=True, eot=4, estimator="atan 2"),
    ],
}
"""Where one narrow estimator, or one attack, fails and others of the same battery do not."""


@pytest.mark.parametrize("name", SILENT)
def test_a_flag_is_silent_where_other_attacks_of_the_battery_do_not_fail(name):
    assert name in TRIPPING
    assert name not in {flag.name for flag in check(Evidence(SILENT[name], classes=10))}


def test_a_known_seed_is_an_answer_to_randomness():
    records = [
        record("pgd10", 0.6, stochastic=True),
        record("pgd10", 0.5, stochastic=True, known_seed=0),
    ]
    assert check(Evidence(records, classes=10)) == []


def test_zero_gradients_counts_a_sample_that_no_attack_still_looks_at_by_the_others():
    one, other = record("pgd10", 0.6, zero=1.0), record("pgd10", 0.6, zero=1.0, estimator="atan 2")
    other.history["zero_gradient"][1:, : SAMPLES // 2] = np.nan
    flag = next(f for f in check(Evidence([one, other], classes=10)) if f.name == "zero_gradients")
    assert flag.finding.startswith(
        "at 0.03 under all 2 attacks with gradients 60.0 % of the samples stay correct"
    )


def test_with_many_other_gradients_one_that_is_lower_by_chance_does_not_trip():
    def other(number, lower):
        found = record("pgd10", 0.6, estimator=f"triangle {number}")
        return replace(found, correct=np.arange(SAMPLES) < 120 - lower)

    records = [record("pgd10", 0.6), *(other(number, 6 * (number == 0)) for number in range(5))]
    assert (
        check(Evidence(records[:2], classes=10))[0].name
        == "other_gradients_beat_training_surrogate"
    )  # p = 0.031 of one test
    assert check(Evidence(records, classes=10)) == []


KINDS = ("training", "atan 2", "triangle 0.5", "hart 1")


def kinds(*broken, estimators=KINDS):
    """An attack of another kind for each range of samples that it breaks."""
    found = []
    for number, (low, high) in enumerate(broken):
        correct = np.ones(SAMPLES, bool)
        correct[low:high] = False
        made = record(f"attack {number}", 0.5, optimiser=f"o{number}", estimator=estimators[number])
        found.append(replace(made, correct=correct))
    return {flag.name: flag for flag in check(Evidence(found, classes=10))}


def test_worst_case_not_reached_trips_when_every_kind_of_attack_fools_other_samples():
    flag = kinds((0, 40), (40, 80), (80, 120), (120, 140))["worst_case_not_reached"]
    assert flag.finding == (
        "at 0.03 70.0 % of the samples were broken by one of 4 kinds of attack alone, most of them "
        "by one kind (training surrogate, cross "
        "entropy loss); at least 30.0 % more would fall to further kinds, of 30.0 % that stand"
    )


def test_worst_case_is_reached_when_other_kinds_confirm_what_the_strongest_finds():
    assert "worst_case_not_reached" not in kinds((0, 100), (0, 95), (5, 100), (20, 60))


def test_attacks_that_share_loss_and_gradient_do_not_confirm_each_other():
    """Three attacks of one kind break the same samples, a fourth of another kind others: attack by
    attack, few samples were broken once; kind by kind nearly all were."""
    ranges = ((0, 60), (0, 60), (0, 60), (55, 80))
    assert "worst_case_not_reached" not in kinds(*ranges[1:3], (0, 60))
    flag = kinds(*ranges, estimators=("training",) * 3 + ("atan 2",))["worst_case_not_reached"]
    assert "37.5 % of the samples were broken by one of 2 kinds of attack alone" in flag.finding
    assert flag.attacks == ("attack 0", "attack 1", "attack 2")


@pytest.mark.parametrize(("felled", "trips"), [(11, True), (10, False)])
def test_a_cascade_that_still_finds_at_its_end_is_not_at_its_end(felled, trips):
    made = record("cascade of 5", 0.4, "cascade", iterations=5, optimiser="cascade")
    felled_by = np.where(made.correct, -1.0, 1.0)
    felled_by[SAMPLES - felled :] = 4  # of 5 stages the last two
    made.history["felled_by"] = felled_by[None]
    flags = {flag.name: flag for flag in check(Evidence([made], classes=10))}
    assert ("worst_case_not_reached" in flags) == trips
    if trips:
        assert flags["worst_case_not_reached"].finding == (
            "at 0.03 the last 2 of 5 stages of cascade of 5 still felled 5.5 % of the samples; "
            "more stages would fell more of the 40.0 % "
            "that stand"
        )


def test_attacks_on_the_network_behind_a_front_accuse_nobody():
    noise = record("noise", 0.2, "noise")
    weak = record("pgd10", 0.6)
    weak.description["front"] = "skip"
    assert check(Evidence([weak, noise], classes=10)) == []


def test_an_honest_evaluation_trips_nothing():
    assert check(Evidence(HONEST, classes=10)) == []


def test_a_difference_within_chance_trips_nothing():
    assert (
        check(Evidence([record("pgd40", 0.21, iterations=40), record("pgd10", 0.2)], classes=10))
        == []
    )


def test_every_flag_is_tested_and_documented():
    names = {rule.__name__ for rule in CHECKS}
    assert names == {*TRIPPING, "worst_case_not_reached"}
    text = (Path(__file__).parents[3] / "docs" / "flags.md").read_text()
    assert names == {line[3:] for line in text.splitlines() if line.startswith("## ")}


def test_every_number_that_a_flag_accuses_is_named():
    seen = (("noise", 0.2, "noise"), ("pgd10", 0.6, "iterative"))
    records = [
        record(name, accuracy, family, epsilon=e)
        for e in (0.03, 0.1)
        for name, accuracy, family in seen
    ]
    flag = next(f for f in check(Evidence(records, classes=10)) if f.name == "noise_beats_gradient")
    assert flag.cells == (("pgd10", 0.03, 0), ("pgd10", 0.1, 0))
    assert (
        flag.findings[1]
        == "at 0.1 noise leaves 20.0 %, all 1 attacks with gradients together 60.0 %"
    )
    assert flag.finding.endswith("; and 1 more like it")
