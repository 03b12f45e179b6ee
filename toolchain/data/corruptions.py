"""Common corruptions: what cameras, weather and files do to images, in five severities; robustness
that no adversary asks for.

Kinds and severities are those of CIFAR-10-C (Hendrycks and Dietterich, ICLR 2019,
``create_c/make_cifar_c.py``), chosen there for 32 x 32 pixels and kept for other sizes. The
operations are scikit-image's, and Pillow's for JPEG and resampling; random numbers are our own
draws, so images are alike but not equal to the published sets. Left out are the kinds that need
pictures of frost, ImageMagick or OpenCV.

    corrupt(images, "gaussian_noise", 3, seed=0)

Needs the optional extra: pip install "spikeport[corruptions]".
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from toolchain.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SEVERITIES = (1, 2, 3, 4, 5)

Corruption = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
"""(image float64 [height, width, channel] in [0, 1], strength, generator) → image, clipped
afterwards."""


def _noise(mode: str, argument: str, power: int = 1) -> Corruption:
    def corrupted(image: np.ndarray, strength: float, generator: np.random.Generator) -> np.ndarray:
        from skimage.util import random_noise

        noisy: np.ndarray = random_noise(
            image, mode=mode, rng=generator, **{argument: strength**power}
        )
        return noisy

    return corrupted


def _shot(image: np.ndarray, photons: float, generator: np.random.Generator) -> np.ndarray:
    return generator.poisson(image * photons) / photons


def _blur(image: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    from skimage.filters import gaussian

    blurred: np.ndarray = gaussian(image, sigma=sigma, channel_axis=-1)
    return blurred


def _brightness(image: np.ndarray, added: float, generator: np.random.Generator) -> np.ndarray:
    if image.shape[-1] == 1:
        return image + added
    from skimage.color import hsv2rgb, rgb2hsv

    hsv = rgb2hsv(image)
    hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
    brighter: np.ndarray = hsv2rgb(hsv)
    return brighter


def _contrast(image: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    mean = image.mean(axis=(0, 1), keepdims=True)
    contrasted: np.ndarray = (image - mean) * share + mean
    return contrasted


def _picture(image: np.ndarray) -> Image.Image:
    """As Pillow's, in 256 levels."""
    from PIL import Image

    levels = np.rint(image * 255).astype(np.uint8)
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)


def _pixelate(image: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    from PIL import Image

    height, width = image.shape[:2]
    small = _picture(image).resize(
        (max(1, int(width * share)), max(1, int(height * share))), Image.Resampling.BOX
    )
    return (
        np.asarray(small.resize((width, height), Image.Resampling.BOX)).reshape(image.shape) / 255
    )


def _jpeg(image: np.ndarray, quality: float, generator: np.random.Generator) -> np.ndarray:
    from PIL import Image

    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file)).reshape(image.shape) / 255


CORRUPTIONS: dict[str, tuple[Corruption, tuple[float, ...]]] = {
    "gaussian_noise": (_noise("gaussian", "var", 2), (0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": (_shot, (500, 250, 100, 75, 50)),
    "impulse_noise": (_noise("s&p", "amount"), (0.01, 0.02, 0.03, 0.05, 0.07)),
    "speckle_noise": (_noise("speckle", "var", 2), (0.06, 0.10, 0.12, 0.16, 0.20)),
    "gaussian_blur": (_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "brightness": (_brightness, (0.05, 0.10, 0.15, 0.20, 0.30)),
    "contrast": (_contrast, (0.75, 0.50, 0.40, 0.30, 0.15)),
    "pixelate": (_pixelate, (0.95, 0.90, 0.85, 0.75, 0.65)),
    "jpeg_compression": (_jpeg, (80, 65, 58, 50, 40)),
}
"""Name → function and its strength in each severity: standard deviation, photons at full intensity,
share of pixels, standard deviation, width in pixels, added, contrast left, size left, quality."""


def corrupt(images: np.ndarray, name: str, severity: int, seed: int = 0) -> np.ndarray:
    """Images [sample, channel, height, width] in [0, 1] as float32, corrupted; pixels stay in [0,
    1].

    The random numbers of an image come from the seed and its own pixels, so they depend on no other
    image. Raises DataError for an unknown name or severity, for images of another shape or range,
    or where scikit-image is not installed.
    """
    if name not in CORRUPTIONS:
        raise DataError(f"there is no corruption {name!r}; there are {', '.join(CORRUPTIONS)}")
    if isinstance(severity, bool) or severity not in SEVERITIES:
        raise DataError(
            f"{name}: severity is {severity!r}; it must be one of {', '.join(map(str, SEVERITIES))}"
        )

    images = np.ascontiguousarray(images, np.float32)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"{name}: images of shape {images.shape}; they must be [sample, channel, height, "
            "width] with 1 or 3 channels"
        )
    if images.size and not (images.min() >= 0 and images.max() <= 1):
        raise DataError(
            f"{name}: pixels from {images.min()} to {images.max()}; they must be from 0 to 1"
        )

    function, strengths = CORRUPTIONS[name]
    try:
        corrupted = [
            function(
                image.transpose(1, 2, 0).astype(np.float64),
                strengths[severity - 1],
                _generator(image, seed),
            )
            for image in images
        ]
    except ImportError as error:
        raise DataError(
            f"{name}: needs {error.name}, which is not installed: pip install "
            f'"spikeport[corruptions]"'
        ) from None

    shape = (0, *images.shape[2:], images.shape[1])
    return (
        np.clip(np.stack(corrupted) if corrupted else np.zeros(shape), 0, 1)
        .transpose(0, 3, 1, 2)
        .astype(np.float32)
    )


def _generator(image: np.ndarray, seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(image.tobytes())]))
