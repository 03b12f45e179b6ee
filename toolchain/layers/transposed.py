"""Transposed convolution on the chip's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from toolchain.errors import LayerError
from toolchain.layers import nir_nodes
from toolchain.layers.norm import BatchNorm
from toolchain.layers.synapses import Convolution, Size


class ConvTranspose2d(Convolution, nn.ConvTranspose2d):
    """torch.nn.ConvTranspose2d on the chip's weights; input [..., in_channels, height, width] with
    any leading dimensions. Grid and norm are those of ``Conv2d``.

    A chip has single synapses for it: as many as there are pairs of neurons that it joins.
    """

    output_padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool | None = None,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        weight_bits: int = 8,
        fraction_bits: int = 10,
        source_fraction_bits: int = 0,
        granularity: str | None = None,
        norm: BatchNorm | bool | None = None,
    ) -> None:
        if padding_mode != "zeros" or isinstance(padding, str):
            raise LayerError(
                f"layer 'ConvTranspose2d': padding {padding!r} with mode {padding_mode!r}; "
                f"it must be numbers, and zeros"
            )
        bias = not norm if bias is None else bias
        geometry: Any = (kernel_size, stride, padding, output_padding, groups)
        more: Any = (bias, dilation, padding_mode, device, dtype)
        nn.ConvTranspose2d.__init__(self, in_channels, out_channels, *geometry, *more)
        self._set_grid(weight_bits, fraction_bits, source_fraction_bits, granularity, norm)

    def by_channel(self) -> torch.Tensor:
        """The weights as those of a convolution, [out, in / groups, *kernel]; PyTorch has them as
        [in, out / groups, *kernel]."""
        return _swapped(self.weight, self.groups)

    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """[..., out_channels, height, width] volts, whole multiples of 2**-F. Raises GridError,
        CurrentRangeError, LayerError."""
        if output_size is not None:
            raise LayerError(f"{self.where}: output_size was given; use output_padding")

        def convolve(
            maps: torch.Tensor, weight: torch.Tensor, bias: None, *geometry: Any
        ) -> torch.Tensor:
            stride, padding, dilation, groups = geometry
            return functional.conv_transpose2d(
                maps,
                _swapped(weight, groups),
                bias,
                stride,
                padding,
                self.output_padding,
                groups,
                dilation,
            )

        return self._convolve(x, convolve)

    def nir_parts(self, input_shape: Sequence[int], dt: float = 1.0) -> dict[str, Any]:
        """Zeros between the inputs, and a nir.Conv2d; see the package's docstring."""
        return nir_nodes.transposed(self, tuple(input_shape))


def _swapped(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Between [out, in / groups, *kernel] and [in, out / groups, *kernel], in both directions."""
    first, second, *kernel = weight.shape
    apart = weight.reshape(groups, first // groups, second, *kernel)
    return apart.transpose(1, 2).reshape(groups * second, first // groups, *kernel)
