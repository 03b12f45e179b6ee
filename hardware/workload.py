"""What one inference asks of the cores: the counts of a run, laid out on the chip's cores.

A Workload is all that an energy table is charged with, so an estimate needs no network beside it:
the counts of a task that was measured elsewhere are kept as a small file (hardware/measured), and
are charged like those of a run at hand.

What the counters count says hardware.counters; where the cores come from, hardware.neurocores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardware import counters
from hardware.chip import Chip
from hardware.neurocores import LayerPlacement, place
from hardware.program import Convolution, Dense, Input, Program, Projection
from hardware.recording import Recording

KINDS = ("dense", "sparse", "convolution")
"""Kinds of synapse."""


@dataclass(frozen=True, eq=False)
class LayerLoad:
    """One population; arrays are float64 [sample], sums over the steps of one inference.

    neurons, cores, fullest   all neurons, cores that hold them, neurons of the fullest core
    updates       neuron updates
    spikes        sent; each once, wherever it goes
    operations    kind of synapse → synaptic operations that arrive
    graded        synaptic operations, of all of these, of graded spikes
    messages_in   messages that arrive at the fullest core
    messages_out  messages that all its cores send to cores
    """

    layer: str
    neurons: int
    cores: int
    fullest: int
    updates: np.ndarray
    spikes: np.ndarray
    operations: Mapping[str, np.ndarray]
    graded: np.ndarray
    messages_in: np.ndarray
    messages_out: np.ndarray

    @property
    def share(self) -> float:
        """The part of the layer that its fullest core holds: neurons of a layer are taken to be
        equally active.
        """
        return self.fullest / self.neurons


@dataclass(frozen=True, eq=False)
class Workload:
    """Every population of a Program, in its order, over the samples of a run."""

    samples: int
    steps: int
    layers: tuple[LayerLoad, ...]

    @property
    def cores(self) -> int:
        """Neurocores of all populations."""
        return sum(layer.cores for layer in self.layers)


def of(program: Program, recording: Recording, chip: Chip) -> Workload:
    """The workload of a run that holds all counters of every layer."""
    placed = {layer.population: layer for layer in place(program, chip)}
    sent = {name: _sent(program, recording, name) for name in recording.layers}
    layers = tuple(_layer(program, recording, name, placed, sent) for name in program.order)
    return Workload(recording.samples, recording.steps, layers)


def _layer(
    program: Program,
    recording: Recording,
    name: str,
    placed: Mapping[str, LayerPlacement],
    sent: Mapping[str, np.ndarray],
) -> LayerLoad:
    here = placed[name]
    fullest = min(
        here.uses["neurons"].used, here.neurons
    )  # a tile of a convolution may stand over the edge
    operations = {kind: np.zeros(recording.samples) for kind in KINDS}
    graded, arriving = np.zeros(recording.samples), np.zeros(recording.samples)

    for projection, done in _divided(program, recording, name, sent):
        operations[_kind(projection)] += done
        source = program.nodes[projection.source]
        graded += done if isinstance(source, Input) and source.message_bits > 0 else 0.0
        reaching = fullest / here.neurons if isinstance(projection, Convolution) else 1.0
        arriving += sent[projection.source] * reaching

    reached = sum(
        1 if isinstance(p, Convolution) else placed[p.target].cores for p in program.out_of(name)
    )
    updates = recording.counts["dendrite_updates"][name].astype(np.float64)
    return LayerLoad(
        layer=name,
        neurons=here.neurons,
        cores=here.cores,
        fullest=fullest,
        updates=updates,
        spikes=sent[name],
        operations=operations,
        graded=graded,
        messages_in=arriving,
        messages_out=sent[name] * reached,
    )


def _sent(program: Program, recording: Recording, name: str) -> np.ndarray:
    """Spikes of a layer: each is counted once for every projection that it enters, or recorded
    where it is an output.
    """
    if name in recording.spikes:
        spikes = recording.spikes[name]
        counted: np.ndarray = np.count_nonzero(spikes.reshape(len(spikes), -1), axis=1)
        return counted.astype(np.float64)
    sent: np.ndarray = recording.counts["axon_out"][name] / max(1, len(program.out_of(name)))
    return sent


def _divided(
    program: Program, recording: Recording, name: str, sent: Mapping[str, np.ndarray]
) -> list[tuple[Projection, np.ndarray]]:
    """Synaptic operations of a layer, divided among the projections that enter it by spikes times
    mean fan-out.
    """
    into = program.into(name)
    total = recording.counts["syn_ops"][name].astype(np.float64)
    if len(into) == 1:
        return [(into[0], total)]

    shape = program.nodes[name].shape
    fans = [counters.fan_out(p, program.nodes[p.source].shape, shape).mean() for p in into]
    shares = [sent[p.source] * fan for p, fan in zip(into, fans)]
    whole = np.maximum(sum(shares), 1e-300) if shares else total
    return [(projection, total * share / whole) for projection, share in zip(into, shares)]


def _kind(projection: Projection) -> str:
    if isinstance(projection, Dense):
        return "dense"
    return "convolution" if isinstance(projection, Convolution) else "sparse"
