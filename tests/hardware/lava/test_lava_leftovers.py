"""Which shared memory a sweep removes, and which it must not; without Lava."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from hardware.lava import guardian, leftovers

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX locks")
TOKEN = "0123abcd"


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder in place of the machine's shared memory, with segments of two runs."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(guardian, "SHARED_MEMORY", str(place))
    for name in (f"psm_{TOKEN}_1", f"sem.mp-{TOKEN}-2", "psm_ffffffff_1", "psm_other", "sem.x"):
        (place / name).touch()
    return place


@pytest.fixture
def run(tmp_path):
    """The exchange folder of a run, and its lock."""
    folder = tmp_path / f"{leftovers.PREFIX}x"
    folder.mkdir()
    return folder, leftovers.hold(folder, TOKEN)


def test_a_living_run_is_left_alone_and_a_dead_one_is_removed(tmp_path, memory, run):
    folder, lock = run
    everything = sorted(os.listdir(memory))
    assert leftovers.sweep(tmp_path) == []
    assert sorted(os.listdir(memory)) == everything
    assert folder.exists()
    os.close(lock)
    assert leftovers.sweep(tmp_path) == [TOKEN]
    assert sorted(os.listdir(memory)) == ["psm_ffffffff_1", "psm_other", "sem.x"]
    assert not folder.exists()


def test_a_run_lives_as_long_as_any_process_of_it(tmp_path, memory, run):
    _, lock = run
    waiting = [sys.executable, "-c", "input()"]
    child = subprocess.Popen(waiting, stdin=subprocess.PIPE, pass_fds=(lock,))
    os.close(lock)
    assert leftovers.sweep(tmp_path) == []
    child.communicate(b"\n")
    assert leftovers.sweep(tmp_path) == [TOKEN]


@pytest.mark.parametrize("content", [b"", b"*", b"0123abcd/../x", b"0123ABCD"])
def test_a_lock_that_names_no_token_is_not_believed(tmp_path, memory, content):
    folder = tmp_path / f"{leftovers.PREFIX}x"
    folder.mkdir()
    (folder / leftovers.LOCK).write_bytes(content)
    before = sorted(os.listdir(memory))
    assert leftovers.sweep(tmp_path) == []
    assert sorted(os.listdir(memory)) == before
    assert folder.exists()


def test_folders_without_a_lock_are_not_ours(tmp_path, memory):
    (tmp_path / f"{leftovers.PREFIX}model-x").mkdir()
    assert leftovers.sweep(tmp_path) == []
    assert (tmp_path / f"{leftovers.PREFIX}model-x").exists()
