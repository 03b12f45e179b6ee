"""Surrogates whose width follows the membrane potentials: PDSG and ASSG."""

from __future__ import annotations

import math

import torch

from toolchain.attacks.base import AttackError
from toolchain.attacks.estimators.slopes import SlopeEstimator


class PotentialDependent(SlopeEstimator):
    """PDSG: potential-dependent surrogate gradient (CVPR 2025).

    The slope is a normal density in u with mean sigma / 2 and standard deviation sigma; sigma is
    the standard deviation of the potentials of all steps so far: for each channel of a (channels,
    height, width) or (channels, length) population over steps, samples and positions; for each
    feature over steps and samples. sigma is 1 where it is 0 (or where it is that of a single
    value).

    per_sample   False: as published; the gradient of a sample then changes with its batch mates.
                 True: not over samples (and over the features instead), so that it does not
    """

    name = "pdsg"

    def __init__(self, per_sample: bool = False) -> None:
        self.per_sample = per_sample

    def slope(self, u: torch.Tensor, key: tuple[str, int], frozen: bool) -> torch.Tensor:
        positions = tuple(range(3, u.dim()))
        over = (0, *(positions or (2,))) if self.per_sample else (0, 1, *positions)
        slopes = []
        for step in range(1, len(u) + 1):
            seen = u[:step]
            alone = math.prod(seen.shape[d] for d in over) == 1
            sigma = (
                torch.zeros_like(u[0])
                if alone
                else seen.std(dim=over, keepdim=True, correction=1)[0]
            )
            sigma = torch.where(sigma > 0, sigma, torch.ones_like(sigma))
            slopes.append(
                torch.exp(-0.5 * ((u[step - 1] - sigma / 2) / sigma) ** 2)
                / (math.sqrt(2 * math.pi) * sigma)
            )
        return torch.stack(slopes)


class AdaptiveSharpness(SlopeEstimator):
    """ASSG: adaptive sharpness surrogate gradient (CVPR 2026).

    An atan surrogate (a / 2) / (1 + (pi a u / 2)**2) whose sharpness a is set for every neuron,
    step and sample so that the expected degree to which the gradient vanishes stays below
    ``degree`` (A):

        M <- 0.9 M + 0.1 |u|;  D <- 0.9 D + 0.1 ||u| - M|      over the attack's iterations, from M
                               = 1, D = 0
        a = w / (M + 1.5 D + 1e-4),  w = (2 / pi) tan(pi A / 2)

    Of an EOT average only the first pass updates M and D. The order of the two updates is that of
    the authors' code.
    """

    name = "assg"

    def __init__(self, degree: float = 0.85, relaxation: float = 1.5, memory: float = 0.9) -> None:
        if not 0 < degree < 1:
            raise AttackError(
                f"ASSG degree is {degree!r}; it must be between 0 and 1 (published "
                f"optimum 0.85 to 0.87)"
            )
        if not 0 <= memory < 1 or not relaxation >= 0:
            raise AttackError(
                f"ASSG memory {memory!r}, relaxation {relaxation!r}; they must be from 0 to below "
                "1, and 0 or more"
            )
        self.degree, self.relaxation, self.memory = degree, relaxation, memory
        self._moments: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def begin(self) -> None:
        self._moments = {}

    def slope(self, u: torch.Tensor, key: tuple[str, int], frozen: bool) -> torch.Tensor:
        distance = u.abs()
        mean, spread = self._moments.get(key, (torch.ones_like(u), torch.zeros_like(u)))
        if mean.shape != u.shape:
            raise AttackError(
                f"ASSG learnt from samples of shape {tuple(mean.shape)} and now sees "
                f"{tuple(u.shape)}; call begin() before other samples"
            )
        # in place: these tensors are a network's whole trace, and a new one for every term costs
        # more than the arithmetic
        if not frozen:
            mean.mul_(self.memory).add_(distance, alpha=1 - self.memory)
            spread.mul_(self.memory).add_(distance.sub_(mean).abs_(), alpha=1 - self.memory)
            self._moments[key] = mean, spread
        sharpness = torch.add(mean, spread, alpha=self.relaxation).add_(1e-4).reciprocal_()
        sharpness.mul_(2 / math.pi * math.tan(math.pi * self.degree / 2))
        steep = (sharpness * u).mul_(math.pi / 2).square_().add_(1)
        return sharpness.mul_(0.5).div_(steep)
