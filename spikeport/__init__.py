"""spikeport: a spiking network trained in PyTorch on Lava and Loihi 2, exactly.

    import spikeport

    model = spikeport.load("digits.safetensors")
    print(spikeport.assess(model, data="digits"))

These are the names of ``toolchain``, which see; they are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import toolchain

if TYPE_CHECKING:
    from toolchain import *  # noqa: F403

__version__ = toolchain.__version__
__all__ = list(toolchain.__all__)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(toolchain, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
