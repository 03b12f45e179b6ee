"""Named checks of honesty: signs that an attack failed rather than that a defence held.

Each check is one function whose name is the flag; it reads the records of one model on one target and yields all that it found.
A flag accuses the evaluation, not the model: a defence that trips one is shown with it. docs/flags.md has a section for each.
Sources: Athalye et al. 2018 and Carlini et al. 2019 for the general signs; methods of the field, section 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolchain.execution import TARGETS
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import Share, StatisticsError, align, paired_difference, worst_case

ZERO_GRADIENT_SHARE = 0.1
"""A record whose gradients vanish for more than this share of the still correct samples trips ``zero_gradients`` (our choice)."""

UNSEEN_SHARE = 0.05
"""More than this share of the samples, by estimate still to be broken, trips ``worst_case_not_reached`` (our choice)."""


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
        return tuple(dict.fromkeys(name for name, _, _ in self.cells))


Finding = tuple[str, Sequence[Scored]]
"""One sentence, and the records whose numbers it accuses: those of the attack that should have done better."""


@dataclass(frozen=True)
class Evidence:
    """Records of one model: ``scored`` on the target in question, ``others`` on other targets; ``classes`` of the task."""

    scored: Sequence[Scored]
    classes: int
    others: Sequence[Scored] = ()

    def attacked(self, *families: str) -> list[Scored]:
        """Attacked records, of some families only where given.

        Energy attacks and corruptions aim at something else and are left out; so are attacks on the network alone where something stands
        before it ("skip"), which are weak by design: they are shown as what is usually published.
        """
        return [
            r
            for r in self.scored
            if r.description["family"] not in ("clean", "energy", "corruption")
            and r.description.get("front") != "skip"
            and (not families or r.description["family"] in families)
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
    found = paired_difference(one.correct[a], other.correct[b])
    if found.difference > 0 and found.p_value < 0.05:
        return float(one.correct[a].mean()), float(other.correct[b].mean())
    return None


def _pairs(stronger: Iterable[Scored], weaker: Sequence[Scored], *keys: str):
    """Every (record that should be at least as strong, record that should not be stronger) under the same conditions."""
    for one in stronger:
        for other in weaker:
            if one is not other and _same(one, other, "known_seed", *keys):
                yield one, other


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _at(record: Scored) -> str:
    return f"at {record.description['epsilon']:g} "


def _leaves(one: Scored, other: Scored, found: tuple[float, float], remark: str = "") -> Finding:
    return f"{_at(one)}{_name(one)} leaves {_percent(found[0])}, {_name(other)}{remark} {_percent(found[1])}", (one,)


def more_steps_did_not_help(evidence: Evidence) -> Iterator[Finding]:
    """The same attack with more iterations left a higher accuracy: it does not converge, or its gradient misleads."""
    for one, other in _pairs(
        evidence.attacked("iterative"), evidence.attacked("iterative"), "optimiser", "estimator", "front", "norm", "epsilon", "seed"
    ):
        if one.description["iterations"] > other.description["iterations"] and (found := _better(one, other)):
            yield _leaves(one, other, found, " with fewer steps")


def larger_epsilon_did_not_lower_accuracy(evidence: Evidence) -> Iterator[Finding]:
    """The same attack with a larger radius left a higher accuracy, although every smaller change is allowed to it."""
    for one, other in _pairs(evidence.attacked(), evidence.attacked(), "name", "crafted_on", "norm", "seed"):
        if one.description["family"] == "noise" or one.description["epsilon"] <= other.description["epsilon"]:
            continue
        if found := _better(one, other):
            yield f"{_name(one)} leaves {_percent(found[0])} {_at(one)}and {_percent(found[1])} {_at(other)}".rstrip(), (one,)


def accuracy_above_chance_at_epsilon_one(evidence: Evidence) -> Iterator[Finding]:
    """With every pixel free, the best iterative or black-box attack leaves more than chance: the search fails, not the adversary."""
    free = [r for r in evidence.attacked("iterative", "black_box") if r.description["norm"] == "linf" and r.description["epsilon"] >= 1]
    if not free:
        return
    share = Share.of(worst_case(free))
    if share.low > 1 / evidence.classes:
        left, chance = _percent(share.value), _percent(1 / evidence.classes)
        yield f"{left} are still correct where every pixel may change freely; chance is {chance}", free


def black_box_beats_white_box(evidence: Evidence) -> Iterator[Finding]:
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
        seen = black.correct[positions[0]]
        found = paired_difference(left, seen)
        if found.difference > 0 and found.p_value < 0.05:
            together = f"all {len(white)} attacks with gradients together {_percent(float(left.mean()))}"
            yield f"{_at(black)}{_name(black)} leaves {_percent(float(seen.mean()))}, {together}", (black,)


def noise_beats_gradient(evidence: Evidence) -> Iterator[Finding]:
    """Random noise of the same size left a lower accuracy than an attack that follows gradients."""
    for one, other in _pairs(evidence.attacked("single_step", "iterative"), evidence.attacked("noise"), "norm", "epsilon", "seed"):
        if found := _better(one, other):
            yield _leaves(one, other, found)


def zero_gradients(evidence: Evidence) -> Iterator[Finding]:
    """For many samples that stay correct the gradient is exactly zero: the attack has nothing to follow."""
    for record in evidence.attacked("single_step", "iterative"):
        zero = record.history.get("zero_gradient")
        if zero is None or not record.correct.any():
            continue
        share = float(np.asarray(zero, float).mean(axis=0)[record.correct].mean() * record.correct.mean())
        if share > ZERO_GRADIENT_SHARE:
            stay = f"{_percent(share)} of the samples stay correct with gradients that are exactly zero"
            yield f"{_at(record)}under {_name(record)} {stay}", (record,)


def pgd_weaker_than_fgsm(evidence: Evidence) -> Iterator[Finding]:
    """An iterative attack left a higher accuracy than a single step with the same gradient estimator."""
    keys = ("estimator", "front", "norm", "epsilon", "seed")
    for one, other in _pairs(evidence.attacked("iterative"), evidence.attacked("single_step"), *keys):
        if found := _better(one, other):
            yield _leaves(one, other, found)


def randomness_without_eot(evidence: Evidence) -> Iterator[Finding]:
    """The model is stochastic, and an attack with gradients averaged over one draw only."""
    random = [r for r in evidence.attacked("single_step", "iterative") if r.description["stochastic"]]
    single = [r for r in random if r.description["eot"] < 2 and r.description.get("known_seed") is None]
    if single:
        yield f"the model is random, and {len({_name(r) for r in single})} attacks follow the gradient of one draw", single


def _integers(where: str) -> bool:
    """Whether an attack was made, or is scored, on the Program; all such targets compute the same numbers."""
    return where in TARGETS and where != "software"


def quantisation_masks(evidence: Evidence) -> Iterator[Finding]:
    """An attack made on the integers themselves left a higher accuracy on them than the same attack made on software and carried over."""
    own = [r for r in evidence.attacked() if _integers(r.description["crafted_on"]) and _integers(r.description["target"])]
    carried = [r for r in evidence.attacked() if r.description["crafted_on"] == "software" and _integers(r.description["target"])]
    for one, other in _pairs(own, carried, "optimiser", "estimator", "params", "front", "norm", "epsilon", "seed"):
        if found := _better(one, other):
            yield (
                f"{_at(one)}{_name(one)}, crafted on {one.description['target']}, leaves {_percent(found[0])}; "
                f"{_name(other)}, carried over from {other.description['crafted_on']}, {_percent(found[1])}",
                (one,),
            )


def worst_case_not_reached(evidence: Evidence) -> Iterator[Finding]:
    """Many samples were broken by one attack of the battery alone: with more attacks more would break, and the worst case is lower."""
    groups: dict[tuple, list[Scored]] = {}
    for record in evidence.attacked("iterative", "black_box"):
        groups.setdefault((record.description["norm"], record.description["epsilon"], record.description["seed"]), []).append(record)
    for _, records in sorted(groups.items()):
        if len(records) < 3:
            continue
        try:
            _, positions = align(records)
        except StatisticsError:
            continue
        broken = ~np.array([r.correct[where] for r, where in zip(records, positions)])
        alone = broken & (broken.sum(axis=0) == 1)
        # first-order jackknife (Burnham & Overton 1978): what m samplings are still to find is (m - 1) / m times what only one has found
        unseen = float(alone.any(axis=0).mean()) * (len(records) - 1) / len(records)
        left = 1 - float(broken.any(axis=0).mean())
        unseen = min(unseen, left)
        if unseen > UNSEEN_SHARE:
            record = records[int(alone.sum(axis=1).argmax())]
            yield (
                f"{_at(record)}{_percent(float(alone.any(axis=0).mean()))} of the samples were broken by one of {len(records)} attacks "
                f"alone, most of them by {_name(record)}; about {_percent(unseen)} more would fall to further attacks, of {_percent(left)} "
                "that stand",
                (record,),
            )


CHECKS: tuple[Callable[[Evidence], Iterator[Finding]], ...] = (
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


def _cell(record: Scored) -> tuple[str, float, int]:
    return _name(record), record.description["epsilon"], record.description["seed"]


def check(evidence: Evidence) -> list[Flag]:
    """Run every check; the flags that tripped, in the order of ``CHECKS``, findings by radius, seed and attack."""

    def order(cell: tuple[str, float, int]):
        return cell[1:], cell[0]

    evidence = replace(evidence, scored=sorted(evidence.scored, key=lambda r: (order(_cell(r)), r.description["crafted_on"])))
    flags = []
    for rule in CHECKS:
        if found := list(rule(evidence)):
            texts = tuple(dict.fromkeys(text for text, _ in found))
            accused = sorted({_cell(r) for _, records in found for r in records}, key=order)
            flags.append(Flag(rule.__name__, texts, tuple(accused)))
    return flags
