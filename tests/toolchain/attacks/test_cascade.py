"""Attacks in a row: who falls leaves, what is left goes on from the best point, and every sample
says what felled it."""

import numpy as np
import pytest

from toolchain.attacks import cascade
from toolchain.attacks.base import AttackError, AttackResult, NotApplicable, Threat
from toolchain.attacks.batteries import PRESETS, stages
from toolchain.attacks.cascade import CascadeStage
from toolchain.attacks.registry import AttackSpec, run

THREAT = Threat("linf", 0.25)
ATAN = {"name": "atan", "params": {"steepness": 2.0}}


class Sum:
    """Class 1 where the pixels add up to more than 2."""

    sample_shape, classes, stochastic = (1, 2, 2), 2, False

    def predict(self, samples, *, seed=0):
        total = samples.reshape(len(samples), -1).sum(axis=1)
        return np.stack([np.full(len(samples), 2.0), total], axis=1)


def images(*sums: float) -> np.ndarray:
    return np.stack([np.full((1, 2, 2), total / 4, np.float32) for total in sums])


def adding(step: float, queries: int, seen: list | None = None):
    """An attack that raises every pixel by ``step`` from where it begins."""

    def attack(samples, labels, seed, start):
        if seen is not None:
            seen.append((len(samples), seed, start is not None))
        begin = samples if start is None else start
        moved = np.clip(
            begin + np.float32(step), samples - np.float32(0.25), samples + np.float32(0.25)
        )
        return AttackResult(moved, np.zeros(len(samples), bool), np.full(len(samples), queries))

    return attack


def absent(samples, labels, seed, start):
    raise NotApplicable("no such neurons")


def test_each_stage_sees_what_is_left_and_goes_on_from_the_best_point():
    seen = []
    x, labels = images(2.5, 1.8, 1.4, 0.4), np.zeros(4, np.int64)
    row = [
        CascadeStage(adding(0.1, 3, seen), False),
        CascadeStage(absent, True),
        CascadeStage(adding(0.1, 5, seen), True),
        CascadeStage(adding(0.1, 5, seen), False),
    ]
    result = cascade.run(row, Sum(), x, labels, THREAT, 0)
    assert result.history["felled_by"].tolist() == [[0, 1, 3, -1]]
    assert [(count, warm) for count, _, warm in seen] == [(3, False), (2, True), (1, False)]
    assert len({seed for _, seed, _ in seen}) == 3
    assert result.success.tolist() == [True, True, True, False]
    assert result.history["passes.1"].tolist() == [[0, 4, 4, 4]]
    assert result.history["passes.2"].tolist() == [[-1, -1, -1, -1]]
    assert result.history["passes.3"].tolist() == [[0, 0, 6, 6]]
    # clean, and what every stage asked and had judged
    assert result.queries.tolist() == [1, 5, 11, 17]
    # the last stage found nothing better than the one before it
    assert result.adversarial[3].max() == pytest.approx(0.3)


def test_a_samples_result_depends_on_no_other(victim, some):
    threat, rows = Threat("linf", 0.06), [0, 3, 4, 9]
    row = [
        {"attack": "apgd_dlr", "params": {"steps": 4}, "estimator": ATAN},
        {
            "attack": "momentum",
            "params": {"steps": 4, "loss": "current"},
            "estimator": {"name": "in_turn"},
            "start": "best",
        },
        {"attack": "local_search", "params": {"rounds": 6}, "start": "best"},
    ]
    spec = AttackSpec("cascade", {"stages": row})
    whole = run(spec, victim, some[0][:12], some[1][:12], threat)
    part = run(spec, victim, some[0][rows], some[1][rows], threat, batch=3)
    assert np.array_equal(whole.adversarial[rows], part.adversarial)
    assert np.array_equal(whole.history["felled_by"][:, rows], part.history["felled_by"])
    assert set(whole.history["felled_by"][0]) > {-1.0}
    assert np.array_equal(
        whole.success, victim.predict(whole.adversarial).argmax(axis=1) != some[1][:12]
    )


def test_the_judge_says_what_has_fallen(victim, some):
    """Gradients are the victim's, the verdict is another's: here of a judge that nothing fools."""

    class Stubborn:
        sample_shape, classes, stochastic = victim.sample_shape, 10, False

        def predict(self, samples, *, seed=0):
            return np.eye(10)[some[1][: len(samples)]]

    spec = AttackSpec(
        "cascade", {"stages": [{"attack": "apgd_dlr", "params": {"steps": 3}, "estimator": ATAN}]}
    )
    result = run(spec, victim, some[0][:5], some[1][:5], Threat("linf", 0.3), judge=Stubborn())
    assert not result.success.any()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_every_preset_has_what_is_known_to_be_strong(preset, norm):
    """Margin and DLR losses with surrogates that vanish nowhere, several surrogates, and a closing
    search without gradients."""
    made = AttackSpec("cascade", {"stages": stages(preset, norm)}).stages
    assert any(s.attack == "apgd_dlr" and s.estimator["name"] == "assg" for s in made)
    assert any(s.attack == "momentum" and s.estimator["name"] == "in_turn" for s in made)
    assert made[-1].attack == ("local_search" if norm == "linf" else "square")
    assert made[-1].start == ("best" if norm == "linf" else "random")


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: AttackSpec("cascade", {"stages": []}), "at least one attack"),
        (lambda: AttackSpec("cascade", {}), "it must have stages"),
        (lambda: AttackSpec("cascade", {"stages": ["fgsm"]}), "a stage must be a table"),
        (
            lambda: AttackSpec("cascade", {"stages": [{"attack": "cascade", "params": {}}]}),
            "it must have stages",
        ),
        (
            lambda: AttackSpec("cascade", {"stages": [{"attack": "sponge", "estimator": ATAN}]}),
            "cannot be one of its stages",
        ),
        (
            lambda: AttackSpec(
                "cascade", {"stages": [{"attack": "fgsm", "estimator": ATAN, "eot": 3}]}
            ),
            "given for all of it",
        ),
        (lambda: AttackSpec("fgsm", {}, ATAN, start="elsewhere"), "start is 'elsewhere'"),
        (
            lambda: run(
                AttackSpec("square", {"queries": 5}, start="best"), None, None, None, THREAT
            ),
            "of a stage of a cascade",
        ),
    ],
)
def test_what_is_no_cascade_is_refused(make, match):
    with pytest.raises(AttackError, match=match):
        make()


def test_an_attack_begins_where_it_is_told_to(victim, some):
    """From a point that is nearly there, a short attack gets further than from a random one."""
    x, labels = some[0][:20], some[1][:20]
    long = run(AttackSpec("apgd_dlr", {"steps": 20}, ATAN), victim, x, labels, Threat("linf", 0.05))
    short = AttackSpec("momentum", {"steps": 1, "step": 0.1}, ATAN)
    warm, cold = (
        run(short, victim, x, labels, Threat("linf", 0.05), start=start)
        for start in (long.adversarial, None)
    )
    assert np.all(warm.success >= long.success)
    assert warm.success.sum() > cold.success.sum()
    with pytest.raises(AttackError, match="from the clean one"):
        run(short, victim, x, labels, Threat("linf", 0.05), start=np.clip(x + 0.2, 0, 1))


def test_local_search_crosses_a_plateau():
    """Scores that only change when three pixels have moved: a search that takes improvements alone
    would stand still."""

    class Steps(Sum):
        def predict(self, samples, *, seed=0):
            return np.stack(
                [
                    np.full(len(samples), 0.5),
                    np.floor(samples.reshape(len(samples), -1).sum(axis=1) + 1e-4),
                ],
                axis=1,
            )

    result = run(
        AttackSpec("local_search", {"rounds": 60}),
        Steps(),
        images(0.3, 0.1),
        np.zeros(2, np.int64),
        THREAT,
    )
    assert result.success.tolist() == [True, True]
    assert result.queries.min() < 60
    with pytest.raises(AttackError, match="cannot keep to the threat"):
        run(AttackSpec("local_search", {"rounds": 1}), Steps(), None, None, Threat("l2", 1.0))
