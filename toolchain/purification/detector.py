"""The detector of perturbed images, and the gate that it works: r = max |x - P(x)|; r <= threshold:
x goes on, else P(x).

Chen and Xu (arXiv 2404.17092) decide by an L-infinity criterion and give no threshold: ours is a
quantile of r on clean training images, so that the share of clean images that are taken for
perturbed is chosen, and its error on test images is reported.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from toolchain.attacks.encoding import straight_through
from toolchain.errors import LayerError

GRADIENTS = ("soft", "branch")


def distance(images: torch.Tensor, purified: torch.Tensor) -> torch.Tensor:
    """r = max |x - P(x)| of each sample, [sample], differentiable."""
    return (images - purified).abs().flatten(1).amax(dim=1)


class Gate(nn.Module):
    """``gate(images, purified)``: the raw image where r <= threshold, else the purified one.

    threshold   pixel units; a buffer
    gradient    "branch": the derivative of what was chosen, the true one almost everywhere, to
                which the decision is constant; "soft" (the default): that of images + sigmoid((r -
                threshold) / width) * (purified - images), where the hard decision's value stands
                for the sigmoid's, so that an attack also sees which way leads across the threshold
                (straight through, ours)
    width       pixel units; of the sigmoid
    """

    threshold: torch.Tensor

    def __init__(
        self, threshold: float = 0.0, *, gradient: str = "soft", width: float = 0.02
    ) -> None:
        super().__init__()
        if gradient not in GRADIENTS:
            raise LayerError(
                f"gate: gradient is {gradient!r}; it must be one of {', '.join(GRADIENTS)}"
            )
        if not width > 0:
            raise LayerError(f"gate: width is {width!r}; it must be positive")
        self.register_buffer("threshold", torch.tensor(float(threshold)))
        self.gradient, self.width = gradient, width

    def forward(self, images: torch.Tensor, purified: torch.Tensor) -> torch.Tensor:
        """Images [sample, *shape] in, the same out."""
        r = distance(images, purified)
        shape = (-1,) + (1,) * (images.dim() - 1)
        caught = (r > self.threshold).reshape(shape)
        chosen = torch.where(caught, purified, images)
        if self.gradient == "branch" or not torch.is_grad_enabled():
            return chosen
        soft = torch.sigmoid((r - self.threshold) / self.width).reshape(shape)
        share = caught.to(soft) + soft - soft.detach()
        return straight_through(images + share * (purified - images), chosen.detach())


def calibrate(clean: np.ndarray, quantile: float) -> float:
    """The smallest r of clean images [sample] that at least the share ``quantile`` of them does not
    exceed."""
    return float(np.quantile(np.asarray(clean, np.float32), quantile, method="inverted_cdf"))


def report(clean: np.ndarray, attacked: np.ndarray, threshold: float) -> dict[str, float]:
    """{"auc", "false_positive_rate", "true_positive_rate"} of r on clean and on attacked test
    images [sample] each."""
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.zeros(len(clean), np.int64), np.ones(len(attacked), np.int64)])
    return {
        "auc": float(roc_auc_score(truth, np.concatenate([clean, attacked]))),
        "false_positive_rate": float(np.mean(clean > threshold)),
        "true_positive_rate": float(np.mean(attacked > threshold)),
    }
