"""What was broken on purpose: damaged stores, other files under the name, media that cannot be
written, a disk that is full."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from tests.toolchain.cells.conftest import job
from toolchain.cells import engine
from toolchain.cells.errors import StoreError
from toolchain.cells.pool import Pool
from toolchain.cells.salvage import salvage
from toolchain.cells.store import NAME, Store
from toolchain.cli import run as spikeport

CELLS = 24


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A store with a few cells of each size."""
    folder = tmp_path_factory.mktemp("whole")
    with Store(folder) as store:
        for number in range(CELLS):
            arrays = {
                "a": np.random.default_rng(number).random(5 + 400 * (number % 3)),
                "b": np.arange(3),
            }
            store.put(
                f"{number:064x}",
                ("crafted", "scored")[number % 2],
                {"number": number, "text": "ä" * number},
                arrays,
                {"code": "c"},
            )
        store.remember("keys", [f"{number:064x}" for number in range(CELLS)])
    return folder


def expected(number):
    return np.random.default_rng(number).random(5 + 400 * (number % 3))


def read_everything(folder):
    """Every cell by number, as a report would read them; a cell that is not what was written fails
    the test."""
    found = {}
    with Store(folder, read_only=True) as store:
        assert set(store.recall("keys") or ()) <= {f"{number:064x}" for number in range(CELLS)}
        for kind in ("crafted", "scored"):
            for key, said in store.cells(kind):
                description, arrays = store.get(key)
                assert description == said
                number = int(key, 16)
                assert description["number"] == number
                assert np.array_equal(arrays["a"], expected(number))
                assert store.made(key)["code"] == "c"
                found[number] = arrays
    return found


def mutated(content: bytes, rng: random.Random) -> bytes:
    """One of the ways in which files break."""
    kind, size = rng.randrange(5), len(content)
    at = rng.randrange(size)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
    if kind == 2:
        many = bytearray(content)
        for _ in range(20):
            many[rng.randrange(size)] = rng.randrange(256)
        return bytes(many)
    end = min(size, at + rng.choice((16, 512, 4096, 16384)))
    fill = bytes(end - at) if kind == 3 else rng.randbytes(end - at)
    return content[:at] + fill + content[end:]


@pytest.mark.parametrize("tenth", range(10))
def test_a_damaged_store_is_a_typed_error_never_another_number(whole, tmp_path, tenth):
    content = (whole / NAME).read_bytes()
    for seed in range(10 * tenth, 10 * tenth + 10):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / NAME).write_bytes(mutated(content, rng))
        with suppress(StoreError):
            read_everything(folder)
        with suppress(StoreError), Store(folder) as store:
            store.put("f" * 64, "scored", {}, {"a": np.arange(3)})
        if (folder / NAME).stat().st_size:
            salvaged = salvage(folder)
            with Store(folder) as store:
                store.put("e" * 64, "scored", {"number": -1}, {"a": np.arange(3)})
                keys = [
                    key
                    for kind in ("crafted", "scored")
                    for key, _ in store.cells(kind)
                    if key not in ("e" * 64, "f" * 64)
                ]
                for key in keys:
                    assert np.array_equal(store.get(key)[1]["a"], expected(int(key, 16)))
            assert len(keys) in (
                salvaged.kept,
                salvaged.kept - 1,
            )  # the one that was put above may be among them


def test_one_damaged_page_costs_its_own_cells_only(whole, tmp_path):
    content = bytearray((whole / NAME).read_bytes())
    place = content.index(b'"number": 11')
    content[place + 2] ^= 1
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(StoreError, match=rf"cell {11:064x}"[:17] + ".*is damaged; .*--salvage"):
        read_everything(tmp_path)
    found = salvage(tmp_path)
    assert (found.kept, found.lost) == (CELLS - 1, 1)
    assert found.aside.read_bytes() == content
    with Store(tmp_path) as store:
        assert f"{11:064x}" not in store
        assert f"{12:064x}" in store
    assert salvage(tmp_path).aside is None, "now it is whole"


def test_a_store_of_another_program_is_refused_and_left_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute("CREATE TABLE about (what TEXT)")
        db.execute("CREATE TABLE albums (title TEXT)")
    before = (tmp_path / NAME).read_bytes()
    for how in ({}, {"read_only": True}):
        with pytest.raises(StoreError, match="is a database of another program"):
            Store(tmp_path, **how)
    with pytest.raises(StoreError, match="is a database of another program"):
        salvage(tmp_path)
    assert (tmp_path / NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DROP TABLE cells", "another program"),
        ("ALTER TABLE cells RENAME COLUMN made TO maker", "needed are key, kind"),
        ("UPDATE about SET value = '99' WHERE name = 'format'", "format '99'; formats 1 and 2"),
        ("DELETE FROM about", "format None"),
        (
            "UPDATE about SET value = x'ff' WHERE name = 'run.keys'",
            "what it says about its keys is damaged",
        ),
        (
            "UPDATE about SET value = '[1' WHERE name = 'run.keys'",
            "what it says about its keys is damaged",
        ),
        ("UPDATE cells SET description = '{}' WHERE kind = 'scored'", "is damaged"),
        ("UPDATE cells SET arrays = x'00' WHERE kind = 'scored'", "is damaged"),
        ("UPDATE cells SET made = '{\"code\": \"d\"}' WHERE kind = 'scored'", "is damaged"),
        ("UPDATE cells SET key = x'00' WHERE kind = 'scored' AND key LIKE '%01'", "is damaged"),
    ],
)
def test_what_does_not_belong_into_a_store_is_named(whole, tmp_path, change, words):
    shutil.copy(whole / NAME, tmp_path)
    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute(change)
    with pytest.raises(StoreError, match=words):
        read_everything(tmp_path)


def test_a_store_of_an_earlier_version_is_read_and_not_written(tmp_path):
    from toolchain.cells.files import pack

    with sqlite3.connect(tmp_path / NAME) as db:
        db.execute("CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute(
            "CREATE TABLE cells (key TEXT PRIMARY KEY, kind TEXT, description TEXT, arrays BLOB)"
        )
        db.execute("INSERT INTO about VALUES ('format', '1'), ('run.keys', '[\"k\"]')")
        db.execute(
            "INSERT INTO cells VALUES ('k', 'scored', '{\"a\": 1}', ?)",
            (pack({"x": np.arange(3)}),),
        )
    with Store(tmp_path, read_only=True) as store:
        assert store.recall("keys") == ["k"]
        assert store.get("k")[0] == {"a": 1}
        assert store.made("k") == {}
    for use in (Store, salvage):
        with pytest.raises(StoreError, match=r"made by an earlier version.*new run"):
            use(tmp_path)


@contextmanager
def small_disk(folder: Path, size: str):
    """A file system of its own in memory."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_ends_the_run_keeps_what_is_finished_and_the_next_completes(tmp_path):
    cells = [job("heavy", number=n, kilobytes=40) for n in range(12)]

    def run(folder):
        done = []
        with Store(folder) as store:
            report = engine.EngineReport(cell=lambda name, *rest: done.append(name))
            engine.run(cells, store, lambda count, shared, inside: Pool(1, shared, inside), report)
        return [name for name in done if name]

    with small_disk(tmp_path / "disk", "300k") as disk:
        with pytest.raises(
            StoreError, match="full; free some space and start again: every finished cell is kept"
        ):
            run(disk / "run")
        remount(disk, "size=10m")
        with Store(disk / "run", read_only=True) as store:
            kept = {key for key, _ in store.cells("result")}
        assert 0 < len(kept) < len(cells)
        computed = run(disk / "run")
        assert len(computed) == len(cells) - len(kept)
        with Store(disk / "run", read_only=True) as store:
            assert len(list(store.cells("result"))) == len(cells)


@pytest.mark.parametrize("clean", [True, False])
def test_a_run_on_a_read_only_medium_is_read(whole, tmp_path, clean):
    with small_disk(tmp_path / "disk", "10m") as disk:
        if clean:
            shutil.copy(whole / NAME, disk)
        else:  # of a run that was killed: its last cells are in the log
            with Store(tmp_path / "killed") as store:
                for number in range(CELLS):
                    arrays = {"a": expected(number), "b": np.arange(3)}
                    store.put(f"{number:064x}", "scored", {"number": number}, arrays, {"code": "c"})
                for path in (tmp_path / "killed").iterdir():
                    shutil.copy(path, disk)
            assert (disk / f"{NAME}-wal").stat().st_size > 0
        remount(disk, "ro")
        before = sorted(os.listdir(disk))
        assert len(read_everything(disk)) == CELLS
        assert sorted(os.listdir(disk)) == before
        with pytest.raises(StoreError, match="Read-only file system"):
            Store(disk)


def test_a_folder_that_cannot_be_made_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used as a store of results"):
        Store(tmp_path / "file" / "run")


def test_the_command_says_it_in_one_line(whole, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / NAME).write_bytes((whole / NAME).read_bytes()[:5000])
    code = spikeport(["report", str(tmp_path / "run"), "-o", str(tmp_path / "report.html")])
    said = capsys.readouterr().err
    assert code == 2
    assert "--salvage" in said
    assert len(said.splitlines()) == 1
