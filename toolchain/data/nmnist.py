"""N-MNIST event recordings: the subset of SLAYER's tutorials (``.bs2`` files and train1K.txt,
test100.txt), in ``root``, ``root/NMNIST_small``, ``root/nmnist``, or packed as
``root/nmnist/nmnist_small.tar.xz``; or the whole set in its original folders
``root/NMNIST/{Train,Test}/<digit>/*.bin``.

An event is 5 bytes, big endian: x, y, (polarity << 7 | time >> 16), time >> 8, time; microseconds.
The channel is the polarity. Format: Orchard et al., Frontiers in Neuroscience 9:437 (2015).
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from toolchain.data import files
from toolchain.errors import DataError

LISTS = {"train": "train1K.txt", "test": "test100.txt"}
ARCHIVE = "nmnist_small.tar.xz"
LIMIT = 1 << 20
ARCHIVE_LIMIT = 64 << 20
MEMBERS = 200_000
"""Files of an archive; the whole set has 70,000 recordings."""

SIZE = 34

Content = bytes | memoryview


def read(split: str, root: Path | None) -> tuple[list[np.ndarray], np.ndarray]:
    """(one int32 array [event, 4] (time, channel, y, x) for each sample, labels)."""
    root = files.folder("nmnist", root)
    for place in ("", "NMNIST_small", "nmnist", "nmnist/NMNISTsmall"):
        if (root / place / LISTS[split]).is_file():
            return _listed(split, _beside(root / place))
    for archive in (root / ARCHIVE, root / "nmnist" / ARCHIVE):
        if archive.is_file():
            return _listed(split, _archive(archive))
    whole = root / "NMNIST" / split.capitalize()
    if whole.is_dir():
        return _folders(whole)
    raise DataError(
        f"nmnist: neither {LISTS[split]}, {ARCHIVE} nor NMNIST/{split.capitalize()} is in the data "
        f"folder {root} or its nmnist"
    )


def _beside(folder: Path) -> Callable[[str], Content]:
    """Reads files of a folder by name."""
    return lambda name: files.read(folder / name, LIMIT)


def _archive(path: Path) -> Callable[[str], Content]:
    """Reads members of the inner archive by file name."""
    # unpacked within a bound first: tarfile would unpack gigabytes to pass over one member
    content = files.read(path, ARCHIVE_LIMIT)
    try:
        inner = next((data for name, data in _members(content) if name.endswith(".tar")), None)
        if inner is None:
            raise DataError(
                f"{path}: holds no .tar file; it must be the archive of SLAYER's tutorials"
            )
        members = {Path(name).name: data for name, data in _members(inner)}
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: no archive of recordings: {str(error)[:200]}") from None

    def member(name: str) -> Content:
        if name not in members:
            raise DataError(f"{path}: holds no {name}")
        return members[name]

    return member


def _members(content: Content) -> Iterator[tuple[str, memoryview]]:
    """Names and contents of the files of a plain tar archive, where they lie in it."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        for number, member in enumerate(tar):
            if number >= MEMBERS:
                raise DataError(f"nmnist: an archive has more than {MEMBERS} members")
            if member.isfile():
                yield (
                    member.name,
                    memoryview(content)[member.offset_data : member.offset_data + member.size],
                )


def _listed(split: str, content: Callable[[str], Content]) -> tuple[list[np.ndarray], np.ndarray]:
    text = bytes(content(LISTS[split])).decode("ascii", "replace")
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    if not lines or any(
        len(line) != 2 or not (line[0] + line[1]).isdigit() or int(line[1]) > 9 for line in lines
    ):
        raise DataError(f"nmnist: {LISTS[split]} does not list 'number class' in every line")
    numbers = Counter(number for number, _ in lines)
    if max(numbers.values()) > 1:
        raise DataError(
            f"nmnist: {LISTS[split]} lists recording {numbers.most_common(1)[0][0]} twice"
        )
    return [_events(f"{number}.bs2", content(f"{number}.bs2")) for number, _ in lines], np.array(
        [int(label) for _, label in lines]
    )


def _folders(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    paths = [
        (path, label) for label in range(10) for path in sorted((folder / str(label)).glob("*.bin"))
    ]
    if not paths:
        raise DataError(f"nmnist: {folder} holds no <digit>/*.bin")
    return [_events(str(path), files.read(path, LIMIT)) for path, _ in paths], np.array(
        [label for _, label in paths]
    )


def _events(name: str, content: Content) -> np.ndarray:
    if len(content) % 5:
        raise DataError(f"nmnist: {name} has {len(content)} bytes, which are no events of 5 bytes")
    raw = np.frombuffer(content, np.uint8).reshape(-1, 5).astype(np.int32)
    time = (raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]
    events = np.stack([time, raw[:, 2] >> 7, raw[:, 1], raw[:, 0]], axis=1)
    if len(events) and events[:, 2:].max() >= SIZE:
        raise DataError(
            f"nmnist: {name} has an event at {events[:, 2:].max()}; it must be from 0 to {SIZE - 1}"
        )
    return events
