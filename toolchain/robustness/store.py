"""Results on disk: one SQLite file, one transaction for each finished cell.

A cell's row appears whole or not at all (SQLite's write-ahead log with full synchronisation), so a process that is killed at
any moment loses at most the cell in flight. A row is found by its key, the content hash of everything that could change
the result; a key that is there is never computed or written again.

Arrays are kept as compressed ``.npz`` bytes without pickles, and read back within bounds.
"""

from __future__ import annotations

import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from toolchain.errors import ToolchainError

FORMAT = 1
MAX_BLOB = 1 << 31
"""Largest unpacked cell, in bytes, so that a damaged store cannot ask for all memory."""


def program_path(folder: str | Path, fingerprint: str) -> Path:
    """Where a run keeps a Program, beside the store."""
    return Path(folder) / "programs" / f"{fingerprint[:16]}.h5"


class StoreError(ToolchainError):
    """A store is damaged, foreign, locked by another run, or holds something else under a key."""


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as compressed npz bytes; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            if array.dtype.hasobject:
                raise StoreError(f"array {name!r} holds Python objects; accepted are numbers")
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            # a fixed date, so that the bytes depend on the content alone
            archive.writestr(zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)), part.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def unpack(blob: bytes) -> dict[str, np.ndarray]:
    """The arrays of ``pack``; raises StoreError for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BLOB:
                raise StoreError(f"a stored cell unpacks to more than {MAX_BLOB} bytes")
            return {
                entry.filename.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(entry)), allow_pickle=False)
                for entry in archive.infolist()
            }
    except (zipfile.BadZipFile, ValueError, EOFError, OSError) as error:
        raise StoreError(f"a stored cell is damaged: {error}") from None


class Store:
    """A folder of results. ``Store(path)`` makes or opens it; use as a context manager.

    Rows are (key, kind, description, arrays): ``kind`` "crafted", "scored", or "absent" (a cell that cannot be; its "reason" is in the
    description), ``description`` plain JSON values.
    """

    def __init__(self, folder: str | Path, *, read_only: bool = False):
        self.folder = Path(folder)
        self.path = self.folder / "results.sqlite"
        if read_only and not self.path.is_file():
            raise StoreError(
                f"{self.folder}: there is no run here (no results.sqlite); accepted is the folder that 'spikeport bench' wrote"
            )
        try:
            if not read_only:
                self.folder.mkdir(parents=True, exist_ok=True)
            mode = "ro" if read_only else "rwc"
            self._db = sqlite3.connect(f"{self.path.resolve().as_uri()}?mode={mode}", uri=True, timeout=30, isolation_level=None)
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                with self._transaction():
                    self._db.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
                    self._db.execute(
                        "CREATE TABLE IF NOT EXISTS cells "
                        "(key TEXT PRIMARY KEY, kind TEXT NOT NULL, description TEXT NOT NULL, arrays BLOB NOT NULL)"
                    )
                    self._db.execute("INSERT OR IGNORE INTO about VALUES ('format', ?)", (str(FORMAT),))
            found = self._db.execute("SELECT value FROM about WHERE name = 'format'").fetchone()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.path}: cannot be used as a store of results: {error}") from None
        if found is None or found[0] != str(FORMAT):
            raise StoreError(f"{self.path}: format {found[0] if found else None!r}; accepted is {FORMAT}")

    @contextmanager
    def _transaction(self):
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._db.close()

    def __contains__(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM cells WHERE key = ?", (key,)).fetchone() is not None

    def put(self, key: str, kind: str, description: Mapping, arrays: Mapping[str, np.ndarray]) -> None:
        """Add a finished cell. A key that is there already with the same content is left alone; other content is an error."""
        text, blob = json.dumps(description, sort_keys=True, allow_nan=False), pack(arrays)
        try:
            with self._transaction():
                there = self._db.execute("SELECT kind, description, arrays FROM cells WHERE key = ?", (key,)).fetchone()
                if there is None:
                    self._db.execute("INSERT INTO cells VALUES (?, ?, ?, ?)", (key, kind, text, blob))
                elif there != (kind, text, blob):
                    raise StoreError(
                        f"{self.path}: cell {key[:12]} is there with other content; a cell must not depend on anything outside its key"
                    )
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: cell {key[:12]} could not be written: {error}") from None

    def get(self, key: str) -> tuple[dict, dict[str, np.ndarray]]:
        """(description, arrays) of a cell; StoreError where there is none."""
        row = self._db.execute("SELECT description, arrays FROM cells WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise StoreError(f"{self.path}: there is no cell {key[:12]}")
        return json.loads(row[0]), unpack(row[1])

    def cells(self, kind: str) -> Iterator[tuple[str, dict]]:
        """(key, description) of every cell of a kind, in the order of keys."""
        for key, text in self._db.execute("SELECT key, description FROM cells WHERE kind = ? ORDER BY key", (kind,)):
            yield key, json.loads(text)

    def remember(self, name: str, value) -> None:
        """Keep a plain JSON value that describes the run (the sweep, versions)."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (f"run.{name}", json.dumps(value, sort_keys=True)))

    def recall(self, name: str):
        """A value that was kept with ``remember``; None where there is none."""
        row = self._db.execute("SELECT value FROM about WHERE name = ?", (f"run.{name}",)).fetchone()
        return None if row is None else json.loads(row[0])
