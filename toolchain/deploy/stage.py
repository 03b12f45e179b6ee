"""A model at one of the stages on its way to the chip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolchain.errors import ModelError

if TYPE_CHECKING:
    import nir
    from torch import nn

    from hardware.program import Program


@dataclass(frozen=True)
class Stage:
    """A model as it was found.

    kind     "checkpoint", "factory", "pickle", "module" (given as an object), "graph", "network"
             (.net) or "program"
    module   the PyTorch model of a checkpoint, factory or pickle
    notes    what was stripped, ignored or kept when it was read, a line each; for the user and the
             audit
    """

    source: str
    kind: str
    module: nn.Module | None = None
    graph: nir.NIRGraph | None = None
    program: Program | None = None
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> dict[str, Any]:
        """What the model says about its data (name, encoding, steps, ...); empty where it says
        nothing."""
        if self.program is not None:
            return dict(self.program.metadata.get("data", {}))
        if self.graph is not None:
            from export import metadata

            return dict(metadata.of(self.graph)["data"])
        describe = getattr(self.module, "spikeport_io", None)
        return dict(describe().get("data", {})) if callable(describe) else {}

    def require_module(self, purpose: str) -> nn.Module:
        """The PyTorch model. Raises ModelError where there is none."""
        if self.module is None:
            raise ModelError(
                f"{self.source}: {purpose} needs the PyTorch model, a checkpoint or "
                f"package.module:factory; this is a {self.kind}"
            )
        return self.module
