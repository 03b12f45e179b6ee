"""What the frameworks that write NIR files mean by them, where that is not what NIR's equations
say.

Read in, and compared with, the exporters and forward passes of Sinabs 3.1.3, snnTorch 1.0.0,
SpikingJelly 2.0, Norse 1.1 and Rockpool 3.1; read in Spyx 1.0. A dialect says how a neuron is
reset, what r of IF and I counts, and, where the file's own numbers follow from it, the time step.
It rewrites the parameters of neurons that mean something else (export.dialects.rules).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from export.dialects import rules
from export.dialects.rules import CLOSE, LEAKY, Nodes, Site, leaky
from export.errors import GraphError


def _nothing(site: Site) -> None:
    return None


@dataclass(frozen=True)
class Dialect:
    """A writer's conventions.

    reset      how its neurons are reset by default
    resets     what else they can be set to, which its files do not tell
    r_per      what r of IF and I counts
    time_step  the time step that the file's numbers imply, None where they imply none; raises
               GraphError where they cannot be this writer's
    rewrite    brings one neuron into Euler's form and completes its entry
    in_steps   its time constants are in steps
    rewrites   kinds of nodes that it rewrites
    strict     its neurons fire strictly above their threshold, as a Program's
    solved     its time step is solved from r and a time constant, which a file with one of each
               allows whoever wrote it
    lost       what its files do not keep; warning: what of it is likely to change results
    """

    title: str
    reset: str
    r_per: str
    resets: tuple[str, ...] = ()
    time_step: Callable[[Nodes], float | None] = lambda nodes: None
    rewrite: Callable[[Site], None] = _nothing
    in_steps: bool = False
    rewrites: tuple[type, ...] = ()
    lost: tuple[str, ...] = ()
    warning: str = ""
    strict: bool = False
    solved: bool = False


_MULTIPLE = (
    "sends several spikes in a step where its potential has passed several thresholds; a Program "
    "sends one and keeps the rest for the "
    "next step"
)
_EQUAL = "fires at a potential equal to the threshold, too; a Program fires strictly above it"

DIALECTS: Mapping[str, Dialect] = {
    "nir": Dialect("NIR's own equations", "zero", "second", strict=True),
    "sinabs": Dialect(
        "Sinabs",
        "subtract",
        "step",
        resets=("zero",),
        rewrite=rules.sinabs,
        in_steps=True,
        rewrites=LEAKY,
        lost=(
            f"Sinabs {_EQUAL}",
            "the file does not keep min_v_mem, a lower bound of Sinabs's potential (-1 for an IAF "
            "of older versions), nor norm_input of a "
            "LIF, which is read as True",
        ),
        warning=f"Sinabs {_MULTIPLE}. The same spikes follow only where spike_fn is SingleSpike, "
        "which the file does not tell",
    ),
    "snntorch": Dialect(
        "snnTorch",
        "subtract",
        "step",
        resets=("zero", "none"),
        time_step=rules.snntorch_step,
        rewrite=rules.snntorch,
        strict=True,
        rewrites=LEAKY,
        lost=(
            "the file does not keep snnTorch's reset_mechanism and reset_delay: read as the "
            "default reset_delay=True, one step late (before "
            "1.0 a potential that stays above the threshold was compared less another threshold)",
        ),
    ),
    "spikingjelly": Dialect(
        "SpikingJelly",
        "zero",
        "second",
        time_step=rules.spikingjelly_step,
        lost=(f"SpikingJelly {_EQUAL}",),
    ),
    "norse": Dialect(
        "Norse",
        "zero",
        "step",
        resets=("subtract",),
        rewrite=rules.norse,
        strict=True,
        rewrites=LEAKY,
        lost=("the file does not keep Norse's reset method, nor a v_reset other than 0",),
    ),
    "rockpool": Dialect(
        "Rockpool",
        "subtract",
        "step",
        time_step=rules.rockpool_step,
        solved=True,
        rewrite=rules.rockpool,
        rewrites=LEAKY,
        lost=(
            f"Rockpool {_EQUAL}",
            "Rockpool's exporter leaves the bias of a neuron out",
        ),
        warning=f"Rockpool {_MULTIPLE}. The same spikes follow only where max_spikes_per_dt is 1, "
        "which the file does not tell",
    ),
    "spyx": Dialect(
        "Spyx",
        "subtract",
        "step",
        time_step=rules.spyx_step,
        solved=True,
        rewrite=rules.spyx,
        strict=True,
        rewrites=LEAKY,
        lost=(
            "Spyx sends a spike one step after its potential has passed the threshold: each layer "
            "of a Program is a step earlier",
        ),
    ),
}


def shortest(nodes: Nodes) -> float:
    """The smallest time constant of a graph in seconds, infinite where it has none."""
    names = ("tau", "tau_mem", "tau_syn")
    return min(
        (
            float(np.min(getattr(n, name)))
            for n in nodes.values()
            for name in names
            if hasattr(n, name)
        ),
        default=np.inf,
    )


def needs_step(dialect: Dialect, nodes: Nodes) -> bool:
    """Whether its parameters can be understood only with the time step known."""
    return (
        bool(dialect.rewrites)
        and not dialect.in_steps
        and any(isinstance(n, dialect.rewrites) for n in nodes.values())
    )


def recognised(nodes: Nodes, placeholders: list[str], dt_s: float | None) -> tuple[str, str] | None:
    """(dialect, evidence) where the writer is beyond doubt, else None.

    Sinabs before 2.0 gives Flatten an input_type of zeros, which no other exporter does. No other
    than Rockpool's writes r = tau * exp(-dt / tau) / dt: this counts where a time step that is
    known fits it, or several time constants agree on one.
    """
    if placeholders:
        return (
            "sinabs",
            f"Flatten node {placeholders[0]!r} has an input_type of zeros, which its exporter "
            "alone writes",
        )
    with np.errstate(all="ignore"):
        ratios = [np.ravel(tau / r) for _, _, tau, r in leaky(nodes)]
    if not ratios:
        return None
    try:
        implied = rules.rockpool_step(nodes)
    except GraphError:
        return None

    # with r = tau / dt, which others write, this is one number; it must be off by more than
    # rounding
    steps = np.concatenate(ratios)
    if implied is None:
        return None
    step_s = implied if dt_s is None else dt_s
    several = float(steps.max()) > 1.001 * float(steps.min())
    known = dt_s is not None and not np.allclose(steps, dt_s, rtol=1e-3, atol=0)
    if not (several or known) or not np.isclose(implied, step_s, rtol=CLOSE, atol=0):
        return None
    return (
        "rockpool",
        f"r is tau * exp(-dt / tau) / dt with dt {implied:g} s throughout, which its exporter "
        "alone writes",
    )
