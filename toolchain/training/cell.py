"""Training as a cell of ``toolchain.cells``: a recipe's network, its checkpoint in the run's
folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.data import load
from toolchain.data.datasets import SPLITS
from toolchain.training.checkpoint import load_checkpoint, save_checkpoint
from toolchain.training.config import Config, read_config
from toolchain.training.loop import train
from toolchain.training.weights import named


def fit(
    job: Mapping[str, Any], folder: Path, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Train a network and save its checkpoint.

    job     "config": table of the recipe; "ann": checkpoint in the run's folder that the network is
            converted from in place of the one that the recipe names, or None; "checkpoint": the
            file in the run's folder to write
    folder  of the run

    Returns {"accuracy" (test split, 0 to 1), "test_samples"}. Raises as ``train`` and
    ``save_checkpoint``.
    """
    config = Config.from_table(job["config"])
    if job["ann"] is not None:
        init = named(config).at(folder / job["ann"])
        config = replace(config, model=replace(config.model, init=init))
    result = train(config, progress=progress)
    path = folder / job["checkpoint"]
    path.parent.mkdir(exist_ok=True)
    scores = {"accuracy": result.accuracy, "test_samples": result.test_samples}
    # the time that it took is not among the results: equal trainings give equal files
    save_checkpoint(path, result.model, config, results=scores, force=True)
    return scores


def rests_on(config: Config, ann: bool = True) -> dict[str, Any]:
    """What a training reads besides its recipe, as plain JSON values: for every file that the
    recipe names SHA-256 of its content, and for every data set ``data_key``.

    ann  False: the network to convert is another cell's

    Raises ConfigError, CheckpointError and DataError as reading them does.
    """
    if config.purifier is not None:
        return {"classifier": _named(Path(config.purifier.classifier))}
    sources: dict[str, Any] = {"data": {config.data.name: data_key(config.data.name)}}
    if ann and config.model.init is not None:
        sources["ann"] = _named(Path(config.model.init.source))
    return sources


def _named(path: Path) -> dict[str, Any]:
    """A recipe, or a checkpoint, that a recipe names."""
    if path.suffix == ".toml":
        config = read_config(path)
        return {"config": config.to_table(), **rests_on(config)}
    data = load_checkpoint(path)[1].data.name
    return {
        "content": hashlib.sha256(path.read_bytes()).hexdigest(),
        "data": {data: data_key(data)},
    }


@lru_cache(maxsize=8)
def data_key(name: str) -> str:
    """SHA-256 over the values and labels of all splits of a data set, read once for each process.
    Raises DataError."""
    digest = hashlib.sha256()
    for split in SPLITS:
        data = load(name, split)
        parts = data.values if data.is_events else [data.values]
        for values in (*parts, data.labels):
            array = np.ascontiguousarray(values)
            digest.update(
                f"{array.dtype.str}{array.shape}".encode() + hashlib.sha256(array.data).digest()
            )
    return digest.hexdigest()
