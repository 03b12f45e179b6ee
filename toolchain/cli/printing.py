"""How commands print: tables, numbers, progress, and the file behind --json."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from toolchain import files
from toolchain.deploy.inputs import Samples
from toolchain.pages.formats import seconds
from toolchain.remarks import Remark
from toolchain.version import __version__

if TYPE_CHECKING:
    from export.audit import Audit
    from toolchain.robustness.strength import Strength

__all__ = [
    "audited",
    "count",
    "data_facts",
    "line",
    "progress",
    "reading",
    "say_battery",
    "say_data",
    "say_salvaged",
    "say_warnings",
    "seconds",
    "table",
    "write_json",
]


def table(head: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Plain text table; columns in ``right`` are aligned to the right, ``None`` is printed as
    "-"."""
    cells = [[("-" if c is None else str(c)) for c in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    cells.insert(1, ["-" * w for w in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    )


def count(value: float | None) -> str:
    """A count or a mean of counts: thousands separated, one decimal where it is no whole number."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


@contextmanager
def progress(label: str, unit: str = "sample") -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr for work that takes longer than two seconds; yields ``update(done,
    total)``. Nothing is drawn where stderr is no terminal."""
    with tqdm(
        desc=label,
        unit=unit,
        delay=2.0,
        leave=False,
        file=sys.stderr,
        mininterval=0.2,
        disable=None,  # where stderr is no terminal: a bar would fill a log with its redrawn lines
    ) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def say_data(given: Samples) -> None:
    """What became of events on the way to the network."""
    for note in given.notes:
        click.echo(f"data       {note}")


def data_facts(given: Samples) -> dict[str, Any]:
    """The same in JSON, beside the description of the data."""
    facts: dict[str, Any] = {"data": given.description, "data_notes": list(given.notes)}
    return facts if given.events is None else facts | {"events": dict(given.events)}


def say_warnings(found: Sequence[Remark]) -> None:
    """A line for each."""
    for remark in found:
        click.echo(f"warning: {remark.message}")


def line(text: str) -> None:
    """A line on stdout while a progress bar is on the screen."""
    tqdm.write(text, file=sys.stdout)


def reading(audit: Audit | None) -> None:
    """How a model that leaves something open was read: lines on stdout, before any result."""
    if audit is not None:
        for text in audit.reading:
            click.echo(f"reading    {text}")


def audited(audit: Audit | None) -> dict[str, Any]:
    """The same for --json, with the verdict."""
    if audit is None:
        return {"verdict": None, "reading": []}
    return {"verdict": audit.verdict, "reading": list(audit.reading)}


def say_salvaged(folder: Path) -> None:
    """What --salvage asks for, and what came of it. Raises StoreError."""
    from toolchain.cells.salvage import salvage

    salvaged = salvage(folder)
    if salvaged.aside is None:
        click.echo(f"nothing in {folder} is damaged: {salvaged.kept} cells", err=True)
    else:
        click.echo(
            f"salvaged {salvaged.kept} cells, {salvaged.lost} more are damaged; "
            f"the damaged file is now {salvaged.aside}",
            err=True,
        )


def say_battery(tried: Strength | None) -> None:
    """The last line of a command that prints accuracies under attack, where the attacks were a
    smoke test."""
    from toolchain.report import battery

    if battery.weak(tried):
        click.echo(f"\n{battery.title(tried)}. {battery.warning(tried)}")


def write_json(path: Path | None, command: str, value: Mapping[str, Any], force: bool) -> None:
    """What --json asks for; nothing where it was not given."""
    if path is not None:
        files.write_json(path, {"spikeport": __version__, "command": command, **value}, force)
        click.echo(f"wrote {path}", err=True)
