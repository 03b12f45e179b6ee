"""Plain files, as everything in this project reads and writes them.

Written whole or not at all: the bytes are made in memory first, so that a full disk meets one plain
write, and not a library in the middle of a file (the HDF5 library crashes the process when its
write fails).

Read within a bound that is known before anything is allocated, and from regular files alone: to
open a FIFO may wait for ever, and a device may never end.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

UNPACKED = 128 << 20
"""Bytes that any packed file may unpack to, however small it is. Reading so much takes well below 2
s and 1 GiB."""

UNPACKING = 64
"""A larger packed file may unpack to so many times its size. Sparse spikes reach 50; a stream of
zeros reaches 1,000."""


def write_bytes(path: str | Path, content: bytes | memoryview, error: type[Exception]) -> None:
    """Write a file through links; it appears whole or not at all.

    A reader sees the old file or the new one. A failure leaves the old one as it was, and nothing
    beside it. Whether an old file may be replaced is the caller's to check. Raises ``error``, which
    names ``path``, where it cannot be written.
    """
    final = Path(os.path.realpath(path))
    part = final.with_name(f".{final.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        if final.exists() and not final.is_file():
            raise error(f"{path}: is {kind(final)}; the name of a regular file must be given")

        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, final)
        _keep_name(final.parent)
    except OSError as failure:
        raise error(f"{path}: cannot be written: {failure.strerror or failure}") from failure
    finally:
        with suppress(OSError):  # gone, or never made
            part.unlink()


def _keep_name(folder: Path) -> None:
    """Make the new name of a file survive a loss of power, where the file system can do so."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def opened(
    path: str | Path, error: type[Exception], most: int, what: str = "a file"
) -> Iterator[BinaryIO]:
    """A regular file of at most ``most`` bytes, open for reading.

    Raises ``error``, which names ``path``, where it is absent, of another kind, larger, or cannot
    be opened.
    """
    try:
        # a FIFO without a writer would wait for ever here
        number = os.open(
            path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
    except FileNotFoundError:
        raise error(f"{path}: cannot be read: no such file; {what} must be given") from None
    except (OSError, ValueError) as failure:  # ValueError: a NUL in the name
        reason = getattr(failure, "strerror", None) or failure
        raise error(f"{path}: cannot be read: {reason}") from failure

    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{path}: is {kind(path)}; {what} must be given")
        if status.st_size > most:
            raise error(f"{path}: has {status.st_size:,} bytes; {what} must have at most {most:,}")
        file = os.fdopen(number, "rb", closefd=False)
        yield file
    finally:
        os.close(number)


def read_bytes(path: str | Path, error: type[Exception], most: int, what: str = "a file") -> bytes:
    """The content of a regular file of at most ``most`` bytes; see ``opened``."""
    with opened(path, error, most, what) as file:
        try:
            stated = os.fstat(file.fileno()).st_size
            content = file.read(stated + 1)
            # more than stated: it grew, or lies in a file system that states no sizes
            while stated < len(content) <= most and (part := file.read(1 << 20)):
                content += part
        except OSError as failure:
            raise error(f"{path}: cannot be read: {failure.strerror or failure}") from failure
    if len(content) > most:
        raise error(f"{path}: has more than {most:,} bytes; {what} must have at most {most:,}")
    return content


def read_text(
    path: str | Path, error: type[Exception], most: int, what: str = "a text file"
) -> str:
    """The same as UTF-8 text."""
    try:
        return read_bytes(path, error, most, what).decode("utf-8")
    except UnicodeDecodeError as failure:
        reason = f"{failure.reason} at byte {failure.start}"
        raise error(f"{path}: is not UTF-8 text: {reason}; {what} must be given") from None


def room(packed: int, most: int) -> int:
    """Bytes that ``packed`` bytes may unpack to: in proportion to what is there, so that a small
    file cannot cost much."""
    return min(most, max(UNPACKED, UNPACKING * packed))


def kind(path: str | Path) -> str:
    """What a path is, in words."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "no file"
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
    kinds |= {stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}
    return next((word for test, word in kinds.items() if test(mode)), "a file")
