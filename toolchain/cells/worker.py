"""What a worker process of ``pool`` does until its user is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from multiprocessing.connection import Connection

from toolchain import heap
from toolchain.cells import work
from toolchain.cells.work import Failed

EVERY_S = 0.1
"""Between two words about how far a cell is."""


def main(pipe: int, life: int) -> None:
    """Serve tasks from a pipe; ``life``: a file that ends with the user."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the user's, who ends us
    threading.Thread(target=_leave_with, args=(life,), daemon=True).start()
    talk = Connection(pipe)
    try:
        shared = talk.recv()
        with heap.kept():
            while True:
                talk.send(_served(talk, shared))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _served(talk: Connection, shared: work.Shared) -> work.Outcome:
    try:
        task = talk.recv()
    except (EOFError, OSError):
        raise EOFError from None
    except Exception as error:  # a job of a class that cannot be imported here
        return Failed(f"{type(error).__name__}: {error}")
    return work.perform(task, shared, _Ticks(talk))


class _Ticks:
    """Sends (done, in all), not too often."""

    def __init__(self, talk: Connection) -> None:
        self._talk, self._last = talk, 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= EVERY_S:
            self._last = now
            self._talk.send((int(done), int(total)))


def _leave_with(life: int) -> None:
    os.read(life, 1)
    os._exit(1)
