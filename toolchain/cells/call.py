"""A function of plain JSON values as a cell's function."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping


def compute(job: Mapping, context) -> tuple[dict, dict]:
    """Call job["function"] ("package.module:name") with (job["job"], folder of the run), and
    ``progress=`` where it takes that; it returns plain JSON values, the cell's "result". context:
    ``toolchain.cells.work.Context``."""
    module, name = job["function"].split(":")
    function = getattr(importlib.import_module(module), name)
    told = (
        {"progress": context.tick} if "progress" in inspect.signature(function).parameters else {}
    )
    return {"result": function(job["job"], context.folder, **told)}, {}
