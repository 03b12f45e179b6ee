"""Energy attack ("sponge"): more spikes, or more synaptic operations, within the same ball.

Efficiency attacks on spiking networks: Krithivasan et al., 2022. Spikes are counted exactly in the
forward pass; their gradient is the estimator's. Synaptic operations weigh every spike with the
synapses that it touches on the chip (hardware.counters).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from hardware.counters import fan_out
from hardware.program import Program
from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, NotApplicable, Threat, Victim
from toolchain.attacks.estimators.base import spiking_neurons
from toolchain.attacks.goals import Outcome, margin
from toolchain.attacks.optimisers import sa_pgd
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.readings import Reading
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


def synapses_per_spike(program: Program) -> dict[str, np.ndarray]:
    """Layer → synapses that a spike of each neuron touches, int64 of the layer's shape, inputs
    included.

    Populations that nothing projects to are left out: no input changes what they do (constant
    sources that carry a bias).
    """
    weights = {}
    driven = (program.nodes[n] for n in program.order if program.into(n))
    for node in (*program.inputs, *driven):
        touched = np.zeros(node.size, np.int64)
        for projection in program.out_of(node.name):
            touched += fan_out(projection, node.shape, program.nodes[projection.target].shape)
        weights[node.name] = touched.reshape(node.shape)
    return weights


class _Nonzero(torch.autograd.Function):
    """Forward: 1 where the input is not zero. Backward: the slope of |x| / lsb below one lsb, so
    that silent pixels are driven too."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, lsb: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.lsb = lsb
        return (x != 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * torch.where(x < 0, -1.0, 1.0) * (x.abs() < ctx.lsb) / ctx.lsb, None


class Activity:
    """Counts, differentiably, what a victim's network does during a forward pass.

    weights   None: every spike of every neuron counts 1; or layer → weight of each neuron's spike,
              with the names of the Program's populations, which are the paths of the neurons, and
              the Program's input
    """

    def __init__(self, victim: Victim, weights: Mapping[str, np.ndarray] | None) -> None:
        inner: Any = getattr(victim, "victim", victim)
        self.model: nn.Module = inner.model
        self.lsb = 2.0 ** -inner.io["input"]["fraction_bits"]
        self.weights: dict[str, torch.Tensor] | None = None
        self.input: tuple[str, torch.Tensor] | None = None

        neurons = dict(spiking_neurons(self.model))
        if not neurons:
            raise NotApplicable(
                f"{type(self.model).__name__} has no spiking neuron whose spikes could be counted"
            )

        if weights is not None:
            self.weights = {
                name: torch.from_numpy(np.asarray(w)).float() for name, w in weights.items()
            }
            missing = [n for n in neurons if n not in weights]
            inputs = [n for n, w in weights.items() if n not in neurons and w.any()]
            if missing or len(inputs) > 1:
                raise NotApplicable(
                    f"the Program's layers {', '.join(weights)} are not those of the network: "
                    + (
                        f"no layer for neuron {missing[0]!r}"
                        if missing
                        else f"inputs or layers without a neuron: {', '.join(inputs)}"
                    )
                )
            self.input = (inputs[0], self.weights[inputs[0]]) if inputs else None

        self._total: torch.Tensor | None = None

    @contextmanager
    def counting(self) -> Iterator[Activity]:
        """Count during the forward passes inside; read ``total`` before leaving."""
        self._total = None
        hooks: list[RemovableHandle] = [
            n.register_forward_hook(self._spikes(path), with_kwargs=True)
            for path, n in spiking_neurons(self.model)
        ]
        if self.input is not None:
            hooks.append(self.model.register_forward_pre_hook(self._inputs(*self.input)))
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()

    @property
    def total(self) -> torch.Tensor:
        """Weighted spikes of each sample since the forward pass began, [sample]."""
        if self._total is None:
            raise AttackError("nothing was counted: no forward pass was made")
        return self._total

    def _spikes(self, path: str) -> Callable[..., None]:
        def after(
            module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any], found: Any
        ) -> None:
            spikes = found[0] if isinstance(found, tuple) else found
            self._add(path, spikes, arguments[0].dim() - (2 if named.get("sequence") else 1))

        return after

    def _inputs(self, name: str, weights: torch.Tensor) -> Callable[..., None]:
        def before(module: nn.Module, arguments: tuple[Any, ...]) -> None:
            spikes: torch.Tensor = _Nonzero.apply(  # type: ignore[no-untyped-call]  # torch's
                arguments[0], self.lsb
            )
            self._add(name, spikes, weights.dim())

        return before

    def _add(self, name: str, spikes: torch.Tensor, dimensions: int) -> None:
        counted = spikes if self.weights is None else spikes * self.weights[name].to(spikes)
        # in float64: a long sample of a large network has more than 2**24 synaptic operations
        counted = counted.flatten(counted.dim() - dimensions).sum(dim=-1, dtype=torch.float64)
        counted = counted.sum(dim=0) if counted.dim() == 2 else counted
        self._total = counted if self._total is None else self._total + counted


class _Drain:
    """The goal: more activity than clean; with ``keep`` [sample] only where that class still
    wins."""

    def __init__(self, activity: Activity, keep: torch.Tensor | None) -> None:
        self.activity, self.keep = activity, keep
        self.clean: torch.Tensor | None = None

    def watching(self) -> AbstractContextManager[object]:
        return self.activity.counting()

    def outcome(self, reading: Reading, rows: torch.Tensor) -> Outcome:
        scores = reading.scores
        total = self.activity.total
        clean = total.detach() if self.clean is None else self.clean[rows]
        reached, loss = total.detach() > clean, total / clean.clamp_min(1)
        if self.keep is not None:
            kept = scores.detach().argmax(dim=1) == self.keep[rows]
            reached, loss = (
                reached & kept,
                torch.where(kept, loss, -margin(scores, self.keep[rows])),
            )
        return Outcome(loss, reached, total.detach())


@dataclass(frozen=True)
class Sponge:
    """Maximise activity with SA-PGD's steps, from the clean sample, then from random points of the
    ball's surface.

    steps       iterations of each run
    restarts    runs from random points
    label       "free": the prediction may change; "unchanged": only samples that are still
                classified as the clean one count, and where the class is lost its margin is climbed
                instead
    weights     layer → weight of each neuron's spike (``synapses_per_spike(program)``: synaptic
                operations); None: spikes

    success: activity rose (and the class is kept). History: "clean_activity" and "activity" [1,
    sample] besides the search's own; "loss" is the activity in units of the clean one.
    """

    steps: int = 50
    restarts: int = 1
    label: str = "free"
    weights: Mapping[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        positive_number("sponge", "steps", self.steps)
        positive_number("sponge", "restarts", self.restarts, 0)
        if self.label not in ("free", "unchanged"):
            raise AttackError(f"sponge: label is {self.label!r}; it must be free or unchanged")

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        keep = None
        if self.label == "unchanged":
            predicted = np.asarray(
                victim.predict(np.asarray(samples), seed=options.get("seed", 0))
            ).argmax(axis=1)
            keep = torch.from_numpy(predicted).to(getattr(victim, "device", "cpu"))
        goal = _Drain(Activity(victim, self.weights), keep)
        search = Search(victim, samples, labels, threat, goal=goal, **options)
        # the search has just measured the clean samples
        goal.clean = clean = search.best_rank.clone()
        starts = [search.clean] + [
            geometry.on_the_sphere(search.clean, threat, search.generators(f"sponge {run}"))
            for run in range(self.restarts if threat.epsilon > 0 else 0)
        ]
        for start in starts if threat.epsilon > 0 else []:
            search.estimator.begin()
            sa_pgd.climb(search, self.steps, start)
        search.log(clean_activity=clean, activity=search.best_rank)
        return search.finish()
