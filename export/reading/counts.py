"""What r of IF and I counts: its input once a step, or per second as NIR's equation has it."""

from __future__ import annotations

import numpy as np

from export import metadata as graph_metadata
from export.reading.draft import Draft
from export.reading.told import PER
from hardware.parameters import parameter

NEAR, FAR = 0.01, 10.0
"""r is read without being told where it is within 1 % of 1 in one reading and off by a factor of 10
in the other."""

COUNTED = {"step": "once a step", "second": "per second"}


def settle_counts(draft: Draft) -> None:
    """State it for every IF and I where it is open, or ask for it."""
    r_per, dt = draft.told.r_per, draft.out.dt_s
    units: dict[str, str] = {}
    for name in draft.counting:
        r = np.asarray(draft.nodes[name].r, np.float64)
        per = r_per or ("step" if graph_metadata.in_steps(draft.meta) else counted(r, dt))
        if per is None:
            draft.questions.append(_question(draft, name, r, dt))
            return
        units[name] = per

    if len(set(units.values())) > 1:
        one, other = (next(n for n, p in units.items() if p == per) for per in PER)
        draft.questions.append(
            f"r of {draft.label(one)} looks as if it counted per second, r of "
            f"{draft.label(other)} once a step: say which with {parameter('r_per')} "
            "(second or step)"
        )
        return

    for name, per in units.items():
        draft.set_count(name, per, "given by the caller" if r_per else "recognised by its value")
    if units:
        draft.kept.append(_line(draft, next(iter(units)), next(iter(units.values())), dt))


def _question(draft: Draft, name: str, r: np.ndarray, dt: float | None) -> str:
    per = (
        f"{_span(r * dt)} V with dt {dt:g} s"
        if dt is not None
        else f"r * dt V (say {parameter('dt')}, too)"
    )
    return (
        f"{draft.label(name)}: r is {_span(r)}: a spike through a weight of 1 adds {_span(r)} V "
        f"if r counts once a step, {per} if it counts per second, as NIR's equation has it; the "
        f"file does not say which: say it with {parameter('r_per')} (step or second), or name the "
        f"writer with {parameter('dialect')}"
    )


def _line(draft: Draft, name: str, per: str, dt: float | None) -> str:
    r = np.asarray(draft.nodes[name].r, np.float64)
    other = "per second" if per == "step" else "once a step"
    times = "r * dt" if dt is None else f"{_span(r * dt)}"
    each = {"step": _span(r), "second": times}
    who = (
        "given by the caller"
        if draft.told.r_per
        else f"recognised: r is {_span(r)}" + (f", r * dt {times}" if dt else "")
    )
    effect = each["second" if per == "step" else "step"]
    adds = f"a spike through a weight of 1 adds {each[per]} V"
    what = f"r of IF and I counts {COUNTED[per]} ({who}): {adds}"
    return f"{what}. The other reading, {other}: {effect} V"


def counted(r: np.ndarray, dt: float | None) -> str | None:
    """What r of IF or I counts by where that is unmistakable: "second", "step", or None.

    Without a time step r of 1 counts once a step: per second it would be right for steps of about a
    second alone.
    """
    once = bool(np.all(np.abs(r - 1) <= NEAR))
    if dt is None:
        return "step" if once else None
    if abs(dt - 1) <= 1e-6:
        return "step"  # both are the same
    per = bool(np.all(np.abs(r * dt - 1) <= NEAR))
    if per and _far(r):
        return "second"
    return "step" if once and _far(r * dt) else None


def _far(values: np.ndarray) -> bool:
    return bool(np.all(values > 0) and (values.min() >= FAR or values.max() <= 1 / FAR))


def _span(values: np.ndarray) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
