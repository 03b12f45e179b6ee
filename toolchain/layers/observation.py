"""What neurons compare with their thresholds, for losses that act on it.

with snn.observe(model) as seen:
    trace = model(x)
for name, layer in seen.layers().items():
    margin = (layer.potential - layer.threshold).abs()      # volts, [time, batch, *shape], with
        gradient
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from toolchain.layers.neuron import Neuron


@dataclass(frozen=True)
class Observation:
    """What one layer of spiking neurons compared during a forward pass, in volts.

    potential  before the reset, [time, batch, *shape]; without the noise of a noisy neuron
    threshold  [*shape]
    noise      what was added to the potential in the comparison alone, [time, batch or 1, *shape];
               None: nothing

    The first two carry gradients where the forward pass does: the potential to currents and
    parameters through all earlier steps.
    """

    potential: torch.Tensor
    threshold: torch.Tensor
    noise: torch.Tensor | None = None

    @property
    def compared(self) -> torch.Tensor:
        """What was compared with the threshold: potential and noise, [time, batch, *shape]."""
        return self.potential if self.noise is None else self.potential + self.noise


Part: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""(potential, threshold, noise) of one call."""


class Observed:
    """What was seen since the context began."""

    def __init__(self, parts: Mapping[str, list[Part]]) -> None:
        self._parts = parts

    def layers(self) -> dict[str, Observation]:
        """Path of the neuron in the model → Observation; several calls (steps, or batches) follow
        each other in time."""
        return {name: self._joined(parts) for name, parts in self._parts.items() if parts}

    @staticmethod
    def _joined(parts: list[Part]) -> Observation:
        potential, threshold, noise = parts[0]
        if len(parts) == 1:
            return Observation(potential, threshold, noise)
        if any(noise is not None for _, _, noise in parts):
            # of one call it may be one row for all samples of a batch, of another there may be none
            noise = torch.cat(
                [
                    torch.zeros_like(potential) if noise is None else noise.expand_as(potential)
                    for potential, _, noise in parts
                ]
            )
        return Observation(torch.cat([potential for potential, _, _ in parts]), threshold, noise)


@contextmanager
def observe(model: nn.Module) -> Iterator[Observed]:
    """Keep the potential before the reset of every step and spiking layer of a model; nothing is
    kept, or computed, outside."""
    neurons = {name: m for name, m in model.named_modules() if isinstance(m, Neuron) and m.spiking}
    before = {name: neuron.observer for name, neuron in neurons.items()}
    parts: dict[str, list[Part]] = {name: [] for name in neurons}
    try:
        for name, neuron in neurons.items():
            neuron.observer = parts[name].append
        yield Observed(parts)
    finally:
        for name, neuron in neurons.items():
            neuron.observer = before[name]
