"""A Program prepared for the kernels: neurons and flat weight tables of each population, and the
layout of the bit planes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from hardware.fast.accumulation import GROUP, PART, SynapseTables
from hardware.fast.kernels import PARAMETERS, Neurons
from hardware.fast.synapses import groups_into, internal_order, inverse
from hardware.noise import draw_step
from hardware.program import Population, Program


@dataclass(frozen=True)
class Place:
    """Where an input or population is found: its bits from word ``plane`` on, its graded values (if
    any) from ``graded`` on.

    order      internal index → index in C order, int32; ``inverse`` the other way round
    in_order   the two are the same
    """

    plane: int
    words: int
    graded: int
    order: np.ndarray
    inverse: np.ndarray
    in_order: bool


@dataclass(frozen=True)
class PackedNetwork:
    """All that a block of samples needs.

    places          every input and population; a non-spiking integrator has no words
    layers          name, neurons and synapses of each population, sources first
    words, values   64-bit words and graded values of one step of one sample
    """

    places: Mapping[str, Place]
    layers: tuple[tuple[str, Neurons, SynapseTables], ...]
    words: int
    values: int


_prepared: WeakKeyDictionary[Program, PackedNetwork] = WeakKeyDictionary()


def prepare(program: Program) -> PackedNetwork:
    """The packed network of a Program; kept as long as the Program lives."""
    if program not in _prepared:
        _prepared[program] = _prepare(program)
    return _prepared[program]


def _prepare(program: Program) -> PackedNetwork:
    places: dict[str, Place] = {}
    words = values = 0
    for part in (*program.inputs, *(program.nodes[name] for name in program.order)):
        order = internal_order(part.shape)
        spikes = not isinstance(part, Population) or part.spiking
        in_order = bool(np.all(order[1:] > order[:-1]))
        places[part.name] = Place(
            words,
            -(-part.size // 64) * spikes,
            values if part.message_bits else -1,
            order,
            inverse(order),
            in_order,
        )
        words += places[part.name].words
        values += part.size if part.message_bits else 0

    layers = tuple(
        (n, _neurons(_lif(program, n), places[n]), _synapses(program, _lif(program, n), places))
        for n in program.order
    )
    return PackedNetwork(places, layers, words, values)


def _lif(program: Program, name: str) -> Population:
    population = program.population(name)
    assert isinstance(population, Population), "the registry of targets refuses other kinds"
    return population


def noise_tables(program: Program, network: PackedNetwork, steps: int) -> dict[str, np.ndarray]:
    """Noise of every noisy population, the same for all samples: int32 [step, neuron in internal
    order, padded to whole words]."""
    tables = {}
    for population in program.populations:
        if population.noise is not None:
            noise, place = population.noise, network.places[population.name]
            table = np.zeros((steps, 64 * place.words), np.int32)
            for step in range(steps):
                table[step, : population.size] = draw_step(
                    noise.seed, noise.sigma, step, population.size
                )[place.order]
            tables[population.name] = table
    return tables


def _synapses(
    program: Program, population: Population, places: Mapping[str, Place]
) -> SynapseTables:
    padded = -(-population.size // 64) * 64
    groups: list[tuple[int, int, int, bool]] = []
    parts: list[tuple[int, ...]] = []
    shifts: list[np.ndarray] = []
    pointers, runs, weights = [], [], []
    pointer = run = weight = 0

    for group in groups_into(program, population):
        groups.append(
            (
                len(parts),
                len(parts) + len(group.parts),
                -1 if group.right_shift is None else len(shifts),
                group.wrap_int24,
            )
        )
        if group.right_shift is not None:
            shifts.append(np.pad(group.right_shift, (0, padded - population.size)))
        for part in group.parts:
            source = places[part.source]
            parts.append(
                (
                    source.plane,
                    source.words,
                    source.graded,
                    len(source.order),
                    part.lag,
                    part.row,
                    part.channels,
                    pointer,
                    weight,
                )
            )
            pointers.append(part.pointers + run)
            runs.append(part.runs)
            weights.append(part.weights)
            pointer, run, weight = (
                pointer + len(part.pointers),
                run + len(part.runs),
                weight + len(part.weights),
            )

    return SynapseTables(
        np.array(groups, GROUP),
        np.array(parts, PART),
        _joined(pointers, np.int64),
        np.concatenate([np.zeros((0, 3), np.int32), *runs]),
        _joined(weights, np.int16),
        np.array(shifts, np.int32).reshape(-1, padded),
        max([0, *(len(places[p.source].order) for p in program.into(population.name))]),
    )


def _neurons(population: Population, place: Place) -> Neurons:
    return Neurons(
        population.size,
        place.plane,
        place.order,
        _parameters(population, place),
        has_current=bool(np.any(population.current_decay != 4096)),
        leaks=bool(np.any(population.voltage_decay != 0)),
        spiking=population.spiking,
        zeroes=population.reset == "zero",
        subtracts=population.reset == "subtract",
        refractory=population.refractory,
    )


def _joined(arrays: list[np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _parameters(population: Population, place: Place) -> np.ndarray:
    """int32 [row of PARAMETERS, 64 or neuron, padded]; what a population does not have is 0."""
    parameters = [getattr(population, name) for name in PARAMETERS]
    arrays = [
        np.zeros((), np.int32) if value is None else np.asarray(value) for value in parameters
    ]
    if not any(array.ndim for array in arrays):
        return np.ascontiguousarray(
            np.broadcast_to(np.array(arrays, np.int32)[:, None], (len(arrays), 64))
        )
    table = np.zeros((len(arrays), -(-population.size // 64) * 64), np.int32)
    for row, array in zip(table, arrays):
        row[: population.size] = np.broadcast_to(array, population.shape).ravel()[place.order]
    return table
