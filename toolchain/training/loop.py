"""The training loop: surrogate gradients through the integer forward pass, with the defences that
the recipe switches on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from toolchain.data import Dataset, Encoding, load
from toolchain.errors import ToolchainError
from toolchain.layers import Network
from toolchain.models import build
from toolchain.training.batches import Feed, encoded
from toolchain.training.config import Config, Training
from toolchain.training.result import Result, device_of

EVALUATION_BATCH = 256


def train(
    config: Config,
    *,
    root: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[dict], None] | None = None,
    prepare: Callable[[Network], object] | None = None,
) -> Result:
    """Train a network; on the CPU the same seed, versions and number of threads give the same
    weights. The network comes back on the CPU.

    root      folder of the data; None: the environment variable SPIKEPORT_DATA
    progress  called with (batches done, batches in all)
    on_epoch  called with each entry of the history
    prepare   called with the fresh network, which it may change

    Raises ConfigError, DataError, LayerError, and ToolchainError where the loss becomes NaN or
    infinite, or the device is not there.
    """
    if config.purifier is not None:
        from toolchain.training.purifier import train_purifier

        return train_purifier(
            config.purifier,
            train,
            seed=config.training.seed,
            root=root,
            progress=progress,
            on_epoch=on_epoch,
        )
    started = time.perf_counter()
    device = device_of(config.training)
    data, encoding = (
        load(config.data.name, "train", root=root, samples=config.training.samples),
        config.data.encoder,
    )
    test = load(config.data.name, "test", root=root)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.training.seed)
        model = build(
            config.model,
            config.neuron,
            config.grid,
            config.surrogate,
            dataset=config.data.name,
            encoding=encoding,
        )
        if prepare is not None:
            prepare(model)
        details = {}
        if config.model.init is not None:
            from toolchain.training import conversion

            details["conversion"] = conversion.describe(
                conversion.start(model, config, data, train, root)
            )
        history = _fit(model.to(device), config, data, progress, on_epoch)
    accuracy = evaluate(model, test, encoding)
    return Result(
        model.cpu(), config, accuracy, len(test), time.perf_counter() - started, history, details
    )


def _fit(model: Network, config: Config, data: Dataset, progress, on_epoch) -> list[dict]:
    settings, defences = config.training, config.defence.hooks()
    feed = Feed(data, config, model, next(model.parameters()).device, defences.needs_images)
    optimiser = _optimiser(settings, model)
    schedule = _schedule(settings, optimiser, feed.total)
    history, done = [], 0
    model.train()
    for epoch in range(settings.epochs):
        tally = _Tally()
        for step in feed.epoch(epoch):
            defences.prepare(step)
            with defences.watching(step):
                scores = step.scores()
            terms = {"task": step.loss(scores), **defences.penalties(step, scores)}
            loss = sum(terms.values())
            if not bool(torch.isfinite(loss)):
                raise ToolchainError(
                    f"the loss is {loss.item()} in epoch {epoch + 1}; use a smaller learning_rate "
                    f"than {settings.learning_rate}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if schedule is not None:
                schedule.step()
            defences.after_update(model)
            tally.add(terms, loss, scores.detach(), step.labels)
            done += 1
            if progress is not None:
                progress(done, feed.total)
        entry = {
            "epoch": epoch + 1,
            **tally.means(),
            **defences.figures(),
            "seconds": tally.seconds,
        }
        history.append(entry)
        if on_epoch is not None:
            on_epoch(entry)
    model.eval()
    return history


class _Tally:
    """What an epoch adds up to."""

    def __init__(self) -> None:
        self._started, self._samples, self._correct, self._loss = time.perf_counter(), 0, 0, 0.0
        self._terms: dict[str, float] = {}

    def add(
        self,
        terms: dict[str, torch.Tensor],
        loss: torch.Tensor,
        scores: torch.Tensor,
        labels: torch.Tensor,
    ) -> None:
        size = len(labels)
        self._samples += size
        self._loss += loss.item() * size
        self._correct += int((scores.argmax(1) == labels).sum())
        if len(terms) > 1:
            for name, term in terms.items():
                self._terms[name] = self._terms.get(name, 0.0) + term.item() * size

    def means(self) -> dict:
        """Loss and accuracy, and the parts of the loss where it has several."""
        found: dict = {
            "loss": self._loss / self._samples,
            "accuracy": self._correct / self._samples,
        }
        if self._terms:
            found["terms"] = {name: total / self._samples for name, total in self._terms.items()}
        return found

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started


def _optimiser(settings: Training, model: Network) -> torch.optim.Optimizer:
    arguments = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=0.9, **arguments)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser](
        model.parameters(), **arguments
    )


def _schedule(settings: Training, optimiser: torch.optim.Optimizer, total: int):
    """What changes the learning rate after every step; None: nothing."""
    if settings.schedule == "constant" or not total:
        return None
    if settings.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=total)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=total + 1, pct_start=0.1
    )


@torch.no_grad()
def evaluate(model: Network, dataset: Dataset, encoding: Encoding) -> float:
    """Share of samples whose highest score (the first of equals, as hardware.Recording) is the
    label."""
    correct, device = 0, next(model.parameters()).device
    for start in range(0, len(dataset), EVALUATION_BATCH):
        which = np.arange(start, min(start + EVALUATION_BATCH, len(dataset)))
        x, labels = encoded(dataset, encoding, which, model.fraction_bits)
        correct += int((model.scores(x.to(device)).cpu().numpy().argmax(1) == labels.numpy()).sum())
    return correct / len(dataset)
