"""Cells of a table as plain text, for Markdown and TeX."""

from __future__ import annotations

from toolchain.pages import formats
from toolchain.pages.table import Column, values

INSIDE = {"seconds": "s", "joule": "J", "joules": "J"}
"""Kinds of column whose numbers carry their unit."""


def cell(column: Column, value: object) -> str:
    """What a reader sees in a cell."""
    found, *ends = values(column, value)
    if found is None:
        return formats.NOTHING
    kind = column.kind
    if kind in INSIDE:
        return formats.quantity(found, INSIDE[kind]) + _band(ends, INSIDE[kind])
    if kind == "used":
        return f"{found:,} of {ends[0]:,}"
    if kind in ("share", "points", "change"):
        shown = formats.percent(found) if kind == "share" else formats.signed(found)
        between = formats.interval(*ends)
        return shown + (" %" if kind == "change" else "") + (f" ({between})" if between else "")
    if kind == "plain share":
        return formats.percent(found)
    if kind == "count":
        return formats.count(found)
    return formats.small_number(found) if kind == "number" else str(found)


def _band(ends: list[float | None], unit: str) -> str:
    if not ends or ends[0] is None:
        return ""
    low, high = (formats.quantity(end, unit) for end in ends)
    return f" ({low} to {high})"


def label(column: Column) -> str:
    """The head of a column, with its unit."""
    return f"{column.label} (points)" if column.kind == "points" else column.label
