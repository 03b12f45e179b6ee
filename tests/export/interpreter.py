"""Runs a NIR graph with a training grid node by node, as PyTorch would: no pass, no fusion, no
Program.

Linear nodes compute in float64 (exact here, because all numbers are small dyadic fractions),
neurons with the chip's rules. What the lowering makes of the graph has to give the same spikes and
the same potentials.
"""

from __future__ import annotations

from functools import lru_cache

import nir
import numpy as np
import torch

from export import metadata as graph_metadata
from export.check import checked
from export.passes.subgraphs import flatten, without_virtual
from export.shapes import NEURONS, SPIKING
from hardware import arithmetic
from hardware.noise import draw


def linear(node: nir.NIRNode, x: np.ndarray) -> np.ndarray:
    """One linear node without bias on one signal (no batch)."""
    t = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))[None]
    weight = (
        torch.from_numpy(np.asarray(node.weight, np.float64)) if hasattr(node, "weight") else None
    )
    if isinstance(node, (nir.Linear, nir.Affine)):
        return (weight @ t[0]).numpy()
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        convolve = (
            torch.nn.functional.conv1d
            if isinstance(node, nir.Conv1d)
            else torch.nn.functional.conv2d
        )
        return convolve(t, weight, None, node.stride, node.padding, node.dilation, node.groups)[
            0
        ].numpy()
    if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
        size = [int(n) for n in node.kernel_size]
        divisor = 1 if isinstance(node, nir.SumPool2d) else size[0] * size[1]
        return torch.nn.functional.avg_pool2d(
            t, size, node.stride.tolist(), node.padding.tolist(), divisor_override=divisor
        )[0].numpy()
    if isinstance(node, nir.Scale):
        return x * np.asarray(node.scale, np.float64)
    if isinstance(node, nir.Flatten):
        last = node.end_dim + 1 if node.end_dim >= 0 else node.end_dim
        return torch.flatten(
            t[0], node.start_dim, last if node.end_dim < -1 else node.end_dim
        ).numpy()
    raise AssertionError(type(node))


class Interpreter:
    """One sample of one graph; ``inputs``: Input node → whole numbers [step, *shape]."""

    def __init__(self, graph: nir.NIRGraph, inputs: dict[str, np.ndarray]):
        graph = checked(graph)
        self.meta = graph_metadata.of(graph)
        self.flat = without_virtual(flatten(graph))
        self.inputs = inputs
        self.steps = len(next(iter(inputs.values())))
        self.states: dict[tuple[str, int], tuple] = {}
        self.signal = lru_cache(maxsize=None)(self._signal)

    def _signal(self, name: str, step: int, target: str) -> np.ndarray | None:
        """What a node sends in a step, seen from one population; None before the first step
        (nothing was sent yet)."""
        node, entry = self.flat.nodes[name], self.meta["nodes"].get(name, {})
        if isinstance(node, nir.Input):
            return (
                None
                if step < 0
                else self.inputs[name][step] * 2.0 ** -entry.get("fraction_bits", 0)
            )
        if isinstance(node, NEURONS):
            at = step - 1 if name == target else step
            return None if at < 0 else self.neuron(name, at)[0]
        if isinstance(node, nir.Delay):
            back = int(np.round(node.delay.flat[0] / self.meta["dt_s"]))
            if np.all(node.delay == node.delay.flat[0]):
                return self.into(name, step - back, target)
            steps = np.round(node.delay / self.meta["dt_s"]).astype(int)
            parts = {d: self.into(name, step - d, target) for d in np.unique(steps)}
            return sum(
                np.where(steps == d, 0.0 if part is None else part, 0.0)
                for d, part in parts.items()
            )
        x = self.into(name, step, target)
        y = 0.0 if x is None else linear(node, x)
        if step >= 0 and getattr(node, "bias", None) is not None:
            y = y + np.asarray(node.bias, np.float64).reshape(-1, *(1,) * (node.weight.ndim - 2))
        return None if x is None and step < 0 else y * np.ones(tuple(node.output_type["output"]))

    def into(self, name: str, step: int, target: str) -> np.ndarray | None:
        """Sum over what leads into a node."""
        parts = [
            part
            for source in self.flat.sources(name)
            if (part := self.signal(source, step, target)) is not None
        ]
        return sum(parts) if parts else None

    def neuron(self, name: str, step: int) -> tuple:
        """(spikes, potential, current, rest_until) of a population after a step, in state units."""
        if (name, step) in self.states:
            return self.states[name, step]
        node, entry = self.flat.nodes[name], self.meta["nodes"][name]
        shape, grid = tuple(int(n) for n in node.input_type["input"]), entry["grid"]
        zero = np.zeros(shape, np.int64)
        _, potential, current, rest = (
            self.neuron(name, step - 1) if step else (zero, zero, zero, zero - 1)
        )
        arriving = self.into(name, step, name)
        units = np.zeros(shape) if arriving is None else arriving * 2.0 ** grid["fraction_bits"]
        assert np.all(units == np.round(units)), "the grid graph is not on its grid"

        def numbers(key):
            return np.broadcast_to(
                np.asarray(grid[key], np.int64).reshape(shape if np.ndim(grid[key]) else ()), shape
            )

        current = arithmetic.next_current(current, units.astype(np.int64), numbers("current_decay"))
        updated = arithmetic.next_potential(potential, current, 0, numbers("voltage_decay"))
        active = rest < step
        potential = np.where(active, updated, potential)
        fired = np.zeros(shape, bool)
        if isinstance(node, SPIKING):
            threshold = node.threshold if isinstance(node, nir.Threshold) else node.v_threshold
            noise = grid.get("noise", {"seed": 0, "sigma": 0})
            compared = potential + draw(noise["seed"], noise["sigma"], step + 1, potential.size)[
                step
            ].reshape(shape)
            fired = active & arithmetic.fires(
                compared, np.round(threshold * 2.0 ** grid["fraction_bits"]).astype(np.int64)
            )
            if entry["reset"] == "zero":
                potential = np.where(fired, 0, potential)
            elif entry["reset"] == "subtract":
                amount = np.asarray(entry.get("reset_amount_v", threshold)) * 2.0 ** (
                    grid["fraction_bits"] + 6
                )
                potential = np.where(
                    fired,
                    arithmetic.saturate_potential(potential - amount.astype(np.int64)),
                    potential,
                )
            rest = np.where(fired, step + entry.get("refractory", 0), rest)
        self.states[name, step] = (fired.astype(np.int64), potential, current, rest)
        return self.states[name, step]

    def run(self, names: list[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Population → (spikes, potentials), [step, *shape]."""
        return {
            n: tuple(np.stack([self.neuron(n, t)[i] for t in range(self.steps)]) for i in (0, 1))
            for n in names
        }
