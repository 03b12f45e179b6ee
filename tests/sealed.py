"""Changes a Program or Recording file as somebody who knows the format would: with a seal that is
right again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from hardware._hdf5 import SEAL, seal


@contextmanager
def edited(path: str | Path) -> Iterator[h5py.File]:
    """The file, open for changes; sealed anew at the end."""
    with h5py.File(path, "r+") as file:
        yield file
    sealed_anew(path)


def sealed_anew(path: str | Path) -> None:
    """Replace the seal of a file by the right one for its bytes."""
    content = Path(path).read_bytes()
    length = len(seal(b""))
    content = content[:-length] if content[-length:].startswith(SEAL) else content
    Path(path).write_bytes(content + seal(content))
