"""How several workers (pytest-xdist, ``-n``) share the tests: those that share what is costly to
make stay together, and the longest begin first.

``--dist loadgroup`` would do the first, but with pytest 9.2 the group that pytest-xdist 3.8 writes
into a test's name is lost, and every fixture was made in every worker.
"""

from __future__ import annotations

TOGETHER = ("tests/hardware/lava", "tests/toolchain/attacks", "tests/toolchain/robustness")
"""Folders whose files share sessions of Lava or trained networks; elsewhere a file is a group."""

FIRST = (
    "tests/toolchain/robustness",
    "tests/hardware/lava",
)
"""The longest groups, longest first (``--durations=100`` shows them): a worker that begins one last
works alone for as long."""


def group(nodeid: str) -> str:
    """The folder or file of a test whose tests go to one worker."""
    file = nodeid.partition("::")[0]
    folder = file.rpartition("/")[0]
    return folder if folder in TOGETHER else file


def place(nodeid: str) -> int:
    """Where a test's group stands in the order of their beginnings."""
    name = group(nodeid)
    return FIRST.index(name) if name in FIRST else len(FIRST)


def scheduler(config, log):
    """A scheduler of pytest-xdist that hands out groups in the order of the tests."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    config.option.loadscopereorder = False  # by the number of tests, which says little
    return Groups(config, log)
