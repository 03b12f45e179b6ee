"""In which order maps lie in memory. A convolution on a CPU is up to twice as fast where the
channels of a pixel lie side by side, and neurons do not care.

Shapes stay [..., channel, height, width] for everybody; only strides differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Order:
    """How the maps of a tensor lie in memory: in C order, or with the channels last."""

    last: bool

    @classmethod
    def of(cls, current: torch.Tensor) -> Order:
        """That of [time, batch, channel, height, width]; C order for every other shape."""
        if current.dim() != 5 or not current.numel():
            return cls(False)
        one = current[0]  # all steps may be the same memory
        return cls(not one.is_contiguous() and one.movedim(1, -1).is_contiguous())

    def inner(self, tensor: torch.Tensor) -> torch.Tensor:
        """[..., channel, height, width] as it lies in memory, [..., height, width, channel]."""
        return tensor.movedim(-3, -1) if self.last else tensor

    def outer(self, tensor: torch.Tensor) -> torch.Tensor:
        """The way back."""
        return tensor.movedim(-1, -3) if self.last else tensor


C_ORDER = Order(False)


def channels_last(maps: torch.Tensor) -> torch.Tensor:
    """[sample, channel, height, width] in the order in which a CPU convolves it fastest; other
    tensors as they are."""
    if maps.dim() != 4 or maps.device.type != "cpu" or maps.shape[1] == 1:
        return maps
    return maps.contiguous(memory_format=torch.channels_last)


def line(tensor: torch.Tensor) -> torch.Tensor | None:
    """All elements in a row, in the order of memory, without a copy; None where they do not lie
    side by side."""
    if tensor.is_contiguous():
        return tensor.view(-1)
    dims = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    ordered = tensor.permute(dims)
    return ordered.view(-1) if ordered.is_contiguous() else None
