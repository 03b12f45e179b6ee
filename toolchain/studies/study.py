"""One call for a whole study: read its file, compute what is missing, write its page and its
table."""

from __future__ import annotations

import importlib
from pathlib import Path

from hardware import _toml
from toolchain import files
from toolchain.cells.store import Store
from toolchain.errors import ConfigError
from toolchain.pages.table import to_csv
from toolchain.studies import base, page
from toolchain.studies.registry import STUDIES


def read(name: str, path: str | Path):
    """(study, plan) of a study from its TOML file. Raises ConfigError."""
    path = Path(path)
    study = named(name)
    table = _toml.load(path, ConfigError, "a study, a TOML file,")
    return study, study.read(table, str(path), path.parent)


def named(name: str):
    """The study of this name, see ``toolchain.studies``. Raises ConfigError."""
    if name not in STUDIES:
        raise ConfigError(f"there is no study {name!r}; there are {', '.join(STUDIES)}")
    module, _, inside = STUDIES[name].partition(":")
    study = importlib.import_module(module)
    return getattr(study, inside) if inside else study


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
