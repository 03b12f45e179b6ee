"""Griffe extension: renders the aligned lists of our docstrings.

A docstring here lists what something holds in columns:

    samples    how many there are
    counts     counter → layer → int64 [sample], summed over
               the steps of a sample

Markdown would read these lines as one paragraph. This extension turns them into a definition list,
and escapes the characters that Markdown would take for markup (``2**-k``, ``[step, *shape]``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import griffe

ITEM = re.compile(r"(?P<term>\S(?:.{0,60}?\S)?)(?P<gap> {2,})(?P<text>\S.*)")
SECTION = re.compile(r"(Args|Arguments|Attributes|Examples?|Raises|Returns|Yields|Notes?):$")
SEVERAL = re.compile(
    r"^(?P<indent> +)(?P<names>\w+(?:, \w+)+)(?P<text>:.*(?:\n(?P=indent) +.*)*)", re.M
)
CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)


class AlignedLists(griffe.Extension):
    """Rewrites every docstring as it is loaded."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: object) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """A docstring of this house as Markdown that shows what its author saw."""
    blocks, after_section = [], False
    docstring = re.sub(r"^Example:$", "Examples:", docstring, flags=re.M)  # as griffe knows it
    for block in re.split(r"\n[ \t]*\n", docstring):
        lines = block.split("\n")
        is_code = lines[0].startswith("    ") and not after_section
        is_prompt = any(line.lstrip().startswith((">>>", "```")) for line in lines)
        after_section = SECTION.match(lines[0].strip()) is not None
        if is_code or is_prompt or after_section:
            blocks.append(block if is_code or is_prompt else _escaped(SEVERAL.sub(_each, block)))
        else:
            blocks.append("\n\n".join(_parts(lines)))
    return "\n\n".join(blocks)


def _each(item: re.Match[str]) -> str:
    """An argument for each name of ``a, b: what they mean``."""
    return "\n".join(f"{item['indent']}{n}{item['text']}" for n in item["names"].split(", "))


def _parts(lines: list[str]) -> Iterator[str]:
    """A block's paragraphs and lists, in turn."""
    paragraph: list[str] = []
    while lines:
        items, rest = _items(lines)
        if not items:
            paragraph.append(lines[0])
            lines = lines[1:]
            continue
        if paragraph:
            yield _escaped("\n".join(paragraph))
            paragraph = []
        yield "\n\n".join(f"{_term(term)}\n:   {_escaped(text)}" for term, text in items)
        lines = rest
    if paragraph:
        yield _escaped("\n".join(paragraph))


def _items(lines: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The aligned items that ``lines`` begin with, as (term, text), and the lines behind them."""
    items: list[tuple[str, str]] = []
    column = None
    for number, line in enumerate(lines):
        match = ITEM.fullmatch(line)
        if match and not line.startswith(" ") and column in (None, match.start("text")):
            column = match.start("text")
            items.append((match["term"], match["text"]))
        elif column is not None and line.startswith(" " * min(column, 3)):
            items[-1] = (items[-1][0], f"{items[-1][1]} {line.strip()}")
        else:
            return items, lines[number:]
    return items, []


def _term(term: str) -> str:
    """Names as code, one by one."""
    return ", ".join(f"`{name}`" for name in term.replace("`", "").split(", "))


def _escaped(text: str) -> str:
    """``text`` with Markdown's characters outside of code taken literally."""
    parts = CODE.split(text)
    parts[::2] = [part.replace("*", "\\*").replace("<", "&lt;") for part in parts[::2]]
    return "".join(parts)
