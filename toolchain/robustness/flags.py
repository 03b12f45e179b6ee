"""Named checks of honesty: signs that an attack failed rather than that a defence held.

Each check is one function whose name is the flag; it reads the records of one model on one target and returns what it found,
or None. A flag accuses the evaluation, not the model: a defence that trips one is shown with it. docs/flags.md has a
section for each. Sources: Athalye et al. 2018 and Carlini et al. 2019 for the general signs; methods of the field, section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import StatisticsError, align, paired_difference, worst_case

ZERO_GRADIENT_SHARE = 0.1
"""A record whose gradients vanish for more than this share of the still correct samples trips ``zero_gradients`` (our choice)."""


@dataclass(frozen=True)
class Flag:
    """A check that tripped: its name, what was seen in one sentence, and the attacks it concerns."""

    name: str
    finding: str
    attacks: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """Records of one model: ``scored`` on the target in question, ``others`` on other targets; ``classes`` of the task."""

    scored: Sequence[Scored]
    classes: int
    others: Sequence[Scored] = ()

    def attacked(self, *families: str) -> list[Scored]:
        """Attacked records, of some families only where given; energy attacks aim at something else and are left out."""
        return [
            r
            for r in self.scored
            if r.description["family"] not in ("clean", "energy") and (not families or r.description["family"] in families)
        ]


def _name(record: Scored) -> str:
    return record.description["name"]


def _same(one: Scored, other: Scored, *keys: str) -> bool:
    return all(one.description.get(key) == other.description.get(key) for key in keys)


def _better(one: Scored, other: Scored) -> tuple[float, float] | None:
    """(accuracy under one, under other) where the accuracy under ``other`` is lower beyond chance (exact McNemar, 5 %)."""
    try:
        _, (a, b) = align([one, other])
    except StatisticsError:
        return None
    found = paired_difference(one.correct[a], other.correct[b], resamples=1)
    if found.difference > 0 and found.p_value < 0.05:
        return float(one.correct[a].mean()), float(other.correct[b].mean())
    return None


def _pairs(stronger: Iterable[Scored], weaker: Sequence[Scored], *keys: str):
    """Every (record that should be at least as strong, record that should not be stronger) under the same conditions."""
    for one in stronger:
        for other in weaker:
            if one is not other and _same(one, other, *keys):
                yield one, other


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def more_steps_did_not_help(evidence: Evidence) -> Flag | None:
    """The same attack with more iterations left a higher accuracy: it does not converge, or its gradient misleads."""
    for one, other in _pairs(
        evidence.attacked("iterative"), evidence.attacked("iterative"), "optimiser", "estimator", "norm", "epsilon", "seed"
    ):
        if one.description["iterations"] > other.description["iterations"] and (found := _better(one, other)):
            return Flag(
                "more_steps_did_not_help",
                f"{_name(one)} leaves {_percent(found[0])}, {_name(other)} with fewer steps {_percent(found[1])}",
                (_name(one), _name(other)),
            )
    return None


def larger_epsilon_did_not_lower_accuracy(evidence: Evidence) -> Flag | None:
    """The same attack with a larger radius left a higher accuracy, although every smaller change is allowed to it."""
    for one, other in _pairs(evidence.attacked(), evidence.attacked(), "name", "norm", "seed"):
        if one.description["family"] == "noise" or one.description["epsilon"] <= other.description["epsilon"]:
            continue
        if found := _better(one, other):
            return Flag(
                "larger_epsilon_did_not_lower_accuracy",
                f"{_name(one)} leaves {_percent(found[0])} at {one.description['epsilon']:g} "
                f"and {_percent(found[1])} at {other.description['epsilon']:g}",
                (_name(one),),
            )
    return None


def accuracy_above_chance_at_epsilon_one(evidence: Evidence) -> Flag | None:
    """With every pixel free, the best iterative or black-box attack leaves more than chance: the search fails, not the adversary."""
    free = [r for r in evidence.attacked("iterative", "black_box") if r.description["norm"] == "linf" and r.description["epsilon"] >= 1]
    if not free:
        return None
    from toolchain.robustness.statistics import Share

    share = Share.of(worst_case(free))
    if share.low > 1 / evidence.classes:
        return Flag(
            "accuracy_above_chance_at_epsilon_one",
            f"{_percent(share.value)} are still correct where every pixel may change freely; chance is {_percent(1 / evidence.classes)}",
            tuple(sorted({_name(r) for r in free})),
        )
    return None


def black_box_beats_white_box(evidence: Evidence) -> Flag | None:
    """An attack without gradients left a lower accuracy than the worst case of all attacks with them."""
    for black in evidence.attacked("black_box"):
        white = [r for r in evidence.attacked("single_step", "iterative") if _same(r, black, "norm", "epsilon", "seed")]
        if not white:
            continue
        try:
            _, positions = align([black, *white])
        except StatisticsError:
            continue
        left = np.logical_and.reduce([r.correct[where] for r, where in zip(white, positions[1:])])
        found = paired_difference(left, black.correct[positions[0]], resamples=1)
        if found.difference > 0 and found.p_value < 0.05:
            return Flag(
                "black_box_beats_white_box",
                f"{_name(black)} leaves {_percent(float(black.correct[positions[0]].mean()))}, "
                f"all {len(white)} attacks with gradients together {_percent(float(left.mean()))}",
                (_name(black),),
            )
    return None


def noise_beats_gradient(evidence: Evidence) -> Flag | None:
    """Random noise of the same size left a lower accuracy than an attack that follows gradients."""
    for one, other in _pairs(evidence.attacked("single_step", "iterative"), evidence.attacked("noise"), "norm", "epsilon", "seed"):
        if found := _better(one, other):
            return Flag(
                "noise_beats_gradient",
                f"{_name(one)} leaves {_percent(found[0])}, {_name(other)} {_percent(found[1])}",
                (_name(one), _name(other)),
            )
    return None


def zero_gradients(evidence: Evidence) -> Flag | None:
    """For many samples that stay correct the gradient is exactly zero: the attack has nothing to follow."""
    worst: tuple[float, Scored] | None = None
    for record in evidence.attacked("single_step", "iterative"):
        zero = record.history.get("zero_gradient")
        if zero is None or not record.correct.any():
            continue
        share = float(np.asarray(zero, float).mean(axis=0)[record.correct].mean() * record.correct.mean())
        if share > ZERO_GRADIENT_SHARE and (worst is None or share > worst[0]):
            worst = share, record
    if worst is None:
        return None
    return Flag(
        "zero_gradients",
        f"under {_name(worst[1])} {_percent(worst[0])} of the samples stay correct with gradients that are exactly zero",
        (_name(worst[1]),),
    )


def pgd_weaker_than_fgsm(evidence: Evidence) -> Flag | None:
    """An iterative attack left a higher accuracy than a single step with the same gradient estimator."""
    for one, other in _pairs(evidence.attacked("iterative"), evidence.attacked("single_step"), "estimator", "norm", "epsilon", "seed"):
        if found := _better(one, other):
            return Flag(
                "pgd_weaker_than_fgsm",
                f"{_name(one)} leaves {_percent(found[0])}, {_name(other)} {_percent(found[1])}",
                (_name(one), _name(other)),
            )
    return None


def randomness_without_eot(evidence: Evidence) -> Flag | None:
    """The model is stochastic, and an attack with gradients averaged over one draw only."""
    single = sorted(
        {_name(r) for r in evidence.attacked("single_step", "iterative") if r.description["stochastic"] and r.description["eot"] < 2}
    )
    if not single:
        return None
    return Flag("randomness_without_eot", f"the model is random, and {len(single)} attacks follow the gradient of one draw", tuple(single))


def quantisation_masks(evidence: Evidence) -> Flag | None:
    """An attack crafted on this target itself leaves more accuracy than the same attack crafted elsewhere and carried over."""
    own = [r for r in evidence.attacked() if r.description["crafted_on"] == r.description["target"]]
    carried = [r for r in evidence.attacked() if r.description["crafted_on"] != r.description["target"]]
    for one in own:
        for other in carried:
            if _same(one, other, "optimiser", "estimator", "norm", "epsilon", "seed") and (found := _better(one, other)):
                return Flag(
                    "quantisation_masks",
                    f"{_name(one)}, crafted on {one.description['target']}, leaves {_percent(found[0])}; "
                    f"{_name(other)}, carried over from {other.description['crafted_on']}, {_percent(found[1])}",
                    (_name(one), _name(other)),
                )
    return None


def worst_case_not_reached(evidence: Evidence) -> Flag | None:
    """No single attack comes near the per-sample worst case: a number from one attack alone would flatter the model."""
    groups: dict[tuple, list[Scored]] = {}
    for record in evidence.attacked():
        groups.setdefault((record.description["norm"], record.description["epsilon"], record.description["seed"]), []).append(record)
    for (_, epsilon, _), records in sorted(groups.items(), key=str):
        if len(records) < 2:
            continue
        try:
            _, positions = align(records)
        except StatisticsError:
            continue
        each = [r.correct[where] for r, where in zip(records, positions)]
        together, best = np.logical_and.reduce(each), min(each, key=np.mean)
        if best.mean() - together.mean() > 0.02:
            name = _name(records[int(np.argmin([c.mean() for c in each]))])
            return Flag(
                "worst_case_not_reached",
                f"at {epsilon:g} the strongest single attack, {name}, leaves {_percent(float(best.mean()))}, "
                f"all together {_percent(float(together.mean()))}",
                (name,),
            )
    return None


CHECKS: tuple[Callable[[Evidence], Flag | None], ...] = (
    more_steps_did_not_help,
    larger_epsilon_did_not_lower_accuracy,
    accuracy_above_chance_at_epsilon_one,
    black_box_beats_white_box,
    noise_beats_gradient,
    zero_gradients,
    pgd_weaker_than_fgsm,
    randomness_without_eot,
    quantisation_masks,
    worst_case_not_reached,
)


def check(evidence: Evidence) -> list[Flag]:
    """Run every check; the flags that tripped, in the order of ``CHECKS``."""
    return [flag for rule in CHECKS if (flag := rule(evidence)) is not None]
