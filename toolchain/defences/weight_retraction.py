"""Weight retraction: after every update weights are drawn towards an orthogonal matrix (SNN-RAT,
Ding et al., NeurIPS 2022).

    W <- (1 + beta) W - beta W W^T W

for the weights of every synapse as a matrix [output, everything else]: a step of the Parseval
retraction (Cisse et al., ICML 2017), which moves every singular value s to s + beta s (1 - s**2),
and so bounds how much a layer can stretch a perturbation. It acts on the float weights that
training keeps; what the chip gets are these, rounded to its grid as always. As in the authors'
code, of a linear layer with many rows a random part is retracted in each step. SNN-RAT is this
together with adversarial training, without weight decay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta
from torch import nn

from toolchain.defences.hooks import Hook
from toolchain.layers import Conv1d, Conv2d, Linear
from toolchain.tables import Settings


@dataclass(frozen=True)
class Retraction(Settings):
    """Weight retraction of a recipe.

    rows_from   outputs from which only a share of the rows is retracted in a step
    beta        of each step; the authors' code has 0.002, others use 0.004
    rows        of a linear layer with at least ``rows_from`` outputs this share of rows, drawn anew
                in each step
    """

    TABLE = "defence.retraction"

    # beyond 0.5 a singular value between 0 and 1 would jump over 1
    beta: Annotated[float, Meta(ge=1e-9, le=0.5)] = 0.002
    rows: Annotated[float, Meta(ge=1e-3, le=1)] = 0.3
    rows_from: Annotated[int, Meta(ge=1, le=1 << 30)] = 200


def retracted(weight: torch.Tensor, beta: float) -> torch.Tensor:
    """(1 + beta) W - beta W W^T W of a weight [output, …] as the matrix [output, everything
    else]."""
    matrix = weight.flatten(1)
    rows, columns = matrix.shape
    cubed = (matrix @ matrix.T) @ matrix if rows <= columns else matrix @ (matrix.T @ matrix)
    return ((1 + beta) * matrix - beta * cubed).reshape(weight.shape)


@torch.no_grad()
def retract(model: nn.Module, settings: Retraction) -> None:
    """Retract the weights of every convolution and linear layer in place; random rows come from
    torch's generator."""
    for layer in model.modules():
        if not isinstance(layer, (Conv1d, Conv2d, Linear)):
            continue
        weight = layer.weight
        if isinstance(layer, Linear) and len(weight) >= settings.rows_from:
            chosen = torch.randperm(len(weight), device=weight.device)[
                : max(1, round(settings.rows * len(weight)))
            ]
            weight[chosen] = retracted(weight[chosen], settings.beta)
        else:
            weight.copy_(retracted(weight, settings.beta))


class WeightRetraction(Hook):
    """A retraction after every update."""

    name = "retraction"

    def __init__(self, settings: Retraction) -> None:
        self.settings = settings

    def after_update(self, model: nn.Module) -> None:
        retract(model, self.settings)
