"""One cell where it is computed: a worker process of this machine, of a cluster, or the process
that planned it."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.cells import maker
from toolchain.cells.maker import Manifest
from toolchain.errors import ToolchainError

Arrays = Mapping[str, np.ndarray]

Tick = Callable[[int, int], None]
"""Called with (done, in all) of a cell's own units."""


class NotPossible(ToolchainError):
    """A cell that cannot be, whatever is tried: it is kept with its reason."""


@dataclass(frozen=True, eq=False)
class Shared:
    """What every cell of a run is given.

    data       any object that its functions know
    folder     of the run, where products are; only on this machine
    manifests  digest of a maker → what it is
    """

    data: Any = None
    folder: str = ""
    manifests: Mapping[str, Manifest] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CellTask:
    """A cell on its way to a worker; see ``engine.Cell``. inputs: arrays of the cells before it."""

    key: str
    label: str
    function: str
    job: Any
    maker: str
    inputs: tuple[Arrays, ...] = ()


@dataclass(frozen=True, eq=False)
class Context:
    """What a cell's function is given besides its job."""

    data: Any
    folder: Path
    inputs: tuple[Arrays, ...]
    tick: Tick


@dataclass(frozen=True, eq=False)
class Done:
    """A finished cell: plain JSON values, arrays, and how long it took."""

    description: dict[str, Any]
    arrays: Arrays
    seconds: float


@dataclass(frozen=True)
class Absent:
    """A cell that cannot be, and why."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """A cell that failed, and why: returned, not raised, so that it is one line and not a traceback
    in every log."""

    reason: str


Outcome = Done | Absent | Failed


def perform(task: CellTask, shared: Shared, tick: Tick) -> Outcome:
    """Compute a cell. Nothing is raised for what goes wrong in it."""
    try:
        manifest = shared.manifests[task.maker]
        maker.require(manifest)
        module, name = task.function.split(":")
        function = getattr(importlib.import_module(module), name)
        started = time.perf_counter()
        description, arrays = function(
            task.job, Context(shared.data, Path(shared.folder), task.inputs, tick)
        )
        seconds = time.perf_counter() - started
        json.dumps(description, allow_nan=False)  # here, so that the cell is named in the error
        maker.require(manifest)
    except NotPossible as reason:
        return Absent(str(reason))
    except Exception as error:
        return Failed(f"{type(error).__name__}: {error}")
    return Done(description, arrays, seconds)
