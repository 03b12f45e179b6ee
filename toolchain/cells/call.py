"""A function of plain JSON values as a cell's function."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from toolchain.cells.work import Context


def compute(
    job: Mapping[str, Any], context: Context
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Call job["function"] ("package.module:name") with (job["job"], folder of the run), and
    ``progress=`` where it takes that; it returns plain JSON values, the cell's "result"."""
    module, name = job["function"].split(":")
    function = getattr(importlib.import_module(module), name)
    keywords = (
        {"progress": context.tick} if "progress" in inspect.signature(function).parameters else {}
    )
    return {"result": function(job["job"], context.folder, **keywords)}, {}
