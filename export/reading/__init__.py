"""What a graph leaves open, and how it is settled.

Open may be the time step, the reset, what r of IF and I counts, and a writer's conventions. Each is
stated in the graph (its metadata), said by the caller, follows from a writer that is recognised
beyond doubt, or is refused with the options that would settle it. Nothing is assumed, with one
exception that the audit names and that costs the verdict "faithful": a v_reset of 0 is taken at its
word, although nir 1.0.6 and later write it where a writer says nothing.
"""

from __future__ import annotations

import nir

from export import metadata as graph_metadata
from export.check import checked
from export.neurons import needs_dt
from export.reading.counts import counted, settle_counts
from export.reading.draft import Draft, GraphReading
from export.reading.reset import settle_resets
from export.reading.step import settle_step
from export.reading.suspicions import suspect
from export.reading.told import PER, Told
from export.reading.writer import apply, find_dialect, refuse_unused

__all__ = ["PER", "GraphReading", "Told", "counted", "settle", "state"]


def state(
    graph: nir.NIRGraph,
    *,
    dt: float | None = None,
    reset: str | None = None,
    r_per: str | None = None,
    dialect: str | None = None,
) -> nir.NIRGraph:
    """A copy of a graph that needs none of these options any more: its metadata states what they
    say, and who said it.

    Arguments and errors are those of ``export.lower``.
    """
    return settle(graph, Told(dt, reset, r_per, dialect)).graph


def settle(graph: nir.NIRGraph, told: Told) -> GraphReading:
    """Settle everything that a graph leaves open; the argument is left alone.

    Raises MissingInformationError naming every open question with the option that answers it,
    GraphError where what is told contradicts the graph or changes nothing, UnsupportedError where a
    dialect cannot have written a node.
    """
    draft = Draft(checked(graph), told)

    dialect, source = find_dialect(draft)
    settle_step(draft, dialect)
    refuse_unused(draft, dialect)
    if dialect is not None:
        draft.answered()
        apply(draft, dialect, source)

    settle_resets(draft)
    settle_counts(draft)
    draft.answered()
    return _stated(draft)


def _stated(draft: Draft) -> GraphReading:
    """The graph with everything in its metadata."""
    out, meta, origin = draft.out, draft.meta, draft.meta["origin"]
    steps = graph_metadata.in_steps(meta)
    needing = any(needs_dt(node, draft.entry(n)) for n, node in draft.nodes.items())
    if out.dt_s is not None and needing and not steps:
        draft.passing.append(
            "a spike counts 1 in its step, as frameworks have it; an impulse of area 1 would count "
            f"1 / dt = {1 / out.dt_s:g}"
        )

    if not steps:
        meta["dt_s"] = out.dt_s
    meta["nodes"] = {name: entry for name, entry in draft.entries.items() if entry}
    origin |= {"reading": draft.kept} if draft.kept else {}
    origin |= {"warnings": draft.warned} if draft.warned else {}
    out.graph.metadata[graph_metadata.KEY] = graph_metadata.dumps(meta)

    version = origin.get("nir_version")
    file = [] if version is None else [f"first written by nir {version}"]
    out.lines = [*file, *draft.kept, *draft.passing]
    out.warnings = [*draft.warned, *suspect(draft)]
    return out
