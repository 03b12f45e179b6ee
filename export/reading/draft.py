"""One graph while its reading is settled: what is open in it, what was said, what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from export import metadata as graph_metadata
from export.errors import GraphError, MissingInformationError
from export.passes.subgraphs import Flat, flatten, without_virtual
from export.reading.told import Told

_RESETTING = (nir.IF, nir.LIF, nir.CubaLIF)


@dataclass
class GraphReading:
    """A graph with everything settled.

    graph      a checked copy whose metadata states time step, resets and what r counts
    sources    node → entry ("reset", "r_per") → who said so
    lines      how it was read, for the audit; warnings: what looks like a mistake
    """

    graph: nir.NIRGraph
    dt_s: float | None
    dt_source: str
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Draft:
    """One graph, whose nodes and metadata are settled in place.

    resetting   neurons that are reset; open: those whose file does not say how; free: those that
                say it by v_reset alone
    counting    IF and I of which it is open what r counts
    questions   what must be answered, each with its option
    kept        lines of the reading that a copy keeps, because it states what they say; warned: its
                warnings; passing: lines that follow from the graph anew each time
    """

    def __init__(self, graph: nir.NIRGraph, told: Told) -> None:
        self.graph, self.told = graph, told
        self.meta = graph_metadata.of(graph)
        self.entries: dict[str, dict[str, Any]] = self.meta["nodes"]
        self.flat: Flat = without_virtual(flatten(graph))
        self.nodes = self.flat.nodes
        self.out = GraphReading(graph, None, "")
        self.kept: list[str] = list(self.meta["origin"].get("reading", []))
        self.warned: list[str] = list(self.meta["origin"].get("warnings", []))
        self.passing: list[str] = []
        self.questions: list[str] = []
        self.resetting = [n for n, node in self.nodes.items() if isinstance(node, _RESETTING)]
        self.open = [
            n for n in self.resetting if self.entry(n).get("reset") == graph_metadata.UNKNOWN
        ]
        self.free = [n for n in self.resetting if "reset" not in self.entry(n)]
        counting = [n for n, node in self.nodes.items() if isinstance(node, (nir.IF, nir.I))]
        self.counting = [n for n in counting if not {"r_per", "grid"} & set(self.entry(n))]

    def entry(self, name: str) -> dict[str, Any]:
        """Metadata of a node."""
        return self.entries.get(name, {})

    def label(self, name: str) -> str:
        """For messages."""
        return f"node {name!r} ({type(self.nodes[name]).__name__})"

    def answered(self) -> None:
        """Raise MissingInformationError with all questions that are open."""
        if self.questions:
            raise MissingInformationError("; ".join(self.questions))

    def set_reset(self, name: str, reset: str, source: str) -> None:
        """State a reset. Raises GraphError where v_reset contradicts it."""
        v_reset = np.asarray(self.nodes[name].v_reset)
        if reset != "zero" and np.any(v_reset):
            raise GraphError(
                f"{self.label(name)}: v_reset is {float(v_reset.min()):g} V, which states a reset "
                f"to it; reset {reset!r} ({source}) contradicts that"
            )
        self.entries.setdefault(name, {})["reset"] = reset
        self.out.sources.setdefault(name, {})["reset"] = source

    def set_count(self, name: str, per: str, source: str) -> None:
        """State what r counts."""
        self.entries.setdefault(name, {})["r_per"] = per
        self.out.sources.setdefault(name, {})["r_per"] = source
