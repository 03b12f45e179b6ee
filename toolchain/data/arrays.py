"""Arrays of a .npz file that nobody vouches for: measured before they are read, never unpickled."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from hardware._files import opened, room
from toolchain.errors import DataError

MAX_BYTES = 16 << 30
"""Of a file, and of all arrays in it."""

MEMBERS = 1000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_DAMAGE = (ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError, OverflowError)
_DAMAGE += (NotImplementedError, zlib.error, zipfile.BadZipFile)


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Name → array of a .npz file, as ``numpy.savez`` or ``numpy.savez_compressed`` writes it.

    A packed file may hold 128 MiB, or 64 times its size where that is more. Raises DataError where
    it is absent, damaged, holds more than that, or anything but arrays of numbers.
    """
    path = Path(path)
    try:
        with opened(path, DataError, MAX_BYTES, "a .npz file") as file:
            size = os.fstat(file.fileno()).st_size
            with zipfile.ZipFile(file) as archive:
                _measure(path, archive.infolist(), size)
                return {_name(m): _array(path, archive, m) for m in archive.infolist()}
    except DataError:
        raise
    except _DAMAGE as error:
        reason = str(error)[:200] or type(error).__name__
        raise DataError(f"{path}: damaged, or holds what is not read: {reason}") from None


def _measure(path: Path, members: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse more than the file may hold, before anything is unpacked."""
    if len(members) > MEMBERS:
        raise DataError(f"{path}: holds {len(members)} arrays; there must be at most {MEMBERS}")
    unpacked, most = sum(member.file_size for member in members), room(size, MAX_BYTES)
    if unpacked > most:
        raise DataError(
            f"{path}: unpacks to {unpacked:,} bytes; a file of this size must hold at most "
            f"{most:,}: write it with numpy.savez, which does not pack"
        )
    names = [_name(member) for member in members]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: holds an array twice")


def _name(member: zipfile.ZipInfo) -> str:
    return member.filename.removesuffix(".npy")


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, whose header must declare exactly the bytes that are there."""
    if member.compress_type not in _METHODS:
        raise DataError(f"{path}: {_name(member)!r} is packed in a way that is not read")
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        if dtype.hasobject or dtype.kind not in "biufc":
            raise DataError(
                f"{path}: {_name(member)!r} is of type {str(dtype)[:60]}, or holds Python objects, "
                "which are not read; it must hold numbers"
            )
        declared, stored = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if declared != stored:
            raise DataError(
                f"{path}: {_name(member)!r} declares {declared:,} bytes; {stored:,} are stored"
            )
        values = np.frombuffer(bytearray(file.read()), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array in version {version} of numpy's format")
    return _HEADERS[version](file)
