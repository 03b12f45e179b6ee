"""Square attack: random search with square windows, by scores alone. Andriushchenko et al., ECCV
2020 (linf and l2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.goals import Outcome
from toolchain.attacks.optimisers.by_scores import attack_by_scores
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Iterations, of 10,000, after each of which the share of the image that a window covers is
halved."""


def share_of_image(iteration: int, iterations: int, start: float) -> float:
    """Share of the pixels that the window of this iteration covers; the schedule is stretched to
    the number of iterations."""
    at = iteration * 10000 // iterations
    return start / float(2 ** sum(at > mark for mark in HALVINGS))


def _stripes(generator: np.random.Generator, shape: tuple[int, ...], epsilon: float) -> np.ndarray:
    """Vertical stripes of +-epsilon: the linf start."""
    return np.broadcast_to(generator.choice((-epsilon, epsilon), (shape[0], 1, shape[2])), shape)


def _window(
    generator: np.random.Generator, shape: tuple[int, ...], side: int
) -> tuple[slice, slice, slice]:
    """A window of this side, anywhere in the image, edges included."""
    row, column = (
        generator.integers(0, shape[1] - side + 1),
        generator.integers(0, shape[2] - side + 1),
    )
    return slice(None), slice(row, row + side), slice(column, column + side)


def _bump(generator: np.random.Generator, side: int) -> np.ndarray:
    """The l2 attack's pattern: two pyramids of opposite sign side by side, of unit norm; turned and
    signed at random."""

    def pyramid(height: int, width: int) -> np.ndarray:
        values, row, column = np.zeros((height, width)), height // 2, width // 2
        for ring in range(max(row, column) + 1):
            values[max(row, 0) : row + 2 * ring + 1, max(column, 0) : column + 2 * ring + 1] += (
                1 / (ring + 1) ** 2
            )
            row, column = row - 1, column - 1
        unit: np.ndarray = values / np.sqrt((values**2).sum())
        return unit

    pattern = np.zeros((side, side))
    half = side // 2
    if half:
        pattern[:half] = pyramid(half, side)
        pattern[half:] = -pyramid(side - half, side)
    else:
        pattern[:] = 1
    pattern /= np.sqrt((pattern**2).sum())
    turned = pattern.T if generator.random() < 0.5 else pattern
    signed: np.ndarray = turned * generator.choice((-1, 1))
    return signed


def _tiles(generator: np.random.Generator, shape: tuple[int, ...], epsilon: float) -> np.ndarray:
    """Bumps side by side, with a sign for each channel, of norm epsilon: the l2 start."""
    side = max(min(shape[1:]) // 5, 1)
    change = np.zeros(shape)
    for row in range(0, shape[1] - side + 1, side):
        for column in range(0, shape[2] - side + 1, side):
            change[:, row : row + side, column : column + side] += _bump(
                generator, side
            ) * generator.choice((-1, 1), (shape[0], 1, 1))
    tiled: np.ndarray = change * epsilon / np.sqrt((change**2).sum())
    return tiled


def _moved_mass(
    generator: np.random.Generator, change: np.ndarray, side: int, epsilon: float
) -> np.ndarray:
    """l2: put into one window what another had, what it had itself, and what is left of epsilon.
    ``change``: allowed so far."""
    into, out_of = _window(generator, change.shape, side), _window(generator, change.shape, side)
    both = np.zeros(change.shape[1:], bool)
    both[into[1:]] = both[out_of[1:]] = True
    left = max(epsilon**2 - (change**2).sum(), 0) / len(change)
    mass = np.sqrt((change[:, both] ** 2).sum(axis=1) + left)
    old = change[into] / np.maximum(
        np.sqrt((change[into] ** 2).sum(axis=(1, 2), keepdims=True)), 1e-12
    )
    new = old + _bump(generator, side) * generator.choice((-1, 1), (len(change), 1, 1))
    new *= mass[:, None, None] / np.maximum(
        np.sqrt((new**2).sum(axis=(1, 2), keepdims=True)), 1e-12
    )
    changed = change.copy()
    changed[out_of] = 0
    changed[into] = new
    shrunk: np.ndarray = changed * min(1.0, epsilon / max(np.sqrt((changed**2).sum()), 1e-12))
    return shrunk


@dataclass(frozen=True)
class Square:
    """Black-box: the victim is asked for nothing but predictions, at most ``queries`` for each
    sample; a sample rests once broken.

    queries   5000 as in AutoAttack
    share     of the image that the first windows cover; 0.8 as in AutoAttack
    ties      keep a candidate that is as good as the point so far. False as published, where scores
              are real numbers: on a plateau of counts such a search stands still

    A candidate is kept where the margin (label's score minus the best other, ties broken by
    currents) shrinks, or stays. Every sample has its own windows, so that the result does not
    depend on its batch mates.
    """

    queries: int = 5000
    share: float = 0.8
    ties: bool = True

    def __post_init__(self) -> None:
        positive_number("square", "queries", self.queries, 2)
        if not 0 < self.share <= 1:
            raise AttackError(f"square: share is {self.share!r}; it must be above 0, at most 1")

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        return attack_by_scores("square", self._climb, victim, samples, labels, threat, options)

    def _climb(self, search: Search) -> None:
        threat, shape, generators = (
            search.threat,
            search.samples.shape[1:],
            search.generators("square"),
        )
        start = _stripes if threat.norm == "linf" else _tiles
        changes = np.stack([start(g, shape, threat.epsilon) for g in generators])

        margins = self._ask(search, changes, search.rows).rank.cpu().numpy()
        log = [search.best_rank.cpu().numpy()]

        # one query went to the clean sample, one to the start, one is left for finish()
        iterations = max(self.queries - 3, 0)
        for iteration in range(iterations):
            rows = torch.nonzero(~search.best_reached)[:, 0]
            if not len(rows):
                break

            side = min(
                max(
                    round(
                        np.sqrt(
                            share_of_image(iteration, iterations, self.share) * shape[1] * shape[2]
                        )
                    ),
                    1,
                ),
                *shape[1:],
            )
            proposals = np.stack(
                [
                    self._proposal(search, int(row), generators[int(row)], changes[int(row)], side)
                    for row in rows
                ]
            )

            ranks = self._ask(search, proposals, rows).rank.cpu().numpy()
            before = margins[rows.cpu().numpy()]
            better = ranks >= before if self.ties else ranks > before
            chosen = rows.cpu().numpy()[better]
            changes[chosen], margins[chosen] = proposals[better], ranks[better]
            log.append(search.best_rank.cpu().numpy())
            search.tick(iteration + 1, iterations)

        for line in log:
            search.log(loss=torch.from_numpy(line))

    def _proposal(
        self,
        search: Search,
        row: int,
        generator: np.random.Generator,
        change: np.ndarray,
        side: int,
    ) -> np.ndarray:
        if search.threat.norm == "linf":
            proposal = change.copy()
            proposal[_window(generator, change.shape, side)] = generator.choice(
                (-search.threat.epsilon, search.threat.epsilon), (len(change), 1, 1)
            )
            return proposal
        clean = search.samples[row].astype(np.float64)
        allowed = np.clip(clean + change, search.threat.low, search.threat.high) - clean
        return _moved_mass(
            generator, allowed, max(side, min(3, *change.shape[1:])), search.threat.epsilon
        )

    def _ask(self, search: Search, changes: np.ndarray, rows: torch.Tensor) -> Outcome:
        moved = search.clean[rows] + torch.from_numpy(changes).to(search.clean)
        # into the ball again after rounding to float32
        change = moved - search.clean[rows]
        if search.threat.norm == "linf":
            change = change.clamp(-search.threat.epsilon, search.threat.epsilon)
        return search.query(
            (search.clean[rows] + change).clamp(search.threat.low, search.threat.high), rows
        )
