"""Reads the packed N-MNIST test recordings of ../shared/data, without the toolchain.

Format: 5 bytes an event: x, y, (p << 7 | t >> 16), t >> 8, t; big endian, microseconds.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np

SHAPE = (2, 34, 34)
STEPS = 300


def events(raw: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, y, polarity, time in microseconds."""
    b = np.frombuffer(raw, np.uint8).reshape(-1, 5).astype(np.int64)
    return b[:, 0], b[:, 1], b[:, 2] >> 7, ((b[:, 2] & 127) << 16) | (b[:, 3] << 8) | b[:, 4]


def frames(raw: bytes) -> np.ndarray:
    """Events counted in bins of 1 ms, [step, polarity, y, x]; later ones are left out."""
    x, y, p, t = events(raw)
    kept = (t < STEPS * 1000) & (x < 34) & (y < 34)
    counts = np.zeros((STEPS, *SHAPE), np.uint8)
    np.add.at(counts, (t[kept] // 1000, p[kept], y[kept], x[kept]), 1)
    return counts


def recordings(folder: Path, samples: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """(event counts [sample, step, 2, 34, 34], labels) of the first recordings of test100.txt."""
    with tarfile.open(folder / "nmnist" / "nmnist_small.tar.xz") as outer:
        inner = io.BytesIO(outer.extractfile("nmnist_small/NMNISTsmall.tar").read())
    with tarfile.open(fileobj=inner) as tar:
        listed = tar.extractfile("NMNISTsmall/test100.txt").read().decode().split()[2:]
        numbers, labels = listed[::2][:samples], listed[1::2][:samples]
        return np.stack(
            [frames(tar.extractfile(f"NMNISTsmall/{n}.bs2").read()) for n in numbers]
        ), np.array(labels, int)
