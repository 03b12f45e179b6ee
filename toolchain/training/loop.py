"""The training loop: surrogate gradients through the integer forward pass, with the defences that
the recipe switches on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from toolchain.data import Dataset, load
from toolchain.errors import ConfigError, ToolchainError
from toolchain.layers import Network, freeze_norms
from toolchain.models import build
from toolchain.training import optimisation
from toolchain.training.batches import Feed, Step
from toolchain.training.config import Config
from toolchain.training.evaluation import Best, evaluate, measure, split
from toolchain.training.result import Result, device_of


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

    The test split is read when the training is over.

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
        details: dict = {}
        if config.model.init is not None:
            from toolchain.training import conversion

            details["conversion"] = conversion.describe(
                conversion.start(model, config, data, train, root)
            )
        run = Run(model.to(device), config, data, held)
        run.go(progress, on_epoch)
    if run.best is not None:
        details["kept"] = run.best.described()
    test = load(config.data.name, "test", root=root)
    accuracy = evaluate(model, test, config.data.encoder)
    seconds = time.perf_counter() - started
    return Result(model.cpu(), config, accuracy, len(test), seconds, run.history, details)


class Run:
    """A training under way: everything that the next step depends on.

    data, held  samples to train on, and to validate on (None: none)
    done        steps that are done
    """

    def __init__(self, model: Network, config: Config, data: Dataset, held: Dataset | None) -> None:
        self.model, self.config, self.settings, self.held = model, config, config.training, held
        self.defences = config.defence.hooks()
        device = next(model.parameters()).device
        self.feed = Feed(data, config, model, device, self.defences.needs_images)
        self.optimiser = optimisation.optimiser(self.settings, model)
        self.schedule = optimisation.schedule(self.settings, self.optimiser, self.feed.total)
        self.history: list[dict] = []
        self.best: Best | None = None
        self.tally = Tally()
        self.done = 0

    @property
    def over(self) -> bool:
        """True: no epoch is left, or patience is at an end."""
        epochs, patience = len(self.history), self.settings.patience
        if self.best is not None and patience is not None:
            return epochs == self.settings.epochs or epochs - self.best.epoch >= patience
        return epochs == self.settings.epochs

    def go(
        self,
        progress: Callable[[int, int], None] | None = None,
        on_epoch: Callable[[dict], None] | None = None,
    ) -> None:
        """To the end; the model has the weights that are kept then, in evaluation mode."""
        while not self.over:
            for _ in self._epoch():
                if progress is not None:
                    progress(self.done, self.feed.total)
            self._close()
            if on_epoch is not None:
                on_epoch(self.history[-1])
        if self.best is not None:
            self.model.load_state_dict(self.best.weights)
        freeze_norms(self.model, False)
        self.model.eval()

    def _epoch(self) -> Iterator[None]:
        """What is left of the epoch, step by step."""
        number = len(self.history)
        frozen = round(self.settings.freeze_norms * self.settings.epochs)
        self.model.train()
        freeze_norms(self.model, number >= self.settings.epochs - frozen)
        self.tally.go_on()
        for step in self.feed.epoch(number, self.done - number * self.feed.batches):
            self._learn(step)
            self.done += 1
            yield

    def _learn(self, step: Step) -> None:
        """One step."""
        self.defences.prepare(step)
        with self.defences.watching(step):
            scores = step.scores()
        terms = {"task": step.loss(scores), **self.defences.penalties(step, scores)}
        loss = sum(terms.values())
        if not bool(torch.isfinite(loss)):
            raise ToolchainError(
                f"the loss is {loss.item()} in epoch {len(self.history) + 1}; use a smaller "
                f"learning_rate than {self.settings.learning_rate}"
            )

        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimisation.clip(self.model, self.settings.gradient_clip)
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        self.defences.after_update(self.model)
        self.tally.add(terms, loss, scores.detach(), step.labels)

    def _close(self) -> None:
        """The entry of the epoch that ends."""
        entry = {"epoch": len(self.history) + 1, **self.tally.means(), **self.defences.figures()}
        if self.held is not None:
            loss, accuracy = measure(self.model, self.held, self.config)
            entry |= {"validation_loss": loss, "validation_accuracy": accuracy}
            if self.best is None or self.best.below(entry):
                self.best = Best.of(entry, self.model)
        self.history.append({**entry, "seconds": self.tally.seconds})
        self.tally = Tally()


class Tally:
    """What an epoch adds up to.

    seconds  that it took so far
    """

    def __init__(self) -> None:
        self.samples, self.correct, self.loss = 0, 0, 0.0
        self.terms: dict[str, float] = {}
        self._before, self._started = 0.0, time.perf_counter()

    def go_on(self) -> None:
        """The clock starts now."""
        self._started = time.perf_counter()

    def add(
        self,
        terms: dict[str, torch.Tensor],
        loss: torch.Tensor,
        scores: torch.Tensor,
        labels: torch.Tensor,
    ) -> None:
        size = len(labels)
        self.samples += size
        self.loss += loss.item() * size
        self.correct += int((scores.argmax(1) == labels).sum())
        if len(terms) > 1:
            for name, term in terms.items():
                self.terms[name] = self.terms.get(name, 0.0) + term.item() * size

    def means(self) -> dict:
        """Loss and accuracy, and the parts of the loss where it has several."""
        found: dict = {
            "loss": self.loss / self.samples,
            "accuracy": self.correct / self.samples,
        }
        if self.terms:
            found["terms"] = {name: total / self.samples for name, total in self.terms.items()}
        return found

    @property
    def seconds(self) -> float:
        return self._before + time.perf_counter() - self._started
