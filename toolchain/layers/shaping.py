"""Layers without weights or neurons: pools, Flatten, Delay. They stay linear and exact, and
lowering fuses them away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import torch
from torch import nn
from torch.nn import functional

from toolchain.errors import LayerError
from toolchain.layers import nir_nodes

Size: TypeAlias = int | Iterable[int]
"""One number for height and width, or both."""


def pair(where: str, name: str, value: Size, low: int) -> tuple[int, int]:
    """(height, width) from one or two whole numbers. Raises LayerError for others."""
    both = (value, value) if isinstance(value, int) else tuple(value)
    if len(both) != 2 or any(
        isinstance(n, bool) or not isinstance(n, int) or n < low for n in both
    ):
        raise LayerError(
            f"{where}: {name} is {value!r}; it must be one or two whole numbers from {low}"
        )
    height, width = both
    return height, width


def over_maps(
    kind: str, x: torch.Tensor, function: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """What ``function`` makes of the maps [n, channels, height, width] of [..., channels, height,
    width], with the leading dimensions as they were. Raises LayerError for fewer dimensions;
    ``kind`` names the layer."""
    if x.dim() < 3:
        raise LayerError(
            f"layer {kind!r}: its input has shape {tuple(x.shape)}; it must be [..., channels, "
            f"height, width]"
        )
    changed = function(x.reshape(-1, *x.shape[-3:]))
    return changed.reshape(*x.shape[:-3], *changed.shape[1:])


class Windows(nn.Module):
    """What pools over windows share: kernel, stride and padding."""

    kind: str
    """Name of the layer, for messages."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        where = f"layer {self.kind!r}"
        self.kernel_size = pair(where, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair(where, "stride", stride, 1)
        self.padding = pair(where, "padding", padding, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size)):
            raise LayerError(
                f"{where}: padding {self.padding} is more than half of the kernel "
                f"{self.kernel_size}"
            )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class SumPool2d(Windows):
    """Sum over windows, [..., channels, height, width]; zeros around the edge where padded."""

    kind = "SumPool2d"
    divisor = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., channels, height, width] of the pooled map."""

        def pooled(maps: torch.Tensor) -> torch.Tensor:
            return functional.avg_pool2d(
                maps, self.kernel_size, self.stride, self.padding, divisor_override=self.divisor
            )

        return over_maps(self.kind, x, pooled)

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> nir_nodes.Described:
        """(nir.SumPool2d or nir.AvgPool2d, metadata); see the package's docstring."""
        return nir_nodes.pool(self, self.kind)


class AvgPool2d(SumPool2d):
    """Average over windows (padding counts as zeros, PyTorch's default).

    The next layer's ``source_fraction_bits`` grow by log2 of the area. The area of the kernel must
    be a power of two, so that the average stays on a binary grid; use SumPool2d for others.
    """

    kind = "AvgPool2d"

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__(kernel_size, stride, padding)
        self.divisor = self.kernel_size[0] * self.kernel_size[1]
        if self.divisor & (self.divisor - 1):
            raise LayerError(
                f"layer 'AvgPool2d': a kernel of {self.kernel_size} averages over {self.divisor} "
                f"values; it must be a power of two, or SumPool2d in its place"
            )


class Flatten(nn.Module):
    """Features in C order: [batch, *shape] → [batch, n]; with ``sequence=True`` [time, batch,
    *shape] → [time, batch, n]."""

    temporal = True

    def forward(self, x: torch.Tensor, *, sequence: bool = False) -> torch.Tensor:
        """The flattened tensor."""
        return x.flatten(2 if sequence else 1)

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> nir_nodes.Described:
        """(nir.Flatten, metadata); see the package's docstring."""
        return nir_nodes.flatten(tuple(input_shape))


class Delay(nn.Module):
    """Hold spikes back for some steps (0 to 62, the chip's synaptic delay).

    ``y = delay(x, sequence=True)`` for [time, batch, *shape]; step by step ``y, line = delay(x,
    line)`` with ``line = delay.reset_mem()`` at the start of a sample.
    """

    temporal = True

    def __init__(self, steps: int):
        super().__init__()
        if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= 62:
            raise LayerError(f"layer 'Delay': steps is {steps!r}; it must be 0 to 62")
        self.steps = steps

    def extra_repr(self) -> str:
        return f"steps={self.steps}"

    def reset_mem(self) -> torch.Tensor:
        """The empty line that starts a sample."""
        return torch.zeros(0)

    def forward(
        self, x: torch.Tensor, line: torch.Tensor | None = None, *, sequence: bool = False
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """The delayed sequence; or (delayed step, line [steps, batch, *shape]) for one step [batch,
        *shape]."""
        if sequence:
            if line is not None:
                raise LayerError(
                    "layer 'Delay': a sequence starts from an empty line; a line goes with single "
                    "steps"
                )
            return torch.cat(
                [torch.zeros_like(x[: self.steps]), x[: max(0, x.shape[0] - self.steps)]]
            )

        if line is None:
            raise LayerError(
                "layer 'Delay': a step needs its line: start a sample with reset_mem(), or give a "
                "whole sample with sequence=True"
            )

        if not line.numel():
            line = torch.zeros(self.steps, *x.shape, dtype=x.dtype, device=x.device)
        if line.shape != (self.steps, *x.shape):
            raise LayerError(
                f"layer 'Delay': the line has shape {tuple(line.shape)}; it must be "
                f"{(self.steps, *x.shape)}"
            )

        line = torch.cat([line, x.unsqueeze(0)])
        return line[0], line[1:]

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> nir_nodes.Described:
        """(nir.Delay, metadata); see the package's docstring."""
        return nir_nodes.delay(self.steps, tuple(input_shape), dt)
