"""Texts of variable length in an HDF5 file, read without the HDF5 library.

The library trusts what a file says about them: a damaged length makes it allocate gigabytes, a
damaged heap makes it loop for ever. Layout: HDF5 File Format Specification 3.0, III.E "Global Heap"
and IV.A.2.d "variable-length"; all numbers little endian.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import h5py

ADDRESS = 8
"""Bytes of an address and of a size; what the HDF5 library writes unless told otherwise."""
_ELEMENT = struct.Struct("<IQI")  # length, address of the heap collection, index in it
_COLLECTION = struct.Struct("<4sB3xQ")  # "GCOL", version, size with this header
_OBJECT = struct.Struct("<HH4xQ")  # index (0: free space), references, size

Fail = Callable[[str], NoReturn]
"""Raises an error with this text."""


class TextHeap:
    """The texts of one file; collections of the heap are read once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.collections: dict[int, dict[int, bytes]] = {}

    def texts(self, dataset: h5py.Dataset, fail: Fail) -> Iterator[bytes]:
        """Every element of a dataset, in C order. ``fail`` is called where the file is damaged or
        stores text in another way."""
        identity = dataset.id
        stored, offset = identity.get_storage_size(), identity.get_offset()
        plain = (
            dataset.file.id.get_create_plist().get_sizes() == (ADDRESS, ADDRESS)
            and not dataset.file.userblock_size
        )
        if not plain or (stored and (offset is None or stored != dataset.size * _ELEMENT.size)):
            fail(
                "text that is compressed, in chunks or in an unusual layout; it must be in "
                "one piece"
            )

        if not stored:
            yield from [b""] * dataset.size
            return

        for length, address, index in _ELEMENT.iter_unpack(self.read(offset, stored, fail)):
            if not length:
                yield b""
                continue
            if address not in self.collections:
                self.collections[address] = self.collection(address, fail)
            text = self.collections[address].get(index)
            if text is None or len(text) < length:
                fail(f"a text of {length} bytes that the file does not hold")
            yield text[:length]

    def read(self, offset: int, size: int, fail: Fail) -> bytes:
        """Bytes of the file."""
        if offset > self.size or size > self.size - offset:
            fail("the file is cut off, or points behind its end")
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(size)

    def collection(self, address: int, fail: Fail) -> dict[int, bytes]:
        """Index → content of the objects of one heap collection."""
        signature, version, size = _COLLECTION.unpack(self.read(address, _COLLECTION.size, fail))
        if signature != b"GCOL" or version != 1 or size < _COLLECTION.size:
            fail("a damaged heap of texts")
        raw, objects, at = self.read(address, size, fail), {}, _COLLECTION.size
        while at + _OBJECT.size <= len(raw):
            index, _, length = _OBJECT.unpack_from(raw, at)
            if index == 0:
                break
            at += _OBJECT.size
            objects[index] = raw[at : at + length]
            at += length + -length % 8
        return objects
