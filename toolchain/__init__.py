"""From a spiking network trained in PyTorch to Lava and Loihi 2: load a model, export, run,
compare, check, assess, attack, train, open a run.

    import spikeport                                      the same names; or import toolchain
    model = spikeport.load("digits.safetensors")
    print(spikeport.assess(model, data="digits"))

What each call takes and returns stands in its docstring, in ``toolchain.api``. Names are imported
when they are used: importing this package costs nothing. The command line is in ``toolchain.cli``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolchain.version import __version__

if TYPE_CHECKING:
    from hardware.errors import Error
    from toolchain.api import (
        ArgumentError,
        Attacked,
        BenchRun,
        Exported,
        Model,
        RunRecording,
        Threat,
        Trained,
        assess,
        attack,
        attribute,
        check,
        compare,
        dataset,
        export,
        load,
        open_run,
        run,
        train,
    )
    from toolchain.errors import ToolchainError

__all__ = [
    "ArgumentError",
    "Attacked",
    "BenchRun",
    "Error",
    "Exported",
    "Model",
    "RunRecording",
    "Threat",
    "ToolchainError",
    "Trained",
    "__version__",
    "assess",
    "attack",
    "attribute",
    "check",
    "compare",
    "dataset",
    "export",
    "load",
    "open_run",
    "run",
    "train",
]

_ELSEWHERE = {"Error": "hardware.errors", "ToolchainError": "toolchain.errors"}
"""Names that do not come from ``toolchain.api``, and their homes."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    # put together, so that what computes a cell does not seem to need the public face
    home = _ELSEWHERE.get(name) or ".".join((__name__, "api"))
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
