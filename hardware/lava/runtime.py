"""Runs a graph in Lava's own runtime, in slices, and notices when one of Lava's child processes
fails. Worker only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from multiprocessing import Process
from multiprocessing.connection import wait
from typing import Any

from lava.magma.compiler.compiler_graphs import find_processes
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg

SLICE_S = 0.25
"""Aim for the duration of one uninterrupted run: between two of them the worker reports
progress."""


def components(processes: list[Any]) -> list[list[Any]]:
    """Connected parts of a graph: Lava compiles and runs what hangs together."""
    waiting, parts = list(processes), []
    while waiting:
        connected = find_processes(waiting[0])
        parts.append(connected)
        waiting = [p for p in waiting if p not in connected]
    return parts


class Runtime:
    """A compiled graph that advances step by step; ``on_failure`` is called from another thread
    with a text."""

    def __init__(
        self, processes: list[Any], on_failure: Callable[[str], None], run_config: Any = None
    ) -> None:
        self.step = 0
        self._heads = [part[0] for part in components(processes)]
        self._on_failure = on_failure
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watch_children, daemon=True)
        self._watch.start()
        for head in self._heads:
            head.create_runtime(run_cfg=run_config or Loihi2SimCfg(select_tag="fixed_pt"))

    def advance(self, until: int, report: Callable[[int], None]) -> None:
        """Run up to and including Lava time step ``until``; ``report`` is called with the step
        reached, a few times a second."""
        size = 1
        while self.step < until:
            size = min(size, until - self.step)
            started = time.perf_counter()
            for head in self._heads:
                head.run(RunSteps(num_steps=size))
            self.step += size
            report(self.step)
            size = max(
                1, min(2 * size, int(size * SLICE_S / max(time.perf_counter() - started, 1e-6)))
            )

    def close(self) -> None:
        """Stop Lava's processes and free their shared memory."""
        self._closing.set()
        self._watch.join()
        for head in self._heads:
            head.stop()

    def _watch_children(self) -> None:
        """Lava does not notice a child that died, and waits for ever; its traceback lies in a pipe
        that nobody reads."""
        while not self._closing.wait(0.1):
            for head in self._heads:
                infrastructure = (
                    head.runtime._messaging_infrastructure if head.runtime is not None else None
                )
                for actor in list(infrastructure.actors) if infrastructure is not None else ():
                    if self._closing.is_set() or not wait(
                        [actor._pconn, actor.sentinel], timeout=0
                    ):
                        continue
                    self._on_failure(_what_happened(actor))
                    return


def _what_happened(actor: Any) -> str:
    """Why one of Lava's child processes ended."""
    failure = actor._pconn.recv() if actor._pconn.poll() else None
    if failure is not None:
        return f"{type(failure[0]).__name__} in a Lava process: {failure[0]}\n{failure[1]}"
    Process.join(actor, 1)  # Lava's own join takes no time limit
    return f"a Lava process ended with exit code {actor.exitcode}"
