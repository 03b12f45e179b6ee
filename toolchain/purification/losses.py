"""The four terms that a purifier is trained with; every one is a mean, so that its weight does not
depend on the size of images.

The paper (arXiv 2404.17092) names the terms and no operands, constants or weights: those here are
ours, after CBDNet (Guo et al., CVPR 2019) and the usual Charbonnier loss.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def charbonnier(restored: torch.Tensor, clean: torch.Tensor, epsilon: float = 1e-3) -> torch.Tensor:
    """mean sqrt((restored - clean)**2 + epsilon**2) over all pixels: a smooth absolute
    difference."""
    return ((restored - clean) ** 2 + epsilon**2).sqrt().mean()


def divergence(clean_logits: torch.Tensor, restored_logits: torch.Tensor) -> torch.Tensor:
    """KL(softmax(clean) || softmax(restored)) in nats, mean over samples: the purified image keeps
    the classifier's answer."""
    restored, clean = (
        functional.log_softmax(logits, dim=1) for logits in (restored_logits, clean_logits)
    )
    return functional.kl_div(restored, clean, reduction="batchmean", log_target=True)


def asymmetric(estimate: torch.Tensor, noise: torch.Tensor, under: float = 0.7) -> torch.Tensor:
    """mean w * (estimate - noise)**2, with w = ``under`` where the estimate is below the noise, 1 -
    ``under`` elsewhere.

    ``under`` above 0.5 punishes under-estimation, after the argument of CBDNet's paper (a non-blind
    denoiser fails where noise is under-estimated); its published code does the opposite.
    """
    weight = torch.where(estimate < noise, under, 1.0 - under)
    return (weight * (estimate - noise) ** 2).mean()


def total_variation(estimate: torch.Tensor) -> torch.Tensor:
    """Squared forward differences of a map [..., height, width], averaged for each axis; the two
    means are added."""
    down, right = (
        estimate[..., 1:, :] - estimate[..., :-1, :],
        estimate[..., :, 1:] - estimate[..., :, :-1],
    )
    means = [(difference**2).mean() for difference in (down, right) if difference.numel()]
    return sum(means, estimate.new_zeros(()))
