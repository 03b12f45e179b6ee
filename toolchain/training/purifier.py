"""Training of a purifier before a frozen classifier, on pairs of images and their FGSM
perturbations.

The perturbations are FGSM's against the classifier alone, made once (it is frozen, so they would be
the same in every epoch), each image with a radius drawn anew in every epoch from 0 to ``epsilon``.
So the network sees clean images, too, and learns to leave them as they are. The detector's
threshold is a quantile of r on the clean training images.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from toolchain.attacks.victims import PixelVictim
from toolchain.data import Dataset, load
from toolchain.errors import ConfigError, ToolchainError
from toolchain.models import AnyNetwork
from toolchain.purification import detector
from toolchain.purification.front import Front, attach
from toolchain.purification.losses import asymmetric, charbonnier, divergence, total_variation
from toolchain.purification.settings import Purifier
from toolchain.training.checkpoint import load_checkpoint
from toolchain.training.config import Config, read_config
from toolchain.training.result import Result, Train, device_of

BATCH = 256
"""Images in one forward pass where nothing is learned."""


def images_of(dataset: Dataset) -> torch.Tensor:
    """Images in [0, 1], float32 [sample, channel, height, width], as attacks see them. Raises
    ConfigError for events."""
    if dataset.is_events:
        raise ConfigError(f"purifier: {dataset.name} are events; they must be images")
    return torch.from_numpy(dataset.images())


def train_purifier(
    settings: Purifier,
    train: Train,
    *,
    seed: int = 0,
    root: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
) -> Result:
    """Train the front of the classifier that the settings name; returns a
    ``toolchain.training.Result`` for both.

    train   trains the classifier where a recipe is named
    seed    added to the purifier's own and, where a recipe of the classifier is trained, to its, so
            that a sweep over seeds varies both

    The result's ``details`` hold, for the test split: accuracy without and with the front, clean
    and under the FGSM that training used at ``epsilon`` (which knows nothing of the front: no
    statement about an adversary that does), and the detector's report.

    Raises ConfigError, CheckpointError, DataError, and ToolchainError where the loss becomes NaN or
    infinite, or the device is not there.
    """
    started, device = time.perf_counter(), device_of(settings)
    settings = replace(settings, seed=settings.seed + seed)
    model, config = _classifier(settings.classifier, train, seed, root)
    data, test = (load(config.data.name, split, root=root) for split in ("train", "test"))
    data = data.first(settings.samples)
    clean, labels = images_of(data).to(device), torch.from_numpy(data.labels).to(device)
    victim, scale = PixelVictim(model.to(device)), config.training.logit_scale

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        front = Front(settings, data.shape).to(device)
        history = _fit(front, settings, victim, scale, clean, labels, progress, on_epoch)
    front.gate.threshold.fill_(detector.calibrate(_distances(front, clean), settings.quantile))
    details = evaluate(
        front,
        victim,
        images_of(test).to(device),
        torch.from_numpy(test.labels).to(device),
        settings.epsilon,
    )
    model, front = model.cpu(), front.cpu()
    config = replace(config, purifier=replace(settings, classifier=Path(settings.classifier).name))
    accuracy, seconds = details["clean"]["front"], time.perf_counter() - started
    return Result(attach(model, front), config, accuracy, len(test), seconds, history, details)


def _classifier(
    path: str, train: Train, seed: int, root: str | Path | None
) -> tuple[AnyNetwork, Config]:
    """(network, its recipe) from a checkpoint, or trained from a recipe."""
    if not path.endswith(".toml"):
        return load_checkpoint(path)
    config = read_config(path)
    result = train(
        replace(config, training=replace(config.training, seed=config.training.seed + seed)),
        root=root,
    )
    return result.model, result.config


def _fit(
    front: Front,
    settings: Purifier,
    victim: PixelVictim,
    scale: float,
    clean: torch.Tensor,
    labels: torch.Tensor,
    progress: Callable[[int, int], None] | None,
    on_epoch: Callable[[dict[str, Any]], None] | None,
) -> list[dict[str, Any]]:
    signs = perturbations(victim, clean, labels)
    with torch.no_grad():
        answers = torch.cat([victim.scores(part) for part in clean.split(BATCH)]) * scale
    batches = -(-len(clean) // settings.batch)
    total = batches * settings.epochs
    optimiser = torch.optim.Adam(front.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=total + 1, pct_start=0.1
    )
    generator = np.random.Generator(np.random.PCG64(settings.seed))
    history, done = [], 0
    front.train()
    for epoch in range(settings.epochs):
        started, losses, correct = time.perf_counter(), 0.0, 0
        radii = (
            torch.from_numpy(
                generator.uniform(0.0, settings.epsilon, len(clean)).astype(np.float32)
            )
            .reshape(-1, 1, 1, 1)
            .to(clean)
        )
        for batch in np.array_split(generator.permutation(len(clean)), batches):
            x = clean[batch]
            attacked = (x + radii[batch] * signs[batch]).clamp(0.0, 1.0)
            restored, estimate = front.restore(attacked)
            scores = victim.scores(restored)
            loss = terms(settings, x, attacked, restored, estimate, answers[batch], scores * scale)
            if not bool(torch.isfinite(loss)):
                raise ToolchainError(
                    f"the loss is {loss.item()} in epoch {epoch + 1}; use a smaller learning_rate"
                )

            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            losses += loss.item() * len(batch)
            correct += int((scores.detach().argmax(1) == labels[batch]).sum())
            done += 1
            if progress is not None:
                progress(done, total)

        seconds = time.perf_counter() - started
        history.append(
            {
                "epoch": epoch + 1,
                "loss": losses / len(clean),
                "accuracy": correct / len(clean),
                "seconds": seconds,
            }
        )
        if on_epoch is not None:
            on_epoch(history[-1])

    front.eval()
    return history


def terms(
    settings: Purifier,
    clean: torch.Tensor,
    attacked: torch.Tensor,
    restored: torch.Tensor,
    estimate: torch.Tensor,
    clean_logits: torch.Tensor,
    restored_logits: torch.Tensor,
) -> torch.Tensor:
    """The weighted sum of the four terms. The noise that is to be estimated is |attacked -
    clean|."""
    return (
        settings.charbonnier * charbonnier(restored, clean, settings.charbonnier_epsilon)
        + settings.kl * divergence(clean_logits, restored_logits)
        + settings.asymmetric * asymmetric(estimate, (attacked - clean).abs(), settings.under)
        + settings.variation * total_variation(estimate)
    )


def perturbations(victim: PixelVictim, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Sign of the gradient of the cross entropy of each image, which FGSM adds epsilon times; of
    the training surrogate."""
    signs = []
    for x, y in zip(images.split(BATCH), labels.split(BATCH)):
        x = x.clone().requires_grad_()
        loss = functional.cross_entropy(victim.scores(x) / victim.temperature, y, reduction="sum")
        signs.append(torch.autograd.grad(loss, x)[0].sign())
    return torch.cat(signs)


@torch.no_grad()
def _distances(front: Front, images: torch.Tensor) -> np.ndarray:
    distances = [front.distance(part) for part in images.split(BATCH)]
    array: np.ndarray = torch.cat(distances).cpu().numpy()
    return array


def evaluate(
    front: Front,
    victim: PixelVictim,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilon: float,
) -> dict[str, Any]:
    """Shares of images classified right, and the detector's report; see ``train_purifier``."""
    attacked = (images + epsilon * perturbations(victim, images, labels)).clamp(0.0, 1.0)
    results: dict[str, Any] = {"epsilon": epsilon, "threshold": float(front.gate.threshold)}
    for name, x in (("clean", images), ("fgsm", attacked)):
        with torch.no_grad():
            shares = {
                "undefended": [victim.scores(part).argmax(1) for part in x.split(BATCH)],
                "front": [victim.scores(front(part)).argmax(1) for part in x.split(BATCH)],
            }
        results[name] = {
            way: float((torch.cat(answers) == labels).float().mean())
            for way, answers in shares.items()
        }
    results["detector"] = detector.report(
        _distances(front, images), _distances(front, attacked), results["threshold"]
    )
    return results
