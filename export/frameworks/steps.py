"""How many time steps a model is run with: as many as the example has, or as it wants itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from export.errors import UnsupportedError
from export.frameworks.leaves import Leaf
from export.frameworks.model_state import untouched
from export.frameworks.snntorch_neurons import SnntorchNeuron
from hardware.parameters import parameter

MIN_STEPS = 3
"""Feedback shows in the second step, whether it stays the same in the third."""

MAX_FOUND = 3072
"""Most steps that are tried to find out how many a model wants."""


def resized(example: torch.Tensor, axis: int, steps: int) -> torch.Tensor:
    """An example of another length: cut, or repeated from its start."""
    given = example.shape[axis]
    index = torch.arange(steps, device=example.device) % given
    return example.index_select(axis, index)


def stated(example: torch.Tensor, axis: int | None, steps: int) -> torch.Tensor:
    """The example with the number of steps that the caller states. Raises UnsupportedError."""
    if axis is None:
        raise UnsupportedError(
            f"{parameter('trace_steps')} is {steps}, but the model is given one step, or presents "
            f"its input by itself; leave it out"
        )
    if not isinstance(steps, int) or steps < MIN_STEPS:
        raise UnsupportedError(
            f"{parameter('trace_steps')} is {steps!r}; it must be a whole number from {MIN_STEPS}"
        )
    return resized(example, axis, steps)


def wanted(
    model: nn.Module, leaves: dict[str, Leaf], example: torch.Tensor, axis: int
) -> tuple[torch.Tensor, list[str]]:
    """The example as long as the model wants it, and a line where that is another length.

    A model that reaches beyond the last step is given twice as many until it does not; one whose
    neurons all run in fewer steps than it is given is given those. Models that fail otherwise are
    left to fail when they are traced.
    """
    given = steps = example.shape[axis]
    runs = None
    while runs is None and steps <= max(given, MAX_FOUND):
        try:
            runs = _runs(model, leaves, resized(example, axis, steps))
        except IndexError:
            steps *= 2
        except Exception:
            break
    if runs is None:
        return example, []
    wants = runs if MIN_STEPS <= runs < steps else steps
    if wants == given:
        return example, []
    remark = f"the model runs {wants} time steps of its own, not the {given} that it was given"
    return resized(example, axis, wants), [f"{remark}; traced with {wants}"]


def _runs(model: nn.Module, leaves: dict[str, Leaf], example: torch.Tensor) -> int:
    """How often the neurons ran; 0 where there are none, or not all ran alike.

    What the model raises passes through; the model is left as it was.
    """
    neurons = {path: leaf for path, leaf in leaves.items() if isinstance(leaf, SnntorchNeuron)}
    counts = dict.fromkeys(neurons, 0)

    def count(path: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            counts[path] += 1

        return hook

    with untouched(model), ExitStack() as stack:
        for path, neuron in neurons.items():
            neuron.prepare()
            handle = neuron.module.register_forward_pre_hook(count(path))
            stack.callback(handle.remove)
        model(example.clone())
    return next(iter(counts.values()), 0) if len(set(counts.values())) == 1 else 0
