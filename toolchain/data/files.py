"""Finding and unpacking data files, with a limit on what they may unpack to."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from hardware._files import read_bytes
from toolchain.errors import DataError

UNPACKERS: dict[str, Callable[[BinaryIO], io.BufferedIOBase]] = {
    ".gz": lambda packed: gzip.GzipFile(fileobj=packed),
    ".xz": lzma.LZMAFile,
}


def folder(name: str, root: Path | None) -> Path:
    """The folder that holds a data set. Raises DataError where none is given."""
    if root is None:
        raise DataError(f"{name}: is read from a folder, and none is given")
    return root


def find(name: str, root: Path | None, places: tuple[str, ...], file: str) -> Path:
    """The first of ``root/place/file``, also packed (.gz, .xz). Raises DataError that lists where
    it was looked for."""
    root = folder(name, root)
    for place in places:
        for ending in ("", *UNPACKERS):
            path = root / place / (file + ending)
            if path.is_file():
                return path
    looked = ", ".join(str(Path(place) / file) for place in places)
    raise DataError(f"{name}: none of {looked} (or with .gz, .xz) is in the data folder {root}")


def read(path: Path, limit: int) -> bytes:
    """Content of a file, unpacked if it ends in .gz or .xz. Raises DataError where it is damaged or
    larger than ``limit`` bytes."""
    packed = read_bytes(path, DataError, limit, "such a data file")
    if path.suffix not in UNPACKERS:
        return packed
    try:
        with UNPACKERS[path.suffix](io.BytesIO(packed)) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked: {str(error)[:200]}") from None
    if len(content) > limit:
        raise DataError(f"{path}: unpacks to more than the {limit:,} bytes that such a file has")
    return content
