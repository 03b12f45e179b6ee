"""What a Loihi-class chip computes, holds and spends. Import needs numpy and h5py alone.

``Chip``, ``check`` and ``Report`` read tables in TOML, which Lava's environment cannot: they are
imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware.comparison import Comparison, compare
from hardware.noise import Noise
from hardware.program import (
    Convolution,
    CustomPopulation,
    Dense,
    Input,
    Output,
    Population,
    Program,
    Sparse,
)
from hardware.recording import Record, Recording
from hardware.targets import TARGETS, run

if TYPE_CHECKING:
    from hardware.chip import Chip
    from hardware.placement import Report, check

__all__ = [
    "TARGETS",
    "Chip",
    "Comparison",
    "Convolution",
    "CustomPopulation",
    "Dense",
    "Input",
    "Noise",
    "Output",
    "Population",
    "Program",
    "Record",
    "Recording",
    "Report",
    "Sparse",
    "check",
    "compare",
    "run",
]

_LAZY = {"Chip": "hardware.chip", "Report": "hardware.placement", "check": "hardware.placement"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
