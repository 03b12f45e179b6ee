"""A neuron node in discrete time: what its parameters mean for one step of the chip, still in
volts.

NIR states differential equations; a step of dt is forward Euler, as the frameworks that NIR graphs
come from compute it:

    u[t] = u[t-1] * (1 - dt/tau_syn) + gain * input[t]          gain = w_in * dt/tau_syn * r *
        dt/tau_mem
    v[t] = v[t-1] * (1 - dt/tau_mem) + u[t] + v_leak * dt/tau_mem

so u is in volts per step; a spike counts 1 in its step, as every framework has it, not 1/dt.
Without synaptic current (LIF, LI) u is just gain * input, gain = r * dt/tau. For IF and I NIR's
equation gives r * dt; many writers mean r, once a step: the entry "r_per" says which
(export.reading has settled it). With ``discretization="exponential"`` 1 - exp(-dt/tau) stands for
dt/tau: the exact solution for input that is constant during a step; ``compensated`` then keeps it
near the exact solution with the chip's 12-bit decays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import nir
import numpy as np

from export.errors import GraphError, MissingInformationError, QuantizationError, UnsupportedError
from export.metadata import UNKNOWN
from export.passes.reset import shifted
from export.shapes import SPIKING, Shape
from hardware.noise import Noise
from hardware.parameters import parameter

DISCRETIZATIONS = ("euler", "exponential")

NO_LEAK = 2.0**-32
"""Shares below this are none: a node that needs a time constant and has no leak states one of 2**40
steps."""

SETTLING = 0.7680390470
"""Share of a decay's rounding error that the gain makes up for. With a decay that is off by a small
share e, and a gain by c * e, the answer to a constant input of 1 is off by e * (x * exp(-x) - (1 -
c) * (1 - exp(-x))) after x time constants; the largest deviation over all times is smallest where
that of the rise and that of the end are equal: 2 * (1 - c) = exp(-c). Derived here."""

LARGEST_COMPENSATION = 0.05
"""Rounding errors of a decay above this share are no small ones: nothing is made up for, and the
audit shows the decay's own error."""

_NEED_DT = (nir.LIF, nir.LI, nir.CubaLIF, nir.CubaLI)


@dataclass(frozen=True, eq=False)
class DiscreteNeuron:
    """One population in volts and steps; each array is one number or has the population's shape.

    current_decay, voltage_decay   share lost in each step, 0 to 1
    gain            volts that one unit of input adds to the current
    leak            volts added to the potential in each step
    threshold       volts, None for an integrator
    reset           "zero", "subtract" or "none" (see hardware.Population); reset_amount in volts,
                    with "subtract"
    offset          true potential = potential + offset
    grid            integers stated by quantisation-aware training, or None; it alone can state
                    noise
    caveats         in what the model that the node comes from may differ from it
    """

    name: str
    shape: Shape
    current_decay: np.ndarray
    voltage_decay: np.ndarray
    gain: np.ndarray
    leak: np.ndarray
    threshold: np.ndarray | None
    reset: str = "zero"
    reset_amount: np.ndarray | None = None
    refractory: int = 0
    offset: np.ndarray = field(default_factory=lambda: np.zeros(()))
    grid: Mapping[str, Any] | None = None
    statements: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def noise(self) -> Noise | None:
        """Noise on the comparison with the threshold, in integer steps."""
        stated = (self.grid or {}).get("noise")
        return None if stated is None else Noise(**stated)

    @property
    def has_current(self) -> bool:
        """Keeps a synaptic current from one step to the next."""
        return bool(np.any(self.current_decay != 1))


def needs_dt(node: nir.NIRNode, entry: Mapping[str, Any]) -> bool:
    """Whether a node can only be understood with the time step known. One with a grid states its
    decays."""
    return (isinstance(node, _NEED_DT) or entry.get("r_per") == "second") and "grid" not in entry


def collapse(array: Any) -> np.ndarray:
    """A 0-d array where all elements are equal."""
    array = np.asarray(array, np.float64)
    one = bool(array.size) and array.min() == array.max()
    return np.asarray(array.reshape(-1)[0]) if one else array


def readout(name: str, shape: Shape) -> DiscreteNeuron:
    """An Output that reads a weighted sum: an integrator that forgets everything in each step."""
    one, zero = np.ones(()), np.zeros(())
    return DiscreteNeuron(
        name,
        shape,
        one,
        one,
        one,
        zero,
        None,
        reasons=("a read-out without memory: its potential is the signal of each step",),
    )


def _share(where: str, tau: np.ndarray, dt_s: float, discretization: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # refused below
        ratio = dt_s / np.asarray(tau, np.float64)
    if discretization == "exponential":
        return -np.expm1(-ratio)
    if ratio.max() > 1 + 1e-6:
        shortest = float(np.min(tau))
        norse = (
            f". Norse 1.1 writes a time constant times dt, here {shortest / dt_s:g} s: if Norse "
            f"wrote this, say {parameter('dialect', 'norse')}"
            if shortest >= dt_s**2
            else ""
        )
        raise UnsupportedError(
            f"{where}: the time constant {shortest:g} s is shorter than the time step {dt_s:g} s; "
            f"it must be longer{norse}"
        )
    return np.minimum(ratio, 1.0)


def _integers(where: str, grid: Mapping[str, Any], key: str, shape: Shape) -> np.ndarray:
    """An entry of a grid, as a share of 4096 or a mantissa: a number, or an array of the
    population's shape."""
    value = np.asarray(grid[key], np.int64)
    if value.ndim and value.size != np.prod(shape):
        raise GraphError(
            f"{where}: grid has {value.size} values of {key}; there must be one or "
            f"{int(np.prod(shape))}"
        )
    return value.reshape(shape) if value.ndim else value


def discretize(
    name: str,
    node: nir.NIRNode,
    shape: Shape,
    entry: Mapping[str, Any],
    dt_s: float | None,
    discretization: str,
    fused: str | None = None,
) -> DiscreteNeuron:
    """One neuron node. ``entry``: its metadata, in which a reset that is open and what r counts are
    settled (export.reading; IF and I without "r_per" count once a step), and under "sources" who
    said so; ``fused``: name of the Threshold node that was joined to an integrator.

    Raises MissingInformationError where dt is needed and unknown, UnsupportedError for what has no
    integer counterpart, GraphError and QuantizationError where node and grid contradict each other.
    """
    where = f"node {name!r} ({type(node).__name__})"
    grid = entry.get("grid")
    if needs_dt(node, entry) and dt_s is None:
        raise MissingInformationError(
            f"{where} has time constants in seconds and the graph does not state the time step: "
            f"say it with {parameter('dt')}"
        )

    one, zero = np.ones(shape), np.zeros(shape)
    r = np.asarray(getattr(node, "r", one), np.float64)
    alpha_v, alpha_i, gain, known = zero, one, r, dt_s is not None
    if isinstance(node, nir.Threshold):
        alpha_v = zero if entry.get("pooling") == "maximum" else one
    elif isinstance(node, (nir.LIF, nir.LI)) and dt_s is not None:
        alpha_v = _share(where, node.tau, dt_s, discretization)
        gain = r * alpha_v
    elif isinstance(node, (nir.CubaLIF, nir.CubaLI)) and dt_s is not None:
        alpha_v, alpha_i = (
            _share(where, node.tau_mem, dt_s, discretization),
            _share(where, node.tau_syn, dt_s, discretization),
        )
        with np.errstate(
            over="ignore"
        ):  # an infinite gain is refused with the weights that it meets
            gain = np.asarray(node.w_in, np.float64) * alpha_i * r * alpha_v

    reasons = []
    if entry.get("pooling") == "maximum":
        reasons.append(
            f"the maximum of windows of spikes, their OR: a population of "
            f"{math.prod(shape)} neurons without memory"
        )
    if grid is not None:
        alpha_v, alpha_i, gain = _on_grid(where, node, grid, shape, alpha_v, alpha_i, gain, known)
    elif entry.get("r_per") == "second" and dt_s is not None:
        gain = r * dt_s
    v_leak = getattr(node, "v_leak", None)
    threshold = reset_amount = None
    offset = zero
    statements: dict[str, tuple[str, str]] = {}
    if grid is None and "r_per" in entry:
        counted = "once a step" if entry["r_per"] == "step" else "per second"
        statements["r"] = (counted, entry.get("sources", {}).get("r_per", "stated in the graph"))
    reset = "zero"

    if isinstance(node, SPIKING):
        threshold = np.asarray(
            node.threshold if isinstance(node, nir.Threshold) else node.v_threshold, np.float64
        )
        reset = _reset(node, entry, fused, statements)
        v_reset = np.asarray(getattr(node, "v_reset", zero), np.float64)
        threshold, v_leak, offset = shifted(where, v_reset, v_leak, threshold, reset)
        if np.any(offset):
            reasons.append(
                f"potential counted from v_reset ({float(np.min(offset)):g} V), at which a sample "
                f"is assumed to start"
            )
        if reset == "subtract":
            given = entry.get("reset_amount_v")
            reset_amount = threshold if given is None else np.asarray(given, np.float64)
            if reset_amount.ndim and reset_amount.size != threshold.size:
                raise GraphError(
                    f"{where}: {reset_amount.size} values of reset_amount_v; there must be one or "
                    f"{threshold.size}"
                )
            reset_amount = collapse(
                reset_amount.reshape(shape) if reset_amount.ndim else reset_amount
            )
        elif "reset_amount_v" in entry:
            raise GraphError(f"{where}: reset_amount_v goes with reset 'subtract', not {reset!r}")
        if np.any(threshold < 0):
            raise UnsupportedError(
                f"{where}: threshold {float(threshold.min()):g} V (counted from the reset); "
                f"it must be 0 or more"
            )
        if threshold is not None and grid is not None and "threshold" in grid:
            _same_threshold(
                where, threshold, _integers(where, grid, "threshold", shape), grid["fraction_bits"]
            )

    leak = zero if v_leak is None else np.asarray(v_leak, np.float64) * alpha_v
    alpha_v, alpha_i = (np.where(alpha < NO_LEAK, 0.0, alpha) for alpha in (alpha_v, alpha_i))
    return DiscreteNeuron(
        name,
        shape,
        current_decay=collapse(alpha_i),
        voltage_decay=collapse(alpha_v),
        gain=collapse(gain),
        leak=collapse(leak),
        threshold=None if threshold is None else collapse(threshold),
        reset=reset,
        reset_amount=reset_amount,
        refractory=int(entry.get("refractory", 0)),
        offset=collapse(offset),
        grid=grid,
        statements=statements,
        reasons=tuple(reasons),
        caveats=tuple(entry.get("caveats", ())),
    )


def compensated(neuron: DiscreteNeuron) -> DiscreteNeuron:
    """The neuron with a gain that makes up for decays that the chip rounds to whole 4096ths; see
    SETTLING. Leak included."""
    if neuron.grid is not None:
        return neuron
    voltage, current = (_make_up(share) for share in (neuron.voltage_decay, neuron.current_decay))
    if np.all(voltage * current == 1):
        return neuron
    low, high = (float(f(voltage * current)) for f in (np.min, np.max))
    factor = f"{low:.5g}" if low == high else f"{low:.5g} to {high:.5g}"
    reason = (
        f"input scaled by {factor}, which halves what the rounding of the decays to 12 bits costs "
        "a constant input"
    )
    return replace(
        neuron,
        gain=neuron.gain * voltage * current,
        leak=neuron.leak * voltage,
        reasons=(*neuron.reasons, reason),
    )


def _make_up(share: np.ndarray) -> np.ndarray:
    """Factor of the gain for decays that will be rounded."""
    error = (
        np.divide(
            np.rint(share * 4096) / 4096,
            share,
            out=np.ones_like(share, np.float64),
            where=share > 0,
        )
        - 1
    )
    return np.where(np.abs(error) <= LARGEST_COMPENSATION, 1 + SETTLING * error, 1.0)


def _reset(
    node: nir.NIRNode, entry: Mapping[str, Any], fused: str | None, statements: dict[str, Any]
) -> str:
    """The reset and the comparison with the threshold, and where they are known from."""
    comparison = (
        "stated in the graph" if "threshold_comparison" in entry else "assumed: NIR's definition"
    )
    statements["threshold_comparison"] = (">", comparison)

    if fused is not None:
        statements["reset"] = ("none", f"an integrator with the Threshold {fused!r} behind it")
        return "none"
    if isinstance(node, nir.Threshold):
        statements["reset"] = ("none", "a Threshold has no memory")
        return "zero"  # everything is lost in each step anyway; the chip's own reset

    reset = entry.get("reset")
    if reset == UNKNOWN:
        raise MissingInformationError(
            f"it is not stated how the neuron is reset: say it with {parameter('reset')}"
        )
    stated = entry.get("sources", {}).get("reset", "stated in the graph")
    statements["reset"] = (
        reset or "zero",
        stated if reset else "assumed: NIR's definition, hard reset to v_reset",
    )
    return reset or "zero"


def _on_grid(
    where: str,
    node: nir.NIRNode,
    grid: Mapping[str, Any],
    shape: Shape,
    alpha_v: np.ndarray,
    alpha_i: np.ndarray,
    gain: np.ndarray,
    known: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decays and gain that a grid states, after comparison with what the node says."""
    for key in ("fraction_bits", "current_decay", "voltage_decay"):
        if key not in grid:
            raise GraphError(f"{where}: grid lacks {key}")
    stated = {key: _integers(where, grid, key, shape) for key in ("current_decay", "voltage_decay")}

    fixed = {
        nir.IF: ("current_decay", "voltage_decay"),
        nir.I: ("current_decay", "voltage_decay"),
        nir.Threshold: ("current_decay", "voltage_decay"),
    }
    compared = ("current_decay", "voltage_decay") if known else fixed.get(type(node), ())
    if isinstance(node, (nir.LIF, nir.LI)):
        compared = tuple({*compared, "current_decay"})

    for key, share in (("current_decay", alpha_i), ("voltage_decay", alpha_v)):
        if key in compared and np.any(np.abs(4096 * share - stated[key]) > 0.01):
            raise QuantizationError(
                f"{where}: grid states {key} {_span(stated[key])}; the node's time constant is "
                f"{_span(4096 * share)}"
            )
    if (known or isinstance(node, (nir.IF, nir.I, nir.Threshold))) and np.any(
        np.abs(gain - 1) > 1e-4
    ):
        raise QuantizationError(
            f"{where}: with a grid, one volt of input must add one volt; r and w_in make it "
            f"{_span(gain)}"
        )

    return stated["voltage_decay"] / 4096, stated["current_decay"] / 4096, np.ones(())


def _same_threshold(
    where: str, threshold: np.ndarray, stated: np.ndarray, fraction_bits: int
) -> None:
    if np.any(threshold * 2.0**fraction_bits != stated):
        raise QuantizationError(
            f"{where}: grid states threshold {_span(stated)}; the node's is "
            f"{_span(threshold * 2.0**fraction_bits)} in its units"
        )


def _span(values: Any) -> str:
    values = np.asarray(values)
    low, high = values.min().item(), values.max().item()
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
