"""Modules and parameters of a model that are no layers: what became of them, said in lines.

A module that was never called, a parameter that took no part, a number that changes from step to
step: none of them shows in what was traced, so each is named.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable

import torch
from torch import nn

from export.errors import UnsupportedError
from export.frameworks.leaves import Leaf
from export.frameworks.wrappers import described


class Bystanders:
    """Watches a run of a model. After it: ``check`` and ``notes``."""

    def __init__(self, model: nn.Module, leaves: dict[str, Leaf]) -> None:
        self._leaves = leaves
        self._own = {p: m for p, m in model.named_modules() if not _inside(p, leaves)}
        self._tensors = {
            id(tensor): (tensor, name, path)
            for path, module in self._own.items()
            for name, tensor in (*module._parameters.items(), *module._buffers.items())
            if tensor is not None
        }
        self._seen: set[int] = set()
        self._numbers = {path: _numbers_of(module) for path, module in self._own.items()}
        self._fixed = {
            path: {name: tensor.detach().clone() for name, tensor in leaf.fixed().items()}
            for path, leaf in leaves.items()
        }

    def see(self, tensors: Iterable[torch.Tensor]) -> None:
        """An operation was applied to these."""
        self._seen.update(id(t) for t in tensors if id(t) in self._tensors)

    def check(self) -> None:
        """Raises UnsupportedError where a layer's parameters changed while the model ran."""
        for path, before in self._fixed.items():
            leaf = self._leaves[path]
            for name, tensor in leaf.fixed().items():
                known = before.get(name)
                if known is None or known.shape != tensor.shape or not torch.equal(known, tensor):
                    raise UnsupportedError(
                        f"{leaf.label}: its {name} changes while the model runs; a Program's stays "
                        "the same in every step"
                    )

    def notes(self, called: set[str]) -> list[str]:
        """What became of what is no layer. ``called``: names of the layers that were."""
        notes = [
            f"{leaf.name}: never called, so left out ({type(leaf.module).__name__})"
            for leaf in self._leaves.values()
            if leaf.name not in called
        ]

        for key, (tensor, name, path) in self._tensors.items():
            where = described(path, self._own[path])
            if key not in self._seen:
                notes.append(f"{where}: {name} takes no part in what the model computes; left out")
            elif isinstance(tensor, nn.Parameter):
                notes.append(f"{where}: {name} is read as the constant that it is now")

        for path, before in self._numbers.items():
            after = _numbers_of(self._own[path])
            changed = sorted(n for n, value in after.items() if before.get(n, value) != value)
            if changed:
                notes.append(
                    f"{described(path, self._own[path])}: {', '.join(changed)} changes from step "
                    f"to "
                    "step; what a later step than those traced makes of it is not seen"
                )

        return notes


def _inside(path: str, leaves: dict[str, Leaf]) -> bool:
    return any(path == leaf or path.startswith(f"{leaf}.") or not leaf for leaf in leaves)


def _numbers_of(module: nn.Module) -> dict[str, numbers.Real]:
    skipped = ("training", "_is_full_backward_hook")
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, numbers.Real) and name not in skipped
    }
