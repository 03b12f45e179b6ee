"""The models of a sweep: trained where they are recipes, read where they are files, and held
against its attacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from toolchain.cells import threads
from toolchain.cells.engine import Cell
from toolchain.cells.plain import training
from toolchain.robustness import kinds
from toolchain.robustness.models import ModelFile, open_model
from toolchain.robustness.parts import ModelPart, Sweep, SweepError


def trainings(sweep: Sweep) -> dict[tuple[str, int], Cell]:
    """(name of a model, seed) → the cell that trains it, for every model that is a recipe."""
    from toolchain.training import read_config

    cells = {}
    for part in sweep.models:
        if part.recipe is None:
            continue
        for seed in part.trainings:
            config = read_config(sweep.path(part.recipe))
            config = replace(config, training=replace(config.training, seed=seed))
            cells[part.name, seed] = training(config, f"training {named(part, seed)}")
    return cells


def check_kinds(sweep: Sweep) -> None:
    """Hold attacks against the data that each model reads, before anything is trained.

    Raises SweepError, and what opening a model raises.
    """
    for part in kinds.check_stated(sweep):
        if part.source is None:
            continue  # its recipe is not there; reading it says so
        source, weights = _files(sweep, part.source, part.weights, part.trainings[0])
        if ":" not in source and not Path(source).is_file():
            continue  # reading it says what is wrong
        with threads.limited(1):  # as in ``run``: an opened model is kept
            opened = open_model(ModelFile.read(part.name, source, weights, part.options))
        kinds.check(sweep, part.name, "events" if opened.events else "images")


def models(
    sweep: Sweep, folder: Path, trained: Mapping[tuple[str, int], Cell] | None = None
) -> list[ModelFile]:
    """Every model of a sweep as a file.

    trained  of ``trainings``, where the checkpoints of recipes are in ``folder``
    """
    files = []
    for part in sweep.models:
        for seed in part.trainings:
            if part.source is not None:
                source, weights = _files(sweep, part.source, part.weights, seed)
            else:
                cell = (trained or {}).get((part.name, seed))
                if cell is None or cell.product is None:
                    raise SweepError(f"{sweep.where}: {named(part, seed)} is not trained yet")
                source, weights = str(folder / cell.product), None
            files.append(ModelFile.read(named(part, seed), source, weights, part.options))
    return files


def _files(sweep: Sweep, source: str, weights: str | None, seed: int) -> tuple[str, str | None]:
    """(source, weights) of one training."""

    def path(text: str) -> str:
        return sweep.path(text.replace("{seed}", str(seed)))

    return path(source), None if weights is None else path(weights)


def named(part: ModelPart, seed: int) -> str:
    """Name of one training of a model."""
    return part.name if len(part.trainings) == 1 else f"{part.name} seed {seed}"
