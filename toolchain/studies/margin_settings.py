"""The file of the margin study, which its measurement and its page both read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from toolchain.table_rules import DISTINCT, Seed, Text
from toolchain.tables import Settings

Delta = Annotated[float, Meta(ge=0, le=1000)]
Bits = Annotated[int, Meta(ge=2, le=8)]


@dataclass(frozen=True)
class MarginStudy(Settings):
    """The TOML file; see ``toolchain.studies.margin``.

    recipe       path of a recipe with the defence margin, from where this file lies
    deltas       half widths of the margin in volts; 0: no constraint
    weight_bits  of the quantised networks
    seeds        of training
    near         volts: what counts as near the threshold, the same for every delta
    """

    recipe: Text
    deltas: Annotated[tuple[Delta, ...], DISTINCT]
    weight_bits: Annotated[tuple[Bits, ...], DISTINCT] = (8, 6, 4, 3)
    seeds: Annotated[tuple[Seed, ...], DISTINCT] = (0, 1, 2)
    near: Annotated[float, Meta(ge=1e-6, le=1000)] = 0.1

    def check(self) -> str | None:
        if 0 in self.deltas:
            return None
        return f"deltas is {list(self.deltas)!r}; it must have 0, the network without constraint"
