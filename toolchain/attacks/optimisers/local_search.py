"""Local search: pixels pushed to the edges of the ball, one after the other, by predictions alone.

Nothing is differentiated, so that it is exact on an integer Program: what it finds fools the chip.
It is meant to come last, from the best point of the attacks before it and on the samples that they
left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.optimisers.by_scores import attack_by_scores
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

MOVES = ("pixel", "pair", "few", "block")


def _block(generator: np.random.Generator, shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    """A window of all channels, up to half as wide and as high as the image."""
    height, width = (int(generator.integers(1, max(size // 2, 1) + 1)) for size in shape[1:])
    row, column = (
        int(generator.integers(0, size - side + 1))
        for size, side in zip(shape[1:], (height, width))
    )
    return slice(None), slice(row, row + height), slice(column, column + width)


def proposal(
    generator: np.random.Generator,
    point: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    inner: float,
) -> np.ndarray:
    """``point`` with some pixels moved to an edge of the ball, [channels, height, width]; with
    chance ``inner`` anywhere between them."""
    moved, kind = point.copy(), MOVES[generator.integers(len(MOVES))]
    if kind == "block":
        where = _block(generator, point.shape)
        moved[where] = (low, high)[generator.integers(2)][where]
        return moved
    count = {"pixel": 1, "pair": 2, "few": int(generator.integers(3, 7))}[kind]
    pixels = generator.integers(point.size, size=count)
    flat, lowest, highest = moved.reshape(-1), low.reshape(-1)[pixels], high.reshape(-1)[pixels]
    if generator.random() < inner:
        flat[pixels] = lowest + (highest - lowest) * generator.random(count).astype(np.float32)
    else:
        # the edge that the pixel is further from
        middle = (lowest + highest) / 2
        flat[pixels] = np.where(flat[pixels] > middle, lowest, highest)
    return moved


@dataclass(frozen=True)
class LocalSearch:
    """Hill climbing on the margin, ties broken by currents and ties accepted: a plateau is crossed,
    not stood on.

    rounds      for each sample that stands
    candidates  points that are tried in each round; the best one is kept where its margin does not
                fall behind
    inner       chance of a move that ends between the edges of the ball
    """

    rounds: int = 100
    candidates: int = 4
    inner: float = 0.15

    def __post_init__(self) -> None:
        positive_number("local_search", "rounds", self.rounds)
        positive_number("local_search", "candidates", self.candidates)
        if not 0 <= self.inner <= 1:
            raise AttackError(f"local_search: inner is {self.inner!r}; it must be a chance, 0 to 1")

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        return attack_by_scores(
            "local_search",
            self._climb,
            victim,
            samples,
            labels,
            threat,
            options,
            norms=("linf",),
        )

    def _climb(self, search: Search) -> None:
        clean, epsilon = search.samples, np.float32(search.threat.epsilon)
        low = np.maximum(clean - epsilon, np.float32(search.threat.low))
        high = np.minimum(clean + epsilon, np.float32(search.threat.high))

        generators = search.generators("local search")
        points = clean.copy() if search.start is None else search.start.cpu().numpy().copy()
        ranks = search.query(torch.from_numpy(points).to(search.clean)).rank.cpu().numpy().copy()

        for number in range(self.rounds):
            rows = torch.nonzero(~search.best_reached)[:, 0].cpu().numpy()
            if not len(rows):
                break

            tried = np.stack(
                [
                    proposal(generators[row], points[row], low[row], high[row], self.inner)
                    for row in rows
                    for _ in range(self.candidates)
                ]
            )
            answers = search.query_each(
                torch.from_numpy(tried), torch.from_numpy(rows), self.candidates
            )
            best, rank = answers

            kept = rank >= ranks[rows]
            points[rows[kept]] = tried.reshape(len(rows), self.candidates, *clean.shape[1:])[
                kept, best[kept]
            ]
            ranks[rows[kept]] = rank[kept]
            search.tick(number + 1, self.rounds)
