"""What a purifier is described by: the table ``[purifier]`` of a recipe.

The paper (Chen and Xu, arXiv 2404.17092) gives no sizes, weights or constants; the defaults are
ours, after CBDNet (Guo et al., CVPR 2019) where it has the same part: noise estimator of plain 3 x
3 convolutions, U-Net with additive skips, weights 0.5 and 0.05 of the asymmetric and the total
variation term.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from toolchain.errors import ConfigError
from toolchain.models.description import Surrogate
from toolchain.tables import bounds, one_of


@dataclass(frozen=True)
class Purifier:
    """A purifier and its training.

    classifier        the frozen classifier behind it, from where the recipe lies: a checkpoint
                      (.safetensors), or a recipe (.toml), which is trained first; in a checkpoint
                      its name
    steps             time steps of both spiking networks
    bits              the images and the noise map enter them as whole multiples of 2**-bits
    noise_width, noise_layers   channels and convolutions of the noise estimator
    channels          of the U-Net, finest resolution first; each further number halves the
                      resolution once more
    beta, threshold   of all neurons (LIF, reset to zero)
    epsilon           adversarial training images are FGSM's, each with a radius drawn from 0 to
                      this
    charbonnier, kl, asymmetric, variation   weights of the four terms
    charbonnier_epsilon   constant of the Charbonnier term
    under             weight of an under-estimated noise, 0 to 1; over-estimated: 1 - under. 0.7:
                      missing a perturbation is worse
    quantile          share of the clean training images that pass the detector
    samples           train on the first so many samples; not given: all
    device            "cpu", "cuda", or "auto": a GPU where PyTorch sees one
    """

    classifier: str
    steps: int = 4
    bits: int = 7
    noise_width: int = 16
    noise_layers: int = 3
    channels: tuple[int, ...] = (16, 32)
    beta: float = 0.9
    threshold: float = 1.0
    surrogate: Surrogate = field(default_factory=Surrogate)
    epsilon: float = 8 / 255
    charbonnier: float = 1.0
    charbonnier_epsilon: float = 1e-3
    kl: float = 0.01
    asymmetric: float = 0.5
    under: float = 0.7
    variation: float = 0.05
    quantile: float = 0.95
    epochs: int = 15
    batch: int = 32
    learning_rate: float = 1e-2
    seed: int = 0
    samples: int | None = None
    device: str = "cpu"

    def __post_init__(self):
        if not self.classifier:
            raise ConfigError(
                "purifier: classifier is empty; accepted is the path of a checkpoint or recipe"
            )
        if not 1 <= len(self.channels) <= 4 or not all(1 <= n <= 512 for n in self.channels):
            raise ConfigError(
                f"purifier: channels is {list(self.channels)!r}; accepted are 1 to 4 numbers of "
                f"channels, each up to 512"
            )
        one_of("purifier", device=(self.device, ("cpu", "cuda", "auto")))
        bounds(
            "purifier",
            steps=(self.steps, 1, 256),
            bits=(self.bits, 3, 8),
            noise_width=(self.noise_width, 1, 512),
            noise_layers=(self.noise_layers, 2, 16),
            beta=(self.beta, 0, 1),
            threshold=(self.threshold, 1e-3, 8),
            epsilon=(self.epsilon, 0, 1),
            charbonnier=(self.charbonnier, 0, 1e3),
            charbonnier_epsilon=(self.charbonnier_epsilon, 1e-9, 1),
            kl=(self.kl, 0, 1e3),
            asymmetric=(self.asymmetric, 0, 1e3),
            under=(self.under, 0, 1),
            variation=(self.variation, 0, 1e3),
            quantile=(self.quantile, 0.5, 1),
            epochs=(self.epochs, 1, 100_000),
            batch=(self.batch, 1, 1 << 16),
            learning_rate=(self.learning_rate, 1e-9, 1e3),
            seed=(self.seed, 0, (1 << 32) - 1),
            samples=(self.samples, 1, 1 << 32),
        )
