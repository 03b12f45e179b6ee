"""Which tables a report has, and their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from toolchain import files
from toolchain.pages import tex
from toolchain.pages.table import Table, to_csv
from toolchain.report import accuracy_tables as accuracy
from toolchain.report import battery, cascades, further, methods
from toolchain.report import energy_tables as energy
from toolchain.report.facts import Facts
from toolchain.report.trainings import several

ALWAYS: tuple[Callable[[Facts], Table], ...] = (
    accuracy.glance,
    accuracy.worst,
    accuracy.attacks,
    accuracy.comparisons,
    energy.energy,
    energy.layers,
    energy.chip,
    further.examples,
    further.flags,
    energy.devices,
)
"""In the order of the page."""

ATTACKED: tuple[Callable[[Facts], Table], ...] = (
    cascades.table,
    further.published,
    further.masking,
    further.near_threshold,
    further.detector,
    further.corruptions,
    further.inference,
)
"""Only where they have rows."""


def build(facts: Facts) -> list[Table]:
    """All tables of a report; those of ``methods`` where networks differ in the seed of their
    training alone."""
    some = [
        *(table(facts) for table in ATTACKED),
        *energy.measured(facts),
        further.absent(facts),
    ]
    return [
        *(table(facts) for table in ALWAYS),
        *_methods(facts),
        *(table for table in some if table.rows),
    ]


def _methods(facts: Facts) -> list[Table]:
    """Of methods with several trainings; of targets that ran fewer samples only the networks' own
    rows say something."""
    if not several(facts):
        return []
    most = max(entry.samples for model in facts.models for entry in model.targets)
    table = methods.results([facts])
    rows = tuple(row for row in table.rows if row["samples"] == most)
    return [
        _without_data(replace(table, name="methods", rows=rows)),
        _without_data(replace(methods.masking([facts]), name="methods_masking")),
    ]


def _without_data(table: Table) -> Table:
    return replace(table, columns=tuple(c for c in table.columns if c.key != "data"))


def write(facts: Facts, folder: str | Path, force: bool = False) -> list[Path]:
    """Every table as FOLDER/NAME.csv. Raises OutputError where one exists (without ``force``) or
    cannot be written."""
    tables = build(facts)
    folder = files.claim_folder(folder, [f"{table.name}.csv" for table in tables], force)
    for table in tables:
        files.write_text(folder / f"{table.name}.csv", to_csv(table), force)
    return [folder / f"{table.name}.csv" for table in tables]


def to_tex(facts: Facts) -> str:
    """Every table as LaTeX."""
    return tex.document(build(facts), battery.warning(facts.battery))
