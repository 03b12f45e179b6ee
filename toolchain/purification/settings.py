"""What a purifier is described by: the table ``[purifier]`` of a recipe.

The paper (Chen and Xu, arXiv 2404.17092) gives no sizes, weights or constants; the defaults are
ours, after CBDNet (Guo et al., CVPR 2019) where it has the same part: noise estimator of plain 3 x
3 convolutions, U-Net with additive skips, weights 0.5 and 0.05 of the asymmetric and the total
variation term.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from toolchain.models.description import Surrogate
from toolchain.table_rules import Seed, one_of
from toolchain.tables import Settings

Weight = Annotated[float, Meta(ge=0, le=1e3)]


@dataclass(frozen=True)
class Purifier(Settings):
    """A purifier and its training.

    surrogate                            gradient of a spike
    epochs, batch, learning_rate, seed   as in ``[training]`` of a recipe
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

    TABLE = "purifier"

    classifier: Annotated[str, Meta(min_length=1)]
    steps: Annotated[int, Meta(ge=1, le=256)] = 4
    bits: Annotated[int, Meta(ge=3, le=8)] = 7
    noise_width: Annotated[int, Meta(ge=1, le=512)] = 16
    noise_layers: Annotated[int, Meta(ge=2, le=16)] = 3
    channels: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=512)], ...], Meta(min_length=1, max_length=4)
    ] = (16, 32)
    beta: Annotated[float, Meta(ge=0, le=1)] = 0.9
    threshold: Annotated[float, Meta(ge=1e-3, le=8)] = 1.0
    surrogate: Surrogate = field(default_factory=Surrogate)
    epsilon: Annotated[float, Meta(ge=0, le=1)] = 8 / 255
    charbonnier: Weight = 1.0
    charbonnier_epsilon: Annotated[float, Meta(ge=1e-9, le=1)] = 1e-3
    kl: Weight = 0.01
    asymmetric: Weight = 0.5
    under: Annotated[float, Meta(ge=0, le=1)] = 0.7
    variation: Weight = 0.05
    quantile: Annotated[float, Meta(ge=0.5, le=1)] = 0.95
    epochs: Annotated[int, Meta(ge=1, le=100_000)] = 15
    batch: Annotated[int, Meta(ge=1, le=1 << 16)] = 32
    learning_rate: Annotated[float, Meta(ge=1e-9, le=1e3)] = 1e-2
    seed: Seed = 0
    samples: Annotated[int, Meta(ge=1, le=1 << 32)] | None = None
    device: Annotated[str, one_of(("cpu", "cuda", "auto"))] = "cpu"
