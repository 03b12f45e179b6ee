"""Gradient estimators: another backward pass of the neurons, for the same forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from torch import nn

from toolchain.attacks.base import NotApplicable


def spiking_neurons(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of every neuron whose backward pass can be replaced: those of toolchain.layers
    and of snnTorch.

    Both have ``spike_grad`` and ``threshold``; integrators, which do not spike, have an exact
    gradient and stay as they are.
    """
    for path, module in model.named_modules():
        if hasattr(module, "spike_grad") and getattr(module, "threshold", None) is not None:
            yield path, module


class Estimator:
    """The training surrogate, backpropagated through time, as the network was trained; base of all
    others.

        with estimator.applied(model):
            scores = victim.scores(x)
        gradient = torch.autograd.grad(loss(scores), x)

    ``applied`` covers one forward pass, whose numbers it does not change; the backward pass may
    come later.
    """

    name = "training"

    @property
    def parts(self) -> tuple[Estimator, ...]:
        """What is averaged over: itself."""
        return (self,)

    def begin(self) -> None:
        """A new attack on new samples: forget what was learnt from others."""

    def advance(self) -> None:
        """A gradient was made; the next one may be of another part."""

    @contextmanager
    def applied(self, model: nn.Module, frozen: bool = False) -> Iterator[None]:
        """Replace the backward pass for forward passes inside. ``frozen``: learn nothing from this
        one (all but the first of EOT)."""
        yield


Undo: TypeAlias = Callable[[], None]
"""Puts back what was changed."""


class NeuronEstimator(Estimator):
    """An estimator that installs something in every neuron and takes it out again."""

    def install(self, path: str, neuron: nn.Module, frozen: bool) -> Undo:
        """Change the neuron; returns a function that changes it back."""
        raise NotImplementedError

    @contextmanager
    def applied(self, model: nn.Module, frozen: bool = False) -> Iterator[None]:
        undo: list[Undo] = []
        try:
            for path, neuron in spiking_neurons(model):
                undo.append(self.install(path, neuron, frozen))
            if not undo:
                raise NotApplicable(
                    f"estimator {self.name!r} finds no spiking neuron in {type(model).__name__}; "
                    "there must be one of toolchain.layers or snnTorch"
                )
            yield
        finally:
            for restore in reversed(undo):
                restore()


class Mixed(Estimator):
    """The mean of several estimators' input gradients, each of a forward and backward pass of its
    own (``parts``)."""

    def __init__(self, name: str, parts: tuple[Estimator, ...]) -> None:
        self.name, self._parts = name, parts

    @property
    def parts(self) -> tuple[Estimator, ...]:
        return self._parts

    def begin(self) -> None:
        for part in self._parts:
            part.begin()


def replace(module: nn.Module, attribute: str, value: object) -> Undo:
    """Set an attribute; returns a function that puts the old one back."""
    old = getattr(module, attribute)
    setattr(module, attribute, value)
    return lambda: setattr(module, attribute, old)
