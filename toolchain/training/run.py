"""A training under way: steps, epochs, and everything that the next step depends on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch

from toolchain.data import Dataset
from toolchain.errors import ToolchainError
from toolchain.layers import freeze_norms
from toolchain.models import AnyNetwork
from toolchain.training import optimisation
from toolchain.training.batches import BatchStep, Feed
from toolchain.training.config import Config
from toolchain.training.evaluation import Best, measure


class Keeper(Protocol):
    """What keeps the state of a training meanwhile."""

    def after_step(self, run: TrainingRun) -> None:
        """A step is done; more of its epoch follow."""

    def after_epoch(self, run: TrainingRun) -> None:
        """An epoch is done, and in the history."""


class TrainingRun:
    """A training under way: everything that the next step depends on.

    data, held  samples to train on, and to validate on (None: none)
    history     see ``toolchain.training.Result``
    best        None: nothing is held back, or no epoch is done
    done        steps that are done
    """

    def __init__(
        self, model: AnyNetwork, config: Config, data: Dataset, held: Dataset | None
    ) -> None:
        self.model, self.config, self.settings, self.held = model, config, config.training, held
        self.defences = config.defence.hooks()
        device = next(model.parameters()).device
        as_images = self.defences.needs_images or config.augmentation is not None
        self.feed = Feed(data, config, model, device, as_images)
        self.optimiser = optimisation.optimiser(self.settings, model)
        self.schedule = optimisation.schedule(self.settings, self.optimiser, self.feed.total)
        self.history: list[dict[str, Any]] = []
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
        on_epoch: Callable[[dict[str, Any]], None] | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        """To the end; the model has the weights that are kept then, in evaluation mode."""
        while not self.over:
            for _ in self._epoch():
                if keeper is not None and self.done % self.feed.batches:
                    keeper.after_step(self)
                if progress is not None:
                    progress(self.done, self.feed.total)
            self._close()
            if keeper is not None:
                keeper.after_epoch(self)
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

    def _learn(self, step: BatchStep) -> None:
        """One step."""
        self.defences.prepare(step)
        with self.defences.watching(step):
            scores = step.scores()
        task, penalties = step.loss(scores), self.defences.penalties(step, scores)
        terms = {"task": task, **penalties}
        loss = sum(penalties.values(), task)
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
        entry["learning_rate"] = self.optimiser.param_groups[0]["lr"]
        self.history.append({**entry, "seconds": self.tally.seconds})
        self.tally = Tally()


class Tally:
    """What an epoch adds up to.

    before  seconds that it took before the clock was started
    """

    def __init__(
        self,
        samples: int = 0,
        correct: int = 0,
        loss: float = 0.0,
        terms: dict[str, float] | None = None,
        before: float = 0.0,
    ) -> None:
        self.samples, self.correct, self.loss, self.before = samples, correct, loss, before
        self.terms = dict(terms or {})
        self._started = time.perf_counter()

    def go_on(self) -> None:
        """The clock starts now."""
        self._started = time.perf_counter()

    def state(self) -> dict[str, Any]:
        """Plain values, from which the constructor makes it again."""
        return {
            "samples": self.samples,
            "correct": self.correct,
            "loss": self.loss,
            "terms": dict(self.terms),
            "before": self.seconds,
        }

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

    def means(self) -> dict[str, Any]:
        """Loss and accuracy, and the parts of the loss where it has several."""
        means: dict[str, Any] = {
            "loss": self.loss / self.samples,
            "accuracy": self.correct / self.samples,
        }
        if self.terms:
            means["terms"] = {name: total / self.samples for name, total in self.terms.items()}
        return means

    @property
    def seconds(self) -> float:
        """That it took so far."""
        return self.before + time.perf_counter() - self._started
