"""The compiled loops: pack inputs into bit planes, run a population over all steps, unpack what is
wanted.

A plane is the spikes of one step as bits: bit i of word w is neuron 64 * w + i in internal order.
``planes`` [sample, step, word] holds all inputs and spiking populations side by side; ``graded``
[sample, step, value] the values of graded inputs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from hardware import arithmetic
from hardware.fast.accumulation import synaptic_input
from hardware.fast.registers import (
    LANES,
    bits,
    both,
    fires,
    load,
    next_current,
    next_potential,
    saturate_potential,
    select,
    splat,
    store,
)
from hardware.fast.vectors import ROW, lowest_bit, mask_of_64
from hardware.jit import cached

PARAMETERS = ("current_decay", "voltage_decay", "threshold", "bias_state", "subtracted")
"""Rows of ``Neurons.parameters``."""

_ONE = np.uint64(1)


class Neurons(NamedTuple):
    """A population, without its synapses.

    plane         its first word in ``planes``
    order         internal index → index in C order, int32
    parameters    int32 [row of PARAMETERS, neuron]; 64 columns serve every 64 neurons where all are
                  one number
    has_current, leaks, spiking, zeroes, subtracts   what there is to do: a decay below 4096, a
        decay above 0, and so on
    refractory    steps
    """

    size: int
    plane: int
    order: np.ndarray
    parameters: np.ndarray
    has_current: bool
    leaks: bool
    spiking: bool
    zeroes: bool
    subtracts: bool
    refractory: int


class KernelState(NamedTuple):
    """Of one population in one sample, int32 [neuron], padded to whole words; ``noise`` of the step
    that is computed."""

    current: np.ndarray
    potential: np.ndarray
    rest_until: np.ndarray
    noise: np.ndarray


def _advance(
    has_current: bool, leaks: bool, rests: bool, noisy: bool = False
) -> Callable[..., Any]:
    """The neuron update with or without synaptic current, leak, refractory period and noise: what
    is left out costs nothing."""

    @njit(error_model="numpy")
    def advance(neurons, state, total, step, plane) -> None:
        """Advance all neurons by one step; ``plane``: words of this step, spikes are written to the
        population's own."""
        p = neurons.parameters
        current_decay, voltage_decay, threshold, bias, subtracted = p[0], p[1], p[2], p[3], p[4]
        words = -(-neurons.size // 64)
        # lanes behind the last neuron compute on padding: their bits are cut off
        inside = ~np.uint64(0) >> np.uint64(64 * words - neurons.size)

        for word in range(words):
            spikes = np.uint64(0)
            for lane in range(0, 64, LANES):
                i = 64 * word + lane
                # parameters that all neurons share are one word wide and hold for every word
                column = i if neurons.parameters.shape[1] > 64 else lane
                if has_current:
                    current = next_current(
                        load(state.current, i), load(total, i), load(current_decay, column)
                    )
                    store(state.current, i, current)
                else:
                    current = next_current(splat(0), load(total, i), splat(4096))

                before = load(state.potential, i)
                decay = load(voltage_decay, column) if leaks else splat(0)
                potential = next_potential(before, current, load(bias, column), decay)

                if neurons.spiking:
                    compared = potential + load(state.noise, i) if noisy else potential
                    fired = fires(compared, load(threshold, column))
                    # a resting neuron keeps its potential and cannot fire; its current goes on
                    if rests:
                        rest_until = load(state.rest_until, i)
                        active = rest_until < splat(step)
                        fired = both(fired, active)
                        potential = select(active, potential, before)
                        store(
                            state.rest_until,
                            i,
                            select(fired, splat(step + neurons.refractory), rest_until),
                        )
                    if neurons.zeroes:
                        potential = select(fired, splat(0), potential)
                    elif neurons.subtracts:
                        potential = select(
                            fired,
                            saturate_potential(potential - load(subtracted, column)),
                            potential,
                        )
                    spikes |= bits(fired) << np.uint64(lane)
                store(state.potential, i, potential)
            if neurons.spiking:
                plane[neurons.plane + word] = spikes & inside if word == words - 1 else spikes

    compiled: Callable[..., Any] = advance
    return compiled


_integrate = _advance(has_current=False, leaks=False, rests=False)
_leak = _advance(has_current=False, leaks=True, rests=False)
_filter = _advance(has_current=True, leaks=True, rests=False)
_rest = _advance(has_current=True, leaks=True, rests=True)
_disturb = _advance(has_current=True, leaks=True, rests=True, noisy=True)


def _population_kernel(rules: str) -> Callable[..., Any]:
    def run_population(neurons, synapses, planes, graded, noise, potentials) -> None:
        """Run one population for all samples and steps of a block: reads its sources' planes and
        writes its own.

        noise: int32 [step, neuron in internal order, padded to whole words], or of length 0.
        potentials: int32 [sample, step, neuron in C order] to fill, or of length 0.
        """
        rules  # noqa: B018 - see _RULES
        words = -(-neurons.size // 64)
        total = np.zeros(64 * words + ROW, np.int32)
        extra = np.zeros(64 * words + ROW, np.int32)
        events = np.zeros(synapses.most_events, np.int64)
        empty = np.zeros((4, 64 * words), np.int32)
        state = KernelState(empty[0], empty[1], empty[2], empty[3])

        for sample in range(planes.shape[0]):
            own_planes, own_graded = planes[sample], graded[sample]
            total[:] = 0
            state.current[:] = 0
            state.potential[:] = 0
            state.rest_until[:] = -1

            for step in range(planes.shape[1]):
                synaptic_input(total, extra, events, own_planes, own_graded, step, synapses)
                if noise.shape[0]:
                    # no slice is assigned: numba would compile the text of its error, too
                    for i in range(noise.shape[1]):
                        state.noise[i] = noise[step, i]
                    _disturb(neurons, state, total, step, own_planes[step])
                elif neurons.refractory:
                    _rest(neurons, state, total, step, own_planes[step])
                elif neurons.has_current:
                    _filter(neurons, state, total, step, own_planes[step])
                elif neurons.leaks:
                    _leak(neurons, state, total, step, own_planes[step])
                else:
                    _integrate(neurons, state, total, step, own_planes[step])

                if potentials.shape[0]:
                    for i in range(neurons.size):
                        potentials[sample, step, neurons.order[i]] = state.potential[i]

    return run_population


def _pack_kernel(rules: str) -> Callable[..., Any]:
    def pack(values, place, in_order, plane, planes, at, graded) -> None:
        """Write an input [sample, step, neuron in C order] into its plane, and its values into
        ``graded`` from ``at`` (-1: binary).

        place: index in C order → internal index, int32; ``in_order`` where they are the same.
        """
        rules  # noqa: B018 - see _RULES
        size = values.shape[2]
        words = -(-size // 64)

        for sample in range(values.shape[0]):
            for step in range(values.shape[1]):
                frame, target = values[sample, step], planes[sample, step]
                if at >= 0:
                    for i in range(size):
                        graded[sample, step, at + place[i]] = frame[i]
                target[plane : plane + words] = 0
                for word in range(words):
                    if 64 * word + 64 <= size:
                        spikes = mask_of_64(frame, 64 * word)
                    else:
                        spikes = np.uint64(0)
                        for lane in range(size - 64 * word):
                            spikes |= np.uint64(frame[64 * word + lane] != 0) << np.uint64(lane)

                    if in_order:
                        target[plane + word] = spikes
                        continue

                    # where internal order differs, each bit goes to its neuron's place
                    while spikes:
                        i = place[64 * word + lowest_bit(spikes)]
                        target[plane + (i >> 6)] |= _ONE << np.uint64(i & 63)
                        spikes &= spikes - _ONE

    return pack


def _unpack_kernel(rules: str) -> Callable[..., Any]:
    def unpack(planes, plane, words, order, totals, trains) -> None:
        """Add up ``totals`` int32 [sample, neuron in C order]; fill ``trains`` uint8 [sample, step,
        neuron], zeros, or of length 0."""
        rules  # noqa: B018 - see _RULES
        for sample in range(planes.shape[0]):
            for step in range(planes.shape[1]):
                for word in range(words):
                    spikes = planes[sample, step, plane + word]
                    while spikes:
                        i = order[64 * word + lowest_bit(spikes)]
                        totals[sample, i] += 1
                        if trains.shape[0]:
                            trains[sample, step, i] = 1
                        spikes &= spikes - _ONE

    return unpack


_RULES = hashlib.sha256(
    b"".join(
        path.read_bytes()
        for path in (Path(arithmetic.__file__), *sorted(Path(__file__).parent.glob("*.py")))
    )
).hexdigest()
"""numba's cache on disk notices a change of a kernel's own file only. This digest is closed over by
every kernel and with that part of its cache key, so no compiled kernel outlives the rules that it
was made from."""


pack = cached(_pack_kernel(_RULES))
run_population = cached(_population_kernel(_RULES))
unpack = cached(_unpack_kernel(_RULES))
