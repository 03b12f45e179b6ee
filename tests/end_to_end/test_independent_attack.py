"""An attack written apart from ``toolchain.attacks``, as simple as possible: it must not beat the
preset ``standard``.

Momentum sign steps over a few surrogates with a margin loss, then single pixels and pairs pushed to
the edges of the ball on the fast executor. It shares the layers and the executor with the product,
and no line of an attack.
"""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch

from hardware import targets
from toolchain import data as datasets
from toolchain.attacks.base import Threat
from toolchain.attacks.batteries import battery
from toolchain.attacks.registry import run
from toolchain.deploy import stages as opening
from toolchain.layers import surrogate
from toolchain.robustness.models import ModelFile, open_model

KEPT = Path(__file__).parents[2] / "examples" / "checkpoints"
EPSILON, LEVELS = 0.125, 16
SURROGATES = (
    surrogate.atan(2.0),
    surrogate.triangle(1.0),
    surrogate.triangle(4.0),
    surrogate.sigmoid(4.0),
    surrogate.atan(1.0),
)


class Target:
    """A kept network of directly encoded digits that counts spikes: as PyTorch module, and as
    Program."""

    def __init__(self, name: str):
        stage = opening.load(str(KEPT / f"{name}.safetensors"))
        self.network = stage.require_module("an attack").eval()
        self.program = opening.to_program(stage, opening.Ways())[0]
        self.steps = self.network.data["steps"]
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)

    def gradient(self, x: torch.Tensor, labels: torch.Tensor, spike_grad) -> torch.Tensor:
        """Of the margin of spike counts, straight through the rounding to grey levels."""
        for module in self.network.modules():
            if hasattr(module, "spike_grad"):
                module.spike_grad = spike_grad
        x = x.clone().requires_grad_()
        levels = x + (torch.round(x * LEVELS) / LEVELS - x).detach()
        counts = self.network(levels.expand(self.steps, *x.shape)).sum(0)
        own = counts.gather(1, labels[:, None])[:, 0]
        others = counts.scatter(1, labels[:, None], -1e9)
        (found,) = torch.autograd.grad((torch.logsumexp(others, 1) - own).sum(), x)
        return found

    def margins(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Count of the label less the best other, on the chip's integers, 0 where numpy's argmax
        gives another class."""
        levels = np.rint(images * LEVELS).astype(np.int32)
        inputs = np.broadcast_to(levels[:, None], (len(levels), self.steps, *levels.shape[1:]))
        counts = next(
            iter(targets.run(self.program, np.ascontiguousarray(inputs), "fast").scores.values())
        ).copy()
        rows, wrong = np.arange(len(labels)), counts.argmax(1) != labels
        own = counts[rows, labels]
        counts[rows, labels] = -1
        return np.where(wrong, -1, own - counts.max(1))


def descend(
    target: Target, images: np.ndarray, labels: np.ndarray, steps: int, rng: np.random.Generator
) -> np.ndarray:
    clean, truth = torch.from_numpy(images), torch.from_numpy(labels)
    x = clean + EPSILON * torch.from_numpy(rng.choice([-1.0, 1.0], images.shape).astype(np.float32))
    best, margins = images.copy(), target.margins(images, labels)
    momentum = torch.zeros_like(clean)
    for step in range(steps):
        x = (clean + (x - clean).clamp(-EPSILON, EPSILON)).clamp(0, 1)
        found = target.gradient(x, truth, SURROGATES[step % len(SURROGATES)])
        momentum = (
            0.8 * momentum
            + found / found.abs().flatten(1).mean(1).clamp_min(1e-12)[:, None, None, None]
        )
        x = x + EPSILON * (0.6 - 0.5 * step / steps) * momentum.sign()
        point = (clean + (x - clean).clamp(-EPSILON, EPSILON)).clamp(0, 1).numpy()
        now = target.margins(point, labels)
        better = now <= margins
        best[better], margins[better] = point[better], now[better]
    return best


def search(
    target: Target, images: np.ndarray, labels: np.ndarray, points: np.ndarray, rounds: int, rng
) -> np.ndarray:
    low, high = np.clip(images - EPSILON, 0, 1), np.clip(images + EPSILON, 0, 1)
    points, margins = points.copy(), target.margins(points, labels)
    for _ in range(rounds):
        rows = np.flatnonzero(margins >= 0)
        if not len(rows):
            break
        tried = points[rows].reshape(len(rows), -1)
        for number, row in enumerate(rows):
            pixels = rng.integers(tried.shape[1], size=rng.integers(1, 4))
            tried[number, pixels] = (low if rng.random() < 0.5 else high)[row].reshape(-1)[pixels]
        tried = tried.reshape(-1, *images.shape[1:])
        now = target.margins(tried, labels[rows])
        kept = now <= margins[rows]
        points[rows[kept]], margins[rows[kept]] = tried[kept], now[kept]
    return points


def independent(
    name: str, images: np.ndarray, labels: np.ndarray, steps: int, rounds: int, repeats: int
) -> np.ndarray:
    """Which samples stand, bool [sample]."""
    target, rng = Target(name), np.random.default_rng(7)
    stands = target.margins(images, labels) >= 0
    for _ in range(repeats):
        rows = np.flatnonzero(stands)
        if not len(rows):
            break
        found = descend(target, images[rows], labels[rows], steps, rng)
        found = search(target, images[rows], labels[rows], found, rounds, rng)
        stands[rows] &= target.margins(found, labels[rows]) >= 0
        assert np.abs(found - images[rows]).max() <= EPSILON + 1e-6
    return stands


def standard(name: str, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Which samples stand under the preset's cascade: its worst case is at most this."""
    opened = open_model(ModelFile.read(name, str(KEPT / f"{name}.safetensors")))
    (cascade,) = (spec for spec in battery("standard", "linf") if spec.attack == "cascade")
    victim, judge = opened.victim(), opened.integers("fast")
    return ~run(
        cascade, victim, images, labels, Threat("linf", EPSILON), judge=judge, behind=opened.victim
    ).success


def chance(only_independent: int, only_standard: int) -> float:
    """One-sided exact McNemar: how likely it is that so many or more fall to the independent attack
    alone, if both were as strong."""
    both = only_independent + only_standard
    return sum(comb(both, k) for k in range(only_independent, both + 1)) / 2**both


def compare(
    name: str, first: int, count: int, steps: int, rounds: int, repeats: int
) -> tuple[np.ndarray, np.ndarray]:
    found = datasets.load("digits", "test")
    images, labels = found.images()[first : first + count], found.labels[first : first + count]
    theirs, ours = (
        independent(name, images, labels, steps, rounds, repeats),
        standard(name, images, labels),
    )
    assert (
        chance(int(np.count_nonzero(ours & ~theirs)), int(np.count_nonzero(theirs & ~ours))) > 0.01
    ), f"{name}: an independent attack leaves {theirs.mean():.3f}, standard {ours.mean():.3f}"
    return theirs, ours


def test_an_independent_attack_does_not_beat_standard():
    """Small: it may be that neither finds all. Both must find far more than nothing, or the
    comparison says nothing."""
    theirs, ours = compare("digits-plain-0", 100, 12, steps=15, rounds=60, repeats=1)
    assert theirs.mean() < 0.6
    assert ours.mean() < 0.4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        f"digits-{method}-{seed}"
        for method in ("plain", "at", "at-tgo", "tgo", "sr")
        for seed in (0, 1)
    ],
)
def test_an_independent_attack_does_not_beat_standard_on_many_networks(name):
    compare(name, 0, 128, steps=60, rounds=600, repeats=4)


@pytest.mark.parametrize(
    ("only_independent", "only_standard", "expected"),
    [(0, 0, 1.0), (7, 0, 2**-7), (0, 9, 1.0), (1, 1, 0.75)],
)
def test_the_comparison_can_fail(only_independent, only_standard, expected):
    assert chance(only_independent, only_standard) == pytest.approx(expected)
