"""The neuron kind "lif": the chip's own leaky integrate-and-fire neuron with synaptic current, and
what a neuron program of one's own adds to it (other resets, a refractory period, noise).

``advance`` is the one place where the order of current, potential, rest, noise, comparison and
reset is written. The reference executor and the layers' scan with tensors run these lines; the
kernels of the target "fast" and of the layers, and the Lava processes, are written by hand for
speed, or in Lava's terms, and are compared with them by random Programs.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from hardware.arithmetic import (
    Number,
    choose,
    fires,
    next_current,
    next_potential,
    saturate_potential,
)
from hardware.neurons import NeuronKind, Parameter, State, States
from hardware.noise import draw_step


class Constants(NamedTuple):
    """Parameters of a step, 64-bit integers or arrays of them.

    bias         in units of the potential
    threshold    mantissa; None: a non-spiking integrator
    reset        "zero", "subtract" or "none"
    subtracted   what "subtract" takes off, in units of the potential
    refractory   steps
    """

    current_decay: Number
    voltage_decay: Number
    bias: Number
    threshold: Number
    reset: str
    subtracted: Number
    refractory: int


class Advanced(NamedTuple):
    """What a step makes.

    current, potential, rest   the states after it; rest: steps that a neuron still rests
    before                     the potential before the reset
    active                     where a neuron does not rest in this step
    fired                      where a neuron fires; None for an integrator
    """

    current: Number
    potential: Number
    rest: Number
    before: Number
    active: Number
    fired: Number


def advance(
    p: Constants,
    current: Number,
    potential: Number,
    rest: Number,
    synaptic_input: Number,
    noise: Number = 0,
) -> Advanced:
    """One step of every neuron, in Python integers, numpy or torch arrays (int64).

    1. The synaptic current decays and takes up what the synapses bring, also in a neuron that
       rests.
    2. The potential decays and takes up current and bias; that of a neuron that rests stays.
    3. Potential plus noise is compared with the threshold; the noise does not stay. A neuron that
       rests does not fire.
    4. A neuron that fires is reset, and rests in the next ``refractory`` steps.
    """
    current = next_current(current, synaptic_input, p.current_decay)

    active = rest == 0
    updated = next_potential(potential, current, p.bias, p.voltage_decay)
    before = potential = choose(active, updated, potential)
    if p.threshold is None:
        return Advanced(current, potential, rest, before, active, None)

    fired = fires(potential + noise, p.threshold) & active
    if p.reset == "zero":
        potential = choose(fired, 0, potential)
    elif p.reset == "subtract":
        potential = choose(fired, saturate_potential(potential - p.subtracted), potential)
    rest = choose(fired, p.refractory, choose(active, 0, rest - 1))
    return Advanced(current, potential, rest, before, active, fired)


def _step(
    p: SimpleNamespace, states: States, synaptic_input: np.ndarray, step: int
) -> tuple[States, np.ndarray]:
    noise: np.ndarray | int = 0
    if p.noise is not None:
        noise = draw_step(p.noise.seed, p.noise.sigma, step, synaptic_input.size)
        noise = noise.reshape(synaptic_input.shape)
    after = advance(
        p.constants, states["current"], states["potential"], states["rest"], synaptic_input, noise
    )
    fired = np.zeros(synaptic_input.shape, bool) if after.fired is None else after.fired
    return {"current": after.current, "potential": after.potential, "rest": after.rest}, fired


LIF = NeuronKind(
    name="lif",
    title="leaky integrate-and-fire with synaptic current",
    states=(
        State("current", "synaptic current, in units of the state"),
        State("potential", "membrane potential, in units of the state"),
        State("rest", "steps that the neuron still rests"),
    ),
    parameters=(
        Parameter("current_decay", 0, 4096, "share of the current lost each step, of 4096", 4096),
        Parameter("voltage_decay", 0, 4096, "share of the potential lost each step, of 4096", 0),
        Parameter(
            "threshold",
            0,
            (1 << 17) - 1,
            "mantissa, shifted left by 6; none: an integrator",
            1,
            register="threshold_bits",
        ),
        Parameter(
            "bias",
            -4096,
            4095,
            "mantissa, added to the potential in every step",
            0,
            register="bias_mantissa_bits",
        ),
        Parameter("bias_exponent", -7, 7, "shift of the bias mantissa", 0, each=False),
        Parameter("reset_amount", 0, (1 << 23) - 1, "what a reset by subtraction takes off"),
        Parameter("refractory", 0, 1 << 15, "steps of rest after a spike", 0, each=False),
    ),
    step=_step,
    microcode="",
    nir=("IF", "LIF", "CubaLIF", "I", "LI", "CubaLI", "Threshold"),
    lava=("ProbedLIFReset", "CustomResetLIF", "NoisyLIF"),
)
"""The chip's own neuron. Resets and noise are no numbers of a range: ``hardware.Population`` checks
them."""
