"""Results of several runs on one page, generated from what they stored: every method's mean and
spread over its seeds, in software and on hardware, beside published figures with what their
settings have otherwise.

What a method is, says ``methods``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from toolchain import files
from toolchain.pages import formats, plain, tex
from toolchain.pages.html import document, render
from toolchain.pages.table import Column, Table
from toolchain.report import battery, methods
from toolchain.report.analysis import analyse
from toolchain.report.facts import Analysis
from toolchain.report.run import ReportError, load
from toolchain.robustness.strength import Strength

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def write(
    folders: Sequence[str | Path], path: str | Path, *, force: bool = False
) -> tuple[list[Table], Strength | None]:
    """Write the page, HTML, Markdown or LaTeX by the ending of ``path``; returns its tables, and
    the weakest battery behind them.

    Raises ReportError or StoreError for a run that cannot be reported, OutputError for another
    ending and where ``path`` exists.
    """
    path = Path(path)
    files.require_ending(path, FORMS)
    files.claim([path], force)
    loaded = [load(folder) for folder in folders]
    runs = [analyse(run.records, run.about, run.absent) for run in loaded]
    tables, tried = build(runs), battery.weakest(run.battery for run in runs)
    files.write_text(path, FORMS[path.suffix](tables, tried), force)
    return tables, tried


def build(runs: Sequence[Analysis]) -> list[Table]:
    """(our results, what each kind of attack sees, published figures of the same data sets) from
    what ``analysis.analyse`` gives of every run."""
    if not runs:
        raise ReportError("no run was given; give at least one folder that 'spikeport bench' wrote")
    return [methods.results(runs), methods.masking(runs), _published(runs)]


def published() -> list[dict[str, Any]]:
    """The entries of ``published.toml``. Raises ReportError for one without a source that was
    read."""
    text = (
        resources.files("toolchain.report").joinpath("published.toml").read_text(encoding="utf-8")
    )
    figures: list[dict[str, Any]] = tomllib.loads(text)["figure"]
    for entry in figures:
        if entry["source"].split(":")[0] not in ("S", "S3"):
            raise ReportError(
                f"published figure {entry['work']!r}: source {entry['source']!r} must begin with "
                "S: or S3:"
            )
    return figures


FIGURES = {"clean": "clean", "fgsm": "fgsm", "pgd": "pgd", "worst": "worst_case"}
"""Name of a published accuracy, in percent → our column."""


def _published(runs: Sequence[Analysis]) -> Table:
    """Published figures of the data sets of the runs; "differs": what their setting has
    otherwise."""
    rows = []
    for entry in published():
        same = [run for run in runs if run.data == entry["data"]]
        rows += [_figure(entry, row, same) for row in (entry["rows"] if same else ())]

    columns = (
        Column("method", "method"),
        Column("work", "published in"),
        Column("data", "data"),
        Column("network", "network"),
        Column("steps", "time steps", "count"),
        Column("epsilon", "radius", "number"),
        Column("clean", "clean", "plain share"),
        Column("fgsm", "FGSM", "plain share"),
        Column("pgd", "PGD", "plain share"),
        Column("worst_case", "worst case", "plain share"),
        Column("differs", "its setting, and what ours has otherwise"),
        Column("source", "read in"),
    )

    data = formats.listed(dict.fromkeys(run.data for run in runs))
    caption = (
        f"Published figures of {data}, none of them measured here, and none in our setting. S: the "
        "source itself, S3: a summary of it."
    )
    return Table("published_figures", caption, columns, tuple(rows))


def _figure(
    entry: Mapping[str, Any], row: Mapping[str, Any], runs: Sequence[Analysis]
) -> dict[str, Any]:
    """One published row beside the runs of its data set."""
    ours = "; ".join(dict.fromkeys(_differs(entry, run) for run in runs))
    shares = {
        column: None if name not in row else row[name] / 100 for name, column in FIGURES.items()
    }
    return {
        "method": row["method"],
        "work": entry["work"],
        "data": entry["data"],
        "network": entry["network"],
        "steps": entry.get("steps"),
        "epsilon": entry.get("epsilon"),
        **shares,
        "differs": f"{entry['setting']}. Ours: {ours}",
        "source": entry["source"],
    }


def _differs(entry: Mapping[str, Any], run: Analysis) -> str:
    """What a run has otherwise than a published figure."""
    samples = max(target.samples for model in run.models for target in model.targets)
    named = "one that is not stated" if entry["network"] == "not stated" else entry["network"]
    differences = [
        f"the first {samples} test samples",
        f"networks of {_width(run)} instead of {named}",
    ]
    steps = sorted({model.steps for model in run.models})
    if "steps" not in entry or steps != [entry["steps"]]:
        differences.append(f"{formats.listed(map(str, steps))} time steps")
    radii = [f"{e:.3g}" for e in run.radii]
    if "epsilon" not in entry or radii != [f"{entry['epsilon']:.3g}"]:
        differences.append(f"radius {formats.listed(radii)}" if radii else "no attack")
    return ", ".join(differences)


def _width(run: Analysis) -> str:
    """Multiply-accumulates of the same geometry, which says how large the networks are."""
    macs = [model.twin.macs for model in run.models]
    ends = [formats.count(end) for end in dict.fromkeys((min(macs), max(macs)))]
    return f"{' to '.join(ends)} multiply-accumulates"


def _html(tables: Sequence[Table], tried: Strength | None) -> str:
    shown = [table for table in tables if table.rows]
    parts = [f"<header><h1>{escape(headline(tried))}</h1></header>"]
    if battery.weak(tried):
        parts.append(f'<p class="warning" role="note">{escape(battery.warning(tried))}</p>')
    parts += [render(table, most_open=200) for table in shown]
    parts += [f"<p>{escape(line)}</p>" for line in _nothing(tables)]
    return document(headline(tried), parts)


def headline(tried: Strength | None) -> str:
    """The first line of a page of results."""
    return battery.title(tried) or "Results"


def _nothing(tables: Sequence[Table]) -> list[str]:
    """What is said of a table without rows."""
    return (
        ["No published figure that we have read is of these data sets."]
        if not tables[-1].rows
        else []
    )


def _markdown(tables: Sequence[Table], tried: Strength | None) -> str:
    parts = [f"# {headline(tried)}\n"]
    if battery.weak(tried):
        parts.append(battery.warning(tried) + "\n")
    for table in (t for t in tables if t.rows):
        parts.append(table.caption + "\n")
        parts.append("| " + " | ".join(column.label for column in table.columns) + " |")
        parts.append("|" + "---|" * len(table.columns))
        parts += [
            "| "
            + " | ".join(_escaped(plain.cell(column, row[column.key])) for column in table.columns)
            + " |"
            for row in table.rows
        ]
        parts.append("")
    return "\n".join(parts + _nothing(tables)) + "\n"


def _escaped(text: str) -> str:
    """What would be markup in Markdown is not."""
    return re.sub(r"([\\|<>*_`\[\]#&])", r"\\\1", re.sub(r"\s+", " ", text))


def _tex(tables: Sequence[Table], tried: Strength | None) -> str:
    return tex.document(tables, battery.warning(tried))


FORMS: Mapping[str, Callable[[Sequence[Table], Strength | None], str]] = {
    ".html": _html,
    ".md": _markdown,
    ".tex": _tex,
}
"""Ending of a file → what writes it."""
