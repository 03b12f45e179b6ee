"""What the studies of attacks compute: one attack on one network."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.attacks.base import Threat
from toolchain.attacks.randomness import derived_seed
from toolchain.attacks.registry import AttackSpec, run
from toolchain.attacks.victims import PixelVictim
from toolchain.data import load

BATCH = 100


@lru_cache(maxsize=4)
def _victim(path: str) -> tuple[PixelVictim, str]:
    from toolchain.training import load_checkpoint

    model, config = load_checkpoint(path)
    return PixelVictim(model), config.data.name


def images(name: str, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """(pixels float32 [sample, channel, height, width] in [0, 1], labels), as
    ``toolchain.robustness`` attacks them."""
    data = load(name, "test", samples=samples)
    return data.images(), data.labels


def measure(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One attack on one network: {"accuracy", "correct" (a 0 or 1 for each sample), "zero_gradient"
    (mean share of samples whose gradient is exactly zero; None without gradients), "random" (the
    encoder or a neuron is)}."""
    victim, name = _victim(str(folder / job["network"]))
    pixels, labels = images(name, job["samples"])
    sources = {} if job["source"] is None else {"other": _victim(str(folder / job["source"]))[0]}

    correct, zero = [], []
    for start in range(0, len(labels), BATCH):
        part, truth = pixels[start : start + BATCH], labels[start : start + BATCH]
        if job["spec"] is not None:
            spec, threat = AttackSpec.from_json(job["spec"]), Threat("linf", job["epsilon"])
            result = run(spec, victim, part, truth, threat, job["seed"], sources=sources)
            part = result.adversarial
            if "zero_gradient" in result.history:
                zero.append(float(np.mean(result.history["zero_gradient"])))

        draws = job["draws"] if victim.stochastic else 1
        seeds = [derived_seed(job["seed"], "evaluation", draw) for draw in range(draws)]
        right = np.stack([victim.predict(part, seed=seed).argmax(1) == truth for seed in seeds])
        correct.append(right.mean(axis=0) > 0.5)

    right = np.concatenate(correct)
    return {
        "accuracy": float(right.mean()),
        "correct": "".join("01"[int(value)] for value in right),
        "zero_gradient": float(np.mean(zero)) if zero else None,
        "random": bool(victim.stochastic),
    }
