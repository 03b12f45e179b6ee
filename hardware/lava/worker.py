"""The worker process: reads commands, runs Programs as Lava processes, writes results into files.
Started by ``connection``.

One JSON object a line. Commands on standard input, answers on standard output:

    open   {"program": FILE, "folder": FOLDER, "steps", "samples", "chunk", "potentials": [NAME...],
           "mode": "runtime" | "direct",
            "backend": "simulator" | "loihi2"}   ->  {"answer": "opened", "interval", "lag",
            "processes", "seconds"}
    run    {"samples": N}  advance until the first N samples are written  ->  {"step"}...,
           {"answer": "ran"}
    close  {}              stop Lava's processes                          ->  {"answer": "closed"}

First it says {"answer": "ready", "pid", "python", "lava"}. Instead of an answer: {"error":
"unsupported" | "environment" | "failed", "text"}; after the last two the process ends. It never
leaves through Python's normal exit, at which Lava may hang.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.shared_memory
import os
import select
import sys
import threading
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from hardware.lava import guardian
from hardware.lava.errors import LavaEnvironmentError, LavaUnsupportedError

if TYPE_CHECKING:
    from hardware.lava.direct import DirectRuntime
    from hardware.lava.graph import LavaGraph
    from hardware.lava.runtime import Runtime


class Worker:
    """State between commands."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._graph: LavaGraph | None = None
        self._execution: DirectRuntime | Runtime | None = None

    def say(self, **answer: Any) -> None:
        """Write one line; at once, or a forked child would write it again."""
        with self._lock:
            self._answers.write(json.dumps(answer) + "\n")
            self._answers.flush()

    def fail(self, text: str) -> NoReturn:
        """Report and end."""
        self.say(error="failed", text=text)
        os._exit(1)

    def serve(self, commands: Iterable[str]) -> None:
        """Obey until the commands end."""
        for line in commands:
            command = json.loads(line)
            try:
                getattr(self, "do_" + command.pop("command"))(**command)
            except LavaUnsupportedError as error:
                self.say(error="unsupported", text=str(error))
            except LavaEnvironmentError as error:
                self.say(error="environment", text=str(error))
                os._exit(1)
            except BaseException as error:
                self.fail(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")

    def do_open(
        self,
        program: str,
        folder: str,
        steps: int,
        samples: int,
        chunk: int,
        potentials: list[str],
        mode: str,
        backend: str,
    ) -> None:
        """Build and start a graph."""
        from hardware import program_file
        from hardware.lava import chip
        from hardware.lava.direct import DirectRuntime
        from hardware.lava.graph import LavaGraph, Stream
        from hardware.lava.runtime import Runtime

        started = time.perf_counter()
        self._stop()  # a run that was given up
        on_chip = backend == "loihi2"
        if on_chip:
            chip.require_back_end()
        stream = Stream(steps, samples, chunk, Path(folder), frozenset(potentials))
        graph = (chip.ChipGraph if on_chip else LavaGraph)(program_file.load(program), stream)
        self._graph = graph
        if mode == "direct":
            self._execution = DirectRuntime(graph.processes)
        else:
            self._execution = Runtime(
                graph.processes, self.fail, chip.run_config() if on_chip else None
            )
        self.say(
            answer="opened",
            interval=graph.interval,
            lag=graph.lag,
            processes=len(graph.processes),
            seconds=time.perf_counter() - started,
        )

    def do_run(self, samples: int) -> None:
        """Advance until the first ``samples`` samples are written."""
        started = time.perf_counter()
        assert self._graph is not None, "open comes before run"
        assert self._execution is not None, "open comes before run"
        self._execution.advance(self._graph.last_step(samples), lambda step: self.say(step=step))
        self.say(answer="ran", seconds=time.perf_counter() - started)

    def do_close(self) -> None:
        """Stop."""
        self._stop()
        self.say(answer="closed")

    def _stop(self) -> None:
        if self._execution is not None:
            self._execution.close()
        self._graph = self._execution = None


def name_shared_memory(token: str) -> None:
    """Give the shared memory and semaphores of this process and its children names that tell whose
    they are.

    These are private names of Python 3.10's multiprocessing, the one version that Lava runs on; a
    missing one is an error.
    """
    module: Any = multiprocessing.shared_memory
    current: Any = multiprocessing.current_process()
    prefix = f"/psm_{token}_"
    if (module._SHM_NAME_PREFIX, module._SHM_SAFE_NAME_LENGTH) != ("/psm_", 14):
        raise RuntimeError("this Python names shared memory in a way that is not known here")
    module._SHM_NAME_PREFIX, module._SHM_SAFE_NAME_LENGTH = prefix, len(prefix) + 9
    current._config["semprefix"] = f"/mp-{token}"


def _end_with_the_parent(token: str, folder: str) -> None:
    """If the guardian was killed as well as the parent, nobody but us can clear up."""
    poller = select.poll()
    poller.register(0, 0)
    while not poller.poll(500):
        pass
    time.sleep(2.0)  # the guardian, if there is one, is faster
    guardian.clean_up(None, folder, token)
    os.killpg(0, 9)


def main(token: str, folder: str) -> None:
    """Serve one client."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what Lava prints must not get between our lines
    watch = threading.Thread(target=_end_with_the_parent, args=(token, folder), daemon=True)
    watch.start()
    worker = Worker(answers)
    try:
        name_shared_memory(token)
        from importlib.metadata import version

        import lava.proc.lif.process  # noqa: F401  fails here, with a clear report, where Lava is missing or broken

        worker.say(
            answer="ready", pid=os.getpid(), python=sys.version.split()[0], lava=version("lava-nc")
        )
    except ImportError as error:
        worker.say(error="environment", text=f"{sys.executable} cannot import Lava: {error}")
        os._exit(1)
    except BaseException as error:
        worker.fail(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    worker.serve(sys.stdin)
    watch.join()  # the parent is gone; this does not return
