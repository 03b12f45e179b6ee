"""What quantisation after training does to the spikes of a floating-point network, layer by layer.

Two ways to ask. Running free, a flipped spike changes everything behind it. With each layer given
the floating-point network's own spikes (teacher forcing), a layer is charged with its own rounding
alone; only inside a layer, a flip still changes what its neuron does later. A flip is a comparison
with the threshold (one neuron, one step) that ends otherwise in integers than in floating point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import hardware
from hardware.program import Input, Output, Program
from toolchain import layers as snn

MODES = ("forced", "free")


@dataclass(frozen=True, eq=False)
class Floating:
    """One forward pass in float64; all arrays [sample, step, ...].

    inputs      the integers that the network was given
    spikes      layer → bool [sample, step, *shape]
    potentials  layer → volts before the reset, float64
    thresholds  layer → volts, float64 [*shape]
    scores      float64 [sample, class]
    """

    inputs: np.ndarray
    spikes: dict[str, np.ndarray]
    potentials: dict[str, np.ndarray]
    thresholds: dict[str, np.ndarray]
    scores: np.ndarray


def run_floating(model: snn.Network, inputs: np.ndarray) -> Floating:
    """Run a floating-point network (toolchain.layers.floating) on integers [sample, step, *shape];
    it becomes a float64 one."""
    x = torch.from_numpy(np.moveaxis(inputs, 1, 0).astype(np.float64)) * 2.0**-model.fraction_bits
    with torch.no_grad(), snn.observe(model.double().eval()) as seen:
        scores = model.scores(x).numpy()
    potentials = {
        name: layer.potential.transpose(0, 1).numpy() for name, layer in seen.layers().items()
    }
    thresholds = {name: layer.threshold.numpy() for name, layer in seen.layers().items()}
    spikes = {name: potentials[name] > thresholds[name] for name in potentials}
    return Floating(inputs, spikes, potentials, thresholds, scores)


def near(run: Floating, width: float) -> dict[str, float]:
    """Layer → share of the potentials less than ``width`` volts from their threshold."""
    return {
        name: float(np.mean(np.abs(v - run.thresholds[name]) < width))
        for name, v in run.potentials.items()
    }


def flips(program: Program, run: Floating) -> dict[str, dict[str, dict[str, Any]]]:
    """mode → layer → {"flips", "comparisons", "spikes" (of the floating-point network), "samples"
    (with any flip)}, for spiking layers.

    Layers that are given spikes also have "error", the 99 % point of |difference of the potentials|
    in volts, over neurons that have not fired or flipped yet: what rounding does to a potential
    between two spikes.
    """
    free = hardware.run(program, run.inputs, "fast", record=hardware.Record(spikes=True)).spikes
    counts: dict[str, dict[str, dict[str, Any]]] = {mode: {} for mode in MODES}
    for name, expected in run.spikes.items():
        counts["free"][name] = _counts(expected, free[name])
        alone = hardware.run(
            *_forced(program, run, name),
            "fast",
            record=hardware.Record(spikes=True, potentials=True),
        )
        counts["forced"][name] = _counts(expected, alone.spikes[name]) | {
            "error": _error(program, run, name, alone)
        }
    return counts


def _counts(expected: np.ndarray, spikes: np.ndarray) -> dict[str, Any]:
    differ = expected != (spikes != 0)
    return {
        "flips": int(differ.sum()),
        "comparisons": int(differ.size),
        "spikes": int(expected.sum()),
        "samples": int(differ.reshape(len(differ), -1).any(axis=1).sum()),
    }


def _forced(program: Program, run: Floating, name: str) -> tuple[Program, dict[str, np.ndarray]]:
    """(the population alone, with its sources as inputs; what they send in floating point)."""
    into = program.into(name)
    inputs, populations, arrays = [], [], {}
    for source in dict.fromkeys(p.source for p in into):
        node = program.nodes[source]
        if isinstance(node, Input):
            inputs.append(node)
            arrays[source] = run.inputs
        elif source in run.spikes:
            inputs.append(Input(source, node.shape))
            arrays[source] = run.spikes[source].astype(np.uint8)
        else:
            populations.append(node)  # a constant source, which fires in every step
    populations.append(program.population(name))
    return Program(tuple(inputs), tuple(populations), into, (Output(name),)), arrays


def _error(program: Program, run: Floating, name: str, alone: hardware.Recording) -> float | None:
    volts = alone.potentials[name] * 2.0 ** -(float(program.metadata["fraction_bits"][name]) + 6)
    busy = run.spikes[name] | (alone.spikes[name] != 0)
    quiet = ~np.maximum.accumulate(busy, axis=1)
    differences = np.abs(volts - run.potentials[name])[quiet]
    return float(np.quantile(differences, 0.99)) if differences.size else None
