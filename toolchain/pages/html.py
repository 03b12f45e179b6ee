"""Tables and the frame of the page as HTML. Every text that comes from outside passes
``html.escape`` here or in ``page``."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources

from toolchain.pages import formats
from toolchain.pages.formats import NOT_TESTED
from toolchain.pages.marks import letters_of
from toolchain.pages.table import Column, Table, values

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


def items(texts: Iterable[str]) -> str:
    """A list of plain texts."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def sign(facts: dict, model: dict) -> str:
    """The letter of a model in its colour."""
    place = [m["name"] for m in facts["models"]].index(model["name"])
    return f'<span class="letter c{place % 8}">{letters_of(facts["models"])[model["name"]]}</span>'


def title(facts: dict, model: dict) -> str:
    """A heading with the letter and the name of a model."""
    return f"<h3>{sign(facts, model)} {escape(model['name'])}</h3>"


def render(table: Table, heading: str = "", most_open: int = 0, css: str = "") -> str:
    """A sortable table; the first column names the row. Within ``details`` where it has more rows
    than ``most_open``."""
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
    caption = escape(table.caption)
    name = f"table-{table.name}"
    html = (
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}-caption"><table '
        f'id="{name}" class="sortable {css}">'
        f'<caption id="{name}-caption">{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
    if len(table.rows) <= most_open:
        return html
    return f'<details class="numbers"><summary>{escape(heading)}: the numbers ({len(table.rows):,} rows)</summary>{html}</details>'


def details(summary: str, content: str, css: str = "") -> str:
    """Something for the second minute; ``content`` is HTML. ``css`` "more": stays folded in
    print."""
    return f"<details class='{css}'><summary>{escape(summary)}</summary>{content}</details>"


def figure(picture: str, caption: str, legend: str = "") -> str:
    """A picture with its legend and caption, both HTML."""
    return f'<figure>{legend}<div class="scroll wide" tabindex="-1">{picture}</div><figcaption>{caption}</figcaption></figure>'


def _unit(table: Table, column: Column) -> tuple[float, str]:
    """(factor, unit) for a whole column, so that its numbers compare at a glance."""
    numbers = [v for row in table.rows for v in values(column, row[column.key])]
    factor, prefix = formats.prefix(numbers)
    return factor, prefix + _UNITS[column.kind]


def _of(column: Column, units: Mapping[str, tuple[float, str]]) -> str:
    if column.kind == "points":
        return " (points)"
    return f" ({units[column.key][1]})" if column.key in units else ""


def _cell(column: Column, cell, first: bool, units: Mapping[str, tuple[float, str]]) -> str:
    found = values(column, cell)
    names = ("value", "maximum") if column.kind == "used" else ("value", "low", "high")
    data = "".join(
        f' data-{name}="{escape(_raw(v))}"' for name, v in zip(names, found) if v is not None
    )
    content = formats.NOTHING if found[0] is None else _content(column, cell, units)
    css = "" if column.kind in _TEXTS else " class=n"
    return f'<th scope="row"{data}>{content}</th>' if first else f"<td{css}{data}>{content}</td>"


def _raw(value) -> str:
    return value if isinstance(value, str) else repr(value)


def _content(column: Column, cell, units: Mapping[str, tuple[float, str]]) -> str:
    kind = column.kind
    if kind == "flags":
        return flag_links(cell) or "none"
    if kind in ("share", "points", "change", "joules"):
        return _with_interval(kind, cell, units.get(column.key, (1.0, ""))[0])
    if kind in ("joule", "seconds"):
        return formats.significant(cell / units[column.key][0])
    if kind == "used":
        return f"{cell['used']:,} of {cell['maximum']:,}"
    if kind == "plain share":
        return formats.percent(cell)
    if kind == "count":
        return formats.count(cell)
    return small_number(cell) if kind == "number" else escape(cell)


def small_number(value: float) -> str:
    """A number as it was given where that is short, else with three significant digits."""
    if 0 < abs(value) < 1e-4:
        return "&lt; 0.0001" if value > 0 else "&gt; −0.0001"
    if abs(value) >= 1000:
        return formats.significant(value)
    short = f"{value:g}".replace("-", "−")
    return short if len(short) <= 6 and "e" not in short else formats.significant(value)


def _with_interval(kind: str, cell: Mapping, factor: float) -> str:
    value, low, high = (cell[end] for end in ("value", "low", "high"))
    if kind == "joules":
        shown, ends = formats.significant(value / factor), ""
        if low is not None:
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
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
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
