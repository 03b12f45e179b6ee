"""One worker process as its client sees it: started, spoken to with a time limit, and ended without
a trace."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from hardware._text import shortened
from hardware.lava import guardian, leftovers
from hardware.lava.errors import (
    LavaEnvironmentError,
    LavaTimeoutError,
    LavaUnsupportedError,
    LavaWorkerError,
)

PACKAGE = Path(__file__).resolve().parents[1]

BOOTSTRAP = """
import importlib.util, sys
sys.path[:] = [entry for entry in sys.path if entry]
package, token, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "hardware", package + "/__init__.py", submodule_search_locations=[package]
)
module = sys.modules["hardware"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
from hardware.lava.worker import main
main(token, folder)
"""
"""Makes our package importable in the worker's interpreter, and nothing else that happens to be
installed beside it."""

STARTING_S = 60.0
"""Longest time from the start of the worker to its first word; importing Lava takes about one
second."""

LAST_LINES = 20
LINE = 300
"""Most characters of a line that a message shows."""

LAST_BYTES = 1 << 16
"""Of what the worker wrote, looked at for its last lines."""


class Connection:
    """A running worker. Use it as a context manager: leaving it kills the worker with everything it
    started.

    folder    private directory for files that are exchanged; removed at the end
    ready     what the worker said about itself: pid, python, lava
    """

    def __init__(self, interpreter: str | os.PathLike[str]) -> None:
        if os.name != "posix":
            raise LavaEnvironmentError(
                "the Lava target needs Linux or macOS: Lava forks its processes"
            )
        leftovers.sweep()
        self._token = secrets.token_hex(4)
        self.folder = Path(tempfile.mkdtemp(prefix=leftovers.PREFIX))
        self._lock = leftovers.hold(self.folder, self._token)
        self._rest = b""
        self._closed = False

        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment |= dict.fromkeys(
            ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
        ) | {"TMPDIR": str(self.folder)}

        worker = [
            os.fspath(interpreter),
            "-E",
            "-c",
            BOOTSTRAP,
            str(PACKAGE),
            self._token,
            str(self.folder),
        ]
        watcher = [
            os.fspath(interpreter),
            "-I",
            "-S",
            guardian.__file__,
            str(os.getpid()),
            str(self.folder),
            self._token,
        ]
        watcher += [str(self._lock), *worker]

        self.ready: dict[str, Any] = {}
        try:
            with open(self.folder / "stderr", "wb") as errors:
                self._process = subprocess.Popen(
                    watcher,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                    env=environment,
                    cwd=self.folder,
                    pass_fds=(self._lock,),
                )

            commands, answers = self._process.stdin, self._process.stdout
            assert commands is not None, "a pipe was asked for"
            assert answers is not None, "a pipe was asked for"
            self._commands, self._answers = commands, answers
            os.set_blocking(self._answers.fileno(), False)
            self.ready = self.receive(STARTING_S)
        except OSError as error:
            self.close()
            raise LavaEnvironmentError(
                f"{os.fspath(interpreter)!r} cannot be started as Lava's interpreter: {error}"
            ) from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    @property
    def token(self) -> str:
        """Part of the names of all shared memory of this worker."""
        return self._token

    def require_open(self) -> None:
        """Raise LavaWorkerError after ``close``."""
        if self._closed:
            raise LavaWorkerError("the session with the Lava worker has ended; start another")

    def send(self, command: str, **arguments: Any) -> None:
        """Send a command; its answer must be received before the next."""
        line = json.dumps({"command": command, **arguments}) + "\n"
        try:
            self._commands.write(line.encode())
            self._commands.flush()
        except BrokenPipeError:
            raise self._failure("the worker is gone") from None

    def receive(self, timeout_s: float) -> dict[str, Any]:
        """The worker's next message.

        Raises LavaTimeoutError after ``timeout_s`` without one, LavaUnsupportedError where the
        Program cannot be held, LavaWorkerError when the worker failed or died.
        """
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise self._failure(f"no progress within {timeout_s:g} s", LavaTimeoutError)
            if (
                self._process.poll() is not None
                and not select.select([self._answers], [], [], 0)[0]
            ):
                raise self._failure("its guardian was killed")
            if select.select([self._answers], [], [], min(remaining, 0.5))[0]:
                part = os.read(self._answers.fileno(), 1 << 16)
                if not part:
                    raise self._failure("the worker died" + self._exit_code())
                self._rest += part

        line, self._rest = self._rest.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        if message.get("error") == "unsupported":
            raise LavaUnsupportedError(message["text"])
        if message.get("error") == "environment":
            raise LavaEnvironmentError(message["text"])
        if "error" in message:
            raise self._failure(message["text"].rstrip())
        return message

    def close(self) -> None:
        """Kill the worker and everything it started, and remove what they left. May be called
        again."""
        if self._closed:
            return
        self._closed = True
        process = getattr(self, "_process", None)
        if process is not None:
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    stream.close()
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        # Its number may belong to somebody else by now, unless the guardian was killed before it
        # could see to the group.
        group = self.ready.get("pid") if process is not None and process.returncode < 0 else None
        guardian.clean_up(group, str(self.folder), self._token)
        os.close(self._lock)

    def _exit_code(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return ""
        return f" with exit code {code}" + (f" (signal {code - 128})" if code > 128 else "")

    def _failure(self, what: str, kind: type[LavaWorkerError] = LavaWorkerError) -> LavaWorkerError:
        try:
            with (self.folder / "stderr").open("rb") as written:
                written.seek(max(0, os.fstat(written.fileno()).st_size - LAST_BYTES))
                lines = written.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        except OSError:
            lines = []
        shown = "".join(f"\n  | {shortened(line, LINE)}" for line in lines)
        return kind(f"Lava worker: {shortened(what, LAST_LINES * LINE)}{shown}")
