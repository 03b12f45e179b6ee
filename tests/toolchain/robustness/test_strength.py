"""What a battery is called follows from the attacks that were made, and each rule names what is
missing."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from toolchain.attacks.batteries import PRESETS, battery
from toolchain.attacks.estimators import ESTIMATORS
from toolchain.attacks.registry import ATTACKS, NORMS
from toolchain.robustness import strength, traits
from toolchain.robustness.cells import CraftJob
from toolchain.robustness.models import ModelFile
from toolchain.robustness.strength import FULL, SMOKE, STANDARD, AttackedNetwork, judge
from toolchain.robustness.traits import (
    EXACT,
    GRADIENT,
    IN_TURN,
    LOCAL,
    MARGIN,
    NOWHERE_ZERO,
    SCORES,
    SURROGATES,
    TRAINED,
    Traits,
)

LINF = AttackedNetwork("linf")
FOLLOWS = Traits(GRADIENT, MARGIN, NOWHERE_ZERO, 100)
SQUARE, SEARCH = Traits(SCORES, "", "", 200), Traits(LOCAL, "", "", 200)
STRONG = (FOLLOWS, SQUARE, SEARCH)


def test_a_battery_with_every_kind_is_standard_and_says_what_full_needs():
    found = judge(STRONG, LINF)
    assert found.level == STANDARD
    assert not found.weak
    assert "400 steps" in found.missing[0]
    long = [replace(attack, iterations=10 * attack.iterations) for attack in STRONG]
    assert judge(long, LINF) == strength.Strength(FULL)


def test_the_efforts_of_attacks_of_a_kind_add_up():
    halves = [replace(attack, iterations=attack.iterations // 2) for attack in STRONG]
    assert (
        judge([*halves, replace(halves[0], surrogate=IN_TURN), *halves[1:]], LINF).level == STANDARD
    )


@pytest.mark.parametrize(
    ("attacks", "attacked", "missing"),
    [
        ((replace(FOLLOWS, surrogate=TRAINED), SQUARE, SEARCH), LINF, "vanish nowhere"),
        ((replace(FOLLOWS, loss="cross entropy"), SQUARE, SEARCH), LINF, "margin or DLR loss"),
        ((replace(FOLLOWS, iterations=99), SQUARE, SEARCH), LINF, "100 steps"),
        ((replace(FOLLOWS, front="skip"), SQUARE, SEARCH), LINF, "vanish nowhere"),
        ((FOLLOWS, replace(SQUARE, iterations=199), SEARCH), LINF, "200 queries"),
        ((FOLLOWS, SQUARE), LINF, "local search"),
        (STRONG, replace(LINF, random=True), "knows the seed"),
        (STRONG, replace(LINF, front=True), "BPDA"),
        (
            (*STRONG, replace(FOLLOWS, front="bpda")),
            replace(LINF, front=True, detector=True),
            "knows of the detector",
        ),
        ((), AttackedNetwork("flips"), "vanish nowhere"),
    ],
)
def test_what_is_missing_makes_a_smoke_test_and_is_named(attacks, attacked, missing):
    found = judge(attacks, attacked)
    assert found.weak
    assert len(found.missing) == 1
    assert missing in found.missing[0]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("front", [False, True])
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_as_strong_as_their_names(preset, norm, random, front):
    specs = battery(preset, norm, random, front, 0 if random else None)
    description = {
        "norm": norm,
        "stochastic": random,
        "program": "p",
        "has_front": front,
        "has_detector": front,
    }
    records = [
        SimpleNamespace(description=description | said(spec, description), history={})
        for spec in specs
    ]
    wanted = {"quick": SMOKE, "standard": STANDARD, "full": FULL}[preset]
    assert strength.of_records(records).level == wanted


def said(spec, common):
    """As a cell describes an attack."""
    model = ModelFile("m", "m.safetensors")
    return CraftJob(model, "d", spec, common["norm"], 0.1, 0, 10, code="c").description()


@pytest.mark.parametrize(
    ("attacks", "attacked"),
    [
        ((FOLLOWS, SQUARE), replace(LINF, program=False)),
        ((replace(FOLLOWS, surrogate=EXACT), SQUARE), replace(LINF, program=False)),
        ((FOLLOWS,), AttackedNetwork("shift")),
        ((*STRONG, replace(FOLLOWS, known_seed=True)), replace(LINF, random=True)),
        (
            (*STRONG, replace(FOLLOWS, front="bpda"), replace(FOLLOWS, front="detector")),
            replace(LINF, front=True, detector=True),
        ),
    ],
)
def test_only_what_can_be_is_asked_for(attacks, attacked):
    assert judge(attacks, attacked).level == STANDARD


def test_the_weakest_battery_decides_and_all_that_is_missing_is_said():
    one, other = judge(STRONG, LINF), judge((FOLLOWS, SQUARE), LINF)
    third = judge((FOLLOWS, SEARCH), LINF)
    found = strength.weakest([one, other, third, one])
    assert found.level == SMOKE
    assert len(found.missing) == 2
    assert strength.weakest([]) is None


def described(**said):
    common = {
        "name": "pgd",
        "family": "iterative",
        "optimiser": "pgd",
        "iterations": 10,
        "params": {},
        "crafted_on": "software",
    }
    return common | {"estimator": None} | said


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (
            {"estimator": '{"name": "atan", "params": {}}'},
            "surrogate that vanishes nowhere, cross entropy loss",
        ),
        (
            {"estimator": '{"name": "training"}', "params": {"loss": "margin"}},
            "training surrogate, margin loss",
        ),
        (
            {"estimator": "assg 0.85", "optimiser": "apgd_dlr"},
            "surrogate that vanishes nowhere, margin loss",
        ),
        ({"estimator": "training", "spiking": False}, "exact gradient, cross entropy loss"),
        (
            {"estimator": "training", "front": "bpda"},
            "training surrogate, cross entropy loss, front: bpda",
        ),
        (
            {"estimator": "training", "known_seed": 3},
            "training surrogate, cross entropy loss, knows the seed",
        ),
        ({"family": "black_box", "optimiser": "square"}, "scores"),
        ({"family": "black_box", "optimiser": "local_search"}, "local search"),
        (
            {
                "family": "black_box",
                "optimiser": "transfer pgd",
                "estimator": "atan 2",
                "crafted_on": "model plain",
            },
            "transfer",
        ),
        ({"family": "noise", "optimiser": "noise"}, "noise"),
    ],
)
def test_the_kind_of_an_attack(said, kind):
    assert Traits.of(described(**said)).kind == kind


def test_every_estimator_and_every_attack_with_a_loss_of_its_own_is_known():
    assert set(SURROGATES) == set(ESTIMATORS)
    own = {
        name
        for name, entry in ATTACKS.items()
        if entry.access == "gradient"
        and entry.family != "energy"
        and not hasattr(entry.make(), "loss")
    }
    assert own == set(traits.OWN_LOSSES)


def test_a_stage_that_could_not_be_made_counts_for_nothing():
    stages = [
        {"attack": "apgd_dlr", "params": {"steps": 100}, "estimator": {"name": name, "params": {}}}
        for name in ("assg", "atan")
    ]
    description = described(
        family="cascade", optimiser="cascade", params={"stages": stages}, known_seed=3
    )
    history = {"passes.1": np.full((1, 4), -1.0), "passes.2": np.array([[-1.0, 5.0, 5.0, 0.0]])}
    (found,) = Traits.made(SimpleNamespace(description=description, history=history))
    assert found == Traits(GRADIENT, MARGIN, NOWHERE_ZERO, 100, known_seed=True)
