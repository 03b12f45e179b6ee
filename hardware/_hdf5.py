"""The two file formats of this package share one HDF5 grammar: read within bounds, written whole or
not at all.

A file has a root attribute ``format`` and a ``format_version``. Groups hold groups, attributes
(single integers, real numbers, short texts, short integer vectors) and datasets of plain numbers.
Everything else that HDF5 can do is refused before it is opened: soft and external links, a second
name for an object, virtual and externally stored data, object and variable-length types, filters
other than the two we write. Sizes are compared with the file's own size before anything is read, so
a small file cannot ask for much memory.

The HDF5 data is followed by a seal: the SHA-256 of every byte before it. HDF5 readers do not look
behind the end of their data.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import h5py
import numpy as np

from hardware import limits
from hardware._files import opened, write_bytes
from hardware.errors import ProgramFileError
from hardware.parameters import parameter

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SEAL = b"\nspikeport sha256 "
"""Begins the last line of a file; 64 hexadecimal digits and a line feed follow."""

MAX_TEXT = 1 << 12
MAX_JSON = 16 << 20
"""Bytes of JSON text. Read, it may take twenty times as much memory."""

DEFLATE_RATIO = 1032
"""No deflate stream expands by more (zlib, technical details: 1032 to 1)."""

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE}
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)


def _plain(name: str) -> str:
    """A name from the file, fit to be printed."""
    return "".join(c if c.isprintable() else "?" for c in name[:80])


class Hdf5Node:
    """One group of a file that is being read; every failure names the file and the place in it."""

    def __init__(
        self,
        group: h5py.Group,
        path: Path,
        place: str,
        budget: list[int],
        seen: set[int] | None = None,
    ) -> None:
        self._group, self._path, self._place, self._budget = group, path, place, budget
        self._seen: set[int] = (
            set() if seen is None else seen
        )  # addresses of objects that were read

    def fail(self, message: str, name: str = "") -> NoReturn:
        """Raise ProgramFileError about a member of this group, or the group itself."""
        place = f"{self._place}/{_plain(name)}" if name else self._place or "/"
        raise ProgramFileError(f"{self._path}: {place}: {message}")

    def members(self) -> list[str]:
        """Names of all members, each stored in this very file."""
        if len(self._group) > limits.PARTS:
            self.fail(f"has {len(self._group)} members; there must be at most {limits.PARTS}")
        names = list(self._group)
        for name in names:
            if not isinstance(self._group.get(name, getlink=True), h5py.HardLink):
                self.fail("a soft or external link; it must be stored in the file itself", name)
        return names

    def only(self, required: Iterable[str], optional: Iterable[str] = ()) -> set[str]:
        """Check the names of the members; returns those present."""
        present, required = set(self.members()), set(required)
        if present - required - set(optional):
            name = sorted(present - required - set(optional))[0]
            self.fail(
                f"unknown; the members must be "
                f"{', '.join(sorted(required | set(optional))) or 'none'}",
                name,
            )
        if required - present:
            self.fail("missing", sorted(required - present)[0])
        return present

    def numbered(self) -> list[Hdf5Node]:
        """Members that are groups named 0, 1, 2 and so on, in that order."""
        names = self.members()
        if set(names) != {str(n) for n in range(len(names))}:
            self.fail(
                f"members {', '.join(map(_plain, sorted(names)[:5]))}; they must be groups named "
                f"0, 1, 2 and so on"
            )
        return [self.group(str(n)) for n in range(len(names))]

    def group(self, name: str) -> Hdf5Node:
        """A member that must be a group."""
        member = self._open(name, h5py.Group, "a group")
        self._once(member, name)
        return Hdf5Node(
            member, self._path, f"{self._place}/{_plain(name)}", self._budget, self._seen
        )

    def array(
        self, name: str, dtypes: Iterable[str], shape: tuple[int | None, ...] | None = None
    ) -> np.ndarray:
        """A member that must be a dataset of one of ``dtypes``, and of ``shape`` (None: any length;
        or any shape at all)."""
        dataset = self._open(name, h5py.Dataset, "a dataset")
        wanted = [np.dtype(d) for d in dtypes]
        if dataset.dtype not in wanted or dataset.dtype.hasobject:
            self.fail(
                f"type {dataset.dtype}; it must be {' or '.join(d.name for d in wanted)}", name
            )
        if dataset.shape is None or len(dataset.shape) > 8:
            self.fail("no shape, or more than 8 dimensions", name)
        if shape is not None and (
            len(shape) != len(dataset.shape)
            or any(s is not None and s != n for s, n in zip(shape, dataset.shape))
        ):
            self.fail(
                f"shape {dataset.shape}; it must be "
                f"({', '.join('any' if s is None else str(s) for s in shape)})",
                name,
            )

        self._once(dataset, name)
        self._measure(dataset, name)
        return np.asarray(dataset[()])

    def same(self, name: str, other: Hdf5Node, other_name: str) -> None:
        """A member that must be the very dataset that stands elsewhere too."""
        if self._open(name, h5py.Dataset, "a dataset") != other._open(
            other_name, h5py.Dataset, "a dataset"
        ):
            self.fail(
                f"not the dataset {other._place}/{_plain(other_name)}, whose second name it is",
                name,
            )

    def json(self, name: str) -> Any:
        """A member that holds JSON text as bytes."""
        data = self.array(name, ["uint8"], (None,))
        if data.size > MAX_JSON:
            self.fail(
                f"holds {data.size:,} bytes of JSON; there must be at most {MAX_JSON:,}", name
            )
        try:
            text = data.tobytes().decode("utf-8")
            return json.loads(
                text,
                parse_constant=lambda constant: self.fail(
                    f"holds {constant}; it must be plain JSON", name
                ),
            )
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            self.fail(f"not JSON text: {error}", name)

    def attributes(self, kinds: dict[str, str], optional: Iterable[str] = ()) -> dict[str, Any]:
        """All attributes: name → value. ``kinds``: name → "text", "integer", "integers" or
        "real"."""
        attributes = self._group.attrs
        if len(attributes) > 64:
            self.fail(f"{len(attributes)} attributes; there must be {', '.join(kinds)}")
        present = set(attributes)
        if present - set(kinds):
            self.fail(
                f"unknown attribute {_plain(sorted(present - set(kinds))[0])!r}; it must be one of "
                f"{', '.join(kinds)}"
            )
        if set(kinds) - present - set(optional):
            self.fail(
                f"the attribute {sorted(set(kinds) - present - set(optional))[0]!r} is missing"
            )
        return {name: self.attribute(name, kinds[name]) for name in kinds if name in present}

    def has_attribute(self, name: str) -> bool:
        """Whether there is an attribute of this name, whatever it holds."""
        return name in self._group.attrs

    def attribute(self, name: str, kind: str) -> Any:
        """One attribute, measured before it is read."""
        if name not in self._group.attrs:
            self.fail(f"the attribute {name!r} is missing")

        stored = self._group.attrs.get_id(name)
        wanted = {"text": "S", "integer": "iu", "integers": "iu", "real": "f"}[kind]
        dimensions = 1 if kind == "integers" else 0
        if (
            stored.dtype.kind not in wanted
            or stored.shape is None
            or len(stored.shape) != dimensions
            or stored.dtype.itemsize > MAX_TEXT
        ):
            self.fail(
                f"the attribute {name!r} is {stored.dtype} of shape {stored.shape}; it must be "
                f"one {kind}" + " vector" * dimensions
            )
        if dimensions and stored.shape[0] > 16:
            self.fail(
                f"the attribute {name!r} holds {stored.shape[0]} numbers; there must be at most 16"
            )

        value = self._group.attrs[name]
        if kind == "text":
            try:
                return bytes(value).rstrip(b"\0").decode("utf-8")
            except UnicodeDecodeError:
                self.fail(f"the attribute {name!r} is not UTF-8 text")
        if kind == "integers":
            return tuple(int(n) for n in value)
        return int(value) if kind == "integer" else float(value)

    def _open(self, name: str, kind: type, what: str) -> Any:
        if not isinstance(self._group.get(name, getlink=True), h5py.HardLink):
            self.fail(
                f"missing, or a soft or external link; it must be {what} stored in the file itself",
                name,
            )
        member = self._group[name]
        if not isinstance(member, kind):
            self.fail(f"a {type(member).__name__.lower()}; it must be {what}", name)
        return member

    def _once(self, member: h5py.Group | h5py.Dataset, name: str) -> None:
        """Refuse an object that was read under another name: few bytes could stand for any number
        of objects."""
        address = h5py.h5o.get_info(member.id).addr
        if address in self._seen:
            self.fail("a second name of an object; each object must have one name", name)
        self._seen.add(address)

    def _measure(self, dataset: h5py.Dataset, name: str) -> None:
        """Refuse a dataset that declares more than its stored bytes can hold, or more than may
        still be read."""
        plan = dataset.id.get_create_plist()
        if dataset.is_virtual or plan.get_external_count():
            self.fail("data stored in other files; it must be in the file itself", name)
        filters = {plan.get_filter(n)[0] for n in range(plan.get_nfilters())}
        if filters - _FILTERS:
            self.fail("a filter other than deflate and shuffle", name)
        declared = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
        stored = dataset.id.get_storage_size()
        most = stored * (DEFLATE_RATIO if h5py.h5z.FILTER_DEFLATE in filters else 1)
        if declared > most or stored > self._path.stat().st_size:
            self.fail(f"declares {declared} bytes of data, but {stored} bytes are stored", name)
        self._budget[0] -= declared
        if self._budget[0] < 0:
            self.fail(
                f"declares {declared} bytes; with it the file holds more than the "
                f"{self._budget[1]} bytes that it may have",
                name,
            )


@contextmanager
def reading(
    path: str | Path, kind: str, version: int, most: int, room: Callable[[int], int]
) -> Iterator[Hdf5Node]:
    """Open a file of ``kind`` for reading; yields its root.

    most    bytes of the file
    room    bytes of the file → bytes of data that may be read from it, unpacked

    Raises ProgramFileError where the file is absent, of another kind, newer than ``version``,
    changed since it was written, or damaged.
    """
    path = Path(path)
    try:
        with opened(path, ProgramFileError, most, f"a {kind} file") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise ProgramFileError(f"{path}: not an HDF5 file; it must be a {kind} file")
            size = os.fstat(file.fileno()).st_size
            with h5py.File(path, "r") as content:
                root = Hdf5Node(content, path, "", [room(size), room(size)])
                check_format(root, content, kind, version)
                _check_seal(root, file, size)
                yield root
    except ProgramFileError:
        raise
    except _DAMAGE as error:
        raise ProgramFileError(
            f"{path}: damaged, or not readable: {str(error) or type(error).__name__}"
        ) from error


def _check_seal(root: Hdf5Node, file: BinaryIO, size: int) -> None:
    """Compare the file's bytes with its own SHA-256."""
    length = len(seal(b""))
    file.seek(max(0, size - length))
    trailer = file.read(length)
    if not trailer.startswith(SEAL):
        root.fail(
            "cut off, or changed by another program: the SHA-256 that ends such a file is missing; "
            "the file must be written anew"
        )

    file.seek(0)
    digest, left = hashlib.sha256(), size - length
    while left and (part := file.read(min(left, 1 << 20))):
        digest.update(part)
        left -= len(part)
    stated = trailer[len(SEAL) :].strip().decode("ascii", "replace")
    if digest.hexdigest() != stated:
        root.fail(
            f"damaged, or changed since it was written: the SHA-256 of its content is "
            f"{digest.hexdigest()}, and the file states "
            f"{_plain(stated)!r}; the file must be written anew"
        )


def seal(content: bytes | memoryview) -> bytes:
    """What ends a file with this content."""
    return SEAL + hashlib.sha256(content).hexdigest().encode("ascii") + b"\n"


def check_format(root: Hdf5Node, file: h5py.File, kind: str, version: int) -> None:
    """Compare the file's own statement with what is wanted."""
    if "format" not in file.attrs or "format_version" not in file.attrs:
        root.fail(
            f"HDF5 without the attributes 'format' and 'format_version'; it must be a {kind} file"
        )
    stated = root.attribute("format", "text")
    if stated != kind:
        root.fail(f"a {_plain(stated)!r} file; it must be a {kind!r} file")
    number = root.attribute("format_version", "integer")
    if number != version:
        if number > version:
            root.fail(
                f"written by a newer version of this program: format version {number}; it must be "
                f"{version}"
            )
        root.fail(
            f"format version {number}; it must be {version}. Older files have no hash of what "
            f"decides their results: make the file anew, "
            "from the model that it came from"
        )


@contextmanager
def writing(path: str | Path, kind: str, version: int, force: bool) -> Iterator[h5py.File]:
    """Fill a file in memory and write it at the end, whole or not at all; the same content always
    gives the same bytes.

    Raises ProgramFileError where ``path`` exists (without ``force``) or cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ProgramFileError(f"{path}: is a folder; it must be the name of a file")
    if os.path.lexists(path) and not force:
        raise ProgramFileError(f"{path}: exists already; {parameter('force', True)} replaces it")

    memory = io.BytesIO()
    with h5py.File(memory, "w", libver="v110") as file:
        put(file, format=kind, format_version=version)
        yield file
    end = seal(memory.getbuffer())
    memory.seek(0, io.SEEK_END)
    memory.write(end)
    write_bytes(path, memory.getbuffer(), ProgramFileError)


def put(group: h5py.Group, **attributes: Any) -> None:
    """Write attributes: texts as UTF-8 of fixed length, integers, integer vectors, real numbers."""
    for name, value in attributes.items():
        if isinstance(value, str):
            data = value.encode("utf-8")
            group.attrs.create(name, np.array(data), dtype=h5py.string_dtype("utf-8", len(data)))
        elif isinstance(value, float):
            group.attrs.create(name, value, dtype="<f8")
        else:
            group.attrs.create(name, np.asarray(value, np.int64), dtype="<i8")


def put_json(group: h5py.Group, name: str, value: object) -> None:
    """Write plain JSON values as bytes of text. Raises ProgramFileError where they are more than
    can be read again."""
    text = json.dumps(value, allow_nan=False, sort_keys=True).encode("utf-8")
    if len(text) > MAX_JSON:
        raise ProgramFileError(
            f"{name} has {len(text):,} bytes of JSON; a file must hold at most {MAX_JSON:,}"
        )
    group.create_dataset(name, data=np.frombuffer(text, np.uint8))
