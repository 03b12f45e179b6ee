"""Counts of activity, named as Loihi 2's own activity profiler names them, exact at image edges.

    spikes_in          spikes that arrive at a population's projections: one for each spike and
                       projection it enters
    syn_ops            weights that those spikes touch; synapses of weight zero inside a dense or
                       convolution kernel count (the chip stores and reads them), synapses that were
                       never stored (sparse, outside the image) do not
    dendrite_updates   neurons updated: all neurons, every step
    axon_out           spikes a population sends into projections: one for each spike and outgoing
                       projection

A bias costs no synaptic operation: it is part of the neuron update. A graded spike counts once,
whatever its value. Source of the names: ``lava.utils.loihi2_profiler`` as used in lava-dl's
tutorials.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hardware.program import Convolution, Dense, Program, Projection, Sparse

COUNTERS = ("spikes_in", "axon_out", "syn_ops", "dendrite_updates")


def fan_out(
    projection: Projection, source_shape: tuple[int, ...], target_shape: tuple[int, ...]
) -> np.ndarray:
    """Synapses that one spike of each source neuron touches, int64 [source neuron] (flattened in C
    order)."""
    size = int(np.prod(source_shape))
    if isinstance(projection, Dense):
        return np.full(size, int(np.prod(target_shape)), np.int64)
    if isinstance(projection, Sparse):
        return np.bincount(projection.columns, minlength=size).astype(np.int64)
    if not isinstance(projection, Convolution):
        raise TypeError(f"a projection of type {type(projection).__name__}")

    touched = np.ones(1, np.int64)
    for n, out, k, s, p, d in zip(
        source_shape[1:],
        target_shape[1:],
        projection.kernel_size,
        projection.stride,
        projection.padding,
        projection.dilation,
    ):
        position = (np.arange(out)[:, None] * s - p + np.arange(k)[None, :] * d).ravel()
        position = position[(position >= 0) & (position < n)]
        touched = np.multiply.outer(touched, np.bincount(position, minlength=n)).reshape(-1)

    per_channel = projection.weights.shape[0] // projection.groups
    return np.tile(touched * per_channel, source_shape[0])


def totals(spikes: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Spikes of each neuron, layer → int64 [sample, *shape], from spikes [sample, step, *shape]."""
    return {
        name: np.count_nonzero(array, axis=1).astype(np.int64, copy=False)
        for name, array in spikes.items()
    }


def count(
    program: Program, totals: Mapping[str, np.ndarray], steps: int
) -> dict[str, dict[str, np.ndarray]]:
    """Counter → layer → int64 [sample], summed over steps.

    ``totals``: spikes of each neuron, integers [sample, *shape], for every input and every spiking
    population.
    """
    samples = len(next(iter(totals.values())))
    per_neuron = {
        name: array.reshape(samples, -1).astype(np.int64, copy=False)
        for name, array in totals.items()
    }

    counts: dict[str, dict[str, np.ndarray]] = {counter: {} for counter in COUNTERS}
    for name in (*(p.name for p in program.inputs), *program.order):
        node = program.nodes[name]
        sent = per_neuron.get(name, np.zeros((samples, 1), np.int64)).sum(axis=1)
        counts["axon_out"][name] = sent * len(program.out_of(name))

        arrived = np.zeros(samples, np.int64)
        operations = np.zeros(samples, np.int64)
        for projection in program.into(name):
            source = program.nodes[projection.source]
            arrived += per_neuron[projection.source].sum(axis=1)
            operations += per_neuron[projection.source] @ fan_out(
                projection, source.shape, node.shape
            )
        is_input = name not in program.order
        counts["spikes_in"][name] = arrived
        counts["syn_ops"][name] = operations
        counts["dendrite_updates"][name] = np.full(
            samples, 0 if is_input else steps * node.size, np.int64
        )

    return counts
