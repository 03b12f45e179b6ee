"""What a Loihi-class chip computes, holds and spends. Import needs numpy and h5py alone."""

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

__all__ = [
    "TARGETS",
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
    "Sparse",
    "compare",
    "run",
]
