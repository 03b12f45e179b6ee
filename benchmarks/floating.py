"""The measured networks as plain snnTorch models: the same weights as floating-point numbers, state
in float32."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import snntorch
import torch
from torch import nn

from hardware.program import Convolution, Program

BATCH = 128


def model(program: Program) -> list[tuple[nn.Module, snntorch.Leaky]]:
    """A chain of layers as (weights, neurons).

    Thresholds and weights keep their integer values, so integrate-and-fire networks give exactly
    the Program's spikes; a leak is not rounded here, and may differ now and then.
    """
    layers = []
    for name in program.order:
        (projection,), population = program.into(name), program.nodes[name]
        if isinstance(projection, Convolution):
            outputs, inputs = projection.weights.shape[:2]
            weights = nn.Conv2d(
                inputs,
                outputs,
                projection.kernel_size,
                projection.stride,
                projection.padding,
                bias=False,
            )
        else:
            weights = nn.Linear(*projection.weights.shape[::-1], bias=False)
        weights.weight.data = torch.tensor(projection.weights, dtype=torch.float32)
        beta = 1 - int(population.voltage_decay) / 4096
        neurons = snntorch.Leaky(
            beta=beta, threshold=float(population.threshold), reset_mechanism=population.reset
        )
        layers.append(
            (
                nn.Sequential(nn.Flatten(), weights) if isinstance(weights, nn.Linear) else weights,
                neurons,
            )
        )
    return layers


@torch.no_grad()
def forward(
    layers: list[tuple[nn.Module, snntorch.Leaky]], inputs: np.ndarray
) -> Iterator[np.ndarray]:
    """Output spikes uint8 [sample, step, neuron] of one batch after the other, step by step as
    snnTorch users write it."""
    for first in range(0, len(inputs), BATCH):
        batch = torch.from_numpy(inputs[first : first + BATCH])
        states = [neurons.reset_mem() for _, neurons in layers]
        steps = []
        for step in range(batch.shape[1]):
            spikes = batch[:, step].float()
            for k, (weights, neurons) in enumerate(layers):
                spikes, states[k] = neurons(weights(spikes), states[k])
            steps.append(spikes.to(torch.uint8))
        yield torch.stack(steps, dim=1).numpy()
