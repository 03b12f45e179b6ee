"""Workers on this machine: processes that compute one cell after the other and outlive none of
their users.

They are spoken to over pipes that only they hold: no port is opened, so nobody else on the machine
can give them work. ``concurrent.futures`` cannot stop a process that is at work, and leaves it
behind when its user is killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Callable
from multiprocessing import connection

from toolchain.cells import threads, work
from toolchain.cells.errors import EngineError
from toolchain.cells.work import CellTask, Failed, Outcome, Shared

RETRIES = 3
"""How often a cell whose worker died is computed again."""

PATIENCE_S = 5.0
"""How long a process may take to end by itself."""

Inside = Callable[[str, int, int], None]
"""Called with (label of a cell at work, its own units done, in all)."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from toolchain.cells.worker import main; main(*map(int, sys.argv[2:]))"
)


class Pool:
    """``with Pool(workers, shared) as crew: crew.submit(task); key, outcome = crew.next()``.

    workers  processes; 1: cells are computed in this process, in ``next``
    threads  of each of them
    inside   progress of the cells at work
    """

    def __init__(
        self,
        workers: int,
        shared: Shared,
        inside: Inside = lambda label, done, total: None,
        threads: int = 1,
    ) -> None:
        self._shared, self._inside, self._threads = shared, inside, threads
        self._idle: list[_Worker] = []
        self._busy: dict[connection.Connection, tuple[_Worker, CellTask]] = {}
        self._here: deque[CellTask] = deque()
        self._deaths: Counter[str] = Counter()
        self._alone = workers == 1
        self._most = workers

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        everyone = [*self._idle, *(worker for worker, _ in self._busy.values())]
        for worker in everyone:
            worker.dismiss(at_once=kind is not None)
        for worker in everyone:
            worker.gone()

    @property
    def free(self) -> bool:
        """Something can be submitted."""
        return not self._here if self._alone else len(self._busy) < self._most

    def submit(self, task: CellTask) -> None:
        """Start a cell; only while ``free``."""
        if self._alone:
            self._here.append(task)
            return
        for _ in range(RETRIES + 1):
            worker = self._idle.pop() if self._idle else _Worker(self._threads)
            try:
                worker.send(task, self._shared)
            except OSError:  # it died while it waited
                ended = worker.gone()
                continue
            self._busy[worker.pipe] = worker, task
            return
        raise EngineError(
            f"worker processes end before they are given anything ({ended}); what they wrote is "
            f"above"
        )

    def next(self) -> tuple[str, Outcome]:
        """(key, outcome) of the next cell that ends."""
        if self._alone:
            task = self._here.popleft()
            with threads.limited(self._threads):
                return task.key, work.perform(task, self._shared, self._tick(task))
        while True:
            for pipe in connection.wait(list(self._busy)):
                finished = self._heard(pipe) if isinstance(pipe, connection.Connection) else None
                if finished is not None:
                    return finished

    def _tick(self, task: CellTask) -> work.Tick:
        return lambda done, total: self._inside(task.label, done, total)

    def _heard(self, pipe: connection.Connection) -> tuple[str, Outcome] | None:
        """What a worker says; None: nothing that ends a cell."""
        worker, task = self._busy[pipe]
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            return self._died(worker, task)
        if isinstance(message, tuple):
            self._inside(task.label, *message)
            return None
        del self._busy[pipe]
        self._idle.append(worker)
        return task.key, message

    def _died(self, worker: _Worker, task: CellTask) -> tuple[str, Outcome] | None:
        del self._busy[worker.pipe]
        ended = worker.gone()
        self._deaths[task.key] += 1
        if self._deaths[task.key] <= RETRIES:
            self.submit(task)
            return None
        return task.key, Failed(
            f"its process died {RETRIES + 1} times ({ended}; killed, or out of memory)"
        )


class _Worker:
    """One process."""

    def __init__(self, count: int) -> None:
        self._knows = False
        self.pipe, theirs = connection.Pipe()
        # nothing is ever written: when we are gone, however that came about, it reads the end
        life, self._life = os.pipe()

        command = [
            sys.executable,
            "-c",
            _START,
            json.dumps(sys.path),
            str(theirs.fileno()),
            str(life),
        ]

        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), life),
                env=threads.environment(count),
            )
        finally:
            theirs.close()
            os.close(life)

    def send(self, task: CellTask, shared: Shared) -> None:
        """Give it a cell; raises OSError where it is dead."""
        if not self._knows:
            self.pipe.send(shared)
            self._knows = True
        self.pipe.send(task)

    def dismiss(self, at_once: bool) -> None:
        """Ask it to end: as soon as it waits, or at once."""
        self.pipe.close()
        if at_once:
            self._process.terminate()

    def gone(self) -> str:
        """Wait until it is gone, and see to that; how it ended."""
        self.pipe.close()
        for end in (self._process.terminate, self._process.kill):
            try:
                code = self._process.wait(PATIENCE_S)
                break
            except subprocess.TimeoutExpired:
                end()
        else:
            code = self._process.wait()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
        return f"signal {-code}" if code < 0 else f"exit code {code}"
