"""From samples to one training step: encoded values, or images that a defence may change before
they are encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from toolchain.attacks.randomness import derived_seed
from toolchain.attacks.victims import encoder_of
from toolchain.data import Dataset, Encoding
from toolchain.errors import ToolchainError
from toolchain.layers import decode
from toolchain.models import AnyNetwork
from toolchain.training.augmentation import MixedLabels, augmented
from toolchain.training.config import Config, Training


@dataclass
class BatchStep:
    """One training step; see ``toolchain.defences.hooks.Step``. Either ``values`` [step, sample,
    *shape], or ``images`` and ``encode``. mixed: a second label for each sample."""

    model: AnyNetwork
    settings: Training
    labels: torch.Tensor
    progress: float
    values: torch.Tensor | None = None
    images: torch.Tensor | None = None
    clean: torch.Tensor | None = None
    encode: Callable[[torch.Tensor], torch.Tensor] | None = None
    mixed: MixedLabels | None = None

    def scores(self, images: torch.Tensor | None = None) -> torch.Tensor:
        """Scores [sample, class] of the step's own samples, or of other images."""
        if images is None:
            images = self.images
        values = self.values
        if images is not None:
            if self.encode is None:
                raise ToolchainError("training: a step of encoded values takes no images")
            values = self.encode(images)
        return decode(self.model(values), self.model.decode)

    def logits(self, scores: torch.Tensor) -> torch.Tensor:
        """What the softmax sees."""
        return scores * self.settings.logit_scale

    def loss(self, scores: torch.Tensor) -> torch.Tensor:
        """The recipe's loss, mean over the samples."""
        target = self._target(scores)
        if self.settings.loss == "rate":
            return functional.mse_loss(scores / self.model.data["steps"], target)
        return functional.cross_entropy(
            self.logits(scores),
            self.labels if self.mixed is None else target,
            label_smoothing=self.settings.label_smoothing,
        )

    def _target(self, scores: torch.Tensor) -> torch.Tensor:
        """The share of each class, [sample, class]."""
        classes = scores.shape[1]
        target = functional.one_hot(self.labels, classes).to(scores.dtype)
        if self.mixed is None:
            return target
        other = functional.one_hot(self.mixed.labels, classes).to(scores.dtype)
        return torch.lerp(other, target, self.mixed.share.to(scores.dtype)[:, None])


class Feed:
    """The steps of a training: batches of the training split in an order that the seed decides.

    as_images  steps are given as images in [0, 1] (values divided by the power of two above the
               largest, as attacks see them), and the encoder of ``toolchain.attacks.encoding``
               stands in the graph; a random encoder draws anew in every step
    """

    def __init__(
        self,
        data: Dataset,
        config: Config,
        model: AnyNetwork,
        device: torch.device,
        as_images: bool,
    ) -> None:
        self.data, self.config, self.model, self.device = data, config, model, device
        self.batches = -(-len(data) // config.training.batch)
        self.total = self.batches * config.training.epochs
        self.generator = np.random.Generator(np.random.PCG64(config.training.seed))
        self.order = np.zeros(0, np.int64)
        self._encoder = encoder_of(model.spikeport_io()) if as_images else None

    def epoch(self, number: int, done: int = 0) -> Iterator[BatchStep]:
        """The steps of epoch ``number`` (from 0).

        done  so many of them are done already: the others follow, with the order and the state of
              the generator as they are
        """
        if not done:
            self.order = self.generator.permutation(len(self.data))
        for place, which in enumerate(np.array_split(self.order, self.batches)):
            if place >= done:
                yield self._step(which, number, number * self.batches + place)

    def _step(self, which: np.ndarray, epoch: int, position: int) -> BatchStep:
        progress = position / max(1, self.total - 1)
        shift, settings = self.config.data.shift, self.config.training

        encoder = self._encoder
        if encoder is None:
            values, labels = encoded(
                self.data, self.config.data.encoder, which, self.model.fraction_bits, epoch
            )
            values = shifted(values, shift, self.generator).to(self.device)
            return BatchStep(self.model, settings, labels.to(self.device), progress, values=values)

        images = torch.from_numpy(self.data.images(which))
        images = shifted(images[None], shift, self.generator)[0].to(self.device)
        labels = torch.from_numpy(self.data.labels[which]).to(self.device)
        mixed = None
        if self.config.augmentation is not None:
            drawn = derived_seed("augmentation", settings.seed, position)
            images, labels, mixed = augmented(self.config.augmentation, images, labels, drawn)

        seed = derived_seed("training", settings.seed, position)
        return BatchStep(
            self.model,
            settings,
            labels,
            progress,
            images=images,
            encode=lambda images: encoder(images, seed),
            mixed=mixed,
        )


def encoded(
    data: Dataset, encoding: Encoding, which: np.ndarray, fraction_bits: int, epoch: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """(x [step, batch, *shape] in real units, labels). A direct encoding stays a view that repeats
    one frame."""
    arrays = np.moveaxis(encoding.encode(data, which, epoch), 0, 1)
    if encoding.constant:
        frame = torch.from_numpy(arrays[0].astype(np.float32)) * 2.0**-fraction_bits
        x = frame.expand(arrays.shape[0], *frame.shape)
    else:
        x = torch.from_numpy(arrays.astype(np.float32))
    return x, torch.from_numpy(data.labels[which])


def shifted(x: torch.Tensor, most: int, generator: np.random.Generator) -> torch.Tensor:
    """Each sample of x [step, sample, channel, height, width] moved by up to ``most`` pixels; what
    leaves the frame is gone, what enters is 0."""
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
