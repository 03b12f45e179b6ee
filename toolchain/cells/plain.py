"""Cells whose results are plain JSON values, and those that train a network.

A cell's function is called as ``function(job, folder)``. Its module should hold what computes and
nothing else: every module that it leads to is part of the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolchain.cells import closure, maker
from toolchain.cells.engine import Cell
from toolchain.cells.keys import key_of

if TYPE_CHECKING:
    from toolchain.training import Config

ADAPTER = "toolchain.cells.call"

TRAINS = "toolchain.training.cell:fit"


def cell(
    function: str,
    job: Mapping[str, Any],
    label: str,
    after: tuple[Cell, ...] = (),
    product: str | None = None,
) -> Cell:
    """A cell with a result of plain JSON values.

    function  "package.module:name"
    job       plain JSON values: everything that the result depends on, besides code, versions and
              the cells before it
    label     for people; not part of the key
    after     cells that must be finished before; their keys are part of this one's
    product   a file in the folder that the function writes besides its result
    """
    made_by = _maker(function)
    description = {"function": function, "label": label, "job": dict(job)}
    key = key_of(function, job, [before.key for before in after], made_by.digest)
    return Cell(
        f"{ADAPTER}:compute",
        description,
        key,
        "result",
        label,
        made_by,
        after,
        product=product,
        sort=function,
        description=description,
    )


def _maker(function: str) -> maker.Maker:
    return maker.of(function.split(":")[0], ADAPTER)


def training(
    config: Config, label: str, ann: Cell | None = None, by: str = TRAINS, prefix: str = ""
) -> Cell:
    """The cell that trains a network; its product is the checkpoint. Result: {"accuracy" (test
    split), "test_samples"}.

    ann     the training cell of the ANN that the network is converted from, in place of the one
            that the recipe names
    by      another function that trains from such a job
    prefix  of the checkpoint's name

    Raises ConfigError, CheckpointError and DataError where the recipe names what cannot be read.
    """
    from toolchain.training.cell import rests_on

    job = {
        "config": config.to_table(),
        "ann": ann and ann.product,
        "reads": rests_on(config, ann=ann is None),
    }
    if config.defence.modules:
        job["plugins"] = closure.of_user(*config.defence.modules).digest
    after = () if ann is None else (ann,)
    name = key_of(by, job, [before.key for before in after], _maker(by).digest)[:16]
    product = f"models/{prefix}{name}.safetensors"
    return cell(by, {**job, "checkpoint": product}, label, after, product)
