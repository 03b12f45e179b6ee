"""Samples → chunks (what the caller gets at a time) → blocks (what one thread computes at a time)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from hardware.fast.kernels import pack, run_population, unpack
from hardware.fast.network import Network, prepare
from hardware.program import Program
from hardware.targets import Chunk, Options

CHUNK_BYTES = 64 << 20
"""Results of a chunk take about this much."""

CHUNK_WORK = 2_000_000_000
"""Neurons times steps of a chunk: about one second, so that progress is seen."""

BLOCK_WORK = 4_000_000
"""Neurons times steps of a block: their bits fit into the second cache, and calls cost little beside the work."""


def chunks(program: Program, inputs: dict[str, np.ndarray], options: Options) -> Iterator[Chunk]:
    """Run all samples; see ``hardware.fast.run_chunks``."""
    network = prepare(program)
    samples, steps = next(iter(inputs.values())).shape[:2]
    wanted = tuple(program.nodes) if options.spikes is None else options.spikes
    recorded = tuple(name for name in program.order if name in wanted and program.nodes[name].spiking)
    threads = numba.config.NUMBA_NUM_THREADS
    work = sum(len(place.order) for place in network.places.values()) * steps
    bytes_each = sum(program.nodes[n].size for n in recorded) * steps + 4 * sum(program.nodes[n].size for n in options.potentials) * steps
    block = max(1, BLOCK_WORK // work)
    chunk = options.batch or max(1, min(CHUNK_BYTES // (bytes_each + 1), CHUNK_WORK // work))
    flat = {name: array.reshape(samples, steps, -1) for name, array in inputs.items()}
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fast")
    try:
        for first in range(0, samples, chunk):
            last = min(first + chunk, samples)
            totals = {n: np.zeros((last - first, node.size), np.int32) for n, node in program.nodes.items()}
            spikes = {n: np.zeros((last - first, steps, program.nodes[n].size), np.uint8) for n in recorded}
            potentials = {n: np.empty((last - first, steps, program.nodes[n].size), np.int32) for n in options.potentials}
            size = max(1, min(block, -(-(last - first) // threads)))

            def run_block(start: int, stop: int, first=first, totals=totals, spikes=spikes, potentials=potentials) -> None:
                def part(arrays):
                    return {name: array[start:stop] for name, array in arrays.items()}

                own = {name: array[first + start : first + stop] for name, array in flat.items()}
                _run_block(program, network, own, part(totals), part(spikes), part(potentials))

            for future in [pool.submit(run_block, start, min(start + size, last - first)) for start in range(0, last - first, size)]:
                future.result()
            shaped = {part.name: inputs[part.name][first:last] for part in program.inputs if part.name in wanted}
            yield Chunk(
                spikes=shaped | {n: a.reshape(*a.shape[:2], *program.nodes[n].shape) for n, a in spikes.items()},
                potentials={n: a.reshape(*a.shape[:2], *program.nodes[n].shape) for n, a in potentials.items()},
                totals={n: a.reshape(-1, *program.nodes[n].shape) for n, a in totals.items()},
            )
    finally:
        pool.shutdown(cancel_futures=True)


def _run_block(
    program: Program,
    network: Network,
    inputs: dict[str, np.ndarray],
    totals: dict[str, np.ndarray],
    spikes: dict[str, np.ndarray],
    potentials: dict[str, np.ndarray],
) -> None:
    """Run some samples through all populations; arrays are [sample, step, neuron in C order], ``totals`` [sample, neuron]."""
    samples, steps = next(iter(inputs.values())).shape[:2]
    planes = np.empty((samples, steps, network.words), np.uint64)
    graded = np.empty((samples, steps, network.values), np.int32)
    for part in program.inputs:
        place = network.places[part.name]
        pack(inputs[part.name], place.inverse, place.in_order, place.plane, planes, place.graded, graded)
    for name, neurons, synapses in network.layers:
        run_population(neurons, synapses, planes, graded, potentials.get(name, _NOTHING_32))
    for name, place in network.places.items():
        unpack(planes, place.plane, place.words, place.order, totals[name], spikes.get(name, _NOTHING_8))


_NOTHING_32 = np.zeros((0, 0, 0), np.int32)
_NOTHING_8 = np.zeros((0, 0, 0), np.uint8)
