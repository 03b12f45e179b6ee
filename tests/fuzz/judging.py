"""What one damaged file must end in: a typed error or a right load, soon, and in little memory."""

from __future__ import annotations

import resource
import sys
import time
import traceback
import warnings
from pathlib import Path

from hardware.errors import Error
from tests.fuzz.kinds import KINDS

SECONDS = 2.0
"""Of the processor: a busy machine is no fault of the file."""

BYTES = 1 << 30


def judge(kind: str, path: Path) -> str:
    """What is wrong with how a damaged file ends; nothing where all is well."""
    started, wrong = time.process_time(), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            KINDS[kind].read(path)
    except Error as error:
        wrong = "a message of a whole file" if len(str(error)) > 4000 else ""
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        wrong = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}"
    if wrong == "" and time.process_time() - started > SECONDS:
        wrong = f"took {time.process_time() - started:.1f} s"
    return wrong[:500]


def serve() -> None:
    """A worker's main function: judge the files that standard input names, one "KIND PATH" a line,
    within the memory that one may take. A first file of each kind is sound and makes it ready."""
    for line in sys.stdin:
        kind, path = line.rstrip("\n").split(" ", 1)
        if kind == "ready":
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, resource.RLIM_INFINITY))
            continue
        print("=" + judge(kind, Path(path)), flush=True)


if __name__ == "__main__":
    serve()
