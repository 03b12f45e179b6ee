"""Arrays of a .npz or .npy file that nobody vouches for: measured before they are read, never
unpickled."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from hardware._files import opened, room
from toolchain.errors import DataError

MAX_BYTES = 16 << 30
"""Of a file, and of all arrays in it."""

MEMBERS = 1000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_DAMAGE = (
    *(ValueError, OSError, EOFError, KeyError, RuntimeError, MemoryError, OverflowError),
    *(NotImplementedError, zlib.error, zipfile.BadZipFile),
)


def read(
    path: str | Path, *, records: bool = False, most: int | None = None
) -> dict[str, np.ndarray]:
    """Name → array of a .npz file, as ``numpy.savez`` or ``numpy.savez_compressed`` writes it.

    records   structured arrays, whose fields are numbers, are read as well
    most      values in one array; None: as many as there may be bytes

    A packed file may hold 128 MiB, or 64 times its size where that is more. Raises DataError where
    it is absent, damaged, holds more than that, or anything but arrays of numbers.
    """
    path = Path(path)
    try:
        with opened(path, DataError, MAX_BYTES, "a .npz file") as file:
            size = os.fstat(file.fileno()).st_size
            with zipfile.ZipFile(file) as archive:
                _measure(path, archive.infolist(), size)
                arrays = {}
                for member in archive.infolist():
                    if member.compress_type not in _METHODS:
                        raise DataError(
                            f"{path}: {_name(member)!r} is packed in a way that is not read"
                        )

                    with archive.open(member) as inside:
                        where = f"{path}: {_name(member)!r}"
                        arrays[_name(member)] = _array(
                            where, inside, member.file_size, records, most
                        )
                return arrays
    except DataError:
        raise
    except _DAMAGE as error:
        reason = str(error)[:200] or type(error).__name__
        raise DataError(f"{path}: damaged, or holds what is not read: {reason}") from None


def read_one(path: str | Path, *, records: bool = False, most: int | None = None) -> np.ndarray:
    """The array of a .npy file, as ``numpy.save`` writes it; arguments and errors as ``read``."""
    path = Path(path)
    try:
        with opened(path, DataError, MAX_BYTES, "a .npy file") as file:
            size = os.fstat(file.fileno()).st_size
            return _array(f"{path}: the array", file, size, records, most)
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


def _array(where: str, file: IO[bytes], size: int, records: bool, most: int | None) -> np.ndarray:
    """One array of ``size`` bytes, whose header must declare exactly the bytes that are there."""
    shape, fortran, dtype = _header(file)
    fields = [dtype[name] for name in dtype.names] if records and dtype.names else [dtype]
    if dtype.hasobject or any(field.kind not in "biufc" for field in fields):
        raise DataError(
            f"{where} is of type {str(dtype)[:60]}, or holds Python objects, "
            "which are not read; it must hold numbers"
        )
    count = math.prod(shape)
    if most is not None and count > most:
        raise DataError(f"{where} declares {count:,} values; at most {most:,} are read")
    declared, stored = count * dtype.itemsize, size - file.tell()
    if declared != stored:
        raise DataError(f"{where} declares {declared:,} bytes; {stored:,} are stored")
    values = np.frombuffer(bytearray(file.read()), dtype)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"an array in version {version} of numpy's format")
    return _HEADERS[version](file)
