"""Named checks of honesty: signs that an attack failed rather than that a defence held.

Each check is one function whose name is the flag; it reads the records of one model on one target
and yields all that it found. A flag accuses the evaluation, not the model: a defence that trips one
is shown with it. docs/flags.md has a section for each. Sources: Athalye et al. 2018 and Carlini et
al. 2019 for the general signs; methods of the field, section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolchain.robustness.evidence import (
    Evidence,
    better,
    lower,
    name,
    pairs,
    same,
    together,
    worst_with_gradients,
)
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import (
    Share,
    StatisticsError,
    align,
    unseen_at_least,
    worst_case,
)
from toolchain.robustness.traits import Traits, estimator_of
from toolchain.targets import TARGETS

ZERO_GRADIENT_SHARE = 0.1
"""A battery whose gradients all vanish for more than this share of the samples trips
``zero_gradients`` (our choice)."""

UNSEEN_SHARE = 0.05
"""More than this share of the samples, at least still to be broken, trips
``worst_case_not_reached`` (our choice)."""


@dataclass(frozen=True)
class Flag:
    """A check that tripped.

    findings  what was seen, one sentence for each time it was
    cells     the numbers that it accuses: (attack, radius, seed), sorted, each once
    """

    name: str
    findings: tuple[str, ...]
    cells: tuple[tuple[str, float, int], ...]

    @property
    def finding(self) -> str:
        """The first finding, and how many more there are."""
        more = len(self.findings) - 1
        return self.findings[0] + (f"; and {more} more like it" if more else "")

    @property
    def attacks(self) -> tuple[str, ...]:
        """Names of the accused attacks."""
        return tuple(dict.fromkeys(attack for attack, _, _ in self.cells))


Finding = tuple[str, Sequence[Scored]]
"""One sentence, and the records whose numbers it accuses: those of the attack that should have done
better."""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _at(record: Scored) -> str:
    return f"at {record.description['epsilon']:g} "


def _leaves(one: Scored, other: Scored, found: tuple[float, float], remark: str = "") -> Finding:
    return (
        f"{_at(one)}{name(one)} leaves {_percent(found[0])}, {name(other)}{remark} "
        f"{_percent(found[1])}",
        (one,),
    )


def more_steps_did_not_help(evidence: Evidence) -> Iterator[Finding]:
    """The same attack with more iterations left a higher accuracy: it does not converge, or its
    gradient misleads."""
    for one, other in pairs(
        evidence.attacked("iterative"),
        evidence.attacked("iterative"),
        "optimiser",
        "estimator",
        "front",
        "norm",
        "epsilon",
        "seed",
    ):
        if one.description["iterations"] > other.description["iterations"] and (
            shares := better(one, other)
        ):
            yield _leaves(one, other, shares, " with fewer steps")


def larger_epsilon_did_not_lower_accuracy(evidence: Evidence) -> Iterator[Finding]:
    """The same attack with a larger radius left a higher accuracy, although every smaller change is
    allowed to it."""
    for one, other in pairs(
        evidence.attacked(), evidence.attacked(), "name", "crafted_on", "norm", "seed"
    ):
        if (
            one.description["family"] == "noise"
            or one.description["epsilon"] <= other.description["epsilon"]
        ):
            continue
        if shares := better(one, other):
            yield (
                f"{name(one)} leaves {_percent(shares[0])} {_at(one)}and {_percent(shares[1])} "
                f"{_at(other)}".rstrip(),
                (one,),
            )


def accuracy_above_chance_at_epsilon_one(evidence: Evidence) -> Iterator[Finding]:
    """With every pixel free, the best iterative or black-box attack, or cascade, leaves more than
    chance: the search fails, not the adversary."""
    searches = evidence.attacked("iterative", "black_box", "cascade")
    free = [
        r for r in searches if r.description["norm"] == "linf" and r.description["epsilon"] >= 1
    ]
    if not free:
        return
    share = Share.of(worst_case(free))
    if share.low > 1 / evidence.classes:
        left, chance = _percent(share.value), _percent(1 / evidence.classes)
        yield (
            f"{left} are still correct where every pixel may change freely; chance is {chance}",
            free,
        )


def black_box_beats_white_box(evidence: Evidence) -> Iterator[Finding]:
    """An attack without gradients left a lower accuracy than the worst case of all attacks with
    them."""
    for black in evidence.attacked("black_box"):
        if finding := _beats(evidence, black):
            yield finding


def noise_beats_gradient(evidence: Evidence) -> Iterator[Finding]:
    """Random noise of the same size left a lower accuracy than the worst case of all attacks that
    follow gradients."""
    for noise in evidence.attacked("noise"):
        if finding := _beats(evidence, noise):
            yield finding


def _beats(evidence: Evidence, other: Scored) -> Finding | None:
    """What an attack that follows no gradient found beyond all that do."""
    compared = worst_with_gradients(evidence, other)
    if compared is None:
        return None
    white, left, seen = compared
    if not lower(left, seen):
        return None
    together = f"all {len(white)} attacks with gradients together {_percent(float(left.mean()))}"
    return f"{_at(other)}{name(other)} leaves {_percent(float(seen.mean()))}, {together}", white


def zero_gradients(evidence: Evidence) -> Iterator[Finding]:
    """For many samples that stay correct the gradient is exactly zero under every estimator of the
    battery: no attack has anything to follow. (One narrow estimator that vanishes while others do
    not is no failure of the battery.)"""
    for records in together(
        evidence.attacked("single_step", "iterative"),
        "norm",
        "epsilon",
        "seed",
        "front",
        "known_seed",
    ):
        logged = [r for r in records if "zero_gradient" in r.history]
        if not logged:
            continue
        try:
            _, positions = align(logged)
        except StatisticsError:
            continue

        stays = np.logical_and.reduce([r.correct[where] for r, where in zip(logged, positions)])
        # NaN: an attack that did not look at a sample any more
        zero = [
            np.nanmean(np.asarray(r.history["zero_gradient"], float), axis=0)[where]
            for r, where in zip(logged, positions)
        ]

        share = float(np.where(stays, np.fmin.reduce(zero), 0.0).mean())
        if share > ZERO_GRADIENT_SHARE:
            under = (
                name(logged[0]) if len(logged) == 1 else f"all {len(logged)} attacks with gradients"
            )
            stay = (
                f"{_percent(share)} of the samples stay correct with gradients that are exactly "
                f"zero"
            )
            yield f"{_at(logged[0])}under {under} {stay}", logged


def other_gradients_beat_training_surrogate(evidence: Evidence) -> Iterator[Finding]:
    """The same attack left a lower accuracy with another gradient than with the surrogate that the
    network was trained with, beyond chance (as many tests as there are other gradients:
    Bonferroni): what is published with that surrogate alone flatters."""
    keys = ("optimiser", "params", "iterations", "front", "norm", "epsilon", "seed", "eot")
    everything = evidence.attacked("single_step", "iterative")
    for one in everything:
        if estimator_of(one.description) != "training":
            continue
        others = [
            r
            for r in everything
            if estimator_of(r.description) not in ("training", None)
            and same(one, r, "known_seed", *keys)
        ]
        candidates = [
            (other, seen) for other in others if (seen := better(one, other, tests=len(others)))
        ]
        if candidates:
            other, seen = min(candidates, key=lambda pair: pair[1][1])
            yield _leaves(one, other, seen)


def pgd_weaker_than_fgsm(evidence: Evidence) -> Iterator[Finding]:
    """An iterative attack left a higher accuracy than a single step with the same gradient
    estimator."""
    keys = ("estimator", "front", "norm", "epsilon", "seed")
    for one, other in pairs(
        evidence.attacked("iterative"), evidence.attacked("single_step"), *keys
    ):
        if shares := better(one, other):
            yield _leaves(one, other, shares)


def randomness_without_eot(evidence: Evidence) -> Iterator[Finding]:
    """The model is stochastic, and no attack with gradients averages over draws, or knows the
    seed."""
    white = [
        r for r in evidence.attacked("single_step", "iterative") if r.description["stochastic"]
    ]
    for records in together(white, "norm", "epsilon", "seed"):
        if all(
            r.description["eot"] < 2 and r.description.get("known_seed") is None for r in records
        ):
            number = len({name(r) for r in records})
            yield (
                f"{_at(records[0])}the model is random, and all {number} attacks follow the "
                f"gradient of one draw",
                records,
            )


def _integers(where: str) -> bool:
    """Whether an attack was made, or is scored, on the Program; all such targets compute the same
    numbers."""
    return where in TARGETS and where != "software"


def quantisation_masks(evidence: Evidence) -> Iterator[Finding]:
    """An attack made on the integers themselves left a higher accuracy on them than the same attack
    made on software and carried over."""
    own = [
        r
        for r in evidence.attacked()
        if _integers(r.description["crafted_on"]) and _integers(r.description["target"])
    ]
    carried = [
        r
        for r in evidence.attacked()
        if r.description["crafted_on"] == "software" and _integers(r.description["target"])
    ]

    for one, other in pairs(
        own, carried, "optimiser", "estimator", "params", "front", "norm", "epsilon", "seed"
    ):
        if shares := better(one, other):
            yield (
                f"{_at(one)}{name(one)}, crafted on {one.description['target']}, leaves "
                f"{_percent(shares[0])}; "
                f"{name(other)}, carried over from {other.description['crafted_on']}, "
                f"{_percent(shares[1])}",
                (one,),
            )


def worst_case_not_reached(evidence: Evidence) -> Iterator[Finding]:
    """Many samples were broken by one kind of attack of the battery alone, or by the last stages of
    a cascade: with further kinds, or more stages, more would break, and the worst case is lower. A
    kind is what attacks share that fail together (loss, gradient, access)."""
    yield from _kinds_that_stand_alone(evidence)
    yield from _cascades_that_still_find(evidence)


def _cascades_that_still_find(evidence: Evidence) -> Iterator[Finding]:
    """The last quarter of a cascade's stages felled more than ``UNSEEN_SHARE``: it was not at its
    end."""
    for record in evidence.attacked("cascade"):
        felled_by = record.history.get("felled_by")
        if felled_by is None:
            continue
        stages = record.description["iterations"]
        last = -(-stages // 4)
        felled = float((np.asarray(felled_by)[0] > stages - last).mean())
        if felled > UNSEEN_SHARE:
            yield (
                f"{_at(record)}the last {last} of {stages} stages of {name(record)} still felled "
                f"{_percent(felled)} of the samples; more "
                f"stages would fell more of the {_percent(record.accuracy)} that stand",
                (record,),
            )


def _kinds_that_stand_alone(evidence: Evidence) -> Iterator[Finding]:
    """Chao's lower bound over the kinds of the attacks that were made alone."""
    for records in together(evidence.attacked("iterative", "black_box"), "norm", "epsilon", "seed"):
        kinds: dict[str, list[Scored]] = {}
        for record in records:
            kinds.setdefault(Traits.of(record.description).kind, []).append(record)
        if len(kinds) < 2:
            continue
        try:
            _, positions = align(records)
        except StatisticsError:
            continue
        where = dict(zip(map(id, records), positions))
        broken = np.array(
            [
                np.logical_or.reduce([~r.correct[where[id(r)]] for r in some])
                for some in kinds.values()
            ]
        )

        times = broken.sum(axis=0)
        alone, left = float((times == 1).mean()), float((times == 0).mean())
        unseen = min(unseen_at_least(times, len(kinds)), left)
        if unseen > UNSEEN_SHARE:
            kind, some = list(kinds.items())[int((broken & (times == 1)).sum(axis=1).argmax())]
            yield (
                f"{_at(some[0])}{_percent(alone)} of the samples were broken by one of "
                f"{len(kinds)} kinds of attack alone, most of them by "
                f"one kind ({kind}); at least {_percent(unseen)} more would fall to further kinds, "
                f"of {_percent(left)} that stand",
                some,
            )


CHECKS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
    more_steps_did_not_help,
    larger_epsilon_did_not_lower_accuracy,
    accuracy_above_chance_at_epsilon_one,
    black_box_beats_white_box,
    noise_beats_gradient,
    zero_gradients,
    other_gradients_beat_training_surrogate,
    pgd_weaker_than_fgsm,
    randomness_without_eot,
    quantisation_masks,
    worst_case_not_reached,
)


def _cell(record: Scored) -> tuple[str, float, int]:
    return name(record), record.description["epsilon"], record.description["seed"]


def check(evidence: Evidence) -> list[Flag]:
    """Run every check; the flags that tripped, in the order of ``CHECKS``, findings by radius, seed
    and attack."""

    def order(cell: tuple[str, float, int]) -> tuple[tuple[float, int], str]:
        return cell[1:], cell[0]

    evidence = replace(
        evidence,
        scored=sorted(
            evidence.scored, key=lambda r: (order(_cell(r)), r.description["crafted_on"])
        ),
    )
    flags = []
    for rule in CHECKS:
        if findings := list(rule(evidence)):
            texts = tuple(dict.fromkeys(text for text, _ in findings))
            accused = sorted({_cell(r) for _, records in findings for r in records}, key=order)
            flags.append(Flag(rule.__name__, texts, tuple(accused)))
    return flags
