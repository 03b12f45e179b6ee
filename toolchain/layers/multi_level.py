"""Multi-level firing: several LIF levels behind one input current, whose spikes are added up.

Feng et al., "Multi-Level Firing with Spiking DS-ResNet", IJCAI 2022: levels V = (0.6, 1.6, 2.6),
remaining factor 0.25, hard reset, rectangular surrogate of width 1 around each level; the output is
the number of levels that fire, 0 to K.

On a chip each level is a population of ordinary LIF neurons; all of them read the same synapses and
feed the same synapses, so a layer costs K times the neurons and the synapses of a single-level one.
One neuron that sends the number as a graded spike would need microcode of its own, which nothing
here generates.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from toolchain.errors import LayerError
from toolchain.layers import surrogate
from toolchain.layers.neuron import Factor, States
from toolchain.layers.neurons import LIF

LEVELS = (0.6, 1.6, 2.6)
MOST_LEVELS = 8
"""Levels of one layer; ours, to bound what a configuration can ask for."""


class MultiLevel(nn.Module):
    """K levels of LIF neurons with separate potentials behind one current; ``y = layer(cur,
    sequence=True)``, values 0 to K.

    levels   thresholds in volts, rising; further keywords go to every ``LIF`` (beta defaults to
             0.25, spike_grad to a rectangle of width 1)

    The levels are ``level1`` … ``levelK``, which are also the names of their populations behind the
    layer's own name. What reads the layer takes whole numbers: its ``source_fraction_bits`` are
    those of spikes. Step by step: ``y, *states = layer(cur, *states)`` with ``states =
    layer.reset_mem()``.
    """

    temporal = True

    def __init__(
        self,
        levels: Sequence[float] = LEVELS,
        *,
        beta: Factor = 0.25,
        spike_grad: surrogate.SpikeFunction | None = None,
        **lif: Any,
    ) -> None:
        super().__init__()
        levels = tuple(levels)
        if not 1 <= len(levels) <= MOST_LEVELS or any(not a < b for a, b in pairwise(levels)):
            raise LayerError(
                f"layer 'MultiLevel': levels are {levels!r}; they must be 1 to {MOST_LEVELS} "
                f"rising thresholds in volts"
            )
        if lif.get("init_hidden") or lif.get("output"):
            raise LayerError(
                "layer 'MultiLevel': its states are not kept inside; give states at "
                "each step, or a sequence"
            )
        for number, threshold in enumerate(levels, 1):
            grad = surrogate.rectangle(1.0) if spike_grad is None else spike_grad
            self.add_module(f"level{number}", LIF(threshold, beta=beta, spike_grad=grad, **lif))

    @property
    def levels(self) -> tuple[LIF, ...]:
        """The neurons of each level, lowest first."""
        return tuple(level for level in self.children() if isinstance(level, LIF))

    def reset_mem(self) -> tuple[torch.Tensor, ...]:
        """The states that start a sample, those of the first level first."""
        states = (level.reset_mem() for level in self.levels)
        return tuple(
            s for state in states for s in (state if isinstance(state, tuple) else (state,))
        )

    def forward(
        self, input_: torch.Tensor, *states: torch.Tensor, sequence: bool = False
    ) -> States:
        """Number of levels that fire, [time, batch, *shape] of a sequence; or (that of one step
        [batch, *shape], *states)."""
        if sequence:
            if states:
                raise LayerError(
                    "layer 'MultiLevel': a sequence starts from zero state; states go with single "
                    "steps"
                )
            number: torch.Tensor = sum(level(input_, sequence=True) for level in self.levels)
            return number

        size = len(self.levels[0].states)
        if len(states) != size * len(self.levels):
            raise LayerError(
                f"layer 'MultiLevel': {len(states)} states were given; a step takes "
                f"{size * len(self.levels)}: start with reset_mem()"
            )

        results = [
            level(input_, *states[n * size : (n + 1) * size]) for n, level in enumerate(self.levels)
        ]
        return (
            sum(spikes for spikes, *_ in results),
            *(state for _, *after in results for state in after),
        )

    def nir_parts(self, input_shape: Sequence[int], dt: float = 1.0) -> dict[str, Any]:
        """A node for each level, all of them input and output of the layer; see the package's
        docstring."""
        names = [f"level{number}" for number in range(1, len(self.levels) + 1)]
        thresholds = ", ".join(
            f"{float(t):g}" for t in (level.threshold for level in self.levels) if t is not None
        )
        return {
            "nodes": {
                name: level.nir_node(input_shape, dt) for name, level in zip(names, self.levels)
            },
            "edges": [],
            "input": names,
            "output": names,
            "notes": [
                f"multi-level firing at {thresholds} V: {len(names)} populations of ordinary LIF "
                f"neurons with one fan-in and one fan-out, "
                f"so {len(names)} times the neurons and synapses of a single-level layer; one "
                f"graded-spike neuron in their place would "
                "need microcode of its own, which is not generated"
            ],
        }
