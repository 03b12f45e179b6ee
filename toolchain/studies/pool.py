"""A few processes that compute one thing after the other, in a way that outlives none of its users.

``concurrent.futures`` cannot stop a process that is at work, and leaves it behind when its user is killed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing import connection, get_context, parent_process

PATIENCE_S = 5.0
"""How long a process may take to end by itself."""


class Pool:
    """``with Pool(function, workers) as crew: crew.submit(key, *arguments); key, result, error = crew.next()``.

    function   of a module; its arguments and result travel between processes
    workers    processes of one thread each; 1: calls happen in this process, in ``next``
    """

    def __init__(self, function: Callable, workers: int):
        self._function = function
        self._idle: list[connection.Connection] = []
        self._busy: dict[connection.Connection, str] = {}
        self._processes: list = []
        self._here: list[tuple] = []
        self._alone = workers == 1
        if not self._alone:
            self._idle += [self._started() for _ in range(workers)]

    def _started(self) -> connection.Connection:
        context = get_context("spawn")  # torch's and numba's threads do not survive a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._function), daemon=True)
        process.start()
        theirs.close()
        self._processes.append(process)
        return ours

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind, *exception) -> None:
        if kind is None:
            for pipe in self._idle:
                pipe.close()  # who waits for work goes home
            for process in self._processes:
                process.join(PATIENCE_S)
        for process in self._processes:
            process.terminate()
            process.join()

    @property
    def free(self) -> bool:
        """Something can be submitted."""
        return not self._here if self._alone else bool(self._idle)

    def submit(self, key: str, *arguments) -> None:
        """Start a call; only while ``free``."""
        if self._alone:
            self._here.append((key, arguments))
            return
        pipe = self._idle.pop()
        try:
            pipe.send(arguments)
        except OSError:  # it died while it waited
            pipe = self._started()
            pipe.send(arguments)
        self._busy[pipe] = key

    def next(self) -> tuple[str, object, str | None]:
        """(key, result, None) of the next call that ends, or (key, None, what went wrong)."""
        if self._alone:
            key, arguments = self._here.pop()
            return key, *_attempt(self._function, arguments)
        pipe = connection.wait(list(self._busy))[0]
        key = self._busy.pop(pipe)
        try:
            result, error = pipe.recv()
        except (EOFError, OSError):
            pipe, result, error = self._started(), None, "its process died (killed, or out of memory)"
        self._idle.append(pipe)
        return key, result, error


def _attempt(function: Callable, arguments: tuple) -> tuple[object, str | None]:
    try:
        return function(*arguments), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _work(pipe: connection.Connection, function: Callable) -> None:
    """What a process does until its user is gone."""
    import torch

    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    while True:
        try:
            pipe.send(_attempt(function, pipe.recv()))
        except (EOFError, OSError, KeyboardInterrupt):
            return


def _leave_with_parent() -> None:
    connection.wait([parent_process().sentinel])
    os._exit(1)
