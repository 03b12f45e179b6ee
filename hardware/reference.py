"""The slow, obviously right executor: one sample, one step, one population at a time in 64-bit
integers.

It is the oracle for every other executor, and is itself compared with Lava in the tests. Nothing
here is optimised.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardware import arithmetic
from hardware.errors import TargetError
from hardware.lif import LIF
from hardware.neurons import States
from hardware.program import (
    Convolution,
    CustomPopulation,
    Dense,
    Population,
    Program,
    Projection,
    Sparse,
)


class _Neurons:
    """State of one population during one sample."""

    def __init__(self, population: Population | CustomPopulation) -> None:
        self.name, self.shape = population.name, population.shape
        self.kind, self.constants = population.description, population.constants
        self.states: States = {
            state.name: np.full(population.shape, state.initial, np.int64)
            for state in self.kind.states
        }

    @property
    def potential(self) -> np.ndarray:
        """The state that a Recording shows."""
        return self.states[self.kind.potential]

    def step(self, step: int, synaptic_input: np.ndarray) -> np.ndarray:
        """Advance by one step; int64 spikes (all zero for an integrator)."""
        states, fired = self.kind.step(self.constants, self.states, synaptic_input, step)
        if self.kind is not LIF:
            self._check(states, fired)
        self.states = states
        return np.asarray(fired).astype(np.int64)

    def _check(self, states: States, fired: np.ndarray) -> None:
        """Refuse what the step of somebody else's kind must not make."""
        where = f"population {self.name!r}: the step of the neuron kind {self.kind.name!r}"
        if set(states) != set(self.states):
            raise TargetError(
                f"{where} returned the states {', '.join(sorted(states)) or 'none'}; it must "
                f"return {', '.join(self.states)}"
            )
        for name, array in (*states.items(), ("spikes", fired)):
            kind: str = getattr(getattr(array, "dtype", None), "kind", "?")
            if kind not in ("biu" if name == "spikes" else "i") or array.shape != self.shape:
                raise TargetError(
                    f"{where} returned {name} as {getattr(array, 'dtype', type(array).__name__)} "
                    f"of shape {getattr(array, 'shape', '()')}; it must return integers of shape "
                    f"{self.shape}"
                )
        if not np.isin(fired, (0, 1)).all():
            raise TargetError(f"{where} returned spikes other than 0 and 1")


def _weighted_sum(
    projection: Projection, spikes: np.ndarray, target: Population | CustomPopulation, delay: int
) -> np.ndarray:
    """Sum of weight × spike over the synapses that have this delay, int64, shape of the target,
    before the exponent."""
    if isinstance(projection, Dense):
        weights = projection.weights.astype(np.int64) * (projection.delay == delay)
        total: np.ndarray = weights @ spikes.ravel()
        return total.reshape(target.shape)
    if isinstance(projection, Sparse):
        chosen = np.broadcast_to(projection.delay == delay, projection.weights.shape)
        total = np.zeros(target.size, np.int64)
        np.add.at(
            total,
            projection.rows[chosen],
            projection.weights[chosen].astype(np.int64)
            * spikes.ravel()[projection.columns[chosen]],
        )
        return total.reshape(target.shape)
    if isinstance(projection, Convolution):
        return _convolve(projection, spikes, target.shape)
    raise TypeError(f"a projection of type {type(projection).__name__}")


def _convolve(
    projection: Convolution, spikes: np.ndarray, target_shape: tuple[int, ...]
) -> np.ndarray:
    """Cross-correlation, one kernel tap at a time."""
    padded = np.pad(spikes, [(0, 0), *((p, p) for p in projection.padding)])
    total = np.zeros(target_shape, np.int64)
    outputs = projection.weights.shape[0] // projection.groups
    inputs = projection.weights.shape[1]
    for tap in np.ndindex(projection.kernel_size):
        geometry = zip(tap, projection.dilation, projection.stride, target_shape[1:])
        window = padded[
            (slice(None), *(slice(k * d, k * d + (n - 1) * s + 1, s) for k, d, s, n in geometry))
        ]
        for group in range(projection.groups):
            out = slice(group * outputs, (group + 1) * outputs)
            weights = projection.weights[(out, slice(None), *tap)].astype(np.int64)
            total[out] += np.tensordot(
                weights, window[group * inputs : (group + 1) * inputs], axes=1
            )
    return total


def synaptic_input(
    projection: Projection,
    history: list[np.ndarray],
    step: int,
    target: Population | CustomPopulation,
) -> np.ndarray:
    """What one projection brings to its target in ``step``, int64, shape of the target.

    ``history`` holds the source's spikes of each step so far; a recurrent projection sees them one
    step later.
    """
    exponent = projection.exponent_per_neuron(target.shape)
    total = np.zeros(target.shape, np.int64)
    for delay in np.unique(projection.delay) if projection.delay.size else [0]:
        moment = step - int(delay) - int(projection.recurrent)
        if moment < 0:
            continue
        part = arithmetic.shift(
            _weighted_sum(projection, history[moment], target, int(delay)), exponent
        )
        if isinstance(projection, Convolution):
            part = arithmetic.wrap_int24(part)
        total += arithmetic.wrap_int32(part)
    wrapped: np.ndarray = arithmetic.wrap_int32(total)
    return wrapped


def run_sample(
    program: Program, inputs: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Run one sample.

    ``inputs``: name → array [step, *shape]. Returns spikes (inputs included) and potentials, layer
    → int64 [step, *shape].
    """
    steps = len(next(iter(inputs.values())))
    spikes: dict[str, list[np.ndarray]] = {part.name: [] for part in program.inputs}
    spikes |= {name: [] for name in program.order}
    potentials: dict[str, list[np.ndarray]] = {name: [] for name in program.order}
    neurons = {name: _Neurons(program.population(name)) for name in program.order}
    for step in range(steps):
        for part in program.inputs:
            spikes[part.name].append(inputs[part.name][step].astype(np.int64))
        for name in program.order:
            population = program.population(name)
            total = np.zeros(population.shape, np.int64)
            for projection in program.into(name):
                total += synaptic_input(projection, spikes[projection.source], step, population)
            spikes[name].append(neurons[name].step(step, arithmetic.wrap_int32(total)))
            potentials[name].append(neurons[name].potential)
    return {n: np.stack(s) for n, s in spikes.items()}, {
        n: np.stack(p) for n, p in potentials.items()
    }
