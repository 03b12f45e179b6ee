"""Results on disk: one SQLite file, one transaction for each finished cell.

A cell's row appears whole or not at all (SQLite's write-ahead log with full synchronisation), so a
process that is killed at any moment loses at most the cell in flight. A row is found by its key,
the content hash of everything that could change the result; a key that is there is never computed
or written again. With each cell stands what made it, and a checksum over all of the row: SQLite
itself would not notice a changed digit.

Arrays are kept as compressed ``.npz`` bytes without pickles, and read back within bounds.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from hardware._files import kind
from toolchain.cells import files, lock
from toolchain.cells.errors import StoreError
from toolchain.cells.files import pack, unpack

FORMAT = 2
OLDER = 1
"""Is read, not written: its cells do not say what made them, and have no checksum."""

OLDER_COLUMNS = ("key", "kind", "description", "arrays")

NAME = "results.sqlite"

COLUMNS = ("key", "kind", "description", "made", "arrays_checksum", "checksum", "arrays")
"""The arrays last: SQLite has to pass through them to what stands behind."""

SAID = ", ".join(COLUMNS[:-1])

TABLES = (
    "CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL)",
    "CREATE TABLE cells (key TEXT PRIMARY KEY, kind TEXT NOT NULL, description TEXT NOT NULL, made "
    "TEXT NOT NULL, "
    "arrays_checksum TEXT NOT NULL, checksum TEXT NOT NULL, arrays BLOB NOT NULL)",
)


def program_path(folder: str | Path, fingerprint: str) -> Path:
    """Where a run keeps a Program, beside the store."""
    return Path(folder) / "programs" / f"{fingerprint[:16]}.h5"


def checksum(*parts: str | bytes) -> str:
    """SHA-256 over the parts of a row and their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(f"{len(content)}:".encode() + content)
    return digest.hexdigest()


class Store:
    """A folder of results. ``Store(path)`` makes or opens it, alone (see ``lock``); use as a
    context manager.

    Rows are (key, kind, description, arrays, made): ``kind`` for example "crafted", "scored", or
    "absent" (a cell that cannot be; its "reason" is in the description), ``description`` plain JSON
    values, ``made`` {"code", "versions", "when", "seconds"}.

    read_only  nothing is written, also not beside the file; the folder may lie on a read-only
               medium

    ``format``: of the file, ``FORMAT`` or ``OLDER``.

    Every method raises StoreError where the file is damaged or cannot be written.
    """

    def __init__(self, folder: str | Path, *, read_only: bool = False) -> None:
        self.folder = Path(folder)
        self.path = self.folder / NAME
        with ExitStack() as stack:
            self._db = stack.enter_context(
                files.reading(self.path) if read_only else self._writing()
            )
            with self._typed():
                self.format = self._checked()
            if self.format != FORMAT and not read_only:
                raise StoreError(
                    f"{self.path}: was made by an earlier version (format {self.format}), whose "
                    f"cells do not say what made them; it can "
                    "be read by 'spikeport report', and -o another folder starts a new run"
                )
            self._close = stack.pop_all()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with ExitStack() as stack:
            if self.folder.exists() and not self.folder.is_dir():
                raise StoreError(
                    f"{self.folder}: is {kind(self.folder)}; -o must name a folder, which is made "
                    "where it is absent"
                )

            with self._typed():
                self.folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.held(self.folder))

            with self._typed():
                self._db = db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
                stack.callback(db.close)
                if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    with self._transaction():
                        for table in TABLES:
                            db.execute(table)
                        db.execute(
                            "INSERT INTO about VALUES ('format', ?, ?)",
                            (str(FORMAT), checksum("format", str(FORMAT))),
                        )
                if files.is_ours(db):  # nothing is changed in a file of another program
                    db.execute("PRAGMA journal_mode=WAL")
                    db.execute("PRAGMA synchronous=FULL")

            yield db

    def _checked(self) -> int:
        """The format. Raises StoreError for a file that is no store of ours."""
        if not files.is_ours(self._db):
            raise StoreError(
                f"{self.path}: is a database of another program; a run's folder is one that "
                f"spikeport wrote"
            )
        entry = self._db.execute("SELECT value FROM about WHERE name = 'format'").fetchone()
        if entry is None or entry[0] not in (str(FORMAT), str(OLDER)):
            raise StoreError(
                f"{self.path}: format {entry[0] if entry else None!r:.40}; formats {OLDER} and "
                f"{FORMAT} can be read"
            )
        have = {row[1] for row in self._db.execute("PRAGMA table_info(cells)")}
        wanted = COLUMNS if entry[0] == str(FORMAT) else OLDER_COLUMNS
        if not have.issuperset(wanted):
            raise StoreError(
                f"{self.path}: its table of cells has the columns {', '.join(sorted(have))}; "
                f"needed are {', '.join(wanted)}"
            )
        return int(entry[0])

    @contextmanager
    def _typed(self, what: str = "cannot be used as a store of results") -> Iterator[None]:
        """What goes wrong with the file as a StoreError."""
        try:
            yield
        except files.DAMAGE as error:
            full = "full" in str(error)
            advice = (
                "; free some space and start again: every finished cell is kept"
                if full
                else files.ADVICE
            )
            raise StoreError(f"{self.path}: {what}: {error}{advice}") from None
        except OSError as error:
            raise StoreError(f"{self.path}: {what}: {error.strerror or error}") from None

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # where the disk is full, SQLite has rolled back by itself
            with suppress(*files.DAMAGE):
                self._db.execute("ROLLBACK")
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the object is of no use afterwards."""
        self._close.close()

    def __contains__(self, key: str) -> bool:
        with self._typed():
            return (
                self._db.execute("SELECT 1 FROM cells WHERE key = ?", (key,)).fetchone() is not None
            )

    def put(
        self,
        key: str,
        kind: str,
        description: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        made: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
    ) -> None:
        """Add a finished cell. A key that is there already with the same content is left alone;
        other content is an error.

        made     "code" and "versions" of what made it, and more; "when" is added
        replace  other content takes the place of what is there
        """
        text, blob = _text(description), pack(arrays)
        when = datetime.now(timezone.utc).isoformat(timespec="seconds")
        row = (key, kind, text, _text({**(made or {}), "when": when}), checksum(blob))
        with self._typed(f"cell {key[:12]} could not be written"), self._transaction():
            there = self._db.execute(
                "SELECT kind, description, arrays FROM cells WHERE key = ?", (key,)
            ).fetchone()
            if there is not None and not replace:
                if there != (kind, text, blob):
                    raise StoreError(
                        f"{self.path}: cell {key[:12]} is there with other content; a cell must "
                        f"not depend on anything outside its key"
                    )
                return
            self._db.execute(
                "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, checksum(*row), blob),
            )

    def get(self, key: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(description, arrays) of a cell; StoreError where there is none."""
        row = self._said(key)
        with self._typed():
            blob = self._db.execute("SELECT arrays FROM cells WHERE key = ?", (key,)).fetchone()[0]
        if type(blob) is not bytes or (self.format == FORMAT and checksum(blob) != row[4]):
            raise self._damaged(key)
        return self._json(row[2], dict, key), self._read(unpack, blob, key)

    def made(self, key: str) -> dict[str, Any]:
        """What made a cell; empty where an earlier version kept it. StoreError where there is no
        such cell."""
        row = self._said(key)
        if self.format != FORMAT:
            return {}
        origin: dict[str, Any] = self._json(row[3], dict, key)
        return origin

    def _said(self, key: str) -> tuple[str, ...]:
        """A row but for its arrays, or StoreError where it is not the one that was written."""
        columns = SAID if self.format == FORMAT else ", ".join(OLDER_COLUMNS[:-1])
        with self._typed():
            row = self._db.execute(f"SELECT {columns} FROM cells WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise StoreError(f"{self.path}: there is no cell {key[:12]}")
        if {type(part) for part in row} != {str} or (
            self.format == FORMAT and checksum(*row[:5]) != row[5]
        ):
            raise self._damaged(key)
        texts: tuple[str, ...] = row
        return texts

    def _damaged(self, key: str) -> StoreError:
        return StoreError(f"{self.path}: cell {key[:12]} is damaged{files.ADVICE}")

    def _json(self, text: str, kind: type, key: str) -> Any:
        value = self._read(json.loads, text, key)
        if not isinstance(value, kind):
            raise StoreError(
                f"{self.path}: {key[:24]} is {text:.40}, no {kind.__name__}{files.ADVICE}"
            )
        return value

    def _read(self, reader: Callable[[Any], Any], content: str | bytes, key: str) -> Any:
        try:
            return reader(content)
        except (ValueError, RecursionError, StoreError) as error:
            raise StoreError(f"{self.path}: {key[:24]} is damaged: {error}{files.ADVICE}") from None

    def cells(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(key, description) of every cell of a kind, in the order of keys."""
        with self._typed():
            keys = [
                row[0]
                for row in self._db.execute(
                    "SELECT key FROM cells WHERE kind = ? ORDER BY key", (kind,)
                )
            ]
        for key in keys:
            if not isinstance(key, str):
                raise self._damaged(repr(key))
            yield key, self._json(self._said(key)[2], dict, key)

    def remember(self, name: str, value: Any) -> None:
        """Keep a plain JSON value that describes the run (the sweep, versions)."""
        row = (f"run.{name}", _text(value))
        with self._typed(f"{name!r} could not be written"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO about VALUES (?, ?, ?)", (*row, checksum(*row))
            )

    def recall(self, name: str) -> Any:
        """A value that was kept with ``remember``; None where there is none."""
        with self._typed():
            row = self._db.execute(
                "SELECT * FROM about WHERE name = ?", (f"run.{name}",)
            ).fetchone()
        if row is None:
            return None
        if {type(part) for part in row} != {str} or (
            self.format == FORMAT and checksum(*row[:2]) != row[2]
        ):
            raise StoreError(f"{self.path}: what it says about its {name} is damaged{files.ADVICE}")
        return self._read(json.loads, row[1], name)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
