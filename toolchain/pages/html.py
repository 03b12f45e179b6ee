"""The frame of every page, its sections, tables and figures as HTML. Every text that comes from
outside passes ``html.escape`` here or where it is put into a section."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from toolchain.pages import formats
from toolchain.pages.formats import NOT_TESTED
from toolchain.pages.table import Column, Interval, Table, values

APPENDIX = (
    '<section id="appendix" aria-labelledby="appendix-title" hidden>'
    '<h2 id="appendix-title">All numbers</h2></section>'
)
"""Where the script puts the tables in print, so that they do not interrupt the story."""

DENSE = ((20, "denser"), (13, "dense"))
"""Columns beyond which a table is set in smaller type, so that it fits the page, and its class."""

_UNITS = {"joules": "J", "joule": "J", "seconds": "s"}
_TEXTS = ("text", "flags")


def flag_links(names: Sequence[str]) -> str:
    """Links to the explanations of flags."""
    return " ".join(
        NOT_TESTED
        if name == NOT_TESTED
        else f'<a class="flag" href="#flag-{escape(name)}">{escape(formats.words(name))}</a>'
        for name in names
    )


def nav(label: str, parts: Iterable[tuple[str, str]]) -> str:
    """Links to sections, (name, heading) each."""
    links = "".join(
        f'<li><a href="#{escape(name)}">{escape(heading)}</a></li>' for name, heading in parts
    )
    return f'<nav aria-label="{escape(label)}"><ul>{links}</ul></nav>'


def section(name: str, heading: str, content: str) -> str:
    """A part of the page; ``content`` is HTML."""
    name, heading = escape(name), escape(heading)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">'
        f'<h2 id="{name}-title">{heading}</h2>{content}</section>'
    )


def items(texts: Iterable[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def render(table: Table, heading: str = "", most_open: int = 0) -> str:
    """A sortable table with its caption below, outside of what scrolls; the first column names the
    row. Within ``details`` where it has more rows than ``most_open``."""
    units = {c.key: _unit(table, c) for c in table.columns if c.kind in _UNITS}
    head = "".join(
        f'<th scope="col"{"" if c.kind in _TEXTS else " class=n"} '
        f'data-key="{escape(c.key)}">{escape(c.label)}{_of(c, units)}</th>'
        for c in table.columns
    )
    rows = "".join(
        f"<tr{' class=flagged' if set(row.get('flags') or ()) - {NOT_TESTED} else ''}>"
        + "".join(_cell(c, row[c.key], i == 0, units) for i, c in enumerate(table.columns))
        + "</tr>"
        for row in table.rows
    )

    name = f"table-{table.name}"
    dense = next((name for most, name in DENSE if len(table.columns) > most), "")
    html = (
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}-caption"><table '
        f'id="{name}" class="sortable {dense}" aria-labelledby="{name}-caption">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="caption" id="{name}-caption">{escape(table.caption)}</p>'
    )

    if len(table.rows) <= most_open:
        return html
    summary = f"{escape(heading)}: the numbers ({len(table.rows):,} rows)"
    return f'<details class="numbers"><summary>{summary}</summary>{html}</details>'


def details(summary: str, content: str, css: str = "") -> str:
    """Something for the second minute; ``content`` is HTML. ``css`` "more": stays folded in
    print."""
    return f"<details class='{css}'><summary>{escape(summary)}</summary>{content}</details>"


def figure(picture: str, caption: str, legend: str = "") -> str:
    """A picture with its legend and caption, both HTML."""
    return (
        f'<figure>{legend}<div class="scroll wide" tabindex="-1">{picture}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _unit(table: Table, column: Column) -> tuple[float, str]:
    """(factor, unit) for a whole column, so that its numbers compare at a glance."""
    numbers = [v for row in table.rows for v in values(column, row[column.key])]
    factor, prefix = formats.prefix(numbers)
    return factor, prefix + _UNITS[column.kind]


def _of(column: Column, units: Mapping[str, tuple[float, str]]) -> str:
    if column.kind == "points":
        return " (points)"
    return f" ({units[column.key][1]})" if column.key in units else ""


def _cell(column: Column, cell: Any, first: bool, units: Mapping[str, tuple[float, str]]) -> str:
    parts = values(column, cell)
    names = ("value", "maximum") if column.kind == "used" else ("value", "low", "high")
    data = "".join(
        f' data-{name}="{escape(_raw(v))}"' for name, v in zip(names, parts) if v is not None
    )
    content = formats.NOTHING if parts[0] is None else _content(column, cell, units)
    css = "" if column.kind in _TEXTS else " class=n"
    return f'<th scope="row"{data}>{content}</th>' if first else f"<td{css}{data}>{content}</td>"


def _raw(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _content(column: Column, cell: Any, units: Mapping[str, tuple[float, str]]) -> str:
    kind = column.kind
    if kind == "flags":
        return flag_links(cell) or "none"
    if kind in ("share", "points", "change", "joules"):
        return _with_interval(kind, cell, units.get(column.key, (1.0, ""))[0])
    if kind in ("joule", "seconds"):
        return formats.significant(cell / units[column.key][0])
    if kind == "used":
        return f"{cell.used:,} of {cell.maximum:,}"
    if kind == "plain share":
        return formats.percent(cell)
    if kind == "count":
        return formats.count(cell)
    return escape(formats.small_number(cell) if kind == "number" else cell)


def _with_interval(kind: str, cell: Interval, factor: float) -> str:
    value, low, high = cell.value, cell.low, cell.high
    if kind == "joules":
        shown, ends = formats.significant(value / factor), ""
        if low is not None and high is not None:
            ends = f"{formats.significant(low / factor)}–{formats.significant(high / factor)}"
    else:
        shown = {
            "share": formats.percent(value),
            "points": formats.signed(value),
            "change": f"{formats.signed(value)} %",
        }[kind]
        ends = formats.interval(low, high)
    return shown + (f' <span class="ci">{ends}</span>' if ends else "")


def _file(name: str) -> str:
    return resources.files("toolchain.pages").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def document(title: str, body: Sequence[str]) -> str:
    """The whole page. Its policy allows this stylesheet, this script and pictures inside the page,
    and nothing else."""
    style, script = _file("style.css"), _file("script.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" '
        'content="no-referrer">'
        f'<link rel="icon" '
        f'href="data:,"><title>{escape(title)}</title><style>{style}</style></head>\n'
        "<body><main>\n"
        + "\n".join(body)
        + '\n</main><div id="tip" role="tooltip" hidden></div><p id="said" class="unseen" '
        'aria-live="polite"></p>'
        f"<script>{script}</script></body></html>\n"
    )
