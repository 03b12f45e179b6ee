"""A network whose own gradient is exactly zero: what a threshold margin as wide as the surrogate
does to plain attacks."""

from __future__ import annotations

import torch

import toolchain.layers as snn
from toolchain.attacks.encoding import Direct

STEPS = 5


def network() -> snn.Network:
    """The surrogate's half width is the smallest distance that any potential can have from the
    threshold.

    With fraction_bits 1 currents are whole volts (mantissas are even), so without leak potentials
    are whole volts, and thresholds lie half a volt beside: |potential - threshold| >= 0.5 V always.
    A triangle of half width 0.5 V is zero there: the network's own gradient vanishes exactly,
    everywhere.
    """

    def linear(inputs, outputs, k, scale):
        layer = snn.Linear(inputs, outputs, fraction_bits=1, source_fraction_bits=k)
        with torch.no_grad():
            layer.weight.mul_(scale)
            layer.bias.zero_()
        layer.bias.requires_grad_(False)
        return layer

    return snn.Network(
        [
            ("flatten", snn.Flatten()),
            ("first", linear(64, 40, 4, 600.0)),
            ("hidden", snn.IF(600.5, fraction_bits=1, spike_grad=snn.surrogate.triangle(0.5))),
            ("second", linear(40, 10, 0, 100.0)),
            ("output", snn.IF(100.5, fraction_bits=1, spike_grad=snn.surrogate.triangle(0.5))),
        ],
        input_shape=(1, 8, 8),
        message_bits=6,
        fraction_bits=4,
        decode="spike_count",
        data={"name": "digits", "encoding": "direct", "steps": STEPS},
    )


def trained(images: torch.Tensor, labels: torch.Tensor) -> snn.Network:
    """Trained with wide surrogates on images [sample, 1, 8, 8] in sixteenths; with its narrow ones
    again afterwards."""
    torch.manual_seed(0)
    made = network()
    narrow = made.hidden.spike_grad
    made.hidden.spike_grad, made.output.spike_grad = (
        snn.surrogate.triangle(600.0),
        snn.surrogate.triangle(100.0),
    )
    encoder = Direct(STEPS, 6, 4)
    optimiser = torch.optim.Adam(
        [{"params": made.first.weight, "lr": 3.0}, {"params": made.second.weight, "lr": 0.5}]
    )
    for _ in range(6):
        order = torch.randperm(len(images))
        for start in range(0, len(images), 100):
            batch = order[start : start + 100]
            loss = torch.nn.functional.cross_entropy(
                made(encoder(images[batch])).sum(dim=0), labels[batch]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    made.hidden.spike_grad = made.output.spike_grad = narrow
    return made
