"""Reading the package's tables (chips, devices), which may also be a user's own."""

from __future__ import annotations

from pathlib import Path

from hardware.errors import HardwareError

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib


def read(path: Path, error: type[HardwareError], texts: tuple[str, ...]) -> tuple[dict, dict[str, str]]:
    """A TOML file as a dictionary, and the ``texts`` taken out of it, which it must hold. Raises ``error``, naming the file."""
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror or reason}") from reason
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        raise error(f"{path}: not TOML: {reason}") from reason
    found = {}
    for key in texts:
        value = table.pop(key, None)
        if not isinstance(value, str) or not value:
            raise error(f"{path}: {key} is {value!r}; accepted is a text")
        found[key] = value
    return table, found


def exactly(path: Path, error: type[HardwareError], table: dict, wanted: tuple[str, ...]) -> None:
    """Refuse a table that does not have exactly the keys ``wanted``."""
    for wrong, what in ((set(table) - set(wanted), "unknown"), (set(wanted) - set(table), "missing")):
        if wrong:
            raise error(f"{path}: [{sorted(wrong)[0]}] is {what}; accepted are exactly {', '.join(wanted)}")
