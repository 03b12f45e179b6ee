"""An attack on Poisson input whose draws are known, written apart from ``toolchain.attacks``.

With the draws known, the spikes of a pixel are a staircase of its value: between two draws nothing
changes. So each pixel has a few distinct spike trains within the ball, and the attack chooses among
them by the gradient with respect to the spikes themselves: exact in the pixels, where sign steps
guess. It must not beat the cascade of the preset ``standard``, which knows the same seed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.end_to_end.test_independent_attack import SURROGATES, chance
from toolchain import data as datasets
from toolchain.attacks.base import Threat
from toolchain.attacks.batteries import battery
from toolchain.attacks.registry import run
from toolchain.robustness.models import ModelFile, open_model

KEPT = Path(__file__).parents[2] / "examples" / "checkpoints"
EPSILON, SEED, VALUES = 0.125, 0, 17
FALLEN = -np.inf


class Staircase:
    """Images in front of a network with signed Poisson input of a known seed."""

    def __init__(self, opened, images: np.ndarray, labels: np.ndarray):
        self.victim, self.judge = opened.victim(), opened.integers("fast")
        self.labels = labels
        low, high = np.clip(images - EPSILON, 0, 1), np.clip(images + EPSILON, 0, 1)
        shares = np.linspace(0, 1, VALUES).reshape(-1, 1, 1, 1, 1)
        self.values = (low + (high - low) * shares).astype(np.float32)
        steps = self.victim.encoder.steps
        generator = torch.Generator().manual_seed(SEED)
        self.draws = torch.rand((steps, 1, *images.shape[1:]), generator=generator).numpy()
        self.trains = np.stack([self.spikes(values) for values in self.values])

    def spikes(self, images: np.ndarray) -> np.ndarray:
        """[step, sample, *shape]: the encoder's own rule, said anew."""
        level = 2 * images - 1
        return ((self.draws < np.abs(level)) * np.sign(level)).astype(np.float32)

    def gradient(self, images: np.ndarray, labels: np.ndarray, spike_grad) -> np.ndarray:
        """Of the margin with respect to the spikes, [step, sample, *shape]."""
        for module in self.victim.model.modules():
            if hasattr(module, "spike_grad"):
                module.spike_grad = spike_grad
        spikes = torch.from_numpy(self.spikes(images)).requires_grad_()
        scores, own = self.victim.run(spikes, SEED).scores, torch.from_numpy(labels)[:, None]
        others = scores.scatter(1, own, -1e9).amax(1)
        (found,) = torch.autograd.grad((others - scores.gather(1, own)[:, 0]).sum(), spikes)
        return found.numpy()

    def margins(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Score of the label less the best other, on the chip's integers; FALLEN where the image is
        read as another class."""
        scores = self.judge.predict(images, seed=SEED).copy()
        rows, wrong = np.arange(len(labels)), scores.argmax(1) != labels
        own = scores[rows, labels]
        scores[rows, labels] = -np.inf
        return np.where(wrong, FALLEN, own - scores.max(1))


def independent(stairs: Staircase, images: np.ndarray, repeats: int, steps: int) -> np.ndarray:
    """Which samples stand, bool [sample]."""
    rng, labels = np.random.default_rng(7), stairs.labels
    best, margins = images.copy(), stairs.margins(images, labels)

    for repeat in range(repeats):
        rows = np.flatnonzero(margins > FALLEN)
        if not len(rows):
            break
        values, trains = stairs.values[:, rows], stairs.trains[:, :, rows]
        start = rng.integers(VALUES, size=values.shape[1:])[None]
        x = best[rows] if repeat % 2 else np.take_along_axis(values, start, 0)[0]
        momentum = np.zeros_like(trains[0])

        for step in range(steps):
            found = stairs.gradient(x, labels[rows], SURROGATES[step % len(SURROGATES)])
            scale = np.abs(found).mean(axis=(0, 2, 3, 4), keepdims=True).clip(1e-12)
            momentum = 0.7 * momentum + found / scale
            gain = (momentum * (trains - stairs.spikes(x))).sum(axis=1)
            choice, most = gain.argmax(axis=0)[None], gain.max(axis=0).reshape(len(rows), -1)
            count = max(1, int((0.5 * (1 - step / steps) + 0.02) * most.shape[1]))
            least = np.sort(most, axis=1)[:, -count, None]
            moved = ((most >= least) & (most > 0)).reshape(x.shape)
            x = np.where(moved, np.take_along_axis(values, choice, 0)[0], x)
            now = stairs.margins(x, labels[rows])
            kept = now <= margins[rows]
            best[rows[kept]], margins[rows[kept]] = x[kept], now[kept]

    assert np.abs(best - images).max() <= EPSILON + 1e-6
    return margins > FALLEN


def compare(name: str, count: int, repeats: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    found = datasets.load("digits", "test")
    images, labels = found.images()[:count], found.labels[:count]
    opened = open_model(ModelFile.read(name, str(KEPT / f"{name}.safetensors")))
    cascade = next(
        spec
        for spec in battery("standard", "linf", stochastic=True, known_seed=SEED)
        if spec.attack == "cascade"
    )
    result = run(
        cascade,
        opened.victim(),
        images,
        labels,
        Threat("linf", EPSILON),
        judge=opened.integers("fast"),
        behind=opened.victim,
    )
    theirs = independent(Staircase(opened, images, labels), images, repeats, steps)
    ours = ~result.success
    alone = int(np.count_nonzero(ours & ~theirs)), int(np.count_nonzero(theirs & ~ours))
    assert chance(*alone) > 0.01, (
        f"{name}: an attack on the draws leaves {theirs.mean():.3f}, standard {ours.mean():.3f}"
    )
    return theirs, ours


def test_the_rule_is_the_encoders():
    opened = open_model(ModelFile.read("p", str(KEPT / "digits-poisson-0.safetensors")))
    found = datasets.load("digits", "test")
    images, labels = found.images()[:3], found.labels[:3]
    stairs = Staircase(opened, images, labels)
    encoded = stairs.victim.encoder(torch.from_numpy(images), SEED).numpy()
    assert np.array_equal(stairs.spikes(images), encoded)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_an_attack_on_the_draws_does_not_beat_standard(seed):
    theirs, ours = compare(f"digits-poisson-{seed}", 64, repeats=12, steps=40)
    assert theirs.mean() < 0.6
    assert ours.mean() < 0.5
