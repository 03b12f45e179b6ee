"""Augmentation of training images, in [0, 1], before they are encoded.

    flip     left and right change places, for every other image
    crop     the image is moved by up to so many pixels each way; what enters is black (the padding
             of 4 and the random crop of He et al., CVPR 2016)
    cutout   a black square around a random pixel, cut off at the border (DeVries and Taylor, 2017)
    mixup    share * image + (1 - share) * another one (Zhang et al., ICLR 2018)
    cutmix   a box of another image in the place of this one's (Yun et al., ICCV 2019)

For mixup and cutmix the share of the image's own label is drawn from a beta distribution, for each
image by itself; where a recipe has both, a coin decides for each batch.

Why these five stand here and are no library's. torchvision's build on PyPI does not import beside a
PyTorch for the CPU alone; albumentations needs OpenCV; kornia 0.8 and 0.9 import, but need Python
3.11, draw from PyTorch's global generator (so that augmentation would change what dropout and noise
draw), have a mixup without the beta distribution, and draw one policy of AutoAugment and
TrivialAugment for a whole batch, where their papers draw one for each image. What would be left to
take from it are a flip, a crop and a square.

All numbers are drawn by numpy on the CPU, from a generator of the step: the same on every device,
and whatever else draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from msgspec import Meta
from torch.nn import functional

from toolchain.tables import Settings

Alpha = Annotated[float, Meta(ge=0, le=100)]


@dataclass(frozen=True)
class Augmentation(Settings):
    """What is done to training images, behind ``data.shift``; each is off unless it is given.
    Images that are encoded at random (Poisson) are encoded as attacks see them: one draw for each
    step of the training, which all images of a batch share.

    flip     True: every other image is mirrored, left to right
    crop     pixels that an image is moved by at most, up or down and left or right
    cutout   side of the square, pixels
    mixup    both parameters of the beta distribution of the shares; 1: all are as likely
    cutmix   the same
    """

    TABLE = "augmentation"

    flip: bool = False
    crop: Annotated[int, Meta(ge=0, le=64)] = 0
    cutout: Annotated[int, Meta(ge=0, le=1 << 12)] = 0
    mixup: Alpha = 0.0
    cutmix: Alpha = 0.0


@dataclass(frozen=True)
class MixedLabels:
    """A second label for each image.

    labels   int64 [sample]
    share    of the first label, float32 [sample]; the second has the rest
    """

    labels: torch.Tensor
    share: torch.Tensor


def augmented(
    settings: Augmentation, images: torch.Tensor, labels: torch.Tensor, seed: int
) -> tuple[torch.Tensor, torch.Tensor, MixedLabels | None]:
    """Images [sample, channel, height, width] as the settings want them, their labels, and what was
    mixed into them; None: nothing was. Of two labels the one with the larger share is the first.
    The same seed gives the same images."""
    generator = np.random.default_rng(seed)
    changed = moved(images, settings.flip, settings.crop, generator)
    mixed = None
    if settings.mixup or settings.cutmix:
        mixes = settings.mixup > 0 and (not settings.cutmix or generator.random() < 0.5)
        how, alpha = (mixup, settings.mixup) if mixes else (cutmix, settings.cutmix)
        changed, mixed = how(changed, labels, alpha, generator)
    if settings.cutout:
        changed = changed.masked_fill(
            _boxes(images, settings.cutout, settings.cutout, generator), 0.0
        )
    if mixed is None:
        return changed, labels, None
    own, other, share = mixed.share >= 0.5, mixed.labels, mixed.share
    first, second = torch.where(own, labels, other), torch.where(own, other, labels)
    return changed, first, MixedLabels(second, torch.where(own, share, 1 - share))


def moved(
    images: torch.Tensor, flip: bool, crop: int, generator: np.random.Generator
) -> torch.Tensor:
    """Each image mirrored or not, and moved by up to ``crop`` pixels; in one look-up."""
    if not flip and not crop:
        return images
    samples, _, height, width = images.shape
    rows = np.arange(height) + generator.integers(0, 2 * crop + 1, (samples, 1))
    columns = np.arange(width) + generator.integers(0, 2 * crop + 1, (samples, 1))
    if flip:
        mirrored = generator.random((samples, 1)) < 0.5
        columns = np.where(mirrored, columns[:, ::-1], columns)

    padded = functional.pad(images, (crop, crop, crop, crop))
    places = torch.from_numpy(rows[:, :, None] * padded.shape[-1] + columns[:, None, :])
    places = places.to(images.device).reshape(samples, 1, -1).expand(-1, images.shape[1], -1)
    return padded.flatten(2).gather(2, places).reshape(images.shape)


def mixup(
    images: torch.Tensor, labels: torch.Tensor, alpha: float, generator: np.random.Generator
) -> tuple[torch.Tensor, MixedLabels]:
    """Each image and another one of the batch, added by their shares."""
    other = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    share = generator.beta(alpha, alpha, len(images)).astype(np.float32)
    mixed = MixedLabels(labels[other], torch.from_numpy(share).to(images.device))
    weight = mixed.share.reshape(-1, 1, 1, 1)
    return weight * images + (1 - weight) * images[other], mixed


def cutmix(
    images: torch.Tensor, labels: torch.Tensor, alpha: float, generator: np.random.Generator
) -> tuple[torch.Tensor, MixedLabels]:
    """A box of another image of the batch in each; the share is what is left of its own pixels."""
    other = torch.from_numpy(generator.permutation(len(images))).to(images.device)
    side = np.sqrt(1 - generator.beta(alpha, alpha, len(images)))
    height, width = (np.rint(side * size).astype(np.int64) for size in images.shape[2:])
    boxes = _boxes(images, height, width, generator)
    share = 1 - boxes.float().mean((1, 2, 3))
    return torch.where(boxes, images[other], images), MixedLabels(labels[other], share)


def _boxes(
    images: torch.Tensor,
    height: int | np.ndarray,
    width: int | np.ndarray,
    generator: np.random.Generator,
) -> torch.Tensor:
    """True in a box of each image around a random pixel, cut off at the border; bool [sample, 1,
    height, width]."""
    inside = []
    for size, extent in zip(images.shape[2:], (height, width)):
        centre = generator.integers(0, size, len(images))
        low = centre - np.asarray(extent) // 2
        place = np.arange(size)
        inside.append((place >= low[:, None]) & (place < (low + extent)[:, None]))
    rows, columns = inside
    boxes = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.from_numpy(boxes).to(images.device)
