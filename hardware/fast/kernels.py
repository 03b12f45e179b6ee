"""The compiled loops: pack inputs into bit planes, run a population over all steps, unpack what is wanted.

A plane is the spikes of one step as bits: bit i of word w is neuron 64 * w + i in internal order. ``planes`` [sample, step,
word] holds all inputs and spiking populations side by side; ``graded`` [sample, step, value] the values of graded inputs.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numba import njit

from hardware import arithmetic
from hardware.fast.registers import fires, integer, next_current, next_potential, register, saturate_potential, shift, wrap_int24
from hardware.fast.vectors import (
    ROW,
    RUN,
    add_four_rows,
    add_four_rows_graded,
    add_row,
    add_row_graded,
    add_run,
    add_run_graded,
    lowest_bit,
    mask_of_64,
)

GROUP = np.dtype([("first", np.int64), ("last", np.int64), ("shift", np.int64), ("wrap", np.int64)])
"""An accumulator: the range of its parts, its row of ``shifts`` (-1: none), wrap to 24 bits or not."""

PART = np.dtype([(name, np.int64) for name in ("plane", "words", "graded", "size", "lag", "row", "channels", "pointer", "weight")])
"""A hardware.fast.synapses.Part: its source's place in ``planes`` and ``graded`` (-1: binary), its own in the tables."""

PARAMETERS = ("current_decay", "voltage_decay", "threshold", "bias_state", "subtracted")
"""Rows of ``parameters`` [row, neuron]: 64 columns that every block of 64 neurons uses, or one column for each neuron."""

_ONE = np.uint64(1)

_RULES = hashlib.sha256(
    b"".join(path.read_bytes() for path in (Path(arithmetic.__file__), *sorted(Path(__file__).parent.glob("*.py"))))
).hexdigest()
"""numba's cache on disk notices a change of a kernel's own file only. This digest is closed over by every kernel and with that
part of its cache key, so no compiled kernel outlives the rules that it was made from."""


def _compile(function):
    """njit without the interpreter lock; cached on disk where a folder for it can be written."""
    try:
        return njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # "no locator available": neither this folder nor the user's cache folder can be written
        return njit(nogil=True, error_model="numpy")(function)


@njit(error_model="numpy")
def _events(frame, plane, words, events):
    """Write the neurons that spike into ``events``; returns how many."""
    count = 0
    for word in range(words):
        bits = frame[plane + word]
        while bits:
            events[count] = 64 * word + lowest_bit(bits)
            count += 1
            bits &= bits - _ONE
    return count


@njit(error_model="numpy")
def _repeats(planes, graded, step, part):
    """Whether the part's source sends in ``step`` exactly what it sent in the step before (nothing, before the first)."""
    if step < 0:
        return True
    for word in range(part.plane, part.plane + part.words):
        if planes[step, word] != (planes[step - 1, word] if step else np.uint64(0)):
            return False
    if step and part.graded >= 0:
        for value in range(part.graded, part.graded + part.size):
            if graded[step, value] != graded[step - 1, value]:
                return False
    return True


@njit(error_model="numpy")
def _add_rows(accumulator, part, weights, events, count):
    """Dense, binary: add the rows of the spiking source neurons, four at a time."""
    row = part.row
    k = 0
    while k + 4 <= count:
        a = part.weight + events[k] * row
        b = part.weight + events[k + 1] * row
        c = part.weight + events[k + 2] * row
        d = part.weight + events[k + 3] * row
        for at in range(0, row, ROW):
            add_four_rows(accumulator, at, weights, (a + at, b + at, c + at, d + at), (1, 1, 1, 1))
        k += 4
    while k < count:
        a = part.weight + events[k] * row
        for at in range(0, row, ROW):
            add_row(accumulator, at, weights, (a + at,), (1,))
        k += 1


@njit(error_model="numpy")
def _add_rows_graded(accumulator, part, weights, events, count, values):
    """Dense, graded: add value times row, four at a time."""
    row = part.row
    k = 0
    while k + 4 <= count:
        a = part.weight + events[k] * row
        b = part.weight + events[k + 1] * row
        c = part.weight + events[k + 2] * row
        d = part.weight + events[k + 3] * row
        of_four = (values[events[k]], values[events[k + 1]], values[events[k + 2]], values[events[k + 3]])
        for at in range(0, row, ROW):
            add_four_rows_graded(accumulator, at, weights, (a + at, b + at, c + at, d + at), of_four)
        k += 4
    while k < count:
        a = part.weight + events[k] * row
        for at in range(0, row, ROW):
            add_row_graded(accumulator, at, weights, (a + at,), (values[events[k]],))
        k += 1


@njit(error_model="numpy")
def _add_runs(accumulator, part, pointers, runs, weights, events, count):
    """Runs, binary."""
    for k in range(count):
        row = events[k] // part.channels
        channel = events[k] - row * part.channels
        for run in range(pointers[part.pointer + row], pointers[part.pointer + row + 1]):
            at = np.int64(runs[run, 0])
            block = np.int64(runs[run, 1])
            blocks = np.int64(runs[run, 2])
            if blocks == 0:
                accumulator[at] += block
                continue
            offset = part.weight + (block + channel * blocks) * RUN
            for _ in range(blocks):
                add_run(accumulator, at, weights, (offset,), (1,))
                at += RUN
                offset += RUN


@njit(error_model="numpy")
def _add_runs_graded(accumulator, part, pointers, runs, weights, events, count, values):
    """Runs, graded."""
    for k in range(count):
        row = events[k] // part.channels
        channel = events[k] - row * part.channels
        value = values[events[k]]
        for run in range(pointers[part.pointer + row], pointers[part.pointer + row + 1]):
            at = np.int64(runs[run, 0])
            block = np.int64(runs[run, 1])
            blocks = np.int64(runs[run, 2])
            if blocks == 0:
                accumulator[at] += block * value
                continue
            offset = part.weight + (block + channel * blocks) * RUN
            for _ in range(blocks):
                add_run_graded(accumulator, at, weights, (offset,), (value,))
                at += RUN
                offset += RUN


@njit(error_model="numpy")
def _accumulate(accumulator, frame, graded_frame, part, pointers, runs, weights, events):
    """Add what the part's source brings in one step."""
    count = _events(frame, part.plane, part.words, events)
    if part.graded < 0:
        if part.row:
            _add_rows(accumulator, part, weights, events, count)
        else:
            _add_runs(accumulator, part, pointers, runs, weights, events, count)
    else:
        values = graded_frame[part.graded :]
        if part.row:
            _add_rows_graded(accumulator, part, weights, events, count, values)
        else:
            _add_runs_graded(accumulator, part, pointers, runs, weights, events, count, values)


@njit(error_model="numpy")
def _synaptic_input(total, extra, planes, graded, step, groups, parts, pointers, runs, weights, shifts, events):
    """``total``: int32 sum over everything that arrives in this step. Kept from the last step where nothing has changed."""
    changed = False
    for part in parts:
        if not _repeats(planes, graded, step - part.lag, part):
            changed = True
            break
    if not changed:
        return
    total[:] = 0
    for number in range(groups.shape[0]):
        group = groups[number]
        accumulator = total
        if number:
            extra[:] = 0
            accumulator = extra
        for index in range(group.first, group.last):
            part = parts[index]
            if step >= part.lag:
                _accumulate(accumulator, planes[step - part.lag], graded[step - part.lag], part, pointers, runs, weights, events)
        if number:
            for i in range(shifts.shape[1]):
                value = register(extra[i])
                if group.shift >= 0:
                    value = shift(value, register(-shifts[group.shift, i]))
                if group.wrap:
                    value = wrap_int24(value)
                total[i] = integer(register(total[i]) + value)


@lru_cache(maxsize=None)
def population_kernel(has_current: bool, leaks: bool, spiking: bool, reset: str, rests: bool):
    """The kernel for populations of one kind; features that a kind does not have cost nothing.

    has_current: some current_decay below 4096; leaks: some voltage_decay above 0; rests: refractory above 0.
    """
    subtracts, zeroes, rules = reset == "subtract", reset == "zero", _RULES

    def run_population(
        planes, graded, groups, parts, pointers, runs, weights, shifts, parameters, refractory, size, plane, most_events, order, potentials
    ):
        """Run one population for all samples and steps of a block: reads its sources' planes and writes its own.

        potentials: int32 [sample, step, neuron in C order] to fill, or of length 0.
        """
        rules  # noqa: B018 - part of the cache key
        padded = -(-size // 64) * 64
        total = np.zeros(padded + ROW, np.int32)
        extra = np.zeros(padded + ROW, np.int32)
        current = np.zeros(padded, np.int32)
        potential = np.zeros(padded, np.int32)
        rest_until = np.full(padded, -1, np.int32)
        fired = np.zeros(64, np.uint8)
        events = np.zeros(most_events, np.int64)
        each = parameters.shape[1] > 64
        current_decay, voltage_decay, threshold, bias, subtracted = parameters[0], parameters[1], parameters[2], parameters[3], parameters[4]
        last = ~np.uint64(0) >> np.uint64(padded - size)
        for sample in range(planes.shape[0]):
            total[:] = 0
            current[:] = 0
            potential[:] = 0
            rest_until[:] = -1
            for step in range(planes.shape[1]):
                _synaptic_input(
                    total, extra, planes[sample], graded[sample], step, groups, parts, pointers, runs, weights, shifts, events
                )
                for block in range(padded // 64):
                    first = 64 * block
                    at = first if each else 0
                    for lane in range(64):
                        i = first + lane
                        if has_current:
                            u = next_current(register(current[i]), register(total[i]), register(current_decay[at + lane]))
                            current[i] = integer(u)
                        else:
                            u = next_current(register(0), register(total[i]), register(4096))
                        before = register(potential[i])
                        v = next_potential(before, u, register(bias[at + lane]), register(voltage_decay[at + lane] if leaks else 0))
                        if rests:
                            active = rest_until[i] < step
                            v = register(integer(v) if active else potential[i])
                        if spiking:
                            fire = fires(v, register(threshold[at + lane]))
                            if rests:
                                fire &= active
                                rest_until[i] = step + refractory if fire else rest_until[i]
                            if subtracts:
                                after = integer(saturate_potential(v - register(subtracted[at + lane])))
                                potential[i] = after if fire else integer(v)
                            elif zeroes:
                                potential[i] = 0 if fire else integer(v)
                            else:
                                potential[i] = integer(v)
                            fired[lane] = fire
                        else:
                            potential[i] = integer(v)
                    if spiking:
                        planes[sample, step, plane + block] = mask_of_64(fired, 0)
                if spiking:
                    planes[sample, step, plane + padded // 64 - 1] &= last
                if potentials.shape[0]:
                    for i in range(size):
                        potentials[sample, step, order[i]] = potential[i]

    return _compile(run_population)


@lru_cache(maxsize=None)
def pack_kernel(is_graded: bool):
    """Write one input of a block into its plane."""
    rules = _RULES

    def pack(values, planes, plane, words, place, in_order, graded, at):
        """``values`` [sample, step, neuron in C order]; ``place``: C order → internal; graded values go to ``graded`` from ``at``."""
        rules  # noqa: B018 - part of the cache key
        size = values.shape[2]
        for sample in range(values.shape[0]):
            for step in range(values.shape[1]):
                frame = values[sample, step]
                target = planes[sample, step]
                if is_graded:
                    for i in range(size):
                        graded[sample, step, at + place[i]] = frame[i]
                target[plane : plane + words] = 0
                for word in range(words):
                    if 64 * word + 64 <= size:
                        bits = mask_of_64(frame, 64 * word)
                    else:
                        bits = np.uint64(0)
                        for lane in range(size - 64 * word):
                            bits |= np.uint64(frame[64 * word + lane] != 0) << np.uint64(lane)
                    if in_order:
                        target[plane + word] = bits
                        continue
                    while bits:
                        i = place[64 * word + lowest_bit(bits)]
                        target[plane + (i >> 6)] |= _ONE << np.uint64(i & 63)
                        bits &= bits - _ONE

    return _compile(pack)


@lru_cache(maxsize=None)
def unpack_kernel():
    """Read one plane of a block."""
    rules = _RULES

    def unpack(planes, plane, words, order, totals, spikes):
        """Add up ``totals`` int32 [sample, neuron in C order]; fill ``spikes`` uint8 [sample, step, neuron], zeros, or of length 0."""
        rules  # noqa: B018 - part of the cache key
        for sample in range(planes.shape[0]):
            for step in range(planes.shape[1]):
                for word in range(words):
                    bits = planes[sample, step, plane + word]
                    while bits:
                        i = order[64 * word + lowest_bit(bits)]
                        totals[sample, i] += 1
                        if spikes.shape[0]:
                            spikes[sample, step, i] = 1
                        bits &= bits - _ONE

    return _compile(unpack)
