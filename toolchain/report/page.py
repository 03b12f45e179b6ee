"""The report as one HTML file that needs nothing from outside: the answer first, then the pictures,
the numbers and how it was made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from toolchain import files
from toolchain.pages import formats, marks
from toolchain.pages.html import APPENDIX, document, nav, render, section
from toolchain.report import battery, evidence, made, sections, tables
from toolchain.report.answer import answer, head
from toolchain.report.examples import Example
from toolchain.report.facts import Facts
from toolchain.report.gather import gather
from toolchain.report.run import load
from toolchain.report.sections import Tables

FOOTER = (
    "<footer>Made by spikeport. Energy is an estimate from published tables; a flag accuses the "
    "evaluation, not the model.</footer>"
)


def write(folder: str | Path, path: str | Path, *, force: bool = False) -> None:
    """Write the page of a run.

    Raises ReportError or StoreError for a run that cannot be reported, OutputError where ``path``
    exists, cannot be written or does not end in .html.
    """
    files.require_ending(path, (".html",))
    files.claim([path], force)
    facts, shown = gather(load(folder))
    files.write_text(path, build(facts, shown), force)


def _answer(facts: Facts, found: Tables) -> str:
    numbers = render(found["summary"], "Every network and target", most_open=60)
    return answer(facts) + numbers


def _only(name: str, heading: str) -> Callable[[Facts, Tables], str]:
    """A section that is one table, where the run has it."""
    return lambda facts, found: sections.plain(found, name, heading)


def build(facts: Facts, shown: Sequence[Example]) -> str:
    """The page from ``gather``."""
    by_name = {table.name: table for table in tables.build(facts)}

    parts: tuple[tuple[str, str, Callable[[Facts, Tables], str]], ...] = (
        ("answer", "The answer", _answer),
        ("methods", "Methods: energy against robustness", sections.methods),
        ("pareto", "Energy against robustness", sections.pareto),
        ("curves", "Accuracy under every attack", sections.curves),
        ("adaptive", "As usually published, and adaptive", sections.adaptive),
        ("scatter", "Software against hardware", sections.scatter),
        ("energy", "Energy and time", sections.energy),
        ("layers", "Spikes layer by layer", sections.layers),
        ("chip", "On the chip", sections.chip),
        ("corruptions", "Common corruptions", _only("corruptions", "Common corruptions")),
        ("detector", "Detectors", _only("detector", "What the detector takes for perturbed")),
        ("inference", "Random networks", _only("inference", "Over inference seeds")),
        (
            "examples",
            "What the attacks look like",
            lambda facts, found: evidence.examples(facts, found, shown),
        ),
        ("flags", "Flags: how far to trust the attacks", evidence.flags),
        ("absent", "What is not there", _only("absent", "What is not there")),
        ("made", "How it was made", lambda facts, found: made.made(facts)),
    )

    contents = [(name, heading, content(facts, by_name)) for name, heading, content in parts]
    present = [entry for entry in contents if entry[2]]
    written = [section(*entry) for entry in present]

    body = [
        *head(facts),
        written[0],
        nav("On this page", [(name, heading) for name, heading, _ in present[1:]]),
        *written[1:],
        APPENDIX,
        FOOTER,
    ]
    return document(_title(facts), [part.replace("ε = ", "ε&nbsp;=&nbsp;") for part in body])


def _title(facts: Facts) -> str:
    names = [marks.short(model.name, 60) for model in facts.models]
    listed = formats.listed(names) if len(names) < 4 else f"{names[0]} and {len(names) - 1} others"
    weak = battery.title(facts.battery)
    named = f"Energy and robustness of {listed}"
    return f"{weak}. {named}" if weak else named
