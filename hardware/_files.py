"""Files that appear whole or not at all; shared by everything that writes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: str | Path, error: type[Exception]) -> Iterator[Path]:
    """Yields a name beside ``path`` to write to; at the end that file takes the place of ``path``, through links.

    A reader sees the old file or the new one, never half of it, and a failure leaves the old one and nothing beside it. What the caller
    accepts in the way is the caller's to check. Raises ``error``, naming ``path``, where it cannot be written.
    """
    final = Path(os.path.realpath(path))
    part = final.with_name(f".{final.name[:200]}.{secrets.token_hex(4)}.part")
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(part, final)
    except OSError as failure:
        raise error(f"{path}: cannot be written: {failure.strerror or failure}") from failure
    finally:
        with suppress(OSError):  # gone, or never made
            part.unlink()
