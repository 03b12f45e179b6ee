"""MNIST from its idx files (plain or .gz), in ``root``, ``root/mnist`` or torchvision's
``root/MNIST/raw``."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from toolchain.data import files
from toolchain.errors import DataError

PLACES = ("", "mnist", "MNIST/raw")
COUNT = {"train": 60_000, "test": 10_000}


def read(split: str, root: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """(values uint8 [sample, 1, 28, 28], labels)."""
    stem = {"train": "train", "test": "t10k"}[split]
    images = _idx(
        files.find("mnist", root, PLACES, f"{stem}-images-idx3-ubyte"), (COUNT[split], 28, 28)
    )
    labels = _idx(files.find("mnist", root, PLACES, f"{stem}-labels-idx1-ubyte"), (COUNT[split],))
    if labels.max() > 9:
        raise DataError(f"mnist: a label is {labels.max()}; it must be from 0 to 9")
    return images[:, None], labels


def _idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An idx file of unsigned bytes: magic 0x0000080N, N big-endian sizes, the bytes."""
    size = 4 + 4 * len(shape) + int(np.prod(shape))
    content = files.read(path, size)
    expected = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    if len(content) != size or not content.startswith(expected):
        raise DataError(f"{path}: no idx file of unsigned bytes with shape {shape}")
    return np.frombuffer(content, np.uint8, offset=len(expected)).reshape(shape)
