"""The training loop: surrogate gradients through the integer forward pass, with the defences that
the recipe switches on."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from toolchain import heap
from toolchain.data import Dataset, load
from toolchain.errors import ConfigError
from toolchain.layers import Network
from toolchain.models import AnyNetwork, build
from toolchain.training.config import Config
from toolchain.training.evaluation import evaluate, split
from toolchain.training.keeping import Keeping
from toolchain.training.result import Result, Train, device_of
from toolchain.training.run import TrainingRun


@heap.kept()
def train(
    config: Config,
    *,
    root: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_epoch: Callable[[dict[str, Any]], None] | None = None,
    prepare: Callable[[AnyNetwork], object] | None = None,
    keeping: Keeping | None = None,
) -> Result:
    """Train a network; on the CPU the same seed, versions and number of threads give the same
    weights. The network comes back on the CPU.

    root      folder of the data; None: the environment variable SPIKEPORT_DATA
    progress  called with (batches done, batches in all)
    on_epoch  called with each entry of the history
    prepare   called with the fresh network, which it may change
    keeping   where the state of the training is kept meanwhile, and whether it goes on from there:
              on the CPU to the same weights, bit by bit; None: nowhere

    The test split is read when the training is over.

    Raises ConfigError, DataError, LayerError, and ToolchainError where the loss becomes NaN or
    infinite, or the device is not there; with ``keeping`` OutputError and CheckpointError, too.
    """
    if config.purifier is not None:
        if keeping is not None:
            raise ConfigError("purifier: its training keeps no state, so none can be resumed")
        from toolchain.training.purifier import train_purifier

        return train_purifier(
            config.purifier,
            train,
            seed=config.training.seed,
            root=root,
            progress=progress,
            on_epoch=on_epoch,
        )
    started, settings = time.perf_counter(), config.training
    device = device_of(settings)
    data = load(config.data.name, "train", root=root, samples=settings.samples)
    data, held = split(data, settings.validation, settings.seed)
    if not len(data) or (held is not None and not len(held)):
        raise ConfigError(
            f"training: validation is {settings.validation:g}, which leaves {len(data)} samples to "
            f"train on and {0 if held is None else len(held)} to validate on; there must be at "
            f"least one each"
        )
    _enough_classes(config, data)
    kept = None if keeping is None else keeping.begin(config, data, held, device)
    saved = None if kept is None else kept.saved
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        model = build(
            config.model,
            config.neuron,
            config.grid,
            config.surrogate,
            dataset=config.data.name,
            encoding=config.data.encoder,
        )
        if prepare is not None:
            prepare(model)
        details: dict[str, Any] = (
            {} if kept is None else kept.details
        )  # which the state has from now on
        if saved is None and config.model.init is not None:
            before = train if keeping is None else partial(train, keeping=keeping.inside())
            details |= _start(model, config, data, before, root)
        run = TrainingRun(model.to(device), config, data, held)
        if saved is not None:
            saved.restore(run)
        elif kept is not None and details:
            kept.started(run)
        run.go(progress, on_epoch, kept)
    if run.best is not None:
        details["kept"] = run.best.described()
    test = load(config.data.name, "test", root=root)
    accuracy = evaluate(model, test, config.data.encoder)
    seconds = time.perf_counter() - started if kept is None else kept.seconds
    return Result(model.cpu(), config, accuracy, len(test), seconds, run.history, details)


def _start(
    model: AnyNetwork, config: Config, data: Dataset, before: Train, root: str | Path | None
) -> dict[str, Any]:
    """Give the network what ``model.init`` says; what is to be kept of it."""
    from toolchain.training import conversion, weights

    if weights.named(config).kind == "weights":
        return {"weights": weights.start(model, config, before, root)}
    if not isinstance(model, Network):
        raise ConfigError('model.init: "conversion" makes a spiking network; kind must be "snn"')
    balances = conversion.start(model, config, data, before, root)
    return {"conversion": conversion.describe(balances)}


def _enough_classes(config: Config, data: Dataset) -> None:
    """Raises ConfigError where there are labels that no output stands for."""
    outputs, highest = config.model.described()[-1].features or 0, int(data.labels.max())
    if highest >= outputs:
        raise ConfigError(
            f"model: {outputs} outputs, and {config.data.name} has labels up to {highest}; the "
            f"last layer must have at least {highest + 1} features"
        )
