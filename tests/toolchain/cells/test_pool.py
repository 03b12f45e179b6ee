"""Workers: they are watched, they open no port, they use one thread, and nobody is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.toolchain.cells.conftest import job
from toolchain.cells.errors import EngineError

ROOT = Path(__file__).parents[3]


def until(condition, seconds=60):
    """Wait until it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return found


def test_cells_are_spread_over_processes_of_one_thread_each(compute):
    cells = [job("environment", number=n) for n in range(3)]
    found = [said["result"] for said in compute(cells, workers=2).values()]
    assert os.getpid() not in {each["pid"] for each in found}
    assert {(each["torch"], each["numba"]) for each in found} == {(1, 1)}


def test_one_worker_is_this_process_with_one_thread_for_as_long(compute, monkeypatch):
    import numba
    import torch

    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 7)
    before = torch.get_num_threads()
    (found,) = compute([job("environment")], workers=1).values()
    assert found["result"] == {"pid": os.getpid(), "torch": 1, "numba": 1}
    assert (torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS) == (before, 7)


def test_a_cell_at_work_says_how_far_it_is(compute):
    seen = []
    compute(
        [job("counted", "slow", of=4), job("double", value=1)],
        workers=2,
        inside=lambda *said: seen.append(said),
    )
    assert len(seen) >= 3
    assert {(name, total) for name, _, total in seen} == {("slow", 4)}


def test_a_cell_whose_process_died_is_computed_again(compute, tmp_path):
    found = compute([job("die", times=2), job("double", value=1)], workers=2)
    assert {said["result"]["value"] for said in found.values()} == {1, 2}
    assert len(list((tmp_path / "run").glob("died-*"))) == 2


def test_a_cell_that_kills_every_process_is_named_and_costs_no_other(compute, tmp_path):
    with pytest.raises(
        EngineError, match=r"1 cells failed.*always: its process died 4 times \(signal 9"
    ):
        compute([job("die", "always", times=100), job("double", value=1)], workers=2)
    assert (tmp_path / "run" / "called-1").exists()


def listening(pids):
    """TCP and UDP sockets, and UNIX sockets with a name, that any of these processes holds open for
    others."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = os.readlink(entry)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        path = Path(f"/proc/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[9] in inodes and (fields[3] == "0A" or table.startswith("udp")):
                found.append((table, fields[1]))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in inodes and len(fields) > 7:
            found.append(("unix", fields[7]))
    return found


def family(pid):
    """A process and all that it started."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("opens", [False, True])
def test_no_port_is_open_while_cells_are_computed(compute, tmp_path, opens):
    folder, failures = tmp_path / "run", []
    cells = [job("listens")] if opens else [job("waits", number=n) for n in range(2)]

    def run():
        try:
            compute([*cells, job("double", value=1)], workers=2)
        except Exception as error:
            failures.append(error)

    here = set(listening([os.getpid()]))
    thread = threading.Thread(target=run)
    thread.start()
    try:
        until(
            lambda: (
                (folder / "listening").exists()
                if opens
                else len(list(folder.glob("waiting-*"))) == 2
            )
        )
        workers = family(os.getpid())[1:]
        assert len(workers) >= 1
        found = set(listening([os.getpid(), *workers])) - here
    finally:
        for name in ("go", "seen"):
            (folder / name).touch()
        thread.join()
    assert not failures
    assert bool(found) == opens, found


RUN = """
import signal, sys
# what runs in the background of a shell ignores Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {root!r})
from tests.toolchain.cells.conftest import job
from toolchain.cells import engine
from toolchain.cells.pool import Pool
from toolchain.cells.store import Store
with Store({folder!r}) as store:
    endless = [job("endless", number=n) for n in range(2)]
    engine.run(endless, store, lambda count, shared, inside: Pool(2, shared, inside))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_user_however_that_ends(tmp_path, how):
    folder = tmp_path / "run"
    script = RUN.format(root=str(ROOT), folder=str(folder))
    user = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True
    )
    until(lambda: len(list(folder.glob("endless-*"))) == 2)
    pids = [int(path.name.split("-")[1]) for path in folder.glob("endless-*")]
    # Ctrl-C goes to everybody in the terminal
    os.killpg(user.pid, how) if how == signal.SIGINT else os.kill(user.pid, how)
    user.wait(30)
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 30)
    user.stderr.close()
