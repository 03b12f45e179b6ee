"""What a training gives, and the device that it runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from toolchain.errors import ToolchainError
from toolchain.models import AnyNetwork
from toolchain.purification.settings import Purifier
from toolchain.training.config import Config, Training


@dataclass
class Result:
    """A trained network.

    accuracy  share of the test split that is classified correctly, 0 to 1, by the weights that are
              kept (which are never chosen by it)
    history   one entry for each epoch: "loss", "accuracy" (running, on what the network is trained
              on), "learning_rate" (when it ends), "seconds"; with validation "validation_loss" and
              "validation_accuracy", as the network is deployed; with defences that add to the loss
              "terms" (name → mean; "task": the recipe's loss), and what they report ("lambda",
              "near_threshold")
    config    the recipe, for the checkpoint; of a purifier: its classifier's, with the purifier
    details   further plain values to keep with the checkpoint; "kept": the best epoch by what is
              held back for validation, whose weights these are
    """

    model: AnyNetwork
    config: Config
    accuracy: float
    test_samples: int
    seconds: float
    history: list[dict[str, Any]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict[str, Any])


Train = Callable[..., Result]
"""``toolchain.training.train``, for what is trained on top of another training: it is given the
function, so that neither module needs the other."""


def device_of(settings: Training | Purifier) -> torch.device:
    """The device that a recipe trains on. Raises ToolchainError where it asks for a GPU that
    PyTorch does not see."""
    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        raise ToolchainError(
            'training: device is "cuda", and PyTorch sees no such GPU here; it must be "cpu" or '
            '"auto"'
        )
    return (
        torch.device("cuda", torch.cuda.current_device())
        if there and settings.device != "cpu"
        else torch.device("cpu")
    )
