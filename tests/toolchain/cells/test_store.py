import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from toolchain.cells.errors import StoreError
from toolchain.cells.files import pack, unpack
from toolchain.cells.store import Store

ROOT = Path(__file__).parents[3]


def test_round_trip(tmp_path):
    arrays = {
        "correct": np.array([True, False]),
        "margin": np.array([0.5, -1.0]),
        "index": np.arange(2),
    }
    with Store(tmp_path / "run") as store:
        assert "k" not in store
        store.put("k", "scored", {"epsilon": 0.03}, arrays)
        store.remember("sweep", {"seeds": [0, 1]})
    with Store(tmp_path / "run", read_only=True) as store:
        assert "k" in store
        assert store.recall("sweep") == {"seeds": [0, 1]}
        assert store.recall("nothing") is None
        description, found = store.get("k")
        assert description == {"epsilon": 0.03}
        assert list(store.cells("scored")) == [("k", {"epsilon": 0.03})]
        assert not list(store.cells("crafted"))
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)


def test_a_key_holds_one_content(tmp_path):
    with Store(tmp_path) as store:
        store.put("k", "scored", {}, {"a": np.arange(3)})
        store.put("k", "scored", {}, {"a": np.arange(3)})
        with pytest.raises(StoreError, match="other content"):
            store.put("k", "scored", {}, {"a": np.arange(4)})


def test_refusals_name_what_is_accepted(tmp_path):
    with pytest.raises(StoreError, match="spikeport bench"):
        Store(tmp_path / "nothing", read_only=True)
    (tmp_path / "results.sqlite").write_bytes(
        b"not a database, but long enough to look like a file" * 9
    )
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="damaged"):
        unpack(pack({"a": np.arange(9)})[:-5])
    with pytest.raises(StoreError, match="Python objects"):
        pack({"a": np.array([object()])})


WRITER = """
import sys
sys.path.insert(0, {root!r})
import numpy as np
from toolchain.cells.store import Store
with Store({folder!r}) as store:
    print("ready", flush=True)
    for number in range(60):
        if str(number) not in store:
            values = np.random.default_rng(number).random(2000)
            store.put(str(number), "scored", {{"number": number}}, {{"a": values}})
"""


@pytest.mark.parametrize("kills", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_end_with_the_same_store_as_an_undisturbed_run(tmp_path, kills):
    """kill -9 at random moments: nothing is corrupted, nothing finished is lost, and the end result
    is the same."""

    def start(folder):
        code = textwrap.dedent(WRITER).format(root=str(ROOT), folder=str(folder))
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    rng = np.random.default_rng(0)
    killed = tmp_path / "killed"
    finished = 0
    for _ in range(kills):
        process = start(killed)
        time.sleep(rng.uniform(0, 0.004))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with Store(killed) as store:
            now = len(list(store.cells("scored")))
            assert now >= finished
            finished = now
    for folder in (killed, tmp_path / "undisturbed"):
        assert start(folder).wait() == 0
    with Store(killed) as one, Store(tmp_path / "undisturbed") as other:
        rows = [
            list(s._db.execute("SELECT key, kind, description, arrays FROM cells ORDER BY key"))
            for s in (one, other)
        ]
    assert rows[0] == rows[1]
    assert len(rows[0]) == 60
