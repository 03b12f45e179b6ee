"""The ways to call a PyTorch model with samples over time: their names, and the one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

PLAIN = {
    "time-first": "[time, batch, ...]",
    "batch-first": "[batch, time, ...]",
    "step": "[batch, ...], one step a call",
    "constant": "[batch, ...]",
}
"""How a model that does not say it itself can be called, and what it takes; "constant": it presents
the input in every step itself."""

OVER_TIME = ("sequence", *PLAIN)
"""Every way to call a model that computes over time. "sequence": [time, batch, ...] as the networks
of ``toolchain.layers``, which begin at the zero state themselves."""

CALLS = (*OVER_TIME, "images")
"""Every way. "images": [batch, ...] to scores, without time."""


def outputs(model: nn.Module, values: torch.Tensor, how: str) -> Iterator[Any]:
    """What a model returns, from its zero state: once, or with "step" once a step.

    Args:
        model: hidden states of its layers are reset where they have ``reset_mem()``.
        values: [step, sample, *shape].
        how: one of ``CALLS``.
    """
    if how != "sequence":
        reset(model)
    if how == "step":
        for step in values:
            yield model(step)
    elif how in ("constant", "images"):
        yield model(values[0])
    else:
        yield model(values.transpose(0, 1) if how == "batch-first" else values)


def trace(
    model: nn.Module, values: torch.Tensor, how: str, read: Callable[[Any], torch.Tensor]
) -> torch.Tensor:
    """The output over time, [step, sample, ...].

    Args:
        model, values, how: as of ``outputs``; not "images".
        read: takes the trace out of what the model returns.
    """
    import torch

    per_step = [read(output) for output in outputs(model, values, how)]
    if how == "step":
        return torch.stack(per_step)
    return per_step[0].transpose(0, 1) if how == "batch-first" else per_step[0]


def reset(model: nn.Module) -> None:
    """Every layer that keeps a state begins anew."""
    for module in model.modules():
        reset_mem = getattr(module, "reset_mem", None)
        if reset_mem is not None:
            reset_mem()
