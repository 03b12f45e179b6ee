"""The per-sample worst case of a battery, of each kind of attack alone, and of the attacks that
usual publications stop at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.attacks.batteries import PUBLISHED
from toolchain.pages.table import Interval
from toolchain.report.counts import attacks, strongest
from toolchain.report.facts import Flagged, Worst
from toolchain.robustness import strength
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import Share, align, paired_difference, spread, worst_case
from toolchain.robustness.traits import CASCADE, estimator_of

TRAINED, OTHER, ELSEWHERE, NONE, KNOWN = (
    "training surrogate",
    "other gradients",
    "from another network",
    "no gradient",
    "knows the seed",
)
KINDS = (TRAINED, OTHER, ELSEWHERE, NONE, CASCADE, KNOWN)
"""Kinds of attack that a network which masks its gradient looks different under: white box with the
surrogate that it was trained with; with surrogates that vanish nowhere, and other ways to a
gradient; made on another network; without any gradient; all of these one after the other, each on
what is left (``toolchain.attacks.cascade``); and, of a network whose noise stays on, by an
adversary who knows the noise."""


def worst(records: Sequence[Scored], found: Sequence[Flagged]) -> tuple[Worst, ...]:
    """For each radius: the per-sample worst case over the whole battery and all seeds, and over
    each seed's battery alone."""
    radii = sorted({r.description["epsilon"] for r in records if attacks(r)})
    return tuple(
        _worst(
            epsilon,
            [r for r in records if attacks(r) and r.description["epsilon"] == epsilon],
            found,
        )
        for epsilon in radii
    )


def _worst(epsilon: float, here: list[Scored], found: Sequence[Flagged]) -> Worst:
    seeds = sorted({r.description["seed"] for r in here})
    each = [
        float(worst_case([r for r in here if r.description["seed"] == seed]).mean())
        for seed in seeds
    ]
    single = strongest(here)
    usual, usual_attacks, flattered = _published(here)

    return Worst(
        epsilon=epsilon,
        attacks=len({(r.description["name"], r.description["crafted_on"]) for r in here}),
        share=Share.of(worst_case(here)),
        over_seeds=spread(each),
        strongest=single.description["name"],
        strongest_share=Share.of(single.correct),
        flags=tuple(f.name for f in found if any(cell[1] == epsilon for cell in f.cells)),
        battery=strength.of_records(here),
        kinds=_kinds(here),
        zero_gradient=_zero_gradient(here),
        published=usual,
        published_attacks=usual_attacks,
        flattered=flattered,
    )


def kind(record: Scored) -> str:
    """Which of ``KINDS`` an attack is."""
    description = record.description
    if description["crafted_on"].startswith("model "):
        return ELSEWHERE
    if description.get("known_seed") is not None:
        return KNOWN
    if description["optimiser"] == CASCADE:
        return CASCADE
    estimator = estimator_of(description)
    return NONE if estimator is None else TRAINED if estimator == "training" else OTHER


def _kinds(records: Sequence[Scored]) -> dict[str, Share | None]:
    """The worst case of every kind of attack alone; None for a kind that the battery does not
    have."""
    groups = {name: [r for r in records if kind(r) == name] for name in KINDS}
    return {name: Share.of(worst_case(those)) if those else None for name, those in groups.items()}


def _zero_gradient(records: Sequence[Scored]) -> float | None:
    """Mean share of gradients with the training surrogate that are exactly zero everywhere; None
    where no attack says."""
    shares = [
        r.history["zero_gradient"].mean()
        for r in records
        if kind(r) == TRAINED and "zero_gradient" in r.history
    ]
    return float(np.mean(shares)) if shares else None


def published(record: Scored) -> bool:
    """Whether it is an attack that most publications stop at: FGSM or PGD with the training
    surrogate, on the network alone where something stands before it."""
    description = record.description
    front = "skip" if description.get("has_front") else "through"
    return (
        description["optimiser"] in PUBLISHED
        and description.get("known_seed") is None
        and estimator_of(description) == "training"
        and description.get("front", "through") == front
    )


def _published(
    records: Sequence[Scored],
) -> tuple[Share | None, tuple[str, ...], Interval | None]:
    """What a usual publication would report, its attacks, and the points by which it lies above the
    whole battery."""
    naive = [r for r in records if published(r)]
    if not naive:
        return None, (), None

    shared = [r.correct[w] for r, w in zip(records, align(records)[1])]
    kept = [r.correct[w] for r, w in zip(naive, align([*naive, *records])[1])]
    usual = np.logical_and.reduce(kept)
    difference = paired_difference(usual, np.logical_and.reduce(shared))
    names = tuple(sorted({r.description["name"] for r in naive}))
    return Share.of(usual), names, Interval(difference.difference, difference.low, difference.high)
