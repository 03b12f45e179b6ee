"""Pools that are more than a sum: the maximum of spikes, and averages over a given number of
windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from toolchain.errors import GridError, LayerError
from toolchain.layers import nir_nodes
from toolchain.layers.shaping import Size, Windows, over_maps, pair


class MaxPool2d(Windows):
    """Maximum over windows of spikes: 1 where one spike of the window arrives, in the same step.

    On a chip that is a population of its own, of neurons that forget everything in each step; it
    costs as many neurons as there are windows, and a synapse for each place in them. Values other
    than 0 and 1 are refused, because their maximum is no OR: put it behind a neuron, and no average
    pool or sum in between. The gradient is that of max pooling.
    """

    kind = "MaxPool2d"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., channels, height, width] of the pooled map. Raises GridError for values that are no
        spikes, LayerError for other shapes."""

        def pooled(maps: torch.Tensor) -> torch.Tensor:
            spikes = (maps == 0) | (maps == 1)
            if not bool(spikes.all()):
                raise GridError(
                    f"layer 'MaxPool2d': it reads a value of {float(maps.detach()[~spikes][0])!r}; "
                    f"it must read spikes, 0 and 1"
                )
            return functional.max_pool2d(maps, self.kernel_size, self.stride, self.padding)

        return over_maps(self.kind, x, pooled)

    def nir_parts(self, input_shape: Sequence[int], dt: float = 1.0) -> dict[str, Any]:
        """A nir.SumPool2d and a nir.Threshold; see the package's docstring."""
        from export.windows import Geometry, or_of_windows

        geometry = Geometry(self.kernel_size, self.stride, self.padding, (1, 1))
        *before, (_, neurons, entry) = or_of_windows(tuple(input_shape), geometry)
        return nir_nodes.in_a_row([*before, ("", neurons, entry)])


class AdaptiveAvgPool2d(nn.Module):
    """Averages over ``output_size`` windows along height and width, which cover the map as
    torch.nn.AdaptiveAvgPool2d's do; they may differ in size and overlap.

    Each window must hold a power of two values, so that averages stay on a binary grid. The next
    layer's ``source_fraction_bits`` grow by ``fraction_bits(height, width)``.
    """

    def __init__(self, output_size: Size) -> None:
        super().__init__()
        self.output_size = pair("layer 'AdaptiveAvgPool2d'", "output_size", output_size, 1)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"

    def fraction_bits(self, height: int, width: int) -> int:
        """log2 of the largest window of such a map. Raises LayerError where a window holds another
        number of values than a power of two."""
        total = 0
        for size, out in zip((height, width), self.output_size):
            windows = {-(-(n + 1) * size // out) - n * size // out for n in range(out)}
            if any(n & (n - 1) for n in windows):
                raise LayerError(
                    f"layer 'AdaptiveAvgPool2d': {size} values in {out} windows of "
                    f"{' and '.join(map(str, sorted(windows)))}; sizes must be powers of two"
                )
            total += int(math.log2(max(windows)))
        return total

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., channels, *output_size]. Raises LayerError for windows that are no power of two."""

        def pooled(maps: torch.Tensor) -> torch.Tensor:
            self.fraction_bits(*maps.shape[-2:])
            return functional.adaptive_avg_pool2d(maps, self.output_size)

        return over_maps("AdaptiveAvgPool2d", x, pooled)

    def nir_parts(self, input_shape: Sequence[int], dt: float = 1.0) -> dict[str, Any]:
        """A nir.AvgPool2d where all windows are alike and apart, else small convolutions; see the
        package's docstring."""
        import nir
        import numpy as np

        from export.rearranging import along_axes
        from export.windows import adaptive

        channels, *size = input_shape
        self.fraction_bits(*size)
        if not any(n % out for n, out in zip(size, self.output_size)):
            kernel = np.array([n // out for n, out in zip(size, self.output_size)])
            node = nir.AvgPool2d(kernel_size=kernel, stride=kernel, padding=np.zeros(2, int))
            return nir_nodes.in_a_row([("", node, {})])
        row = along_axes((channels, *size), adaptive(tuple(size), self.output_size))
        return nir_nodes.moved(row, f"averages over {self.output_size} windows")
