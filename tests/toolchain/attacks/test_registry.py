"""Attacks by name, specifications as JSON, batteries, tuning."""

import json

import numpy as np
import pytest

from toolchain.attacks.base import AttackError, AttackResult, Threat
from toolchain.attacks.batteries import PRESETS, battery, energy_battery, transfers
from toolchain.attacks.estimators import ESTIMATORS
from toolchain.attacks.registry import ATTACKS, NORMS, AttackSpec, run
from toolchain.attacks.tuning import Tuning
from toolchain.attacks.victims import PixelVictim

THREAT = Threat("linf", 0.15)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("stochastic", [False, True])
def test_batteries(preset, norm, stochastic):
    specs = [*battery(preset, norm, stochastic), *transfers(preset, norm, ["other"], stochastic)]
    if norm in ("linf", "l2"):
        specs += energy_battery(preset, norm, stochastic)
    assert len({s.key for s in specs}) == len(specs)
    assert len({s.label for s in specs}) == len(specs)
    families = {s.describe()["family"] for s in specs}
    assert {"noise", "iterative", "black_box"} <= families
    for spec in specs:
        assert AttackSpec.from_json(json.loads(json.dumps(spec.to_json()))).key == spec.key
        assert norm in ATTACKS[spec.attack].norms
        inner = AttackSpec.from_json(spec.params["spec"]) if spec.attack == "transfer" else spec
        assert inner.eot == (1 if not stochastic else 4 if preset == "quick" else 10)


def test_larger_presets_hold_more():
    for norm in NORMS:
        sizes = [len(battery(p, norm)) for p in PRESETS]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2]


def test_keys_follow_the_content():
    spec = AttackSpec("pgd", {"steps": 3}, {"name": "atan", "params": {"steepness": 2.0}})
    same = AttackSpec("pgd", {"steps": 3}, {"params": {"steepness": 2.0}, "name": "atan"})
    assert spec.key == same.key
    assert hash(spec) == hash(same)
    for other in (
        AttackSpec("bim", {"steps": 3}, spec.estimator),
        AttackSpec("pgd", {"steps": 4}, spec.estimator),
        AttackSpec("pgd", {"steps": 3}, spec.estimator, eot=2),
    ):
        assert other.key != spec.key


# parameters that make every attack short
SHORT = {
    "noise": {"tries": 2},
    "bim": {"steps": 2},
    "pgd": {"steps": 2},
    "apgd_ce": {"steps": 2},
    "apgd_dlr": {"steps": 2},
    "apgd_targeted": {"steps": 1, "targets": 2},
    "sa_pgd": {"steps": 2},
    "cw": {"steps": 2, "rounds": 2},
    "fab": {"steps": 2, "targets": 2},
    "square": {"queries": 6},
    "momentum": {"steps": 2},
    "local_search": {"rounds": 2},
    "cascade": {"stages": [{"attack": "fgsm", "estimator": {"name": "training"}}]},
    "sponge": {"steps": 2},
}


@pytest.mark.parametrize(
    "name", [n for n, e in ATTACKS.items() if "linf" in e.norms and e.access != "source"]
)
def test_every_pixel_attack_runs_by_name(name, victim, some):
    images, labels = some[0][:4], some[1][:4]
    spec = AttackSpec(
        name,
        SHORT.get(name, {}),
        {"name": "training"} if ATTACKS[name].access == "gradient" else None,
    )
    result = run(spec, victim, images, labels, THREAT, seed=1)
    assert result.adversarial.shape == images.shape
    assert np.array_equal(
        result.adversarial, run(spec, victim, images, labels, THREAT, seed=1).adversarial
    )
    counts = [SHORT.get(name, {}).get(count) for count in ("steps", "queries", "tries", "rounds")]
    assert spec.describe()["iterations"] == next((count for count in counts if count), 1)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_runs_by_name(name, victim, some):
    result = run(
        AttackSpec("pgd", {"steps": 3}, {"name": name}), victim, some[0][:10], some[1][:10], THREAT
    )
    assert result.history["zero_gradient"].shape == (3, 10)
    assert result.history["zero_gradient"].mean() < 0.5


def test_transfer_by_name(victim, second_network, some):
    inner = AttackSpec("pgd", {"steps": 5}, {"name": "atan"})
    spec = AttackSpec("transfer", {"spec": inner.to_json(), "source": "second"})
    result = run(
        spec, victim, *some, THREAT, seed=3, sources={"second": PixelVictim(second_network)}
    )
    crafted = run(inner, PixelVictim(second_network), *some, THREAT, seed=3)
    assert np.array_equal(result.adversarial, crafted.adversarial)
    assert spec.describe()["family"] == "black_box"
    with pytest.raises(AttackError, match="which was not given; given are none"):
        run(spec, victim, *some, THREAT)


def test_tuning_by_name(victim, some):
    images, labels = some
    spec = AttackSpec(
        "pgd",
        {"steps": 6},
        {"name": "hart"},
        tuning={"parameter": "gamma", "values": [0.01, 1.0], "samples": 20, "steps": 3},
    )
    result = run(spec, victim, images, labels, THREAT)
    # a triangle of a hundredth of the threshold sees almost nothing
    assert result.history["tuned"].tolist() == [[1.0]]
    plain = run(
        AttackSpec("pgd", {"steps": 6}, {"name": "hart", "params": {"gamma": 1.0}}),
        victim,
        images,
        labels,
        THREAT,
    )
    assert np.array_equal(result.adversarial, plain.adversarial)


def test_searching_in_three_parts():
    """The chosen value is near the best one, and is one that was tried."""
    tried = []

    class Asked:
        def predict(self, samples, *, seed=0):
            return np.stack([np.zeros(len(samples)), samples[:, 0]], axis=1)

    def attempt(value, part):
        tried.append(value)
        assert part == slice(0, 7)
        quality = 1 - abs(value - 0.83)
        return AttackResult(np.full((7, 1), quality), np.zeros(7, bool), np.ones(7))

    labels = np.zeros(30, np.int64)
    found = Tuning("degree", between=(0.5, 0.99), rounds=8, samples=7).choose(
        attempt, Asked(), labels, 0
    )
    assert abs(found - 0.83) < 0.02
    assert found in tried
    assert len(tried) == len(set(tried)) <= 17


def test_operations_need_the_program(victim, some):
    spec = AttackSpec("sponge", {"steps": 2, "count": "synaptic_operations"}, {"name": "atan"})
    with pytest.raises(AttackError, match="needs the victim's Program"):
        run(spec, victim, some[0][:2], some[1][:2], THREAT)
    from tests.toolchain.attacks.test_victims import program_of

    assert run(
        spec, victim, some[0][:2], some[1][:2], THREAT, program=program_of(victim.model)
    ).history["activity"].shape == (1, 2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: AttackSpec("nothing"), "there is no attack 'nothing'"),
        (lambda: AttackSpec("pgd"), "needs an estimator"),
        (lambda: AttackSpec("square", estimator={"name": "atan"}), "needs no estimator"),
        (
            lambda: AttackSpec("pgd", estimator={"name": "nothing"}),
            "there is no estimator 'nothing'",
        ),
        (
            lambda: AttackSpec("square", tuning={"parameter": "x", "values": [1]}),
            "no estimator to tune",
        ),
        (lambda: AttackSpec("noise", {"tries": float("nan")}), "not plain JSON"),
        (lambda: AttackSpec("noise", {"tries": np.int64(3)}), "not plain JSON"),
        (
            lambda: AttackSpec.from_json({"attack": "noise", "more": 1}),
            "they must be of attack, params",
        ),
        (lambda: Tuning("gamma"), "either values or between"),
        (lambda: Tuning("gamma", values=[]), "no values"),
        (lambda: Tuning("gamma", between=(1.0, 0.5)), "it must be .low, high."),
        (lambda: Tuning("gamma", values=[1.0], samples=0), "both must be at least 1"),
        (lambda: battery("huge", "linf"), "there is no preset 'huge'"),
        (lambda: battery("quick", "l1"), "it must be one of linf"),
        (lambda: energy_battery("quick", "flips"), "it must be linf or l2"),
    ],
)
def test_refused(make, said):
    with pytest.raises(AttackError, match=said):
        make()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (AttackSpec("noise", {"length": 3}), "length"),
        (AttackSpec("sparse_flips", {}, {"name": "atan"}), "cannot keep to the threat 'linf'"),
        (
            AttackSpec("sponge", {"count": "joules"}, {"name": "atan"}),
            "spikes or synaptic_operations",
        ),
        (AttackSpec("transfer", {"source": "x"}), "they must be spec and source"),
    ],
)
def test_runs_refuse(spec, said, victim, some):
    with pytest.raises(AttackError, match=said):
        run(spec, victim, some[0][:2], some[1][:2], THREAT)


def test_a_corruption_by_name(victim, some):
    images, labels = some
    spec = AttackSpec("corruption", {"name": "gaussian_noise"})
    found = {s: run(spec, victim, images, labels, Threat("corruption", s)) for s in (1, 5)}
    assert (
        np.abs(found[5].adversarial - images).mean()
        > np.abs(found[1].adversarial - images).mean()
        > 0
    )
    assert np.array_equal(
        found[5].adversarial, run(spec, victim, images, labels, Threat("corruption", 5)).adversarial
    )
    assert found[5].success.mean() > (victim.predict(images).argmax(axis=1) != labels).mean()
    assert spec.label == "corruption gaussian_noise"
    with pytest.raises(AttackError, match="there is no corruption 'fog of war'"):
        run(
            AttackSpec("corruption", {"name": "fog of war"}),
            victim,
            images,
            labels,
            Threat("corruption", 1),
        )
    with pytest.raises(AttackError, match="cannot keep to the threat"):
        run(spec, victim, images, labels, THREAT)
