"""What a caller says of a graph that is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.dialects import DIALECTS
from export.errors import MissingInformationError
from hardware.parameters import parameter
from hardware.program import RESETS

PER = ("second", "step")
"""What r of IF and I counts its input by."""


@dataclass(frozen=True)
class Told:
    """What the caller says of a graph; None: what the graph says. ``dt`` in seconds."""

    dt: float | None = None
    reset: str | None = None
    r_per: str | None = None
    dialect: str | None = None

    def __post_init__(self) -> None:
        dt = self.dt
        if dt is not None and not (isinstance(dt, (int, float)) and np.isfinite(dt) and dt > 0):
            raise MissingInformationError(
                f"{parameter('dt')} is {dt!r}; it must be a positive number of seconds"
            )
        for name, known in (("reset", RESETS), ("r_per", PER), ("dialect", tuple(DIALECTS))):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise MissingInformationError(
                    f"{parameter(name)} is {value!r}; it must be one of {', '.join(known)}"
                )
