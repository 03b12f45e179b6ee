"""Two runs in one folder: the second is told, whatever became of the first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.cells import lock
from toolchain.cells.errors import StoreError
from toolchain.cells.store import Store
from toolchain.cli import run as spikeport

ROOT = Path(__file__).parents[3]

HOLDER = """
import sys, time
sys.path.insert(0, {root!r})
from toolchain.cells.store import Store
with Store({folder!r}) as store:
    print("here", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that is at work in tmp_path."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(root=str(ROOT), folder=str(tmp_path))],
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_run_is_told_who_is_there_and_may_read(tmp_path, holder):
    with pytest.raises(
        StoreError,
        match=rf"another run is at work here \(process {holder.pid} on .* since 20.* UTC\)",
    ):
        Store(tmp_path)
    with Store(tmp_path, read_only=True) as store:
        assert store.recall("nothing") is None


def test_both_commands_end_with_exit_code_2(tmp_path, holder, capsys):
    sweep, study = ROOT / "examples/robustness/one-minute.toml", ROOT / "examples/studies/leak.toml"
    for command in (["bench", str(sweep)], ["study", "leak", str(study)]):
        assert spikeport([*command, "-o", str(tmp_path)]) == 2
        assert "another run is at work here" in capsys.readouterr().err


def test_a_killed_run_leaves_no_lock(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with Store(tmp_path) as store:
        store.remember("a", 1)


def test_the_same_process_is_kept_out_too_and_let_in_again(tmp_path):
    with Store(tmp_path), pytest.raises(StoreError, match="another run is at work here"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_a_lock_outlives_nobody_who_was_started_while_it_was_held(tmp_path):
    with lock.held(tmp_path):
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
        )
    try:
        Store(tmp_path).close()
    finally:
        child.stdin.close()
        child.wait()
