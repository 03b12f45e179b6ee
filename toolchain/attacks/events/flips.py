"""Sparse attack: change few event cells. After SDA (sparse dynamic attack, CVPR 2025), with a
budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks.base import AttackResult, Threat, Victim
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class SparseFlips:
    """Flip the cells whose flip a gradient promises and a trial confirms, until the sample is
    broken or the budget is spent.

    In round n, the 10 n cells not yet flipped whose flip the gradient of the margin favours most
    are tried one by one; those that do not lower the margin are flipped, best first, ties by the
    gradient, as far as the budget (threat "flips") goes. A broken sample is then pruned: binary
    search for how many of the least useful flips can be taken back.

    rounds       at most so many gradients (SDA: 500)
    first        candidates of the first round (SDA: 10)
    """

    rounds: int = 50
    first: int = 10

    def __post_init__(self) -> None:
        positive_number("sparse flips", "rounds", self.rounds)
        positive_number("sparse flips", "first", self.first)

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        search = Search(victim, samples, labels, threat, norms=("flips",), **options)
        search.goal = search.misclassify("margin")

        x = search.clean.clone()
        # what each flip was worth when it was tried; NaN: not flipped
        worth = torch.full_like(x.flatten(1), float("nan"))
        broken = search.best_reached.clone()
        generators = search.generators("flips")

        for number in range(self.rounds):
            open_rows = torch.nonzero(~broken & ((~worth.isnan()).sum(dim=1) < threat.epsilon))[
                :, 0
            ]
            if not len(open_rows):
                break
            gradient, outcome = search.gradient(x)
            for row in open_rows.tolist():
                self._round(
                    search,
                    x,
                    worth,
                    row,
                    gradient[row].flatten(),
                    float(outcome.rank[row]),
                    (number + 1) * self.first,
                    generators[row],
                )
            after = search.evaluate(x)
            broken |= after.reached
            search.tick(number + 1, self.rounds)

        for row in torch.nonzero(broken)[:, 0].tolist():
            self._prune(search, x, worth, row)
        return search.finish()

    def _round(
        self,
        search: Search,
        x: torch.Tensor,
        worth: torch.Tensor,
        row: int,
        gradient: torch.Tensor,
        level: float,
        tries: int,
        generator: np.random.Generator,
    ) -> None:
        cells = x[row].flatten()
        promise = gradient * (1 - 2 * cells)
        # cells whose flip the gradient does not favour come last, in random order
        promise = torch.where(
            promise > 0, promise, -torch.from_numpy(generator.random(len(promise))).to(promise)
        )

        unflipped = worth[row].isnan()
        promise[~unflipped] = float("-inf")
        tries = min(tries, int(unflipped.sum()))
        chosen = promise.topk(tries).indices

        trials = cells.repeat(tries, 1)
        trials[torch.arange(tries), chosen] = 1 - trials[torch.arange(tries), chosen]
        rows = torch.full((tries,), row, device=x.device)
        gain = (
            search.evaluate(trials.reshape(tries, *x.shape[1:]), rows, candidate=False).rank - level
        )

        budget = int(search.threat.epsilon) - int((~worth[row].isnan()).sum())
        # topk is sorted by promise, so a stable sort by gain breaks ties by promise
        order = torch.argsort(gain, descending=True, stable=True)
        taken = order[gain[order] >= 0][:budget]
        flipped = chosen[taken]
        x[row].view(-1)[flipped] = 1 - x[row].view(-1)[flipped]
        worth[row, flipped] = gain[taken].to(worth)

    def _prune(self, search: Search, x: torch.Tensor, worth: torch.Tensor, row: int) -> None:
        flipped = torch.nonzero(~worth[row].isnan())[:, 0]
        flipped = flipped[torch.argsort(worth[row, flipped], stable=True)]

        low, high = 0, len(flipped)
        # the largest number of useless flips that can be taken back; ``low`` is known to work
        while low < high:
            middle = (low + high + 1) // 2
            trial = x[row].clone()
            trial.view(-1)[flipped[:middle]] = search.clean[row].view(-1)[flipped[:middle]]
            if bool(
                search.evaluate(
                    trial[None], torch.tensor([row], device=x.device), candidate=False
                ).reached
            ):
                low = middle
            else:
                high = middle - 1

        pruned = x[row].clone()
        pruned.view(-1)[flipped[:low]] = search.clean[row].view(-1)[flipped[:low]]
        # fewer flips count more than a larger margin
        search.best[row] = pruned
