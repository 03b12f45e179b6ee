"""What runs leave that were killed with everything that watches over them, removed at the next
start.

The exchange folder of each run holds a lock file, which names the run's token and is locked by
every process of the run: the client, its guardian, the worker and all that Lava forks. The lock of
a run that is over can be taken by anybody, so nothing of a living run is ever touched, whatever
process numbers mean by then. Only folders of this user, in today's folder for temporary files, are
looked at.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from hardware.lava import guardian

PREFIX = "spikeport-"
LOCK = "lock"
_TOKEN = re.compile(rb"[0-9a-f]{8}")


def hold(folder: Path, token: str) -> int:
    """Lock a run's new folder; the descriptor is to be handed down to every process of the run."""
    import fcntl  # not on Windows, where this package must still be importable

    # locked before it has its name: a sweep at this moment must not take it for a dead one
    unnamed = folder / f"{LOCK}.new"
    number = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    fcntl.flock(number, fcntl.LOCK_EX)
    os.write(number, token.encode("ascii"))
    os.rename(unnamed, folder / LOCK)
    return number


def sweep(place: Path | None = None) -> list[str]:
    """Remove shared memory and folders of this user's dead runs; returns their tokens."""
    place = Path(tempfile.gettempdir()) if place is None else place
    return [token for folder in place.glob(f"{PREFIX}*") if (token := _swept(folder)) is not None]


def _swept(folder: Path) -> str | None:
    import fcntl

    with suppress(OSError):
        if os.lstat(folder).st_uid != os.geteuid():
            return None
        number = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(number)
            token = os.read(number, 9)
            ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if not ours or not _TOKEN.fullmatch(token):
                return None
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody lives
            guardian.clean_up(None, str(folder), token.decode("ascii"))
            return token.decode("ascii")
        finally:
            os.close(number)
    return None
