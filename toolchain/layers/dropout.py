"""Dropout that stays on the chip's grid; in evaluation it is not there, so no exporter knows it."""

from __future__ import annotations

import torch
from torch import nn

from toolchain.errors import LayerError


class Dropout(nn.Module):
    """Training: multiply every value by 0, 1 or 2, drawn once for each sample and neuron and kept
    over all steps.

    One mask for all steps is the practice of hybrid training (Rathi et al., ICLR 2020). The usual
    mask, 0 or 1 / (1 - rate), would leave the grid; ours has the same mean 1 and the same variance
    rate / (1 - rate): it is 0 and 2 with probability rate / (2 - 2 rate) each, else 1. At a rate of
    0.5 both are the same.

    rate   0 to 0.5

    Input [time, batch, *shape] with ``sequence=True``; single steps in evaluation only, where it
    returns its input.
    """

    temporal = True

    def __init__(self, rate: float):
        super().__init__()
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 0.5:
            raise LayerError(f"layer 'Dropout': rate is {rate!r}; it must be from 0 to 0.5")
        self.rate = float(rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"

    def forward(self, x: torch.Tensor, *, sequence: bool = False) -> torch.Tensor:
        """The masked values; in evaluation ``x`` itself."""
        if not self.training or not self.rate:
            return x
        if not sequence:
            raise LayerError(
                "layer 'Dropout': one mask holds for all steps of a sample; in training give whole "
                "samples with sequence=True"
            )
        tail = self.rate / (2 - 2 * self.rate)
        drawn = torch.rand(x.shape[1:], device=x.device)
        mask = 1 + (drawn >= 1 - tail).to(x.dtype) - (drawn < tail).to(x.dtype)
        return x * mask
