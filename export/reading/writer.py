"""The dialect of the framework that wrote a graph, named or recognised, and applied."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np

from export.dialects import DIALECTS, Dialect, recognised, shortest
from export.dialects.rules import Site
from export.errors import GraphError
from export.reading.counts import COUNTED
from export.reading.draft import Draft
from hardware.parameters import parameter

_REWRITTEN = ("tau", "tau_mem", "tau_syn", "r", "w_in")


def find_dialect(draft: Draft) -> tuple[Dialect | None, str]:
    """The dialect and who says so."""
    name, evidence, origin = draft.told.dialect, "", draft.meta["origin"]
    stated = [n for n in draft.resetting if n not in draft.open and n not in draft.free]
    ours = stated or "framework" in origin or "discretization" in origin
    if name is not None and ours:
        raise GraphError(
            f"{parameter('dialect')} is {name!r}, but the graph states how it is to be read; leave "
            "it out"
        )

    recognition, dt_s = None, draft.meta["dt_s"] or draft.told.dt
    if not ours:
        recognition = recognised(draft.nodes, list(origin.get("placeholders", [])), dt_s)
    if recognition is not None:
        known, evidence = recognition
        if name not in (None, known, "nir"):
            raise GraphError(
                f"{parameter('dialect')} is {name!r}, but {evidence}: {DIALECTS[known].title} "
                f"wrote this; say {known!r}, or 'nir'"
            )
    if name is not None:
        return DIALECTS[name], "given by the caller"
    if recognition is not None:
        return DIALECTS[recognition[0]], f"recognised: {evidence}"
    return None, ""


def refuse_unused(draft: Draft, dialect: Dialect | None) -> None:
    """What is told must change something, and must not contradict the dialect."""
    told = draft.told
    if told.reset is not None and not draft.open and not draft.free:
        stated = sorted({draft.entry(n)["reset"] for n in draft.resetting})
        why = (
            f"the graph states {', '.join(map(repr, stated))}"
            if stated
            else "no neuron of the graph has a reset that is open"
        )
        raise GraphError(
            f"{parameter('reset')} is {told.reset!r}, but {why}; leave it out, or correct the graph"
        )
    if told.r_per is not None and not draft.counting:
        raise GraphError(
            f"{parameter('r_per')} is {told.r_per!r}, but no IF or I of the graph leaves open what "
            "its r counts; leave it out"
        )

    if told.dialect is None or dialect is None:
        return
    if told.r_per is not None:
        raise GraphError(
            f"{parameter('r_per')} is {told.r_per!r}, but {parameter('dialect')} {told.dialect!r} "
            f"states {dialect.r_per!r}; leave one of them out"
        )
    if told.reset is not None and told.reset not in dialect.resets:
        others = f"; its models can also have {', '.join(dialect.resets)}" if dialect.resets else ""
        raise GraphError(
            f"{parameter('reset')} is {told.reset!r}, but {parameter('dialect')} {told.dialect!r} "
            f"states {dialect.reset!r}{others}; leave {parameter('reset')} out"
        )


def apply(draft: Draft, dialect: Dialect, source: str) -> None:
    """Bring the parameters into Euler's form, and state what the dialect states."""
    name = next(n for n, d in DIALECTS.items() if d is dialect)
    by, reset = f"dialect {name}, {source}", draft.told.reset or _default_reset(draft, dialect)
    least, rewritten, doubts = shortest(draft.nodes), [], []

    for n, node in draft.nodes.items():
        resetting = n in draft.open or n in draft.free
        if not resetting and not isinstance(node, (nir.I, nir.LI, nir.CubaLI)):
            continue
        entry, recurrent = draft.entries.setdefault(n, {}), _recurrent(draft, n)
        site = Site(n, node, entry, reset, recurrent, draft.out.dt_s, least)
        if _rewrite(dialect, site):
            rewritten.append(n)
        doubts += site.doubts
        if resetting:
            draft.set_reset(n, reset, by if draft.told.reset is None else "given by the caller")
            _state_rest(entry, name, dialect)
        if n in draft.counting:
            draft.set_count(n, dialect.r_per, by)

    if not (draft.open or draft.free or draft.counting or rewritten):
        raise GraphError(
            f"{parameter('dialect')} is {name!r}, but no node of the graph leaves anything open; "
            "leave it out"
        )
    _say(draft, f"dialect {name} ({source})", dialect, reset, rewritten)
    if doubts:
        more = f" ({len(doubts)} such nodes)" if len(doubts) > 1 else ""
        draft.warned.append(doubts[0] + more)
    draft.open, draft.free, draft.counting = [], [], []


def _rewrite(dialect: Dialect, site: Site) -> bool:
    """Let the dialect rewrite a neuron; whether a parameter has changed."""
    names = [name for name in _REWRITTEN if hasattr(site.node, name)]
    before = {name: np.array(getattr(site.node, name)) for name in names}
    dialect.rewrite(site)
    for name in names:
        value = np.broadcast_to(getattr(site.node, name), before[name].shape)
        setattr(site.node, name, np.array(value))
    return any(not np.array_equal(before[name], getattr(site.node, name)) for name in names)


def _state_rest(entry: dict[str, Any], name: str, dialect: Dialect) -> None:
    """At which potential a neuron fires, and that something stays open."""
    if dialect.strict:
        entry.setdefault("threshold_comparison", ">")
    if dialect.lost:
        caveat = f"dialect {name} leaves something open: see the reading"
        entry["caveats"] = [*entry.get("caveats", []), caveat]


def _default_reset(draft: Draft, dialect: Dialect) -> str:
    """The dialect's reset; NIR documented another one before 1.0.6, without v_reset in its
    files."""
    documented = dialect is DIALECTS["nir"] and draft.open and not _new_file(draft)
    return "subtract" if documented else dialect.reset


def _new_file(draft: Draft) -> bool:
    version = str(draft.meta["origin"].get("nir_version", ""))
    numbers = [int(part) if part.isdecimal() else 0 for part in version.split(".")[:3]]
    return numbers >= [1, 0, 6]


def _say(draft: Draft, head: str, dialect: Dialect, reset: str, rewritten: list[str]) -> None:
    """What the dialect came to, for the audit and for a copy."""
    parts = []
    if draft.open or draft.free:
        parts.append(
            f"reset {reset}" + ("" if draft.told.reset is None else " (given by the caller)")
        )
    if draft.counting:
        parts.append(f"r of IF and I {COUNTED[dialect.r_per]}")
    draft.kept.append(": ".join((head, ", ".join(parts))) if parts else head)

    others = [r for r in (dialect.reset, *dialect.resets) if r != reset]
    if others and (draft.open or draft.free):
        draft.kept.append(
            f"the other readings: {dialect.title} models can also reset otherwise "
            f"({', '.join(others)}), which their files do not tell"
        )
    draft.kept += dialect.lost
    if dialect.warning and draft.resetting:
        draft.warned.append(dialect.warning)

    if rewritten:
        more = f" and {len(rewritten) - 5} more" if len(rewritten) > 5 else ""
        draft.kept.append(
            f"time constants and r of {', '.join(rewritten[:5])}{more} brought into the form in "
            f"which a forward Euler step computes what {dialect.title} does"
        )
        draft.meta["origin"]["discretization"] = "euler"
        if draft.out.dt_s is None:
            draft.meta["origin"]["time_unit"] = "step"
            draft.out.dt_s, draft.out.dt_source = 1.0, "not needed: time constants are in steps"


def _recurrent(draft: Draft, name: str) -> bool:
    """Whether its spikes come back to it without passing another neuron."""
    seen, waiting = set(), list(draft.flat.sources(name))
    while waiting:
        at = waiting.pop()
        if at == name:
            return True
        if at not in seen and not hasattr(draft.nodes[at], "v_threshold"):
            seen.add(at)
            waiting += draft.flat.sources(at)
    return False
