"""What can still be read of a damaged store, in a store that is whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from toolchain.cells import files, lock
from toolchain.cells.errors import StoreError
from toolchain.cells.store import COLUMNS, FORMAT, NAME, OLDER, TABLES, Store, checksum


@dataclass(frozen=True)
class Salvaged:
    """kept, lost: cells; aside: where the damaged file is now, None where nothing was damaged."""

    kept: int
    lost: int
    aside: Path | None


def salvage(folder: str | Path) -> Salvaged:
    """Keep every cell of a folder's store that is as it was written; the damaged file stays beside
    it, under another name.

    ``lost`` counts the cells that could be seen and not read; of those that cannot be seen nobody
    knows.

    Raises StoreError where there is no store, one of an earlier version or of another program,
    where another run is at work, or the new file cannot be written.
    """
    folder = Path(folder)
    path = folder / NAME
    if not path.is_file():
        raise StoreError(f"{folder}: there is no {NAME} of which anything could be salvaged")
    with lock.held(folder), tempfile.TemporaryDirectory(prefix="salvage-", dir=folder) as inside:
        try:
            copy = files.copied(path, Path(inside))
            rows, lost, whole = _rows(copy)
            if whole:
                _require_ours(Path(inside), path)
            if whole and not lost:
                return Salvaged(len(rows), 0, None)
            new = Path(inside) / "new.sqlite"
            _write(new, rows)
            return Salvaged(len(rows), lost, _exchange(path, new))
        except (OSError, *files.DAMAGE) as error:
            raise StoreError(f"{path}: what can be read of it cannot be kept: {error}") from None


def _require_ours(folder: Path, path: Path) -> None:
    """A file that is in order is a store of this version, or nothing of it is touched."""
    with Store(folder, read_only=True) as store:
        if store.format == OLDER:
            raise StoreError(
                f"{path}: is in order, and was made by an earlier version; -o another folder "
                f"starts a new run"
            )


Row: TypeAlias = tuple[Any, ...]
"""As SQLite gives it: whatever stands in the columns of ``store.COLUMNS``."""


def _rows(path: Path) -> tuple[list[Row], int, bool]:
    """(rows that are as they were written, how many are not, whether SQLite finds the file in
    order)."""
    rows, lost = [], 0
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.text_factory = lambda content: content.decode("utf-8", "surrogateescape")
        for number in sorted(_numbers(db)):
            try:
                row = db.execute(
                    f"SELECT {', '.join(COLUMNS)} FROM cells WHERE rowid = ?", (number,)
                ).fetchone()
            except files.DAMAGE:
                row = None
            if row is not None and _as_written(row):
                rows.append(row)
            else:
                lost += 1
        try:
            whole = db.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
        except (*files.DAMAGE, TypeError):
            whole = False
    return list({row[0]: row for row in rows}.values()), lost, whole


def _as_written(row: Row) -> bool:
    *texts, whole, arrays = row
    if {type(part) for part in (*texts, whole)} != {str} or type(arrays) is not bytes:
        return False
    return bool(checksum(*texts) == whole and checksum(arrays) == texts[4])


def _numbers(db: sqlite3.Connection) -> set[int]:
    """Numbers of rows, found along every way that may still be open."""
    numbers: set[int] = set()
    ways = ("", "ORDER BY rowid DESC", "INDEXED BY sqlite_autoindex_cells_1 ORDER BY key")
    for way in ways:
        numbers |= set(_until_damage(db, f"SELECT rowid FROM cells {way}"))
    return numbers


def _until_damage(db: sqlite3.Connection, query: str) -> Iterator[int]:
    with suppress(*files.DAMAGE):
        for (number,) in db.execute(query):
            yield number


def _write(path: Path, rows: list[Row]) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for table in TABLES:
            db.execute(table)
        db.execute(
            "INSERT INTO about VALUES ('format', ?, ?)",
            (str(FORMAT), checksum("format", str(FORMAT))),
        )
        db.executemany(f"INSERT INTO cells VALUES ({', '.join('?' * len(COLUMNS))})", rows)


def _exchange(path: Path, new: Path) -> Path:
    """The new file in the old one's place. A kill in between leaves the old one, or both."""
    number = next(n for n in range(1, 1000) if not _aside(path, n).exists())
    aside = _aside(path, number)
    shutil.copyfile(path, aside)
    for ending in ("-wal", "-shm"):
        log = path.with_name(path.name + ending)
        if log.exists():
            os.replace(log, aside.with_name(aside.name + ending))
    os.replace(new, path)
    return aside


def _aside(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")
