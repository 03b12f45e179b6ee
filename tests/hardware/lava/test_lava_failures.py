"""Whatever goes wrong: a typed error soon, and no process, no shared memory and no file left
behind."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hardware.chunks import Options
from hardware.lava import client, environment
from hardware.lava.client import Session
from hardware.lava.errors import (
    LavaEnvironmentError,
    LavaError,
    LavaTimeoutError,
    LavaUnsupportedError,
    LavaWorkerError,
)
from hardware.program import Convolution, Input, Output, Population, Program
from hardware.targets import run
from tests.hardware.lava.endless import data, network
from tests.hardware.lava.leftovers import left, members, segments

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for leftovers in /proc"),
]
ROOT = Path(__file__).resolve().parents[3]


OPTIONS = Options(batch=1, timeout_s=60)


@pytest.fixture
def started():
    """A session whose first chunk has arrived, the generator of the others, and how to find what it
    leaves."""
    session = Session()
    where = (
        session.connection.ready["pid"],
        session.connection.token,
        str(session.connection.folder),
    )
    chunks = session.run_chunks(network(), data(50), OPTIONS)
    next(chunks)
    yield session, chunks, where
    session.close()


def fails(started, kind, within_s=30.0):
    """The rest of the run raises this error in time, and after closing nothing is left."""
    session, chunks, where = started
    begun = time.monotonic()
    with pytest.raises(kind) as raised:
        list(chunks)
    assert time.monotonic() - begun < within_s
    session.close()
    assert left(*where) == {}
    return str(raised.value)


def test_a_run_names_its_shared_memory_and_leaves_none(started):
    session, chunks, (pid, token, folder) = started
    assert len(members(pid)) > 5
    mapped = {
        line.split("/dev/shm/")[1].split()[0]
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
        if "/dev/shm/psm_" in line
    }
    assert mapped
    assert mapped <= set(segments(token)), "a segment without our token could not be found again"
    assert len(list(chunks)) == 49
    assert len(members(pid)) <= 2, (
        "with the run Lava's own processes end; the worker (and its resource tracker) stay for the "
        "next"
    )
    assert segments(token) == []
    assert sorted(os.listdir(folder)) == ["lock", "stderr"]
    session.close()
    assert left(pid, token, folder) == {}


def test_a_target_run_leaves_nothing():
    before = set(os.listdir("/dev/shm"))
    recording = run(network(), data(3), "lava")
    assert recording.samples == 3
    new = sorted(set(os.listdir("/dev/shm")) - before)
    # the tests of other workers run Lava, too; a segment's name holds the token of its run
    alive = b" ".join(_command(pid) for pid in os.listdir("/proc") if pid.isdigit())
    ours = [n for n in new if "psm" in n or "sem.mp" in n]
    assert [n for n in ours if _token(n).encode() not in alive] == []


def _command(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def _token(segment: str) -> str:
    found = re.search(r"[0-9a-f]{8}", segment)
    return segment if found is None else found.group()


def test_an_exception_in_a_lava_process(started, monkeypatch):
    monkeypatch.setattr(
        client,
        "_write_inputs",
        lambda folder, *rest: (folder / f"input-0.{rest[2]}").write_bytes(b"short"),
    )
    text = fails(started, LavaWorkerError)
    assert "ValueError in a Lava process" in text
    assert "files.py" in text, "the traceback of the process is told"


@pytest.mark.parametrize("which", [-1, -2, -5])
def test_a_killed_lava_process(started, which):
    os.kill(members(started[2][0])[which], signal.SIGKILL)
    assert "a Lava process ended with exit code -9" in fails(started, LavaWorkerError)


def test_a_killed_worker(started):
    os.kill(started[2][0], signal.SIGKILL)
    assert "died with exit code 137 (signal 9)" in fails(started, LavaWorkerError)


def test_a_killed_guardian(started):
    os.kill(started[0].connection._process.pid, signal.SIGKILL)
    assert "guardian was killed" in fails(started, LavaWorkerError)


def test_a_hang_becomes_a_timeout(started, monkeypatch):
    monkeypatch.setattr(OPTIONS, "timeout_s", 2.0)
    for pid in members(started[2][0])[1:]:
        os.kill(pid, signal.SIGSTOP)
    assert "no progress within 2 s" in fails(started, LavaTimeoutError)


def test_a_generator_that_is_given_up():
    chunks = client.run_chunks(network(), data(50), Options(batch=1))
    next(chunks)
    connection = chunks.gi_frame.f_locals["session"].connection
    where = connection.ready["pid"], connection.token, str(connection.folder)
    assert left(*where)
    chunks.close()
    assert left(*where) == {}


@pytest.fixture
def elsewhere():
    """A Python process that runs a Program on Lava, and what it said about itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.hardware.lava.endless"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    about = json.loads(process.stdout.readline())
    assert left(about["pid"], about["token"], about["folder"]).keys() == {
        "processes",
        "segments",
        "folder",
    }
    yield process, about
    process.kill()
    process.communicate()


def test_ctrl_c(elsewhere):
    process, about = elsewhere
    os.killpg(process.pid, signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=20)[1]
    assert left(about["pid"], about["token"], about["folder"]) == {}


def test_kill_9_of_the_parent(elsewhere):
    process, about = elsewhere
    process.kill()
    assert left(about["pid"], about["token"], about["folder"], patience_s=10) == {}
    assert left(about["guardian"], about["token"], about["folder"], patience_s=5) == {}


def test_kill_9_of_parent_and_guardian(elsewhere):
    process, about = elsewhere
    os.kill(about["guardian"], signal.SIGKILL)
    process.kill()
    assert left(about["pid"], about["token"], about["folder"], patience_s=15) == {}


def test_what_a_run_leaves_that_was_killed_with_all_its_watchers_goes_at_the_next_start(elsewhere):
    process, about = elsewhere
    watchers = [about["guardian"], *members(about["pid"]), process.pid]
    for pid in watchers:
        os.kill(pid, signal.SIGSTOP)  # so that none sees the others die
    for pid in watchers:
        os.kill(pid, signal.SIGKILL)
    process.wait(10)
    deadline = time.monotonic() + 30
    while members(about["pid"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    found = left(about["pid"], about["token"], about["folder"])
    assert found["segments"]
    assert found["folder"]
    with Session():
        assert left(about["pid"], about["token"], about["folder"], patience_s=5) == {}


def test_no_interpreter(monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", str(tmp_path / "python"))
    with pytest.raises(LavaEnvironmentError, match="SPIKEPORT_LAVA_PYTHON names"):
        run(network(), data(1), "lava")


def test_an_interpreter_without_lava(monkeypatch):
    if environment._installed("lava-nc"):
        pytest.skip("this interpreter has Lava")
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", sys.executable)
    with pytest.raises(LavaEnvironmentError, match="cannot import Lava"):
        run(network(), data(1), "lava")


def wide() -> Program:
    return Program(
        (Input("in", (1, 600)),),
        (Population("out", (1, 301), threshold=None),),
        (Convolution("wide", "in", "out", np.full((1, 1, 300), 200), exponent=2),),
        (Output("out", "last_potential"),),
    )


def test_geometry_beyond_8_bits_is_refused():
    with pytest.raises(LavaUnsupportedError, match="kernel_size is 300"):
        run(wide(), np.zeros((1, 2, 1, 600), np.uint8), "lava")


def test_a_convolution_beyond_32_bits_is_refused():
    program = Program(
        (Input("in", (1, 4), message_bits=24),),
        (Population("out", (1, 4), threshold=None),),
        (Convolution("loud", "in", "out", np.array([[[200]]]), exponent=3),),
        (Output("out", "last_potential"),),
    )
    with pytest.raises(LavaUnsupportedError, match=r"'loud'.*holds less than"):
        run(program, np.zeros((1, 2, 1, 4), np.int32), "lava")


def test_a_session_survives_a_run_that_was_given_up(started):
    session, chunks, (pid, token, _) = started
    busy = len(members(pid))
    chunks.close()
    assert len(list(session.run_chunks(network(), data(3), Options(batch=1)))) == 3
    assert len(members(pid)) < busy / 2
    assert segments(token) == []


def test_a_session_ends_with_an_error_of_the_caller():
    def give_up(done):
        raise ArithmeticError

    with Session() as session:
        with pytest.raises(ArithmeticError):
            list(session.run_chunks(network(), data(2000), Options(tick=give_up)))
        assert not session.connection.folder.exists()
        with pytest.raises(LavaWorkerError, match="has ended"):
            list(session.run_chunks(network(), data(1), Options()))


def test_a_session_survives_a_refusal(runtime):
    with pytest.raises(LavaUnsupportedError):
        list(runtime.run_chunks(wide(), {"in": np.zeros((1, 2, 1, 600), np.uint8)}, Options()))
    assert len(list(runtime.run_chunks(network(), data(2), Options(batch=1)))) == 2


def test_a_full_disk(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(client, "_write_inputs", full)
    with pytest.raises(LavaError, match="No space left on device; free some space"):
        run(network(), data(1), "lava")


def test_a_result_that_was_not_written_to_its_end(tmp_path):
    np.zeros(79, np.uint8).tofile(tmp_path / "spikes-0.0")
    with pytest.raises(LavaWorkerError, match=r"wrote 79 values of spikes-0\.0, 80 were expected"):
        client._read(tmp_path / "spikes-0.0", "|u1", (2, 5, 8))
