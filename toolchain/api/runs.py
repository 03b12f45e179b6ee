"""The results of ``spikeport bench``, opened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hardware import _tabular
from toolchain import files
from toolchain.api.arguments import number, one_of, text

if TYPE_CHECKING:
    import numpy as np
    import pandas

    from toolchain.pages.table import Table
    from toolchain.report.examples import Example
    from toolchain.report.facts import Facts
    from toolchain.report.records import StoredSamples
    from toolchain.report.run import StoredRun

GLANCE = "summary"
"""The table that is shown first."""


@dataclass(frozen=True, eq=False)
class BenchRun:
    """A run's folder: records, facts and tables.

    run      see ``toolchain.report.run.StoredRun``
    rate_hz  inferences in a second that static energy is for; None: without a pause
    """

    run: StoredRun
    rate_hz: float | None = None

    @cached_property
    def _gathered(self) -> tuple[Facts, list[Example]]:
        from toolchain.report.gather import gather

        return gather(self.run, self.rate_hz)

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.run.folder

    @property
    def facts(self) -> Facts:
        """Everything that the report shows; ``spikeport report --json`` writes the same."""
        return self._gathered[0]

    @cached_property
    def tables(self) -> dict[str, Table]:
        """Name → table, as ``spikeport report --csv`` writes them."""
        from toolchain.report import tables

        return {table.name: table for table in tables.build(self.facts)}

    def records(self) -> dict[str, np.ndarray]:
        """What every target made of every sample: column → values, see
        ``toolchain.report.records.COLUMNS``."""
        from toolchain.report import records

        return records.records(self.run)

    def samples(self) -> Iterator[StoredSamples]:
        """The inputs of every attack and of clean samples, each once for all targets.

        Raises:
            ReportError: where the run does not hold inputs that a record is of.
        """
        from toolchain.report import records

        return records.samples(self.run)

    def to_frame(self, table: str = GLANCE) -> pandas.DataFrame:
        """One of the tables as a data frame; columns are those of its CSV file.

        Args:
            table: a name in ``tables``.

        Raises:
            ArgumentError: for another name.
            MissingPackageError: where pandas is not installed.
        """
        chosen = self.tables[one_of("table", table, tuple(self.tables))]
        names = chosen.header()
        return _tabular.frame([dict(zip(names, row)) for row in chosen.records()], names)

    def report(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the page.

        Args:
            path: an HTML file.
            force: replace a file that exists.

        Raises:
            OutputError: where it cannot be written, or does not end in .html.
        """
        from toolchain.report import page

        target = Path(text("path", path, "the path of a file"))
        files.require_ending(target, (".html",))
        files.write_text(target, page.build(*self._gathered), force)
        return target

    def __repr__(self) -> str:
        models = len({record.description["model"] for record in self.run.records})
        return f"BenchRun({self.folder}: {models} models, {len(self.run.records)} scored cells)"

    def _repr_html_(self) -> str:
        table = self.tables[GLANCE]
        return _tabular.html(repr(self), table.header(), table.records(), table.caption)


def open_run(folder: str | Path, *, rate_hz: float | None = None) -> BenchRun:
    """Open the results of ``spikeport bench``.

    Args:
        folder: the run.
        rate_hz: inferences in a second that static energy is for; None: without a pause.

    Raises:
        ArgumentError: for arguments of the wrong type.
        ReportError, StoreError: where there is no run, or a damaged one.
    """
    from toolchain.report.run import load

    return BenchRun(load(text("folder", folder, "the folder of a run")), number("rate_hz", rate_hz))
