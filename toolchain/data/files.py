"""Finding and unpacking data files, with a limit on what they may unpack to."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

from toolchain.errors import DataError

OPENERS = {"": open, ".gz": gzip.open, ".xz": lzma.open}


def find(name: str, root: Path, places: tuple[str, ...], file: str) -> Path:
    """The first of ``root/place/file``, also packed (.gz, .xz). Raises DataError that lists where it was looked for."""
    for place in places:
        for ending in OPENERS:
            path = root / place / (file + ending)
            if path.is_file():
                return path
    looked = ", ".join(str(Path(place) / file) for place in places)
    raise DataError(f"{name}: none of {looked} (or with .gz, .xz) is in the data folder {root}")


def read(path: Path, limit: int) -> bytes:
    """Content of a file, unpacked if it ends in .gz or .xz. Raises DataError where it is damaged or larger than ``limit`` bytes."""
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if len(content) > limit:
        raise DataError(f"{path}: larger than the {limit} bytes that such a file has")
    return content
