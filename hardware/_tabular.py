"""Rows for notebooks: a pandas data frame, and a small table in HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from hardware.errors import MissingPackageError

if TYPE_CHECKING:
    import pandas


def frame(rows: Sequence[Mapping[str, object]], columns: Sequence[str] = ()) -> pandas.DataFrame:
    """Rows as a data frame.

    Args:
        rows: one mapping for each row, all with the same keys.
        columns: names of the columns, needed where there may be no row.

    Raises:
        MissingPackageError: where pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingPackageError(
            "to_frame() needs pandas, which is not installed: pip install 'spikeport[frames]'"
        ) from None
    names = list(columns) or (list(rows[0]) if rows else [])
    return pandas.DataFrame([dict(row) for row in rows], columns=names)


def html(title: str, head: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> str:
    """A table with a title above and a note below, as notebooks show it.

    Args:
        title: one line.
        head: names of the columns.
        rows: cells; numbers are aligned to the right, None is left empty.
        note: one line.
    """

    def cell(value: object) -> str:
        if value is None:
            return "<td></td>"
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            shown = f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
            return f'<td style="text-align:right">{shown}</td>'
        return f'<td style="text-align:left">{escape(str(value))}</td>'

    heads = "".join(f'<th style="text-align:left">{escape(name)}</th>' for name in head)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>" if rows else ""
    after = f"<div>{escape(note)}</div>" if note else ""
    return f"<div><strong>{escape(title)}</strong></div>{table}{after}"
