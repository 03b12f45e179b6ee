"""What looks like a mistake in a graph, or in how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np

from export import metadata as graph_metadata
from export.dialects import shortest
from export.dialects.rules import SNNTORCH_DT_S
from export.neurons import NO_LEAK
from export.reading.draft import Draft
from hardware.parameters import parameter

MANY_STEPS = 0.999e5
"""A time constant of so many steps is hardly meant."""

DECAY_UNITS = 4096
"""A decay on the chip is a whole number of these parts (12 bits; hardware.arithmetic)."""

_STATES = {
    "tau": "membrane potential",
    "tau_mem": "membrane potential",
    "tau_syn": "synaptic current",
}
"""A node's time constant → what decays with it."""


def suspect(draft: Draft) -> list[str]:
    """A warning for each."""
    origin, dt = draft.meta["origin"], draft.out.dt_s
    if dt is None:
        return []

    warnings = _lost_leaks(draft, dt)
    ours = "torch" in origin or "discretization" in origin  # traced, or brought into form, here
    if ours or graph_metadata.in_steps(draft.meta):
        return warnings

    long = [
        (n, t)
        for n, node in draft.nodes.items()
        if (t := _longest(node, draft.entry(n), dt)) >= MANY_STEPS * dt
    ]
    if long:
        name, tau = long[0]
        warnings.append(
            f"{draft.label(name)}: a time constant of {tau:g} s is {tau / dt:,.0f} steps of "
            f"{dt:g} s: it looks as if it were written in steps ({len(long)} such nodes). If so, "
            f"say {parameter('dt', 1)}"
        )

    short = [n for n, node in draft.nodes.items() if _like_norse(node, draft.entry(n), dt)]
    if short:
        tau = shortest({n: draft.nodes[n] for n in short})
        warnings.append(
            f"{draft.label(short[0])}: a time constant of {tau:g} s is shorter than the time step "
            f"of {dt:g} s: "
            f"Norse 1.1 writes a time constant times dt, here {tau / dt:g} s. If Norse wrote "
            f"this, say {parameter('dialect', 'norse')}"
        )

    leaky = [n for n, node in draft.nodes.items() if isinstance(node, (nir.LIF, nir.CubaLIF))]
    if (draft.free or draft.open) and leaky and all(_like_snntorch(draft.nodes[n]) for n in leaky):
        warnings.append(
            "r is tau / 1e-4 throughout: so snnTorch writes its models however they "
            "reset (by default by subtraction, one step late), and SpikingJelly those that reset "
            f"to 0. If snnTorch wrote this, say {parameter('dialect', 'snntorch')}"
        )
    return warnings


def _lost_leaks(draft: Draft, dt: float) -> list[str]:
    """A warning for each kind of time constant whose decay is 0 on the chip although the model
    leaks: 12 bits hold none of more than 8192 steps."""
    warnings = []
    for attribute, state in _STATES.items():
        lost = {}
        for name, node in draft.nodes.items():
            if "grid" in draft.entry(name) or not hasattr(node, attribute):
                continue
            tau = np.asarray(getattr(node, attribute), np.float64).ravel()
            rounded = tau[(np.rint(DECAY_UNITS * dt / tau) == 0) & (dt / tau >= NO_LEAK)]
            if rounded.size:
                lost[name] = float(rounded.min())
        if not lost:
            continue

        name, tau_s = next(iter(lost.items()))
        unit = "" if graph_metadata.in_steps(draft.meta) else f" of {dt:g} s"
        stated = f"{tau_s:g} s is " if unit else ""
        more = f" ({len(lost)} such nodes)" if len(lost) > 1 else ""
        warnings.append(
            f"{draft.label(name)}: a time constant of {stated}{tau_s / dt:,.0f} steps{unit} is too "
            f"long for the chip's decays, which have 12 bits: the decay becomes 0, so the {state} "
            f"never leaks, where the model's does{more}. The longest that leaks is 8,191 steps"
        )
    return warnings


def _longest(node: nir.NIRNode, entry: Mapping[str, Any], dt: float) -> float:
    """Longest time constant that is not one of no leak."""
    if "grid" in entry:
        return 0.0
    taus = [
        np.asarray(getattr(node, name)).ravel()
        for name in ("tau", "tau_mem", "tau_syn")
        if hasattr(node, name)
    ]
    values = np.concatenate(taus) if taus else np.zeros(0)
    return float(values[values < dt / NO_LEAK].max(initial=0.0))


def _like_norse(node: nir.NIRNode, entry: Mapping[str, Any], dt: float) -> bool:
    """A time constant that is shorter than a step, and would not be once divided by it."""
    return "grid" not in entry and dt**2 <= shortest({"": node}) < dt * (1 - 1e-6)


def _like_snntorch(node: nir.NIRNode) -> bool:
    tau = node.tau if hasattr(node, "tau") else node.tau_mem
    return bool(np.allclose(np.asarray(node.r) * SNNTORCH_DT_S, tau, rtol=1e-4, atol=0))
