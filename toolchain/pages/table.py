"""A table as data, and as CSV: the page and the CSV files show the same one.

A cell is a text, a number, a list of texts, a number with two ends (``Interval``, or anything else
with such fields), or ``Used``; None where there is nothing. CSV holds numbers as they are (shares
from 0 to 1, joules, seconds), an interval as three columns, whose names say what its ends are.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

INTERVALS = ("share", "points", "change", "joules")
"""Kinds of column whose cells have a value and two ends."""

SEEDS = ("smallest", "largest")
"""``Column.ends`` where an interval is the spread over seeds, no interval of confidence."""

BAND = ("band_low", "band_high")
"""``Column.ends`` where an interval is what the device tables and their error against measurement
give, no interval of confidence."""

EITHER = ("low_or_smallest", "high_or_largest")
"""``Column.ends`` where some rows have an interval of confidence and some a spread; another column
says which."""


@dataclass(frozen=True)
class Interval:
    """A number between two ends; None: no ends."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Used:
    """How much of a resource is used, and the most that can be."""

    used: int
    maximum: int


@dataclass(frozen=True)
class Column:
    """One column, in CSV under ``key``, elsewhere under ``label``.

    kind  text, count, number, plain share, used, seconds, joule, flags (a list of names), or one of
          ``INTERVALS``: share (0 to 1), points (difference of two shares), change (relative),
          joules (with a band or an interval)
    ends  of an interval: what CSV calls its two ends, after the key. Default: a 95 % interval
    get   item → cell, for ``Table.of``
    """

    key: str
    label: str
    kind: str = "text"
    ends: tuple[str, str] = ("low", "high")
    get: Callable[[Any], Any] | None = None

    def cell(self, item: object) -> Any:
        """The cell of an item."""
        if self.get is None:
            raise ValueError(f"column {self.key}: what its cells are is not said (get)")
        return self.get(item)


@dataclass(frozen=True)
class Table:
    """name: of its CSV file. caption: what the numbers are."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(
        cls, name: str, caption: str, columns: Iterable[Column], items: Iterable[object]
    ) -> Table:
        """One row for each item; every column says what its cell is."""
        shown = tuple(columns)
        rows = tuple({column.key: column.cell(item) for column in shown} for item in items)
        return cls(name, caption, shown, rows)

    def header(self) -> list[str]:
        """Names of the CSV columns."""
        return [name for column in self.columns for name in _names(column)]

    def records(self) -> list[list[Any]]:
        """Rows of the CSV file; None where there is nothing."""
        return [
            [value for column in self.columns for value in values(column, row[column.key])]
            for row in self.rows
        ]


def _names(column: Column) -> tuple[str, ...]:
    if column.kind == "used":
        return column.key, f"{column.key}_maximum"
    return (
        (column.key, *(f"{column.key}_{end}" for end in column.ends))
        if column.kind in INTERVALS
        else (column.key,)
    )


def values(column: Column, cell: Any) -> tuple[Any, ...]:
    """What a cell is in CSV: one value for each of the column's names there."""
    if column.kind == "used":
        return (None, None) if cell is None else (cell.used, cell.maximum)
    if column.kind in INTERVALS:
        return (None, None, None) if cell is None else (cell.value, cell.low, cell.high)
    return ("; ".join(cell) if column.kind == "flags" else cell,)


def to_csv(table: Table) -> str:
    """RFC 4180, with a header. A text that a spreadsheet would take for a formula gets an
    apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(table.header())
    for row in table.records():
        writer.writerow(["" if v is None else _text(v) for v in row])
    return buffer.getvalue()


def _text(value: object) -> str:
    if isinstance(value, str):
        return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return repr(value)
