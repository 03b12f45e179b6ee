"""The plots of a report as files: NAME.svg, and NAME.pdf."""

from __future__ import annotations

from pathlib import Path

from toolchain import files
from toolchain.pages import standalone
from toolchain.report import methods, pictures
from toolchain.report.facts import Facts
from toolchain.report.trainings import several


def drawn(facts: Facts) -> dict[str, str]:
    """Name → the plot as it is on the page; those that the run has."""
    drawings: dict[str, str] = {}
    if facts.radii:
        if several(facts):
            bars = "smallest to largest training"
            drawings["methods"] = pictures.pareto(methods.merged(facts), "methods", bars)
        drawings["pareto"] = pictures.pareto(facts)
        drawings["curves"] = pictures.curves(facts)
    drawings["scatter"] = pictures.scatter(facts)
    rows = (row for model in facts.models for entry in model.targets for row in entry.layers)
    if any(row.spikes is not None for row in rows):
        drawings["layers"] = pictures.layers(facts)
    return {name: picture for name, picture in drawings.items() if picture}


def write(
    facts: Facts, folder: str | Path, *, pdf: bool = False, force: bool = False
) -> list[Path]:
    """Every plot as FOLDER/NAME.svg.

    Args:
        facts: of ``gather``.
        folder: is made where it does not exist.
        pdf: each as FOLDER/NAME.pdf, too.
        force: whether files that exist may be replaced.

    Returns:
        The files.

    Raises:
        OutputError: a file exists or cannot be written, or there is nothing that writes PDF.
    """
    contents: dict[str, bytes] = {}
    for name, picture in drawn(facts).items():
        file = standalone.svg(picture)
        contents[f"{name}.svg"] = file.encode("utf-8")
        if pdf:
            contents[f"{name}.pdf"] = standalone.pdf(file)

    folder = files.claim_folder(folder, contents, force)
    for name, content in contents.items():
        files.write_bytes(folder / name, content, force)
    return [folder / name for name in contents]
