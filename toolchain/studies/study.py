"""One call for a whole study: read its file, compute what is missing, write its page and its
table."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from hardware import _toml
from toolchain import files
from toolchain.cells.store import Store
from toolchain.errors import ConfigError
from toolchain.pages.table import to_csv
from toolchain.studies import base, page
from toolchain.studies.registry import STUDIES
from toolchain.tables import Settings


class Study(Protocol):
    """A module or an object; see ``toolchain.studies``. A plan is the study's own."""

    @property
    def settings(self) -> type[Settings]: ...

    def read(self, table: Mapping[str, Any], where: str, folder: Path) -> Any: ...

    def cells(self, plan: Any) -> list[base.Cell]: ...

    def findings(self, plan: Any, results: Mapping[str, dict[str, Any]]) -> page.Findings: ...


def read(name: str, path: str | Path) -> tuple[Study, Any]:
    """(study, plan) of a study from its TOML file. Raises ConfigError."""
    path = Path(path)
    study = named(name)
    table = _toml.load(path, ConfigError, "a study, a TOML file,")
    return study, study.read(table, str(path), path.parent)


def named(name: str) -> Study:
    """The study of this name, see ``toolchain.studies``. Raises ConfigError."""
    if name not in STUDIES:
        raise ConfigError(f"there is no study {name!r}; there are {', '.join(STUDIES)}")
    module, _, inside = STUDIES[name].partition(":")
    study: Any = importlib.import_module(module)
    found: Study = getattr(study, inside) if inside else study
    return found


def run(
    name: str,
    path: str | Path,
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: base.Progress | None = None,
    command: str | None = None,
) -> page.Findings:
    """Run a study into a folder, which is made or continued; writes NAME.html and NAME.csv there.

    workers   processes; None: one for each core
    command   what the user typed, for the page

    Raises ConfigError, StudyError (finished cells are kept), StoreError (another run is at work
    there, a damaged store, a full disk) and OutputError.
    """
    study, plan = read(name, path)
    with Store(folder) as store:
        results = base.run(study.cells(plan), store, workers=workers, progress=progress)
        findings = study.findings(plan, results)
        files.write_text(store.folder / f"{name}.csv", to_csv(findings.table), force=True)
        files.write_text(
            store.folder / f"{name}.html", page.build(name, findings, command), force=True
        )
    return findings
