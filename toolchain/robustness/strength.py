"""How strong a battery is: judged by the kinds of attack that were made, not by the name of a
preset.

Every accuracy under attack is an upper bound of robust accuracy: another attack may find more. How
far it can be believed depends on what was tried. A battery that lacks a kind of attack which is
known to find more is a smoke test, whatever it is called; a list of one's own is judged by the same
rules. Each rule is a function; it names what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from toolchain.attacks.base import EVENTS
from toolchain.robustness.records import Scored
from toolchain.robustness.traits import (
    EXACT,
    GRADIENT,
    IN_TURN,
    LOCAL,
    MARGIN,
    NOWHERE_ZERO,
    SCORES,
    Traits,
)

SMOKE, STANDARD, FULL = "smoke test", "standard", "full"
LEVELS = (SMOKE, STANDARD, FULL)
"""From weak to strong."""


@dataclass(frozen=True)
class Effort:
    """What all attacks of a kind together must be given, for each sample that stands.

    steps     along gradients (events: rounds)
    queries   of random searches
    rounds    of local searches
    around    steps along gradients on each way around what stands before the network
    """

    steps: int
    queries: int = 0
    rounds: int = 0
    around: int = 0


EFFORTS: Mapping[str, Mapping[str, Effort]] = {
    "linf": {STANDARD: Effort(100, 200, 200, 40), FULL: Effort(400, 1000, 1000, 70)},
    "l2": {STANDARD: Effort(100, 200, 0, 40), FULL: Effort(400, 1000, 0, 70)},
    "flips": {STANDARD: Effort(80), FULL: Effort(400)},
    "shift": {STANDARD: Effort(80), FULL: Effort(400)},
}
"""Threat → level → effort. Ours: about half of what the presets of that name spend, which were
chosen by what each attack added on the kept networks (docs/robustness.md)."""


@dataclass(frozen=True)
class Strength:
    """level: one of ``LEVELS``. missing: what the next level needs and the battery does not have,
    in words."""

    level: str
    missing: tuple[str, ...] = ()

    @property
    def weak(self) -> bool:
        """True where no sign of a failed attack means nothing."""
        return self.level == SMOKE


@dataclass(frozen=True)
class AttackedNetwork:
    """What was attacked, as far as it decides which attacks there can be.

    norm       of the threat
    random     an inference depends on a seed
    program    integers compute it, which a search can be made on
    front      something stands before the network; ``detector``: which tells attacked samples from
               others
    """

    norm: str
    random: bool = False
    program: bool = True
    front: bool = False
    detector: bool = False

    @classmethod
    def of(cls, records: Sequence[Scored]) -> AttackedNetwork:
        """From records of one model under one threat."""
        descriptions = [record.description for record in records]
        return cls(
            descriptions[0]["norm"],
            any(d["stochastic"] for d in descriptions),
            any(d.get("program") is not None for d in descriptions),
            any(d.get("has_front", False) for d in descriptions),
            any(d.get("has_detector", False) for d in descriptions),
        )


Missing = Iterator[str]


def _spent(attacks: Iterable[Traits], wanted: Callable[[Traits], bool]) -> int:
    """Iterations of all attacks of a kind together."""
    return sum(attack.iterations for attack in attacks if wanted(attack))


def _follows(attack: Traits) -> bool:
    """Whether it climbs a loss which is not flat along a gradient that does not vanish."""
    return (
        attack.access == GRADIENT
        and attack.loss == MARGIN
        and attack.surrogate in (NOWHERE_ZERO, IN_TURN, EXACT)
    )


def gradient_that_does_not_vanish(
    attacks: Sequence[Traits], attacked: AttackedNetwork, effort: Effort
) -> Missing:
    """The cross entropy of spike counts is flat, and a surrogate of bounded width is zero where a
    network has learnt to be."""
    if _spent(attacks, lambda a: _follows(a) and a.front == "through") < effort.steps:
        yield f"{effort.steps} steps of a margin or DLR loss along gradients that vanish nowhere"


def search_by_scores(
    attacks: Sequence[Traits], attacked: AttackedNetwork, effort: Effort
) -> Missing:
    """What no gradient shows, a search may find."""
    if _spent(attacks, lambda a: a.access == SCORES) < effort.queries:
        yield f"{effort.queries:,} queries of a random search that needs no gradient"


def local_search_on_integers(
    attacks: Sequence[Traits], attacked: AttackedNetwork, effort: Effort
) -> Missing:
    """Exact, because nothing is differentiated."""
    if attacked.program and _spent(attacks, lambda a: a.access == LOCAL) < effort.rounds:
        yield (
            f"{effort.rounds:,} rounds of a local search on the integer Program from the best "
            f"point found"
        )


def every_seed_is_known(
    attacks: Sequence[Traits], attacked: AttackedNetwork, effort: Effort
) -> Missing:
    """Noise and input spikes that follow from a seed are no secret: the seed stands in the file."""
    if attacked.random and _spent(attacks, lambda a: _follows(a) and a.known_seed) < effort.steps:
        yield f"{effort.steps} such steps by an adversary who knows the seed of the inference"


def ways_around_a_front(
    attacks: Sequence[Traits], attacked: AttackedNetwork, effort: Effort
) -> Missing:
    """What stands before a network may hide its gradient, and a detector may be evaded."""
    if not attacked.front or attacked.norm in EVENTS:
        return
    if _spent(attacks, lambda a: a.access == GRADIENT and a.front == "bpda") < effort.around:
        yield f"{effort.around} steps with the identity in the front's place backwards (BPDA)"
    if (
        attacked.detector
        and _spent(attacks, lambda a: a.access == GRADIENT and a.front == "detector")
        < effort.around
    ):
        yield f"{effort.around} steps of an adversary who knows of the detector"


RULES: tuple[Callable[[Sequence[Traits], AttackedNetwork, Effort], Missing], ...] = (
    gradient_that_does_not_vanish,
    search_by_scores,
    local_search_on_integers,
    every_seed_is_known,
    ways_around_a_front,
)


def judge(attacks: Iterable[Traits], attacked: AttackedNetwork) -> Strength:
    """The strength of some attacks, all of them made on one network under one threat."""
    tried, reached = list(attacks), SMOKE
    for level, effort in EFFORTS[attacked.norm].items():
        missing = tuple(text for rule in RULES for text in rule(tried, attacked, effort))
        if missing:
            return Strength(reached, missing)
        reached = level
    return Strength(reached)


def of_records(records: Sequence[Scored]) -> Strength:
    """Of the battery behind some records of one model at one radius."""
    return judge(
        (traits for record in records for traits in Traits.made(record)),
        AttackedNetwork.of(records),
    )


def weakest(found: Iterable[Strength]) -> Strength | None:
    """Of several batteries: the lowest level, and all that those of that level lack. None of
    none."""
    some = list(found)
    if not some:
        return None
    level = min((strength.level for strength in some), key=LEVELS.index)
    return Strength(
        level, tuple(dict.fromkeys(text for s in some if s.level == level for text in s.missing))
    )
