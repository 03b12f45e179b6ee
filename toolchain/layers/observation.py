"""What neurons compare with their thresholds, for losses that act on it.

with snn.observe(model) as seen:
    trace = model(x)
for name, layer in seen.layers().items():
    margin = (layer.potential - layer.threshold).abs()      # volts, [time, batch, *shape], with gradient
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from toolchain.layers.neuron import Neuron


@dataclass(frozen=True)
class Observation:
    """What one layer of spiking neurons compared during a forward pass, in volts.

    potential  before the reset, [time, batch, *shape]; without the noise of a noisy neuron
    threshold  [*shape]

    Both carry gradients where the forward pass does: the potential to currents and parameters through all earlier steps.
    """

    potential: torch.Tensor
    threshold: torch.Tensor


class Observed:
    """What was seen since the context began."""

    def __init__(self, parts: dict[str, list]):
        self._parts = parts

    def layers(self) -> dict[str, Observation]:
        """Path of the neuron in the model → Observation; several calls (steps, or batches) follow each other in time."""
        return {name: self._joined(parts) for name, parts in self._parts.items() if parts}

    @staticmethod
    def _joined(parts: list[tuple[torch.Tensor, torch.Tensor]]) -> Observation:
        potentials = [potential for potential, _ in parts]
        return Observation(potentials[0] if len(potentials) == 1 else torch.cat(potentials), parts[0][1])


@contextmanager
def observe(model: nn.Module) -> Iterator[Observed]:
    """Keep the potential before the reset of every step and spiking layer of a model; nothing is kept, or computed, outside."""
    neurons = {name: m for name, m in model.named_modules() if isinstance(m, Neuron) and m.spiking}
    before = {name: neuron.observer for name, neuron in neurons.items()}
    parts: dict[str, list] = {name: [] for name in neurons}
    try:
        for name, neuron in neurons.items():
            neuron.observer = parts[name].append
        yield Observed(parts)
    finally:
        for name, neuron in neurons.items():
            neuron.observer = before[name]
