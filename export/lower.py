"""NIR graph → Program. (skeleton: signatures)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import nir
import numpy as np

from export.audit import Audit
from hardware.program import Program


class Lowered(NamedTuple):
    """What lowering gives: ``program, audit = lower(graph)``."""

    program: Program
    audit: Audit


def lower(
    graph: nir.NIRGraph,
    *,
    dt: float | None = None,
    weight_bits: int = 8,
    per_channel: bool = False,
    calibration: np.ndarray | Mapping[str, np.ndarray] | None = None,
    message_bits: int | Mapping[str, int] | None = None,
    input_fraction_bits: int | Mapping[str, int] | None = None,
    discretization: str = "euler",
    allow_clipping: bool = False,
    source: str = "NIR graph",
) -> Lowered:
    """Lower a graph. Raises an ExportError."""
    raise NotImplementedError
