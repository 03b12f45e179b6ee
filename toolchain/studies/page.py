"""What a study found, and its page: one HTML file that needs nothing from outside, in the house's
frame (toolchain.pages.html)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from toolchain.pages.html import APPENDIX, document, figure, items, nav, render, section
from toolchain.pages.table import Table
from toolchain.report import battery
from toolchain.robustness.strength import Strength


@dataclass(frozen=True)
class Figure:
    """picture, legend: HTML from toolchain.pages.plot; caption: plain text."""

    picture: str
    legend: str
    caption: str


@dataclass(frozen=True)
class Section:
    """A part of the page; all texts are plain, and escaped here.

    name      identifier, unique on the page
    points    a list after the paragraphs
    folded    tables with more rows than this are folded away
    """

    name: str
    heading: str
    paragraphs: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: int = 12


@dataclass(frozen=True)
class Findings:
    """All that a study says.

    title     the answer in one sentence
    lead      what was measured
    table     one row for each measured number; the CSV file
    facts     the same and more as plain JSON values, for --json
    battery   how strong the attacks were, see ``toolchain.report.battery``; None: nothing was
              attacked
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    table: Table
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    battery: Strength | None = None


def build(name: str, findings: Findings, command: str | None = None) -> str:
    """The page of a study; ``command``: what the user typed."""
    how = f"<p>Made by <code>{escape(command)}</code></p>" if command else ""
    weak = battery.title(findings.battery)
    title = f"{weak}. {findings.title}" if weak else findings.title
    body = [
        f'<header><p class="eyebrow">spikeport study: {escape(name)}</p><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(findings.lead)}</p></header>',
        *(
            [f'<p class="warning" role="note">{escape(battery.warning(findings.battery))}</p>']
            if weak
            else []
        ),
        nav("Contents", [(part.name, part.heading) for part in findings.sections[1:]]),
        *map(_section, findings.sections),
        APPENDIX,
        f"<footer>{how}</footer>",
    ]
    return document(
        f"{weak}. spikeport study: {name}" if weak else f"spikeport study: {name}", body
    )


def _section(part: Section) -> str:
    content = [f"<p>{escape(paragraph)}</p>" for paragraph in part.paragraphs]
    if part.points:
        content.append(items(part.points))
    content += [figure(f.picture, escape(f.caption), f.legend) for f in part.figures]
    content += [render(table, part.heading, part.folded) for table in part.tables]
    return section(part.name, part.heading, "".join(content))
