"""Squeeze-and-excitation (Hu et al., CVPR 2018) for spiking networks: trained and attacked on
software, refused by the exporter.

Every channel is multiplied by a number that is computed from the data itself. A core of a
Loihi-class chip multiplies what arrives with weights that stay as they are, so no Program computes
this; a network that holds this layer says so in its ``spikeport_io()`` ("program": False), and
export refuses it by name. The front of a network is no place for it either: it works between
layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import nn
from torch.nn import functional

from toolchain.errors import LayerError
from toolchain.layers.grid import round_to

GAIN_BITS = 4
"""Gains are whole multiples of 2**-GAIN_BITS, so that what reads the layer has its
``source_fraction_bits`` and GAIN_BITS more. Ours."""


class SqueezeExcitation(nn.Module):
    """``y = layer(x)``: [..., channels, height, width] times a gain of 0 to 1 for each channel, in
    every step anew.

    gain = sigmoid(W2 relu(W1 mean over the map)), rounded to the grid with the gradient of the
    identity; ``reduction``: W1 has channels / reduction outputs, at least one.
    """

    software_only = (
        "a product of two numbers that both depend on the data, which no core of a Loihi-class "
        "chip computes"
    )

    def __init__(self, channels: int, reduction: int = 4):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze, self.excite = nn.Linear(channels, hidden), nn.Linear(hidden, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the shape of ``x``, whole multiples of 2**-(k + GAIN_BITS) where x is of 2**-k."""
        gain = torch.sigmoid(self.excite(functional.relu(self.squeeze(x.mean(dim=(-2, -1))))))
        return x * round_to(gain, 2.0**GAIN_BITS)[..., None, None]

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> NoReturn:
        """Refused: raises LayerError, which says why."""
        raise LayerError(
            f"squeeze-and-excitation is {self.software_only}; use a network without it "
            f"(with it: the target software)"
        )
