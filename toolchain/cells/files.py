"""The bytes of a store: arrays as one blob, and a database opened for reading wherever it lies."""

from __future__ import annotations

import io
import shutil
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from toolchain.cells.errors import StoreError

MAX_BLOB = 1 << 31
"""Largest unpacked cell, in bytes, so that a damaged store cannot ask for all memory."""

DAMAGE = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite raises for a file that is damaged; the latter where its own message quotes bytes that
are no text."""

ADVICE = (
    "; 'spikeport bench' and 'spikeport study' with --salvage keep every cell that can be read, "
    "and compute the others"
)


def pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Arrays as compressed npz bytes; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            if array.dtype.hasobject:
                raise StoreError(
                    f"array {name!r} holds Python objects; arrays of numbers can be kept"
                )
            part = io.BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            # a fixed date, so that the bytes depend on the content alone
            archive.writestr(
                zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0)),
                part.getvalue(),
                zipfile.ZIP_DEFLATED,
            )
    return buffer.getvalue()


def unpack(blob: bytes) -> dict[str, np.ndarray]:
    """The arrays of ``pack``; raises StoreError for anything else."""
    try:
        with zipfile.ZipFile(io.BytesIO(blob)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BLOB:
                raise StoreError(f"a stored cell unpacks to more than {MAX_BLOB} bytes")
            return {
                entry.filename.removesuffix(".npy"): _array(archive, entry)
                for entry in archive.infolist()
            }
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        NotImplementedError,
        ValueError,
        EOFError,
        OSError,
        RuntimeError,
    ) as error:
        raise StoreError(f"a stored cell is damaged: {error}") from None


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    """One array; read to the limit and no further, whatever the archive says of its size."""
    with archive.open(entry) as file:
        content = file.read(MAX_BLOB + 1)
    if len(content) > MAX_BLOB:
        raise StoreError(f"a stored cell unpacks to more than {MAX_BLOB} bytes")
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def is_ours(db: sqlite3.Connection) -> bool:
    """Whether a database has the tables of a store."""
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {"about", "cells"} <= tables


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A store's database for reading. Raises StoreError where there is none or it is no database.

    SQLite's write-ahead log needs two files beside the database. Where they cannot be made (a
    read-only medium, a folder of somebody else's), the file is read as one that nobody changes;
    where a log with results is there, a copy of both is read.
    """
    if not path.is_file():
        raise StoreError(
            f"{path.parent}: there is no run here (no {path.name}); a run's folder is one that "
            f"'spikeport bench' or 'spikeport study' wrote"
        )
    with tempfile.TemporaryDirectory(prefix="spikeport-run-") as copies:
        db = (
            _opened(path, "mode=ro")
            or _opened(path, "mode=ro&immutable=1", alone=True)
            or _opened(copied(path, Path(copies)), "mode=ro")
        )
        if db is None:
            raise StoreError(f"{path}: cannot be used as a store of results{ADVICE}")
        try:
            yield db
        finally:
            db.close()


def _opened(path: Path, how: str, alone: bool = False) -> sqlite3.Connection | None:
    """A connection that can be read from; None where it cannot. alone: only where no log is beside
    the file."""
    if alone and _log(path) is not None:
        return None
    db = sqlite3.connect(
        f"{path.resolve().as_uri()}?{how}", uri=True, timeout=30, isolation_level=None
    )
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:  # its files cannot be made or locked
        db.close()
        return None
    except DAMAGE as error:
        db.close()
        raise StoreError(f"{path}: cannot be used as a store of results: {error}{ADVICE}") from None
    return db


def _log(path: Path) -> Path | None:
    """The write-ahead log beside a database, where it holds anything."""
    log = path.with_name(path.name + "-wal")
    return log if log.is_file() and log.stat().st_size else None


def copied(path: Path, folder: Path) -> Path:
    try:
        for each in filter(None, (path, _log(path))):
            shutil.copyfile(each, folder / each.name)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read where it lies, and cannot be copied: {error.strerror}"
        ) from None
    return folder / path.name
