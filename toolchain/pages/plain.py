"""Cells of a table as plain text, for Markdown and TeX."""

from __future__ import annotations

from toolchain.pages import formats
from toolchain.pages.table import Column, values

INSIDE = {"seconds": "s", "joule": "J", "joules": "J"}
"""Kinds of column whose numbers carry their unit."""


def cell(column: Column, value: object) -> str:
    """What a reader sees in a cell."""
    main, *ends = values(column, value)
    if main is None:
        return formats.NOTHING
    kind = column.kind
    if kind in INSIDE:
        return formats.quantity(main, INSIDE[kind]) + _band(ends, INSIDE[kind])
    if kind == "used":
        return f"{main:,} of {ends[0]:,}"
    if kind in ("share", "points", "change"):
        shown = formats.percent(main) if kind == "share" else formats.signed(main)
        between = formats.interval(*ends)
        return shown + (" %" if kind == "change" else "") + (f" ({between})" if between else "")
    if kind == "plain share":
        return formats.percent(main)
    if kind == "count":
        return formats.count(main)
    return formats.small_number(main) if kind == "number" else str(main)


def _band(ends: list[float | None], unit: str) -> str:
    if not ends or ends[0] is None:
        return ""
    low, high = (formats.quantity(end, unit) for end in ends)
    return f" ({low} to {high})"


def label(column: Column) -> str:
    """The head of a column, with its unit."""
    return f"{column.label} (points)" if column.kind == "points" else column.label
