"""How good a network is on samples that it does not learn from, and which epoch was the best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from toolchain.attacks.randomness import derived_seed
from toolchain.data import Dataset, Encoding
from toolchain.models import AnyNetwork
from toolchain.training.batches import BatchStep, encoded
from toolchain.training.config import Config

EVALUATION_BATCH = 256


def split(data: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset | None]:
    """(what is trained on, what is held back to validate), drawn by the seed; None: nothing is."""
    held = round(share * len(data))
    if not share:
        return data, None
    order = np.random.default_rng(derived_seed("validation", seed)).permutation(len(data))
    return data.part(np.sort(order[held:])), data.part(np.sort(order[:held]))


@torch.no_grad()
def evaluate(model: AnyNetwork, dataset: Dataset, encoding: Encoding) -> float:
    """Share of samples whose highest score (the first of equals, as hardware.Recording) is the
    label."""
    right = [correct for correct, _ in _parts(model, dataset, encoding)]
    return sum(right) / len(dataset)


@torch.no_grad()
def measure(model: AnyNetwork, dataset: Dataset, config: Config) -> tuple[float, float]:
    """(the recipe's loss, accuracy), means over the samples, as the network is exported; the model
    is in evaluation mode afterwards."""
    loss, correct = 0.0, 0
    model.eval()
    for right, (scores, labels) in _parts(model, dataset, config.data.encoder):
        step = BatchStep(model, config.training, labels, 1.0)
        loss += step.loss(scores).item() * len(labels)
        correct += right
    return loss / len(dataset), correct / len(dataset)


def _parts(
    model: AnyNetwork, dataset: Dataset, encoding: Encoding
) -> Iterator[tuple[int, tuple[torch.Tensor, torch.Tensor]]]:
    """(samples that are right, (scores, labels)) of one batch after the other."""
    device = next(model.parameters()).device
    for start in range(0, len(dataset), EVALUATION_BATCH):
        which = np.arange(start, min(start + EVALUATION_BATCH, len(dataset)))
        x, labels = encoded(dataset, encoding, which, model.fraction_bits)
        scores = model.scores(x.to(device))
        right = int((scores.cpu().numpy().argmax(1) == labels.numpy()).sum())
        yield right, (scores, labels.to(device))


@dataclass
class Best:
    """The epoch with the highest accuracy on what is held back; of equals the one with the smaller
    loss, else the earlier.

    weights   of the network after it, by name
    """

    epoch: int
    accuracy: float
    loss: float
    weights: dict[str, torch.Tensor]

    @classmethod
    def of(cls, entry: dict[str, Any], model: AnyNetwork) -> Best:
        """From an entry of the history."""
        weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        return cls(entry["epoch"], entry["validation_accuracy"], entry["validation_loss"], weights)

    def described(self) -> dict[str, Any]:
        """Plain values, for a checkpoint's results."""
        return {"epoch": self.epoch, "accuracy": self.accuracy, "loss": self.loss}

    def below(self, entry: dict[str, Any]) -> bool:
        """Whether the epoch of ``entry`` is better."""
        score = float(entry["validation_accuracy"]), -float(entry["validation_loss"])
        return score > (self.accuracy, -self.loss)
