"""Reading TOML: the package's tables (chips, devices), and every table that a user writes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hardware._files import read_text
from hardware.errors import HardwareError

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]  # the same library before Python 3.11


MOST = 256 << 10
"""Bytes of a TOML file. The longest that people write, a sweep of fifty models, has 10 kB."""

KEY_PARTS = 64


def load(path: str | Path, error: type[Exception], what: str) -> dict[str, Any]:
    """A TOML file as a dictionary. Raises ``error``, which names the file, where it is none."""
    text = read_text(path, error, MOST, what)
    # the time that the parser takes grows with the square of the parts of a key
    if any(part.count(".") > KEY_PARTS for part in re.split(r"[={,\n]", text)):
        raise error(
            f"{path}: a key of more than {KEY_PARTS} parts with a dot between; {what} must be given"
        )
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise error(f"{path}: not TOML: values are nested too deep; {what} must be given") from None
    except ValueError as reason:  # a TOMLDecodeError, or a number of thousands of digits
        raise error(f"{path}: not TOML: {str(reason)[:300]}; {what} must be given") from None


def read(
    path: Path, error: type[HardwareError], texts: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, str]]:
    """A TOML file as a dictionary, and the ``texts`` taken out of it, which it must hold. Raises
    ``error``, naming the file."""
    table = load(path, error, "a TOML table")
    taken = {}
    for key in texts:
        value = table.pop(key, None)
        if not isinstance(value, str) or not value:
            came = "missing" if value is None else repr(value)
            raise error(f"{path}: {key} is {came}; it must be a text")
        taken[key] = value
    return table, taken


def exactly(
    path: Path, error: type[HardwareError], table: dict[str, Any], wanted: tuple[str, ...]
) -> None:
    """Refuse a table that does not have exactly the keys ``wanted``."""
    for wrong, state in (
        (set(table) - set(wanted), "unknown"),
        (set(wanted) - set(table), "missing"),
    ):
        if wrong:
            raise error(
                f"{path}: [{sorted(wrong)[0]}] is {state}; there must be exactly "
                f"{', '.join(wanted)}"
            )
