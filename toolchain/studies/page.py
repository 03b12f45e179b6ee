"""What a study found, and its page: one HTML file that needs nothing from outside, in the house's
frame (toolchain.pages.html)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape

from toolchain.pages.html import document, figure, items, render
from toolchain.pages.table import Table
from toolchain.report import battery
from toolchain.report.page import APPENDIX


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
    facts: Mapping = field(default_factory=dict)
    battery: Mapping | None = None


def build(name: str, findings: Findings, command: str | None = None) -> str:
    """The page of a study; ``command``: what the user typed."""
    links = "".join(
        f'<li><a href="#{escape(s.name)}">{escape(s.heading)}</a></li>'
        for s in findings.sections[1:]
    )
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
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
        *(_section(section) for section in findings.sections),
        APPENDIX,
        f"<footer>{how}</footer>",
    ]
    return document(
        f"{weak}. spikeport study: {name}" if weak else f"spikeport study: {name}", body
    )


def _section(section: Section) -> str:
    parts = [f"<p>{escape(paragraph)}</p>" for paragraph in section.paragraphs]
    if section.points:
        parts.append(items(section.points))
    parts += [figure(f.picture, escape(f.caption), f.legend) for f in section.figures]
    parts += [render(table, section.heading, section.folded) for table in section.tables]
    name, heading = escape(section.name), escape(section.heading)
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{heading}</h2>{"".join(parts)}</section>'
