"""Starts the worker and outlives it: whatever happens, no process, no shared memory and no file of
the run stays behind.

Run as a script (standard library alone) in a session of its own, so that neither Ctrl-C nor a
killed parent reaches it:

    python -I -S guardian.py PARENT_PID FOLDER TOKEN LOCK COMMAND...

LOCK is a descriptor that is held by all processes of the run (see ``leftovers``).

Standard input and output belong to the worker. The guardian acts when the worker ends, when the
parent closes its end of the worker's standard input, when the parent dies, or on SIGTERM. It exits
with the worker's exit code (128 + signal).
"""

import contextlib
import glob
import os
import select
import shutil
import signal
import subprocess
import sys
import time

SHARED_MEMORY = "/dev/shm"
PR_SET_CHILD_SUBREAPER = 36


def clean_up(group: int | None, folder: str, token: str, reap: bool = False) -> None:
    """Kill a process group, then remove the shared memory of this token and the folder. May be
    called twice.

    ``reap``: collect whatever child has ended; only for a process that has no other children than
    the group's.
    """
    if group is not None:
        for _ in range(500):
            try:
                os.killpg(group, signal.SIGKILL)
            except (
                ProcessLookupError,
                PermissionError,
            ):  # macOS denies signals to a group of zombies
                break
            if reap:
                _reap()
            time.sleep(0.01)
    for pattern in (f"psm_{token}_*", f"sem.mp-{token}-*"):
        for segment in glob.glob(os.path.join(SHARED_MEMORY, pattern)):
            with contextlib.suppress(OSError):  # gone, or somebody else's
                os.unlink(segment)
    shutil.rmtree(folder, ignore_errors=True)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _adopt_orphans() -> None:
    """On Linux the worker's orphans become our children, so that we can reap them; elsewhere init
    does."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def main(parent: int, folder: str, token: str, lock: int, command: list[str]) -> int:
    """Watch over one worker."""
    asked_to_stop = []
    signal.signal(signal.SIGTERM, lambda *_: asked_to_stop.append(True))
    _adopt_orphans()

    lifeline = os.dup(0)
    os.set_inheritable(lifeline, False)
    worker = subprocess.Popen(command, start_new_session=True, pass_fds=(lock,))
    with open(
        os.devnull, "r+b"
    ) as nothing:  # the worker alone holds its ends: its death must close them
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)

    poller = select.poll()
    poller.register(lifeline, 0)  # a hang-up is reported without being asked for
    try:
        while (
            worker.poll() is None
            and not asked_to_stop
            and os.getppid() == parent
            and not poller.poll(100)
        ):
            pass
    finally:
        code = worker.poll()
        clean_up(worker.pid, folder, token, reap=True)
    return 0 if code is None else code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]))
