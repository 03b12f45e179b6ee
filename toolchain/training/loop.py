"""The training loop: surrogate gradients through the integer forward pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from toolchain.data import Dataset, Encoding, load
from toolchain.errors import ToolchainError
from toolchain.layers import Network
from toolchain.models import build
from toolchain.training.config import Config, Training

EVALUATION_BATCH = 256


@dataclass
class Result:
    """A trained network.

    accuracy  share of the test split that is classified correctly, 0 to 1, after the last epoch (which is never chosen by it)
    history   one entry for each epoch: loss, accuracy (running, on the training split), seconds
    """

    model: Network
    config: Config
    accuracy: float
    test_samples: int
    seconds: float
    history: list[dict] = field(default_factory=list)


def train(
    config: Config,
    *,
    root: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[dict], None] | None = None,
) -> Result:
    """Train a network; the same seed, versions and number of threads give the same weights.

    root      folder of the data; None: the environment variable SPIKEPORT_DATA
    progress  called with (batches done, batches in all)
    on_epoch  called with each entry of the history

    Raises ConfigError, DataError, LayerError, and ToolchainError where the loss becomes NaN or infinite.
    """
    started = time.perf_counter()
    data, encoding = load(config.data.name, "train", root=root, samples=config.training.samples), config.data.encoder
    test = load(config.data.name, "test", root=root)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        model = build(config.model, config.neuron, config.grid, config.surrogate, dataset=config.data.name, encoding=encoding)
        history = _fit(model, config, data, encoding, progress, on_epoch)
    accuracy = evaluate(model, test, encoding)
    return Result(model, config, accuracy, len(test), time.perf_counter() - started, history)


def _fit(model: Network, config: Config, data: Dataset, encoding: Encoding, progress, on_epoch) -> list[dict]:
    settings = config.training
    batches = -(-len(data) // settings.batch)
    total = batches * settings.epochs
    optimiser = _optimiser(settings, model)
    schedule = None
    if settings.schedule == "one_cycle":
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.learning_rate, total_steps=total + 1, pct_start=0.1)
    generator = np.random.Generator(np.random.PCG64(settings.seed))
    history, done = [], 0
    model.train()
    for epoch in range(settings.epochs):
        started, losses, correct = time.perf_counter(), 0.0, 0
        order = generator.permutation(len(data))
        for batch in np.array_split(order, batches):
            x, labels = _batch(data, encoding, batch, model.fraction_bits, epoch)
            x = _shifted(x, config.data.shift, generator)
            trace = model(x)
            loss, scores = _loss(settings, model, trace, labels)
            if not bool(torch.isfinite(loss)):
                raise ToolchainError(
                    f"the loss is {loss.item()} in epoch {epoch + 1}; use a smaller learning_rate than {settings.learning_rate}"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            if schedule is not None:
                schedule.step()
            losses += loss.item() * len(batch)
            correct += int((scores.argmax(1) == labels).sum())
            done += 1
            if progress is not None:
                progress(done, total)
        entry = {"epoch": epoch + 1, "loss": losses / len(data), "accuracy": correct / len(data), "seconds": time.perf_counter() - started}
        history.append(entry)
        if on_epoch is not None:
            on_epoch(entry)
    model.eval()
    return history


def _optimiser(settings: Training, model: Network) -> torch.optim.Optimizer:
    arguments = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.optimiser == "sgd":
        return torch.optim.SGD(model.parameters(), momentum=0.9, **arguments)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.optimiser](model.parameters(), **arguments)


def _batch(data: Dataset, encoding: Encoding, which, fraction_bits: int, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [step, batch, *shape] in real units, labels). A direct encoding stays a view that repeats one frame."""
    arrays = np.moveaxis(encoding.encode(data, which, epoch), 0, 1)
    if encoding.constant:
        frame = torch.from_numpy(arrays[0].astype(np.float32)) * 2.0**-fraction_bits
        x = frame.expand(arrays.shape[0], *frame.shape)
    else:
        x = torch.from_numpy(arrays.astype(np.float32))
    return x, torch.from_numpy(data.labels[which])


def _shifted(x: torch.Tensor, most: int, generator: np.random.Generator) -> torch.Tensor:
    """Each sample moved by up to ``most`` pixels; what leaves the frame is gone, what enters is 0."""
    if not most:
        return x
    height, width = x.shape[-2:]
    repeated = x.stride(0) == 0
    source = x[:1] if repeated else x
    padded = functional.pad(source, (most, most, most, most))
    moved = torch.empty_like(source, memory_format=torch.contiguous_format)
    for sample, (dy, dx) in enumerate(generator.integers(0, 2 * most + 1, (x.shape[1], 2))):
        moved[:, sample] = padded[:, sample, :, dy : dy + height, dx : dx + width]
    return moved.expand(x.shape) if repeated else moved


def _loss(settings: Training, model: Network, trace: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    from toolchain.layers import decode

    scores = decode(trace, model.decode)
    if settings.loss == "rate":
        target = functional.one_hot(labels, scores.shape[1]).to(scores.dtype)
        return functional.mse_loss(scores / len(trace), target), scores.detach()
    return functional.cross_entropy(scores * settings.logit_scale, labels), scores.detach()


@torch.no_grad()
def evaluate(model: Network, dataset: Dataset, encoding: Encoding) -> float:
    """Share of samples whose highest score (the first of equals, as hardware.Recording) is the label."""
    correct = 0
    for start in range(0, len(dataset), EVALUATION_BATCH):
        x, labels = _batch(dataset, encoding, np.arange(start, min(start + EVALUATION_BATCH, len(dataset))), model.fraction_bits, 0)
        correct += int((model.scores(x).numpy().argmax(1) == labels.numpy()).sum())
    return correct / len(dataset)
