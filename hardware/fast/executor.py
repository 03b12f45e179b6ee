"""Samples → chunks (what the caller gets at a time) → blocks (what one thread computes at a
time)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

from hardware.chunks import Chunk, Options
from hardware.fast.compilation import announced
from hardware.fast.kernels import pack, run_population, unpack
from hardware.fast.network import PackedNetwork, noise_tables, prepare
from hardware.program import Program

CHUNK_BYTES = 64 << 20
"""Results of a chunk take about this much."""

CHUNK_WORK = 2_000_000_000
"""Neurons times steps of a chunk: about one second, so that progress is seen."""

BLOCK_WORK = 4_000_000
"""Neurons times steps of a block: their bits fit into the second cache, and calls cost little
beside the work."""

_NOTHING_8 = np.zeros((0, 0, 0), np.uint8)
_NOTHING_32 = np.zeros((0, 0, 0), np.int32)
_NO_NOISE = np.zeros((0, 0), np.int32)


@dataclass(frozen=True)
class _Results:
    """Of some samples, by name: totals int32 [sample, neuron], spikes uint8 and potentials int32
    [sample, step, neuron], in C order."""

    totals: dict[str, np.ndarray]
    spikes: dict[str, np.ndarray]
    potentials: dict[str, np.ndarray]

    def part(self, start: int, stop: int) -> _Results:
        """Views of the samples from ``start`` to ``stop``."""
        return _Results(
            *(
                {n: a[start:stop] for n, a in arrays.items()}
                for arrays in (self.totals, self.spikes, self.potentials)
            )
        )


def chunks(program: Program, inputs: dict[str, np.ndarray], options: Options) -> Iterator[Chunk]:
    """Run all samples; see ``hardware.fast.run_chunks``."""
    network = prepare(program)
    samples, steps = next(iter(inputs.values())).shape[:2]
    noise = noise_tables(program, network, steps)
    wanted = tuple(program.nodes) if options.spikes is None else options.spikes
    size = {name: node.size for name, node in program.nodes.items()}
    recorded = tuple(
        name for name in program.order if name in wanted and program.nodes[name].spiking
    )
    work = sum(size.values()) * steps
    bytes_each = steps * (
        sum(size[n] for n in recorded) + 4 * sum(size[n] for n in options.potentials)
    )
    chunk = options.batch or max(1, min(CHUNK_BYTES // (bytes_each + 1), CHUNK_WORK // work))
    flat = {name: array.reshape(samples, steps, -1) for name, array in inputs.items()}
    threads = numba.config.NUMBA_NUM_THREADS
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fast")
    try:
        for first in range(0, samples, chunk):
            count = min(chunk, samples - first)
            results = _Results(
                {n: np.zeros((count, size[n]), np.int32) for n in size},
                {n: np.zeros((count, steps, size[n]), np.uint8) for n in recorded},
                {n: np.empty((count, steps, size[n]), np.int32) for n in options.potentials},
            )
            block = max(1, min(BLOCK_WORK // work, -(-count // threads)))
            jobs = []
            for start in range(0, count, block):
                stop = min(start + block, count)
                given = {name: array[first + start : first + stop] for name, array in flat.items()}
                jobs.append(
                    pool.submit(_run_block, network, noise, given, results.part(start, stop))
                )
            with announced():
                for job in jobs:
                    job.result()

            def shaped(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                return {
                    n: a.reshape(*a.shape[:-1], *program.nodes[n].shape) for n, a in arrays.items()
                }

            given = {
                part.name: inputs[part.name][first : first + count]
                for part in program.inputs
                if part.name in wanted
            }
            yield Chunk(
                given | shaped(results.spikes), shaped(results.potentials), shaped(results.totals)
            )
    finally:
        pool.shutdown(cancel_futures=True)


def _run_block(
    network: PackedNetwork,
    noise: dict[str, np.ndarray],
    inputs: dict[str, np.ndarray],
    results: _Results,
) -> None:
    """Run some samples through all populations; ``inputs`` [sample, step, neuron in C order]."""
    samples, steps = next(iter(inputs.values())).shape[:2]
    planes = np.empty((samples, steps, network.words), np.uint64)
    graded = np.empty((samples, steps, network.values), np.int32)

    for name, values in inputs.items():
        place = network.places[name]
        pack(values, place.inverse, place.in_order, place.plane, planes, place.graded, graded)

    for name, neurons, synapses in network.layers:
        disturbance = noise.get(name, _NO_NOISE)
        run_population(
            neurons,
            synapses,
            planes,
            graded,
            disturbance,
            results.potentials.get(name, _NOTHING_32),
        )

    for name, place in network.places.items():
        unpack(
            planes,
            place.plane,
            place.words,
            place.order,
            results.totals[name],
            results.spikes.get(name, _NOTHING_8),
        )
