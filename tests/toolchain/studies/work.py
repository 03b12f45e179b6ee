"""Functions of cells for the tests: they say that they were called by a file in the folder."""

import os
import signal


def double(job, folder):
    with open(folder / f"called-{job['value']}", "a") as file:
        file.write("x")
    return {"value": 2 * job["value"]}


def fail(job, folder):
    raise ValueError("no such number")


def die(job, folder):
    """Kills its own process the first time, and works the second time."""
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return {"value": 1}


def die_always(job, folder):
    os.kill(os.getpid(), signal.SIGKILL)


def infinite(job, folder):
    return {"value": float("inf")}
