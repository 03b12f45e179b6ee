"""Tests that share what is costly to make are run by one worker."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import parallel

ROOT = Path(__file__).resolve().parents[1]


class Worker:
    """What a scheduler sees of one."""

    shutting_down = False

    def __init__(self, name: str):
        self.gateway, self.numbers = SimpleNamespace(id=name), []

    def send_runtest_some(self, numbers):
        self.numbers += numbers


def test_a_group_is_given_to_one_worker_in_the_order_of_the_tests():
    remote = pytest.importorskip("xdist.remote")
    files = ("hardware/lava/test_a", "export/test_b", "hardware/lava/test_c", "export/test_d")
    names = [f"tests/{file}.py::test_{n}" for file in files for n in range(3)]
    option = SimpleNamespace(loadscopereorder=True)
    config = SimpleNamespace(option=option, getvalue={"tx": ["popen", "popen"]}.__getitem__)
    scheduler = parallel.scheduler(config, remote.Producer("test", enabled=False))

    workers = [Worker("one"), Worker("two")]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, names)
    scheduler.schedule()
    assert [worker.numbers for worker in workers] == [[0, 1, 2, 6, 7, 8], [3, 4, 5]]
    scheduler.mark_test_complete(workers[1], 3)
    assert workers[1].numbers == [3, 4, 5, 9, 10, 11]


def test_the_longest_groups_come_first():
    names = ["tests/export/test_audit.py::test_a", f"{parallel.FIRST[0]}/test_b.py::test[a/b::c]"]
    assert sorted(names, key=parallel.place) == names[::-1]
    assert parallel.group(names[1]) == parallel.FIRST[0]


@pytest.mark.parametrize("group", sorted({*parallel.TOGETHER, *parallel.FIRST}))
def test_a_group_that_is_named_is_there(group):
    assert (ROOT / group).exists()
