"""The time step: stated in the graph, given, or implied by a writer's numbers."""

from __future__ import annotations

import nir
import numpy as np

from export import metadata as graph_metadata
from export.dialects import Dialect, needs_step
from export.dialects.rules import CLOSE, leaky
from export.errors import GraphError, MissingInformationError
from export.neurons import needs_dt
from export.reading.draft import Draft
from hardware.parameters import parameter

SHORTEST_S, LONGEST_S = 1e-12, 1e6
"""Time steps within this are seconds that somebody can mean."""


def settle_step(draft: Draft, dialect: Dialect | None) -> None:
    """Find the time step, or ask for it. Raises where two sources contradict each other."""
    dt, stated, out = draft.told.dt, draft.meta["dt_s"], draft.out
    if graph_metadata.in_steps(draft.meta):
        _refuse_told(dt)
        out.dt_s, out.dt_source = 1.0, "not needed: time constants are in steps"
        return

    if dt is not None and stated is not None and not np.isclose(dt, stated, rtol=1e-6, atol=0):
        raise MissingInformationError(
            f"{parameter('dt')} is {dt:g} s, but the graph states {stated:g} s; leave it out, or "
            "correct the graph"
        )
    known = stated if stated is not None else dt
    implied = None if dialect is None else _implied(draft, dialect, known)

    step_s = implied if known is None else known
    out.dt_s = None if step_s is None else float(step_s)
    if stated is not None:
        out.dt_source = "stated in the graph"
    elif dt is not None:
        out.dt_source = "given by the caller"
    elif implied is not None and dialect is not None:
        out.dt_source = f"implied: the parameters are those that {dialect.title} writes with it"
        _say_unconfirmed(draft, dialect, implied)
    else:
        _without(draft, dialect)
    if out.dt_s is not None and not SHORTEST_S <= out.dt_s <= LONGEST_S:
        raise GraphError(
            f"{parameter('dt')} is {out.dt_s:g} s ({out.dt_source}); it must be from "
            f"{SHORTEST_S:g} to {LONGEST_S:g} s"
        )


def _refuse_told(dt: float | None) -> None:
    if dt is not None:
        raise MissingInformationError(
            f"{parameter('dt')} is {dt:g} s, but the graph's time constants are in steps; leave "
            "it out here, or give it to the export of the model"
        )


def _implied(draft: Draft, dialect: Dialect, known: float | None) -> float | None:
    """The time step that a dialect's numbers imply. Raises GraphError where another is known."""
    implied = dialect.time_step(draft.nodes)
    if implied is None or known is None or np.isclose(known, implied, rtol=1e-3, atol=0):
        return implied
    who = "given" if draft.meta["dt_s"] is None else "stated in the graph"
    raise GraphError(
        f"dt is {known:g} s ({who}), but {dialect.title} wrote this with {implied:g} s; leave one "
        "of them out"
    )


def _say_unconfirmed(draft: Draft, dialect: Dialect, implied: float) -> None:
    """One r and one time constant fit the law of a dialect that solves for dt, whatever they
    are."""
    if not dialect.solved:
        return
    pairs = np.concatenate(
        [
            np.stack(np.broadcast_arrays(tau, r)).reshape(2, -1)
            for _, _, tau, r in leaky(draft.nodes)
        ],
        axis=1,
    )
    tau, r = pairs[:, 0]
    if np.allclose(pairs, pairs[:, :1], rtol=CLOSE, atol=0):
        draft.kept.append(
            f"the time step of {implied:g} s is assumed: it is solved from the one time constant "
            f"of {tau:g} s and r {r:g}, and {dialect.title}'s law fits any such pair. Nothing else "
            "in the file confirms it, nor that this dialect wrote it; to state dt has it checked"
        )


def _without(draft: Draft, dialect: Dialect | None) -> None:
    needing = [n for n, node in draft.nodes.items() if _needs(draft, n, node, dialect)]
    draft.out.dt_source = "not needed: no time constants"
    if needing:
        draft.questions.append(
            f"{draft.label(needing[0])} is in seconds and the graph does not state the time step: "
            f"say it with {parameter('dt')}; {len(needing)} nodes need it"
        )


def _needs(draft: Draft, name: str, node: nir.NIRNode, dialect: Dialect | None) -> bool:
    if isinstance(node, nir.Delay):
        return bool(np.any(node.delay))
    per = dialect.r_per if dialect is not None else draft.told.r_per
    if name in draft.counting and per == "second":
        return True
    if dialect is not None and dialect.in_steps and isinstance(node, dialect.rewrites):
        return False
    return needs_dt(node, draft.entry(name)) or (
        dialect is not None and needs_step(dialect, {name: node})
    )
