"""The datasets by name, and what one is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from hardware.parameters import parameter
from hardware.registry import Registry
from toolchain.data import cifar10, digits, mnist, nmnist
from toolchain.errors import DataError

ENVIRONMENT = "SPIKEPORT_DATA"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and labels of one split.

    values    images: uint8 [sample, channel, height, width] from 0 to ``maximum``; events: one
              array [event, 4] (int32: time in microseconds, channel, y, x) for each sample, as a
              list
    labels    int64 [sample]
    shape     of one step of one sample
    maximum   largest value an image may have; 0: events
    """

    name: str
    split: str
    values: np.ndarray | list[np.ndarray]
    labels: np.ndarray
    shape: tuple[int, ...]
    maximum: int
    classes: int = 10

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_events(self) -> bool:
        """True: event streams; False: images."""
        return self.maximum == 0

    def images(self, which: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Images in [0, 1], float32 [sample, channel, height, width]: values in units of full
        intensity. Raises DataError for events."""
        if self.is_events or isinstance(self.values, list):
            raise DataError(f"{self.name} are events; they must be images")
        return self.values[which].astype(np.float32) / np.float32(1 << intensity_bits(self.maximum))

    def first(self, samples: int | None) -> Dataset:
        """The first samples; None: all."""
        if samples is None:
            return self
        if samples < 1 or samples > len(self):
            raise DataError(
                f"{self.name}, {self.split}: {samples} samples were asked for; there are "
                f"{len(self)}"
            )
        return replace(self, values=self.values[:samples], labels=self.labels[:samples])

    def part(self, which: np.ndarray) -> Dataset:
        """The samples with these indices."""
        values = [self.values[i] for i in which] if self.is_events else self.values[which]
        return replace(self, values=values, labels=self.labels[which])


def intensity_bits(maximum: int) -> int:
    """Full intensity is 2**bits, the power of two at or above the largest grey level, so that a
    grey level is a number of the chip's grid: 16 of 16 is 1, 255 is 255/256."""
    return (maximum - 1).bit_length()


Reader = Callable[[str, "Path | None"], "tuple[np.ndarray | list[np.ndarray], np.ndarray]"]
"""(split, folder that holds the data; None where it needs none) → (values, labels), as in
``Dataset``."""


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes:
        read: Reads a split.
        shape: Of one step of one sample: (channels, height, width).
        maximum: Largest value that an image may have; 0: events.
        folder: It is read from a folder, which the user must name.
        classes: Number of its classes; labels are from 0 to one less.
    """

    read: Reader
    shape: tuple[int, ...]
    maximum: int
    folder: bool = True
    classes: int = 10


DATASETS: Registry[Source] = Registry(
    "dataset",
    "spikeport.datasets",
    Source,
    {
        "digits": Source(digits.read, (1, 8, 8), 16, folder=False),
        "mnist": Source(mnist.read, (1, 28, 28), 255),
        "cifar10": Source(cifar10.read, (3, 32, 32), 255),
        "nmnist": Source(nmnist.read, (2, 34, 34), 0),
    },
    DataError,
)
"""Name → where it comes from; other distributions add entries by entry points
(docs/extending.md)."""

SPLITS = ("train", "test")


def load(
    name: str, split: str = "test", *, root: str | Path | None = None, samples: int | None = None
) -> Dataset:
    """A split of a dataset.

    root     folder that holds the data (a data set without one, such as digits, needs none); None:
             the environment variable SPIKEPORT_DATA
    samples  the first so many; None: all

    Raises DataError where the name is unknown, the data is absent or damaged.
    """
    source = DATASETS[name]
    if split not in SPLITS:
        raise DataError(f"{name}: there is no split {split!r}; there are {', '.join(SPLITS)}")
    folder = None
    if source.folder:
        folder = Path(root if root is not None else os.environ.get(ENVIRONMENT) or _no_root(name))
        if not folder.is_dir():
            raise DataError(f"{name}: the data folder {folder} does not exist")
    values, labels = source.read(split, folder)
    labels = np.asarray(labels, np.int64)
    dataset = Dataset(
        name, split, values, labels, source.shape, source.maximum, classes=source.classes
    )
    return dataset.first(samples)


def _no_root(name: str) -> NoReturn:
    raise DataError(
        f"{name} is read from a folder: say which with the environment variable {ENVIRONMENT} (or "
        f"{parameter('data_root')})"
    )
