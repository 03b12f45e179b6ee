"""Reading HDF5 files that nobody vouches for: everything is measured before it is loaded.

Shared by the .nir and the .net reader. Refused: files of other kinds, soft and external links, a
second name for an object, virtual and externally stored datasets, data types other than numbers and
text, too many objects, too deep nesting, too much data.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import h5py
import numpy as np

from export.errors import GraphFileError
from export.text_heap import TextHeap
from hardware import limits
from hardware._files import opened, room, write_bytes
from hardware._hdf5 import DEFLATE_RATIO
from hardware._text import shortened
from hardware.parameters import parameter


@dataclass(frozen=True)
class Limits:
    """What a file may hold at most.

    objects   groups and datasets: of each node about five
    bytes     of the file, and of all data in it: the numbers of the largest network that
              ``hardware.limits`` allows. A packed file may hold less, in proportion to its size
              (``hardware._files.room``)
    text      bytes of one text
    texts     in one dataset; an edge has two
    chunk     bytes of a chunk of packed data
    """

    objects: int = 3 * limits.PARTS
    depth: int = 12
    bytes: int = limits.MODEL_BYTES
    text: int = 1 << 24
    texts: int = 16 * limits.PARTS
    chunk: int = 1 << 26


Tree: TypeAlias = dict[str, Any]
"""name → nested Tree, numpy array, or str; a text array is a numpy object array of str."""


class _Reader:
    """One walk over a file; keeps count against the limits."""

    def __init__(self, path: Path, size: int, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.most = room(size, limits.bytes)
        self.heap = TextHeap(path)
        self.objects = 0
        self.bytes = 0
        self.seen: set[int] = set()

    def fail(self, place: str, message: str) -> NoReturn:
        raise GraphFileError(f"{self.path}: {shortened(place or '/', 300)}: {message}")

    def group(self, group: h5py.Group, place: str, depth: int) -> Tree:
        if depth > self.limits.depth:
            self.fail(place, f"groups are nested deeper than {self.limits.depth} levels")
        self.objects += len(group)
        if self.objects > self.limits.objects:
            self.fail(
                place,
                f"has {len(group)} members; the whole file must have at most {self.limits.objects}",
            )

        tree: Tree = {}
        for name in group:
            here = f"{place}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                self.fail(here, "a soft or external link; it must be stored in the file itself")
            member = group[name]
            self.once(member, here)
            if isinstance(member, h5py.Group):
                tree[name] = self.group(member, here, depth + 1)
            elif isinstance(member, h5py.Dataset):
                tree[name] = self.dataset(member, here)
            else:
                self.fail(
                    here,
                    f"a stored {type(member).__name__.lower()}; it must be a group or a dataset",
                )
        return tree

    def once(self, member: h5py.Group | h5py.Dataset, place: str) -> None:
        """Refuse an object that was read under another name: few bytes could stand for any number
        of objects."""
        address = h5py.h5o.get_info(member.id).addr
        if address in self.seen:
            self.fail(place, "a second name of an object; each object must have one name")
        self.seen.add(address)

    def dataset(self, dataset: h5py.Dataset, place: str) -> np.ndarray | str:
        if dataset.is_virtual or dataset.external:
            self.fail(place, "data stored in other files; it must be in the file itself")
        if dataset.shape is None:
            self.fail(place, "an empty dataset without shape")
        text = h5py.check_string_dtype(dataset.dtype)
        if text is None or text.length is not None:
            self.stored(dataset, place)
        if text is not None:
            return self.text(dataset, place)
        if dataset.dtype.kind not in "biuf" or dataset.dtype.itemsize > 8:
            self.fail(place, f"type {dataset.dtype}; it must be numbers of up to 64 bits, or text")
        self.room(dataset.size * 8, place)  # what becomes of it: 64-bit numbers
        chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
        if chunk > max(self.limits.chunk, dataset.size * dataset.dtype.itemsize):
            self.fail(place, f"chunks of {chunk} bytes; there must be at most {self.limits.chunk}")
        return dataset[()] if dataset.shape else np.asarray(dataset[()])

    def stored(self, dataset: h5py.Dataset, place: str) -> None:
        """Refuse a dataset that declares more than its stored bytes can hold: HDF5 would make up
        the rest."""
        declared, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
        most = stored * DEFLATE_RATIO if dataset.id.get_create_plist().get_nfilters() else stored
        if declared > most:
            self.fail(place, f"declares {declared} bytes of data, but {stored} bytes are stored")

    def room(self, size: int, place: str) -> None:
        self.bytes += size
        if self.bytes > self.most:
            self.fail(
                place,
                f"declares {size:,} bytes; a file of this size must hold at most {self.most:,} "
                f"bytes of data",
            )

    def text(self, dataset: h5py.Dataset, place: str) -> np.ndarray | str:
        """A text, or an array of texts."""
        if dataset.size > self.limits.texts:
            self.fail(place, f"{dataset.size} texts; there must be at most {self.limits.texts}")
        if h5py.check_string_dtype(dataset.dtype).length is None:
            texts = [
                self.decode(item, place)
                for item in self.heap.texts(dataset, lambda message: self.fail(place, message))
            ]
        else:
            self.room(dataset.size * dataset.dtype.itemsize, place)
            texts = [self.decode(item, place) for item in np.asarray(dataset[()], object).ravel()]
        return (
            np.array([*texts, None], object)[:-1].reshape(dataset.shape)
            if dataset.shape
            else texts[0]
        )

    def decode(self, item: object, place: str) -> str:
        if isinstance(item, str):
            item = item.encode("utf-8", "surrogateescape")
        if not isinstance(item, bytes):
            self.fail(place, f"holds {type(item).__name__} where text was expected")
        if len(item) > self.limits.text:
            self.fail(
                place, f"a text of {len(item)} bytes; there must be at most {self.limits.text}"
            )
        self.room(len(item), place)
        try:
            return bytes(item).decode("utf-8")
        except UnicodeDecodeError:
            self.fail(place, "text that is not UTF-8")


def read_tree(path: str | Path, limits: Limits | None = None) -> Tree:
    """The whole content of an HDF5 file. Raises GraphFileError naming the file, the place in it,
    and what is wrong."""
    path, limits = Path(path), limits or Limits()
    try:
        with opened(path, GraphFileError, limits.bytes, "a .nir or .net file") as plain:
            if not h5py.is_hdf5(str(path)):
                raise GraphFileError(f"{path}: not an HDF5 file, or cut off at the front")
            with h5py.File(path, "r") as file:
                return _Reader(path, os.fstat(plain.fileno()).st_size, limits).group(file, "", 0)
    except GraphFileError:
        raise
    except (
        OSError,
        KeyError,
        RuntimeError,
        TypeError,
        ValueError,
        OverflowError,
        UnicodeError,
        MemoryError,
    ) as error:
        raise GraphFileError(
            f"{path}: damaged, or not readable: {str(error) or type(error).__name__}"
        ) from error


def write_atomic(path: str | Path, fill: Callable[[io.BytesIO], None], force: bool) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it.

    ``fill`` writes into memory. Raises GraphFileError where ``path`` exists (without ``force``) or
    cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise GraphFileError(f"{path}: is a folder")
    if os.path.lexists(path) and not force:
        raise GraphFileError(f"{path}: exists already; {parameter('force', True)} replaces it")
    if not path.parent.is_dir():
        raise GraphFileError(f"{path}: there is no folder {path.parent}")

    memory = io.BytesIO()
    fill(memory)
    write_bytes(path, memory.getbuffer(), GraphFileError)
