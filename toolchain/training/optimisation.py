"""What changes the weights: the optimiser with its groups of parameters, the learning rate over the
steps, and the bound on a gradient."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from toolchain.errors import ToolchainError
from toolchain.layers import Neuron
from toolchain.layers.norm import BatchNorm
from toolchain.training.config import Training

UNDECAYED = (Neuron, BatchNorm, nn.BatchNorm1d, nn.BatchNorm2d)

ONE_CYCLE_WARM_UP = 0.1
"""Share of the steps in which the learning rate of "one_cycle" rises, where the recipe does not say
it."""


def optimiser(settings: Training, model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a recipe for a model's parameters."""
    rate, decay = settings.learning_rate, settings.weight_decay
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if not settings.decay_norms:
        decayed, others = split(model)
        groups = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, weight_decay=decay)
    kinds: dict[str, type[torch.optim.Adam]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    return kinds[settings.optimiser](groups, lr=rate, weight_decay=decay)


def split(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters (with weight decay, without it) where decay_norms is False: weights of synapses,
    and biases, batch normalisations and neurons."""
    without = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, UNDECAYED)
        for parameter in module.parameters()
    }
    decayed: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        bias = name.rpartition(".")[2] == "bias"
        (others if bias or id(parameter) in without else decayed).append(parameter)
    return decayed, others


def schedule(
    settings: Training, optimiser: torch.optim.Optimizer, total: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """What changes the learning rate after each of ``total`` steps; None: nothing."""
    if settings.schedule == "constant" or not total:
        return None
    if settings.schedule == "one_cycle":
        share = ONE_CYCLE_WARM_UP if settings.warmup is None else settings.warmup
        if share * (total + 1) == 1:  # PyTorch would divide by the length of a rise that has none
            share = math.nextafter(share, 0)
        return torch.optim.lr_scheduler.OneCycleLR(
            optimiser, settings.learning_rate, total_steps=total + 1, pct_start=share
        )
    rising = round((settings.warmup or 0.0) * total)
    if not rising:
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return (1 + math.cos(math.pi * (step - rising) / (total - rising))) / 2

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def clip(model: nn.Module, most: float | None) -> None:
    """Scale the gradient of all parameters together down to the norm ``most``; None: leave it.
    Raises ToolchainError where the norm is NaN or infinite."""
    if most is None:
        return
    norm = nn.utils.clip_grad_norm_(model.parameters(), most)
    if not bool(torch.isfinite(norm)):
        raise ToolchainError(
            f"the norm of the gradient is {norm.item()}, which gradient_clip cannot scale; use a "
            f"smaller learning_rate"
        )
