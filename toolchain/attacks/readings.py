"""What a network says of a sample: scores, and what decides between equal ones.

Spike counts are small whole numbers. Most changes of an image leave them as they are, so that a
loss on counts is flat and a search on counts stands still. The current into the neurons that are
counted says on which side of the plateau a sample lies: summed over the steps, in thresholds, it is
the number of spikes that the neuron was paid for. It breaks the ties of counts and replaces none of
them: a prediction is that of the counts alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from hardware.arithmetic import STATE_SHIFT
from hardware.program import Output, Population, Program
from toolchain.attacks.base import AttackError, Victim
from toolchain.attacks.estimators.base import spiking_neurons

TIE_WEIGHT = 0.02
"""Spikes that a threshold of current is worth. Ours: so small that currents decide between equal
counts alone (they differ by less than 50 thresholds in every network measured)."""

TIE_BREAKER = "tie_breaker"


@dataclass(frozen=True)
class Reading:
    """Of some samples: what an attack sees.

    scores   [sample, class]
    ties     [sample, class], summed current into the neurons that are counted, in thresholds; None
             where scores are potentials, which hardly tie
    """

    scores: torch.Tensor
    ties: torch.Tensor | None = None

    @property
    def ranked(self) -> torch.Tensor:
        """Scores whose ties are broken, [sample, class]."""
        return (
            self.scores
            if self.ties is None
            else self.scores + TIE_WEIGHT * self.ties.to(self.scores)
        )

    def detach(self) -> Reading:
        """Without gradient."""
        return Reading(self.scores.detach(), None if self.ties is None else self.ties.detach())


def read(victim: Victim, samples: torch.Tensor, seed: int) -> Reading:
    """The victim's reading, differentiable; of one that has no tie-break, its scores."""
    own: Callable[..., Reading] | None = getattr(victim, "read", None)
    return Reading(victim.scores(samples, seed=seed)) if own is None else own(samples, seed=seed)


def ask(victim: Victim, samples: np.ndarray, seed: int) -> Reading:
    """The victim's reading without gradient, float64: what a black-box attack sees."""
    own: Callable[..., Reading] | None = getattr(victim, "ask", None)
    if own is not None:
        return own(samples, seed=seed)
    return Reading(torch.from_numpy(np.asarray(victim.predict(samples, seed=seed), np.float64)))


def join(parts: list[Reading]) -> Reading:
    """Readings of batches as one."""
    scores, ties = [part.scores for part in parts], [part.ties for part in parts]
    known = [each for each in ties if each is not None]
    return Reading(torch.cat(scores), torch.cat(known) if len(known) == len(parts) else None)


class Currents:
    """Adds up the current into every spiking neuron during a forward pass, differentiably; the last
    neuron called is the one read."""

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._last: tuple[str, nn.Module] | None = None

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[Currents]:
        """Add up during the forward passes inside."""
        hooks = [
            neuron.register_forward_pre_hook(self._adder(path), with_kwargs=True)
            for path, neuron in spiking_neurons(model)
        ]
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    def _adder(self, path: str) -> Callable[..., None]:
        def before(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
            current = arguments[0]
            current = current.sum(dim=0) if named.get("sequence") else current
            self._sums[path] = self._sums[path] + current if path in self._sums else current
            self._last = path, module

        return before

    def of_the_read_out(self, scores: torch.Tensor) -> torch.Tensor | None:
        """In thresholds, [sample, class]; None where the last neurons are not those that ``scores``
        counts, one for each class."""
        if self._last is None:
            return None
        path, neuron = self._last
        total = self._sums[path].flatten(1)
        if total.shape != scores.shape:
            return None
        threshold = torch.as_tensor(neuron.threshold).detach().to(total)
        return total / (threshold if threshold.numel() == 1 else threshold.reshape(-1))


def with_tie_breaker(program: Program, output: str) -> Program:
    """The Program and, beside the population that is counted, an integrator without leak that gets
    the same current.

    What the Program computes does not change; the integrator's last potential is the summed
    current. (It saturates as every potential does, at 2**23: such ties stay.)
    """
    read = _counted(program, output)
    witness = Population(
        TIE_BREAKER,
        read.shape,
        current_decay=read.current_decay,
        threshold=None,
        bias=read.bias,
        bias_exponent=read.bias_exponent,
    )

    copies = tuple(
        # a loop brings the spikes of the step before; seen from another population that is a delay
        replace(
            projection,
            name=f"{TIE_BREAKER}_{number}",
            target=TIE_BREAKER,
            delay=projection.delay + int(projection.recurrent),
        )
        for number, projection in enumerate(program.into(output))
    )

    return Program(
        program.inputs,
        (*program.populations, witness),
        (*program.projections, *copies),
        (*program.outputs, Output(TIE_BREAKER, "last_potential")),
        program.metadata,
    )


def thresholds(program: Program, output: str) -> np.ndarray:
    """Of the neurons that are counted, in units of the state, float64 [neuron]."""
    population = _counted(program, output)
    if population.threshold is None:
        raise AttackError(f"output {output!r}: its neurons do not spike, so none are counted")
    return (
        np.broadcast_to(population.threshold, population.shape).reshape(-1).astype(np.float64)
        * 2.0**STATE_SHIFT
    )


def _counted(program: Program, output: str) -> Population:
    population = program.nodes[output]
    if not isinstance(population, Population):
        raise AttackError(f"output {output!r}: its neurons have no current that could break ties")
    return population
