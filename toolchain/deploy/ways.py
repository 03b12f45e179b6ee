"""How the rest of a model's way to a Program is gone: every option once, for the command line, for
sweeps and for Python alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from export.dialects import DIALECTS
from export.reading import PER
from hardware.program import DECODINGS, RESETS
from toolchain.table_rules import Count, Positive, one_of

READING = ("dt", "reset", "r_per", "dialect")
"""Options that say how a .nir is read; arguments of ``export.state``."""

INPUT = ("message_bits", "fraction_bits", "input_scale")
"""Options that say what the integers of the input mean (``toolchain.deploy.contract``)."""

LOWERING = (
    "dt",
    "weight_bits",
    "per_channel",
    "discretization",
    "allow_clipping",
    "calibration",
    "data",
    *INPUT,
)
"""Options of every model that is lowered here."""

TRACING = ("decode", "trace_steps")
"""Options of a PyTorch model."""

DESCRIBING = ("input_shape", "call")
"""Options of a PyTorch model that does not say what it takes."""


@dataclass(frozen=True)
class Lowering:
    """How a model becomes a Program. None: as the model says, or as ``export.lower`` does by
    default.

    weight_bits, per_channel, discretization, allow_clipping, dt   see ``export.lower``
    decode          how the output is read, see ``export.frameworks.trace``
    reset, r_per, dialect   how a graph is read that leaves this open (docs/dialects.md); a model
                    that is traced states it itself, and refuses them
    message_bits, fraction_bits, input_scale   what the integers of the input mean, where the model
                    does not say so, see ``toolchain.deploy.contract``
    input_shape     of one step of one sample. Another shape than the data set's, of as many values,
                    is filled in C order
    call            one of ``toolchain.deploy.stages.CALLS``
    """

    weight_bits: Count | None = None
    per_channel: bool | None = None
    discretization: Annotated[str, one_of(("euler", "exponential"))] | None = None
    allow_clipping: bool = False
    dt: Positive | None = None
    decode: Annotated[str, one_of(DECODINGS)] | None = None
    reset: Annotated[str, one_of(RESETS)] | None = None
    r_per: Annotated[str, one_of(PER)] | None = None
    dialect: Annotated[str, one_of(DIALECTS)] | None = None
    message_bits: Annotated[int, Meta(ge=0)] | None = None
    fraction_bits: Annotated[int, Meta(ge=0)] | None = None
    input_scale: Positive | None = None
    input_shape: Annotated[tuple[Count, ...], Meta(min_length=1)] | None = None
    call: str | None = None

    def given(self, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        """Those of the named fields (None: of all) that differ from their default."""
        own = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) is not f.default and getattr(self, f.name) != f.default
        }
        return {name: value for name, value in own.items() if names is None or name in names}


@dataclass(frozen=True)
class Ways(Lowering):
    """The same for a model that is at hand.

    trace_steps   time steps that the model is traced with; None: found out
    data          {"name", "encoding", "steps", ...}: the data set and its encoding, where the model
                  does not state them
    calibration   typical inputs [sample, step, *shape] (or input → array) that scales are chosen
                  for
    """

    trace_steps: int | None = None
    data: Mapping[str, Any] | None = None
    calibration: np.ndarray | Mapping[str, np.ndarray] | None = field(default=None, repr=False)

    def given(self, names: tuple[str, ...] | None = None) -> dict[str, Any]:
        """As of ``Lowering``; an array is given where there is one."""
        plain = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) is not f.default
        }
        return {name: value for name, value in plain.items() if names is None or name in names}

    def reading(self) -> dict[str, Any]:
        """What is said of how a graph is read: arguments of ``export.state``."""
        return self.given(READING)
