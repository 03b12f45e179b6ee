"""What each framework writes, and what it computes: the rules behind ``export.dialects.DIALECTS``.

``*_step`` finds the time step that a file's numbers imply, and refuses numbers that the framework
does not write. The others bring one neuron into the form in which a forward Euler step
(export.neurons) computes what the framework computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError

SNNTORCH_DT_S = 1e-4
"""snnTorch's exporter knows no other time step."""

CLOSE = 1e-4
"""Relative error within which parameters follow a writer's formula: files hold single precision,
after an exponential."""

LEAKY = (nir.LIF, nir.LI, nir.CubaLIF, nir.CubaLI)

Nodes = Mapping[str, nir.NIRNode]


@dataclass
class Site:
    """One neuron while a dialect is applied.

    entry       its metadata, to be completed
    reset       "zero", "subtract" or "none", as the dialect or the caller says
    recurrent   its spikes come back to it
    shortest    smallest time constant of the whole file, seconds
    doubts      filled in by the dialect: what in this neuron hardly fits it
    """

    name: str
    node: nir.NIRNode
    entry: dict[str, Any]
    reset: str
    recurrent: bool
    dt_s: float | None
    shortest: float
    doubts: list[str] = field(default_factory=list)

    @property
    def step_s(self) -> float:
        """The time step, of a dialect that needs it."""
        assert self.dt_s is not None, "it was asked for"
        return self.dt_s

    @property
    def where(self) -> str:
        return f"node {self.name!r} ({type(self.node).__name__})"

    @property
    def tau(self) -> np.ndarray:
        """The membrane time constant, as stated."""
        return np.asarray(
            self.node.tau if hasattr(self.node, "tau") else self.node.tau_mem, np.float64
        )

    def amount(self, volts: np.ndarray) -> None:
        """State what a reset by subtraction takes off."""
        flat = np.asarray(volts, np.float64).ravel()
        self.entry["reset_amount_v"] = float(flat[0]) if np.all(flat == flat[0]) else flat.tolist()


def leaky(nodes: Nodes) -> Iterator[tuple[str, nir.NIRNode, np.ndarray, np.ndarray]]:
    """(where, node, membrane time constant, r) of every neuron with a leak, float64."""
    for name, node in nodes.items():
        if isinstance(node, LEAKY):
            tau = node.tau if hasattr(node, "tau") else node.tau_mem
            where = f"node {name!r} ({type(node).__name__})"
            yield where, node, np.asarray(tau, np.float64), np.asarray(node.r, np.float64)


def _without_if(title: str, nodes: Nodes) -> None:
    for name, node in nodes.items():
        if isinstance(node, (nir.IF, nir.I)):
            raise GraphError(
                f"node {name!r} ({type(node).__name__}): {title}'s exporter writes no such node; "
                "leave the dialect out, or name another"
            )


def _implied(
    title: str,
    law: str,
    nodes: Nodes,
    step_of: Callable[[float, float], float],
    fits: Callable[[np.ndarray, np.ndarray, float], np.ndarray],
) -> float | None:
    """The time step that follows from tau and r of one neuron, that of the smallest r, and fits
    all.

    Raises GraphError where it does not; None where no neuron has a leak.
    """
    neurons = list(leaky(nodes))
    if not neurons:
        return None

    _, _, taus, rs = min(neurons, key=lambda item: item[3].min())
    least = int(rs.argmin())
    with np.errstate(all="ignore"):  # numbers that follow no law may give anything
        dt = step_of(float(taus.flat[least]), float(rs.flat[least]))
        for where, _, tau, r in neurons:
            if not (np.isfinite(dt) and dt > 0 and np.all(fits(tau, r, dt))):
                raise GraphError(
                    f"{where}: {title} writes {law}, and this node does not fit that; leave the "
                    "dialect out, or name another"
                )
    return dt


# Rockpool: r = tau * exp(-dt / tau) / dt


def _rockpools_step(tau: float, r: float) -> float:
    """Newton's method on x = tau / dt: r = x * exp(-1 / x) grows with x, and is below it."""
    x = max(r, 1e-3) + 1.0
    for _ in range(50):
        e = np.exp(-1.0 / x)
        x = max(x - (x * e - r) / (e * (1.0 + 1.0 / x)), 1e-3)
    return tau / x


def rockpool_step(nodes: Nodes) -> float | None:
    """dt; raises GraphError."""

    def fits(tau: np.ndarray, r: np.ndarray, dt: float) -> np.ndarray:
        return np.asarray(np.isclose(r, tau * np.exp(-dt / tau) / dt, rtol=CLOSE, atol=0))

    _without_if("Rockpool", nodes)
    law = "r = tau * exp(-dt / tau) / dt with one dt"
    return _implied("Rockpool", law, nodes, _rockpools_step, fits)


def rockpool(site: Site) -> None:
    node, dt = site.node, site.step_s
    lost_v = -np.expm1(-dt / site.tau)
    if isinstance(node, nir.LI):
        # an ExpSyn decays what has just come in, too
        node.tau, node.r = dt / lost_v, (1.0 - lost_v) / lost_v
        return
    if isinstance(node, nir.LIF):
        node.tau, node.r = dt / lost_v, 1.0 / lost_v
        return
    lost_i = -np.expm1(-dt / np.asarray(node.tau_syn, np.float64))
    node.tau_mem, node.r = dt / lost_v, 1.0 / lost_v
    node.tau_syn, node.w_in = dt / lost_i, (1.0 - lost_i) / lost_i


# Sinabs: time constants in steps, exponential decay, input normalised


def sinabs(site: Site) -> None:
    node, unit = site.node, 1.0 if site.dt_s is None else site.dt_s
    if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
        raise UnsupportedError(
            f"{site.where}: Sinabs writes no such node; leave the dialect out, or name another"
        )
    if isinstance(node, (nir.LIF, nir.LI)):
        least = float(site.tau.min())
        if least < 1.0:
            kept = 100.0 * np.exp(-1.0 / least)
            site.doubts.append(
                f"{site.where}: Sinabs writes time constants in steps, and {least:g} is shorter "
                f"than one: read so, the neuron keeps {kept:.2g} % of its potential from one step "
                "to the next. If it is in seconds, Sinabs did not write this: leave dialect out, "
                "or name another"
            )
        node.tau = unit / -np.expm1(-1.0 / site.tau)


# Norse: a time constant times dt; a spike is a jump of the current by 1


def norse(site: Site) -> None:
    node, dt = site.node, site.step_s
    if not isinstance(node, LEAKY):
        return
    if site.shortest < dt:  # Norse before 1.1 wrote time constants as they are
        for name in ("tau", "tau_mem", "tau_syn"):
            if hasattr(node, name):
                setattr(node, name, np.asarray(getattr(node, name), np.float64) / dt)
    if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
        if np.any(np.asarray(node.w_in) != 1):
            raise GraphError(
                f"{site.where}: w_in is not 1, which Norse does not write; leave the dialect out"
            )
        node.w_in = np.asarray(node.tau_syn, np.float64) / dt


# snnTorch: r = tau / dt, w_in = tau_syn / dt, dt = 1e-4


def snntorch_step(nodes: Nodes) -> float | None:
    neurons = list(leaky(nodes))
    _without_if("snnTorch", nodes)
    for where, node, tau, r in neurons:
        pairs = [(r, tau)]
        if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
            pairs.append((np.asarray(node.w_in), np.asarray(node.tau_syn)))
        if not all(np.allclose(gain * SNNTORCH_DT_S, t, rtol=CLOSE, atol=0) for gain, t in pairs):
            raise GraphError(
                f"{where}: snnTorch 1.0 writes r = tau / 1e-4 and w_in = tau_syn / 1e-4, and this "
                "node does not fit that; leave the dialect out, or name another"
            )
    return SNNTORCH_DT_S if neurons else None


def snntorch(site: Site) -> None:
    if site.reset == "subtract":
        beta = 1.0 - site.step_s / site.tau
        if beta.min() <= CLOSE:
            raise UnsupportedError(
                f"{site.where}: beta is 0, so that snnTorch's reset by subtraction acts on the "
                "next input alone; it must have a beta "
                "above 0, or reset 'zero' or 'none'"
            )
        # taken off one step late, after the decay: the same spikes as threshold / beta at once
        site.amount(np.asarray(site.node.v_threshold, np.float64) / beta)
    elif site.reset == "zero" and (site.recurrent or isinstance(site.node, nir.CubaLIF)):
        site.entry["refractory"] = 1  # the whole next potential is put to zero, its input included


# SpikingJelly: r of IF is 1 / dt


def spikingjelly_step(nodes: Nodes) -> float | None:
    """dt, where there is an IF; raises GraphError."""
    resistances = {
        name: np.asarray(n.r, np.float64) for name, n in nodes.items() if isinstance(n, nir.IF)
    }
    if not resistances:
        return None

    first = float(next(iter(resistances.values())).flat[0])
    for name, r in resistances.items():
        if first <= 0 or not np.allclose(r, first, rtol=CLOSE, atol=0):
            raise GraphError(
                f"node {name!r} (IF): SpikingJelly writes r = 1 / dt in every IF, and this node "
                "does "
                "not fit that; leave the dialect out, or name another"
            )
    return 1.0 / first


# Spyx: r = 1 - dt / tau


def spyx_step(nodes: Nodes) -> float | None:
    """dt; raises GraphError."""

    def fits(tau: np.ndarray, r: np.ndarray, dt: float) -> np.ndarray:
        return np.isclose(1.0 - r, dt / tau, rtol=1e-3, atol=1e-6)

    law = "r = 1 - dt / tau with one dt"
    return _implied("Spyx", law, nodes, lambda tau, r: tau * (1.0 - r), fits)


def spyx(site: Site) -> None:
    node = site.node
    if site.recurrent:
        raise UnsupportedError(
            f"{site.where}: Spyx leads the input of a recurrent layer through its recurrent "
            "weights when it writes it, which its model "
            "does not do; it must be without feedback"
        )

    threshold = np.asarray(getattr(node, "v_threshold", 0.0), np.float64)
    if not isinstance(node, LEAKY):
        site.amount(threshold)
        return

    beta = 1.0 - site.step_s / site.tau
    node.r = site.tau / site.step_s
    if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
        node.w_in = np.asarray(node.tau_syn, np.float64) / site.step_s
    if isinstance(node, (nir.LIF, nir.CubaLIF)):
        if beta.min() <= CLOSE:
            raise UnsupportedError(
                f"{site.where}: beta is 0, so that Spyx's late reset acts on the next input alone"
            )
        # CuBaLIF takes the threshold off twice, before and after the decay
        site.amount(threshold / beta + (threshold if isinstance(node, nir.CubaLIF) else 0.0))
