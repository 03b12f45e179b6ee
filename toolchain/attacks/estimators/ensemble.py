"""Several surrogates in turn: what one of them does not see, another does."""

from __future__ import annotations

from toolchain.attacks.base import AttackError
from toolchain.attacks.estimators.base import Estimator
from toolchain.attacks.estimators.slopes import Pointwise

SURROGATES = {
    "triangle 0.5": ("triangle", 0.5),
    "triangle 1": ("triangle", 1.0),
    "triangle 2": ("triangle", 2.0),
    "triangle 5": ("triangle", 5.0),
    "atan 1": ("atan", 1.0),
    "atan 2": ("atan", 2.0),
    "atan 4": ("atan", 4.0),
    "sigmoid 4": ("sigmoid", 4.0),
    "straight_through": ("straight_through", 1.0),
}
"""Narrow and wide, with a foot and without one (``slopes.Pointwise``)."""


class InTurn(Estimator):
    """One surrogate for each gradient, over and over: momentum averages over them at the price of
    one.

    Dong et al., CVPR 2018, average the logits of an ensemble in every step; Athalye et al. and the
    surrogate ensembles of the TMLR 2024 paper on conversion run one attack for each.
    """

    name = "in_turn"

    def __init__(self, members: tuple[Estimator, ...]) -> None:
        self._members, self._next = members, 0

    @property
    def parts(self) -> tuple[Estimator, ...]:
        """The surrogate whose turn it is."""
        return (self._members[self._next % len(self._members)],)

    def begin(self) -> None:
        self._next = 0
        for member in self._members:
            member.begin()

    def advance(self) -> None:
        self._next += 1


def in_turn(surrogates: list[str] | None = None) -> InTurn:
    """The named surrogates in turn; None: all of them."""
    names = list(SURROGATES) if surrogates is None else surrogates
    unknown = [name for name in names if name not in SURROGATES]
    if unknown or not names:
        raise AttackError(f"surrogates are {names!r}; they must be some of {', '.join(SURROGATES)}")
    return InTurn(tuple(Pointwise(*SURROGATES[name]) for name in names))
