"""The key of a cell."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def key_of(*parts: Any) -> str:
    """SHA-256 of plain JSON values, in hexadecimal: the content hash of everything that a result
    depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, allow_nan=False).encode()).hexdigest()
