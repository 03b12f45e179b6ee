"""Functions of cells for the tests: what they need is quickly imported."""

from __future__ import annotations

import os
import random
import signal
import socket
import time

from toolchain.cells.work import NotPossible


def double(job, folder):
    """Says that it was called by a letter in a file."""
    with open(folder / f"called-{job['value']}", "a") as file:
        file.write("x")
    return {"value": 2 * job["value"]}


def counted(job, folder, progress):
    for done in range(job["of"]):
        progress(done + 1, job["of"])
        time.sleep(0.12)
    return {"done": job["of"]}


def fail(job, folder):
    raise ValueError("no such number")


def cannot(job, folder):
    raise NotPossible("numbers have no colour")


def die(job, folder):
    """Kills its own process so many times."""
    marks = len(list(folder.glob("died-*")))
    if marks < job["times"]:
        (folder / f"died-{marks}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": 1}


def environment(job, folder):
    """The process, and how many threads it computes with."""
    import numba
    import torch

    return {
        "pid": os.getpid(),
        "torch": torch.get_num_threads(),
        "numba": numba.config.NUMBA_NUM_THREADS,
    }


def listens(job, folder):
    """A process that opens a port, to see that the test would see it."""
    with socket.create_server(("127.0.0.1", 0)):
        (folder / "listening").touch()
        while not (folder / "seen").exists():
            time.sleep(0.01)
    return {}


def waits(job, folder):
    (folder / f"waiting-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return {}


def endless(job, folder):
    (folder / f"endless-{os.getpid()}").touch()
    time.sleep(600)


def spoils_its_own_source(job, folder):
    """Changes the module that it is in, as an edit in the middle of a run would."""
    import own_cell_of_a_test

    with open(own_cell_of_a_test.__file__, "a") as file:
        file.write("\nOTHER = 1\n")
    return {}


def heavy(job, folder):
    """A result of so many kilobytes."""
    rng = random.Random(job["number"])
    return {"noise": rng.randbytes(job["kilobytes"] * 512).hex()}
