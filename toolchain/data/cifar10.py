"""CIFAR-10 from its Python batches (plain or .xz), in ``root``, ``root/cifar10`` or torchvision's
``root/cifar-10-batches-py``.

The batches are pickles. They are never unpickled: their opcodes are walked as plain data
(``pickletools.genops`` executes nothing), and the one long byte string and the list of small
integers behind "labels" are taken out.
"""

from __future__ import annotations

import pickletools
from itertools import islice
from pathlib import Path

import numpy as np

from toolchain.data import files
from toolchain.errors import DataError

PLACES = ("", "cifar10", "cifar-10-batches-py")
BATCHES = {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)}
IMAGES, BYTES = 10_000, 3072
LIMIT = 40 << 20
OPCODES = 200_000
"""Opcodes of a batch that are walked: labels, file names and their places in the memo are
40,000."""


def read(split: str, root: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """(values uint8 [sample, 3, 32, 32], labels)."""
    parts = [_batch(files.find("cifar10", root, PLACES, name)) for name in BATCHES[split]]
    values, labels = (np.concatenate(column) for column in zip(*parts))
    return values, labels


def _batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    data: bytes | None = None
    labels: list[int] = []
    in_labels = False
    try:
        for opcode, argument, _ in islice(pickletools.genops(files.read(path, LIMIT)), OPCODES):
            if isinstance(argument, (str, bytes)):
                in_labels = argument in ("labels", b"labels")
                if len(argument) == IMAGES * BYTES:
                    data = argument if isinstance(argument, bytes) else argument.encode("latin-1")
            elif in_labels and opcode.name == "BININT1":
                labels.append(int(argument or 0))
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: no CIFAR-10 batch: {str(error)[:200]}") from None
    if data is None or len(labels) != IMAGES or max(labels) > 9:
        raise DataError(
            f"{path}: no CIFAR-10 batch of {IMAGES} images of {BYTES} bytes with labels 0 to 9"
        )
    return np.frombuffer(data, np.uint8).reshape(IMAGES, 3, 32, 32), np.array(labels)
