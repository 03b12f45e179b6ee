"""The traced network in floating point: volts and discrete time, before any number becomes an
integer.

What the integer Program approximates; used to measure how large currents and potentials get on
calibration data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from export.errors import UnsupportedError
from export.neurons import DiscreteNeuron
from export.operators import Matrix, Operator, Triples
from export.trace import Traced, Way
from hardware.arithmetic import CURRENT_LIMIT, POTENTIAL_LIMIT, STATE_SHIFT
from hardware.noise import draw_step


@dataclass
class Extremes:
    """Largest |value| of one population in volts: its input in a step, its synaptic current, its
    potential before a reset."""

    input: float = 0.0
    current: float = 0.0
    potential: float = 0.0


@dataclass
class Simulation:
    """Result of one run: extremes per population; spikes and potentials [sample, step, *shape]
    where they were asked for."""

    extremes: dict[str, Extremes]
    spikes: dict[str, np.ndarray] = field(default_factory=dict)
    potentials: dict[str, np.ndarray] = field(default_factory=dict)


def by_delay(operator: Operator) -> list[tuple[int, Operator]]:
    """An operator with differing delays as several with one delay each."""
    delay = getattr(operator, "delay", 0)
    if not np.ndim(delay):
        return [(int(delay), operator)]

    if isinstance(operator, Matrix):
        return [
            (int(d), replace(operator, weight=np.where(delay == d, operator.weight, 0.0), delay=0))
            for d in np.unique(delay)
        ]

    assert isinstance(operator, Triples)
    parts: list[tuple[int, Operator]] = []
    for d in np.unique(delay):
        chosen = delay == d
        parts.append(
            (
                int(d),
                replace(
                    operator,
                    rows=operator.rows[chosen],
                    columns=operator.columns[chosen],
                    values=operator.values[chosen],
                    delay=0,
                ),
            )
        )
    return parts


def execution_order(ways: Mapping[str, list[Way]]) -> list[str]:
    """Populations, sources first. Raises UnsupportedError for a loop through several of them."""
    waiting = list(ways)
    done: list[str] = []
    while waiting:
        ready = [
            n for n in waiting if not any(w.source in waiting and not w.recurrent for w in ways[n])
        ]
        if not ready:
            raise UnsupportedError(
                f"a loop through several populations: {', '.join(waiting)}; a loop must lead "
                f"from a population to itself"
            )
        done += ready
        waiting = [n for n in waiting if n not in ready]
    return done


def simulate(
    traced: Traced,
    neurons: Mapping[str, DiscreteNeuron],
    inputs: Mapping[str, np.ndarray],
    *,
    record: bool = False,
    units: Mapping[str, float] | None = None,
) -> Simulation:
    """Run samples. ``inputs``: Input node → array [sample, step, *shape] in real units (integers
    times 2**-k). ``units``: population → state units in a volt, of those whose states are to be
    rounded, to wrap and to saturate as the chip's do."""
    order = execution_order(traced.ways)
    samples, steps = next(iter(inputs.values())).shape[:2]
    ways = {
        n: [
            (d + w.delay + w.recurrent, o, w.source)
            for w in traced.ways[n]
            for d, o in by_delay(w.operator)
        ]
        for n in order
    }

    kept = max((d for parts in ways.values() for d, _, _ in parts), default=0) + 1
    history: dict[str, list[np.ndarray]] = {n: [] for n in (*inputs, *order)}
    result = Simulation({n: Extremes() for n in order})
    traces: dict[str, tuple[list[Any], list[Any]]] = {n: ([], []) for n in order}
    states = {n: _State(neurons[n], samples, (units or {}).get(n)) for n in order}

    for step in range(steps):
        for name, array in inputs.items():
            _push(history[name], np.asarray(array[:, step], np.float64), kept)

        for name in order:
            total = np.zeros((samples, *neurons[name].shape))
            for delay, operator, source in ways[name]:
                # a recurrent way reads its own population, whose list does not hold this step yet
                back = delay - 1 if source == name else delay
                if back < len(history[source]):
                    total += operator.apply(history[source][-1 - back])
            for constant in traced.constants[name]:
                if step >= constant.delay:
                    total += constant.value
            fired = states[name].step(step, total, result.extremes[name])
            _push(history[name], fired, kept)
            if record:
                traces[name][0].append(fired)
                traces[name][1].append(states[name].volts())

    if record:
        result.spikes = {n: np.stack(s, axis=1) for n, (s, _) in traces.items()}
        result.potentials = {n: np.stack(v, axis=1) for n, (_, v) in traces.items()}
    return result


def _push(past: list[np.ndarray], value: np.ndarray, kept: int) -> None:
    past.append(value)
    if len(past) > kept:
        past.pop(0)


WHOLE = 1e-5
"""State units by which floating point may miss a whole number."""


def _whole(x: np.ndarray) -> np.ndarray:
    """Whole numbers where sums and products in floating point have just missed them."""
    near = np.rint(x)
    return np.where(np.abs(x - near) < WHOLE, near, x)


def _as_it_is(x: np.ndarray) -> np.ndarray:
    return x


def _kept(x: np.ndarray) -> np.ndarray:
    """What a decay leaves, rounded toward zero."""
    rounded: np.ndarray = np.trunc(_whole(x))
    return rounded


class _State:
    """Current and potential of one population, [sample, *shape]; the rules are those of
    hardware.reference, without rounding or, where ``units`` says in what, with it."""

    def __init__(self, neuron: DiscreteNeuron, samples: int, units: float | None = None) -> None:
        self.neuron = neuron
        self.units, self.rounds = 1.0 if units is None else units, units is not None
        self.current = np.zeros((samples, *neuron.shape))
        self.potential = np.zeros_like(self.current)
        self.rest_until = np.full(self.current.shape, -1)

    def volts(self) -> np.ndarray:
        """The potential."""
        return self.potential / self.units

    def step(self, step: int, total: np.ndarray, extremes: Extremes) -> np.ndarray:
        n = self.neuron
        whole, kept = (_whole, _kept) if self.rounds else (_as_it_is, _as_it_is)
        added = whole(n.gain * total * self.units)
        self.current = kept(self.current * (1 - n.current_decay)) + added
        # the chip's current wraps round, its potential saturates
        if self.rounds:
            beyond = np.sign(self.current) * (
                (self.current > CURRENT_LIMIT) | (self.current <= -CURRENT_LIMIT)
            )
            self.current = self.current - beyond * 2 * CURRENT_LIMIT

        active = self.rest_until < step
        moved = kept(self.potential * (1 - n.voltage_decay)) + self.current
        moved = moved + whole(n.leak * self.units)
        if self.rounds:
            moved = np.clip(moved, -POTENTIAL_LIMIT, POTENTIAL_LIMIT)
        self.potential = np.where(active, moved, self.potential)

        for quantity, value in (
            ("input", added),
            ("current", self.current),
            ("potential", self.potential),
        ):
            largest = float(np.abs(value).max(initial=0.0)) / self.units
            setattr(extremes, quantity, max(getattr(extremes, quantity), largest))

        if n.threshold is None:
            return np.zeros_like(self.current)

        compared = self.potential
        if n.noise is not None and n.grid is not None:
            drawn = draw_step(n.noise.seed, n.noise.sigma, step, int(np.prod(n.shape))).reshape(
                n.shape
            )
            unit = 2.0 ** -(n.grid["fraction_bits"] + STATE_SHIFT)
            compared = compared + drawn * unit * self.units

        fired = (compared > whole(n.threshold * self.units)) & active
        if n.reset == "zero":
            self.potential = np.where(fired, 0.0, self.potential)
        elif n.reset == "subtract":
            amount = whole(np.asarray(n.reset_amount) * self.units)
            reset = self.potential - amount
            if self.rounds:
                reset = np.clip(reset, -POTENTIAL_LIMIT, POTENTIAL_LIMIT)
            self.potential = np.where(fired, reset, self.potential)

        self.rest_until = np.where(fired, step + n.refractory, self.rest_until)
        return fired.astype(np.float64)
