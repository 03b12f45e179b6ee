"""One run in a folder at a time.

The lock is the operating system's (``flock``), so a run that is killed leaves none behind. The file
says who holds it, for people; only the lock counts.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from toolchain.cells.errors import StoreError

NAME = ".lock"


@contextmanager
def held(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a run's folder, which exists. Raises StoreError where another run is at work
    there."""
    path = Path(folder) / NAME
    try:
        # Python's files are not inherited by the programs that we start, so that no worker keeps
        # the lock of a dead run
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be opened to keep other runs out: {error.strerror}"
        ) from None

    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read(200).strip() or "of an unknown process"
            raise StoreError(
                f"{folder}: another run is at work here ({who}); wait until it ends, or give -o "
                f"another folder"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{folder}: this file system cannot lock a file ({error.strerror}), so two runs "
                f"could not be kept apart; "
                "give -o a folder on a local disk"
            ) from None

        _sign(file)
        try:
            yield
        finally:
            # closing is not enough: a program that is just being started shares the open file until
            # it has replaced ours
            fcntl.flock(file, fcntl.LOCK_UN)


def _sign(file: TextIO) -> None:
    """Say who holds the lock; where that cannot be written (a full disk), the lock holds all the
    same."""
    now = datetime.now(timezone.utc)
    signature = (
        f"process {os.getpid()} on {socket.gethostname()} since {now:%Y-%m-%d %H:%M:%S} UTC\n"
    )
    try:
        file.truncate(0)
        file.write(signature)
        file.flush()
    except OSError:
        return
