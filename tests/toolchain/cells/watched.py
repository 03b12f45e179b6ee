"""The command line, as ``python -m tests.toolchain.cells.watched LOG ARGUMENTS...``, with a line in
LOG for every cell that is put into a store: its key, and whether it was there already."""

from __future__ import annotations

import os
import sys

from toolchain.cells.store import Store


def watch(log: str) -> None:
    """Write down what is put into a store from now on."""
    put = Store.put

    def noted(self, key, *arguments, **named):
        line = f"{key} {'twice' if key in self else 'once'}\n".encode()
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, line)
        os.close(file)
        put(self, key, *arguments, **named)

    Store.put = noted


if __name__ == "__main__":
    from toolchain.cli import run

    watch(sys.argv[1])
    sys.exit(run(sys.argv[2:]))
