"""Compiled: what arrives at a population in one step, from the bit planes of its sources and its
weight tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from hardware.fast.registers import LANES, load, shift, splat, store, wrap_int24
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
)

GROUP = np.dtype([("first", np.int64), ("last", np.int64), ("shift", np.int64), ("wrap", np.int64)])
"""An accumulator: the range of its parts, its row of ``shifts`` (-1: none), wrap to 24 bits or
not."""

PART = np.dtype(
    [
        (name, np.int64)
        for name in (
            "plane",
            "words",
            "graded",
            "size",
            "lag",
            "row",
            "channels",
            "pointer",
            "weight",
        )
    ]
)
"""A hardware.fast.synapses.SynapsePart: its source's place in ``planes`` and ``graded`` (-1:
binary), its own in the tables."""

_ONE = np.uint64(1)


class SynapseTables(NamedTuple):
    """All synapses of a population; the tables of its parts one after the other (see
    hardware.fast.synapses.SynapsePart).

    groups, parts   arrays of GROUP and PART
    pointers        int64; runs int32 [run, 3]; weights int16
    shifts          int32 [row, neuron]: right shifts
    most_events     neurons of the largest source
    """

    groups: np.ndarray
    parts: np.ndarray
    pointers: np.ndarray
    runs: np.ndarray
    weights: np.ndarray
    shifts: np.ndarray
    most_events: int


@njit(error_model="numpy")
def _events(planes, step, part, events):
    """Write the source neurons that spike in a step into ``events``; returns how many."""
    count = 0
    for word in range(part.words):
        spikes = planes[step, part.plane + word]
        while spikes:
            events[count] = 64 * word + lowest_bit(spikes)
            count += 1
            spikes &= spikes - _ONE
    return count


@njit(error_model="numpy")
def _repeats(planes, graded, step, part):
    """Whether the part's source sends in ``step`` exactly what it sent in the step before (nothing,
    before the first)."""
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
def _add_rows(accumulator, part, weights, events, count) -> None:
    """Dense, binary: add the rows of the spiking source neurons, four at a time."""
    row = part.row
    k = 0
    # four rows at once: the accumulator is read and written once for all of them
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
def _add_rows_graded(accumulator, part, weights, events, count, values) -> None:
    """Dense, graded: add value times row, four at a time."""
    row = part.row
    k = 0
    # four rows at once: the accumulator is read and written once for all of them
    while k + 4 <= count:
        a = part.weight + events[k] * row
        b = part.weight + events[k + 1] * row
        c = part.weight + events[k + 2] * row
        d = part.weight + events[k + 3] * row
        of_four = (
            values[events[k]],
            values[events[k + 1]],
            values[events[k + 2]],
            values[events[k + 3]],
        )
        for at in range(0, row, ROW):
            add_four_rows_graded(
                accumulator, at, weights, (a + at, b + at, c + at, d + at), of_four
            )
        k += 4

    while k < count:
        a = part.weight + events[k] * row
        for at in range(0, row, ROW):
            add_row_graded(accumulator, at, weights, (a + at,), (values[events[k]],))
        k += 1


@njit(error_model="numpy")
def _add_runs(accumulator, part, pointers, runs, weights, events, count) -> None:
    """Runs, binary."""
    for k in range(count):
        row = events[k] // part.channels
        channel = events[k] - row * part.channels
        for run in range(pointers[part.pointer + row], pointers[part.pointer + row + 1]):
            at = np.int64(runs[run, 0])
            block = np.int64(runs[run, 1])
            blocks = np.int64(runs[run, 2])
            # a single synapse: its weight stands in the place of the block
            if blocks == 0:
                accumulator[at] += block
                continue
            offset = part.weight + (block + channel * blocks) * RUN
            for _ in range(blocks):
                add_run(accumulator, at, weights, (offset,), (1,))
                at += RUN
                offset += RUN


@njit(error_model="numpy")
def _add_runs_graded(accumulator, part, pointers, runs, weights, events, count, values) -> None:
    """Runs, graded."""
    for k in range(count):
        row = events[k] // part.channels
        channel = events[k] - row * part.channels
        value = values[events[k]]
        for run in range(pointers[part.pointer + row], pointers[part.pointer + row + 1]):
            at = np.int64(runs[run, 0])
            block = np.int64(runs[run, 1])
            blocks = np.int64(runs[run, 2])
            # a single synapse: its weight stands in the place of the block
            if blocks == 0:
                accumulator[at] += block * value
                continue
            offset = part.weight + (block + channel * blocks) * RUN
            for _ in range(blocks):
                add_run_graded(accumulator, at, weights, (offset,), (value,))
                at += RUN
                offset += RUN


@njit(error_model="numpy")
def _accumulate(accumulator, events, planes, graded, step, part, synapses) -> None:
    """Add what the part's source sends in a step."""
    count = _events(planes, step, part, events)

    if part.graded < 0:
        if part.row:
            _add_rows(accumulator, part, synapses.weights, events, count)
        else:
            _add_runs(
                accumulator, part, synapses.pointers, synapses.runs, synapses.weights, events, count
            )
    else:
        values = graded[step, part.graded :]
        if part.row:
            _add_rows_graded(accumulator, part, synapses.weights, events, count, values)
        else:
            _add_runs_graded(
                accumulator,
                part,
                synapses.pointers,
                synapses.runs,
                synapses.weights,
                events,
                count,
                values,
            )


@njit(error_model="numpy")
def synaptic_input(total, extra, events, planes, graded, step, synapses) -> None:
    """``total``: int32 sum over everything that arrives in this step. Kept from the last step where
    nothing has changed."""
    changed = False
    for part in synapses.parts:
        if not _repeats(planes, graded, step - part.lag, part):
            changed = True
            break
    if not changed:
        return

    # the first group only adds; every other shifts or wraps a sum of its own before it joins
    total[:] = 0
    for number in range(synapses.groups.shape[0]):
        group = synapses.groups[number]
        accumulator = total
        if number:
            extra[:] = 0
            accumulator = extra
        for index in range(group.first, group.last):
            part = synapses.parts[index]
            if step >= part.lag:
                _accumulate(accumulator, events, planes, graded, step - part.lag, part, synapses)
        if number:
            for i in range(0, synapses.shifts.shape[1], LANES):
                value = load(extra, i)
                if group.shift >= 0:
                    value = shift(value, splat(0) - load(synapses.shifts[group.shift], i))
                if group.wrap:
                    value = wrap_int24(value)
                store(total, i, load(total, i) + value)
