"""Batch normalisation of the currents of a synapse, folded into the weights that are quantised.

On the chip there is no normalisation: ``gain * (z - mean) / sqrt(variance + eps) + offset`` of a
weighted sum z is a weighted sum with other weights and a bias. So it belongs to a synapse
(``Conv2d(..., norm=True)``), and the weights that are quantised are the folded ones.

evaluation, or frozen   running statistics are folded into weights and bias, which are quantised:
                        exactly the integers that are exported
training                statistics of the batch, over time, samples and positions together
                        (threshold-dependent batch normalisation: Zheng et al., AAAI 2021). Weights
                        are quantised as they are when folded with the running statistics (Jacob et
                        al., CVPR 2018), the normalised current is rounded to the grid. What differs
                        from evaluation: the statistics, and with them the last rounding of weights
                        and bias; ``freeze_norms(model)`` ends it, for the last epochs

Source of the folding: Ioffe and Szegedy, ICML 2015, section 3.1, with the statistics fixed.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

from toolchain.errors import LayerError

LEAST_GAIN = 1e-6
"""Magnitude below which a gain is taken for this one where a training step divides by it: a channel
that is switched off. Ours."""


class BatchNorm(nn.Module):
    """Batch normalisation of one synapse, given to it as ``norm``; parameters as nn.BatchNorm2d.

    Args:
        features: channels, or features of a Linear.
        gain: what ``weight`` starts from, in volts: the standard deviation of the currents. The
            threshold-dependent form is alpha * threshold, alpha 1 (Zheng et al., AAAI 2021, eq. 5).
        eps: added to the variance.
        momentum: share of a new batch in the running statistics; None: their plain mean.
        per_step: in training each time step of a sequence has statistics of its own, as in a loop
            over time. The running ones are shared by all steps, so the folding is as exact.
            (Parameters of their own for each step would need other weights in each step, which no
            chip has.)
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor

    def __init__(
        self,
        features: int,
        *,
        gain: float = 1.0,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        per_step: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < gain < float("inf"):
            raise LayerError(f"layer 'BatchNorm': gain is {gain!r} V; it must be above 0")
        if not 0 < eps < float("inf"):
            raise LayerError(f"layer 'BatchNorm': eps is {eps!r}; it must be above 0")
        if momentum is not None and not 0 < momentum <= 1:
            raise LayerError(
                f"layer 'BatchNorm': momentum is {momentum!r}; it must be above 0 and at most 1, "
                f"or None"
            )
        self.features, self.eps, self.momentum, self.per_step = features, eps, momentum, per_step
        self.frozen = False
        self.weight = nn.Parameter(torch.full((features,), float(gain)))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def extra_repr(self) -> str:
        return (
            f"{self.features}, eps={self.eps:g}, momentum={self.momentum}, "
            f"per_step={self.per_step}, frozen={self.frozen}"
        )

    @property
    def batch_statistics(self) -> bool:
        """True: the next call computes with the statistics of its batch, and what it gives is not
        what is exported."""
        return self.training and not self.frozen

    def factor(self) -> torch.Tensor:
        """What folding multiplies each channel's weights by, [features]; with the gain's
        gradient."""
        return self.weight / torch.sqrt(self.running_var + self.eps)

    def folded_weight(self, weight: torch.Tensor) -> torch.Tensor:
        """The weight of the synapse that computes both, with running statistics."""
        return weight * channelwise(self.factor(), weight.dim())

    def folded_bias(self, bias: torch.Tensor | None) -> torch.Tensor:
        """Its bias."""
        before = -self.running_mean if bias is None else bias - self.running_mean
        return before * self.factor() + self.bias

    def scale(self) -> torch.Tensor:
        """``factor``, for a training step to quantise with: no gradient, nowhere 0."""
        gain = self.weight.detach()
        gain = torch.where(gain < 0, gain.clamp(max=-LEAST_GAIN), gain.clamp(min=LEAST_GAIN))
        return gain / torch.sqrt(self.running_var + self.eps)

    def normalise(self, z: torch.Tensor) -> torch.Tensor:
        """z [sample, channel, ...] normalised with its own statistics, which go into the running
        ones."""
        if z.numel() <= z.shape[1]:
            raise LayerError(
                f"layer 'BatchNorm': one value for each of {z.shape[1]} channels; statistics of a "
                f"batch need more: a larger batch, or freeze_norms(model)"
            )
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:
            share = 1.0 / float(self.num_batches_tracked)
        return functional.batch_norm(
            z,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=True,
            momentum=share,
            eps=self.eps,
        )


def channelwise(values: torch.Tensor, dims: int) -> torch.Tensor:
    """[channel] as a tensor that broadcasts over weights [channel, ...] of ``dims`` dimensions."""
    return values.reshape(-1, *(1,) * (dims - 1))


def norms(model: nn.Module) -> list[BatchNorm]:
    """The batch normalisations of a model."""
    return [module for module in model.modules() if isinstance(module, BatchNorm)]


def freeze_norms(model: nn.Module, frozen: bool = True) -> int:
    """From now on training computes with the running statistics, too, exactly as evaluation;
    ``frozen=False``: no longer. Returns how many normalisations the model has."""
    layers = norms(model)
    for norm in layers:
        norm.frozen = frozen
    return len(layers)


@torch.no_grad()
def measure_norms(model: nn.Module, batches: Iterable[torch.Tensor]) -> int:
    """Running statistics anew: the plain mean over what ``batches`` give when the model runs them.

    Args:
        model: called once with each batch; its other layers are in evaluation mode meanwhile.
        batches: inputs as ``model(x)`` takes them.

    Returns:
        Number of batches.

    Raises:
        LayerError: There are no batches; the statistics are then as they were.
    """
    layers, training = norms(model), model.training
    before = [(norm.momentum, norm.frozen, _statistics(norm)) for norm in layers]
    model.eval()
    for norm in layers:
        norm.momentum, norm.frozen = None, False
        norm.num_batches_tracked.zero_()
        norm.train()

    count = 0
    try:
        for x in batches:
            if not isinstance(x, torch.Tensor):
                raise LayerError(
                    f"measure_norms: a batch is {type(x).__name__}; it must be a tensor as the "
                    f"model takes it, without labels"
                )
            model(x)
            count += 1
    finally:
        for norm, (momentum, frozen, statistics) in zip(layers, before):
            norm.momentum, norm.frozen = momentum, frozen
            if not count:
                _restore(norm, statistics)
        model.train(training)

    if not count:
        raise LayerError("measure_norms: there are no batches; give at least one")
    return count


def _statistics(norm: BatchNorm) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in norm.buffers()]


def _restore(norm: BatchNorm, statistics: list[torch.Tensor]) -> None:
    for tensor, value in zip(norm.buffers(), statistics):
        tensor.copy_(value)
