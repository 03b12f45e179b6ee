"""Synapses: Linear, Conv1d and Conv2d with PyTorch's arguments, computing with the chip's weights.

The result is exact: float32 holds every partial sum of these integers below 2**24, and where a sum
could be larger (or the device's convolution is not exact) the layer computes in float64. A sum that
the chip's accumulator would wrap is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

import torch
from torch import nn
from torch.nn import functional

from hardware.arithmetic import SYNAPSE_BITS
from toolchain.errors import CurrentRangeError, GridError, LayerError
from toolchain.layers import compiled, nir_nodes
from toolchain.layers.grid import (
    check_bits,
    high_of,
    quantise_bias,
    quantise_weight,
    round_in_place,
)
from toolchain.layers.memory import channels_last
from toolchain.layers.norm import BatchNorm, channelwise

Product: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(values, weight) → weighted sums, without a bias."""

Size: TypeAlias = int | tuple[int, ...]
"""One number for every dimension, or one for each."""


class WeightFormat(TypedDict):
    """How a synapse stores its weights; ``_Synapse`` says what the entries mean."""

    weight_bits: int
    fraction_bits: int
    granularity: str | None


EXACT_UNITS = 1 << 23
"""Sums below this, in units of 2**-F, are exact in float32 (24 bits, one spare for a bias) and fit
every accumulator."""


def _reduced_precision() -> bool:
    """The user allowed PyTorch to compute float32 products in fewer bits (TF32, bfloat16)."""
    backends = torch.backends
    settings = [
        getattr(part, "fp32_precision", "none")
        for part in (
            backends,
            backends.cuda.matmul,
            backends.mkldnn,
            *(getattr(backends.mkldnn, name, None) for name in ("matmul", "conv")),
        )
    ]
    return torch.get_float32_matmul_precision() != "highest" or any(
        s in ("tf32", "bf16") for s in settings
    )


class _Synapse(nn.Module):
    """What Linear and the convolutions share; mixed into PyTorch's modules, whose ``weight`` and
    ``bias`` they keep.

    fraction_bits          F of the neuron that is fed: results are whole multiples of 2**-F volts
    source_fraction_bits   k of what is read: 0 for spikes, 2 after a 2x2 average pool of spikes, k
                           for inputs x_int * 2**-k
    weight_bits            2 to 16; more than 8: each weight is carried by two synapses, in steps of
                           at least 2**-F volts (give F room: with 16 bits the largest weight is
                           2**(15 - F) volts)
    granularity            "layer": one exponent; "channel": one for each output channel (finer,
                           where channels differ in size); not given: "channel" with a norm
    norm                   True, or a BatchNorm of as many features as there are output channels:
                           batch normalisation of the result, folded into the weights that are
                           quantised (toolchain.layers.norm)
    bias                   not given: True, but False with a norm, which has an offset
    """

    weight: torch.Tensor
    bias: Any  # a tensor or None; PyTorch's linear and convolutional layers do not agree
    norm: BatchNorm | None
    _accumulator: int
    """A weighted sum must be below it, in units of 2**-F."""

    def _exact_on(self, device: torch.device) -> bool:
        """True where PyTorch multiplies and adds every element, in whatever order."""
        raise NotImplementedError

    def _channelwise(self, bias: torch.Tensor) -> torch.Tensor:
        """A bias that broadcasts over what it is added to."""
        raise NotImplementedError

    def _set_grid(
        self,
        weight_bits: int,
        fraction_bits: int,
        source_fraction_bits: int,
        granularity: str | None,
        norm: BatchNorm | bool | None,
    ) -> None:
        self.layer_name = type(self).__name__
        check_bits(self.where, weight_bits, fraction_bits, source_fraction_bits)

        channels = self.by_channel().shape[0]
        if norm is True:
            norm = BatchNorm(channels)
        if norm and not isinstance(norm, BatchNorm):
            raise LayerError(
                f"{self.where}: norm is {type(norm).__name__}; it must be True or a "
                f"toolchain.layers.BatchNorm"
            )
        self.norm = norm or None
        if self.norm is not None and self.norm.features != channels:
            raise LayerError(
                f"{self.where}: norm has {self.norm.features} features; it must have {channels}, "
                f"one for each output channel"
            )

        if granularity is None:
            granularity = "layer" if self.norm is None else "channel"
        if granularity not in ("layer", "channel"):
            raise LayerError(
                f"{self.where}: granularity is {granularity!r}; it must be layer or channel"
            )

        self.weight_bits, self.fraction_bits, self.source_fraction_bits, self.granularity = (
            weight_bits,
            fraction_bits,
            source_fraction_bits,
            granularity,
        )

    @property
    def where(self) -> str:
        """How errors call this layer."""
        return f"layer {self.layer_name!r}"

    def by_channel(self) -> torch.Tensor:
        """The weights with output channels first: [out, in / groups, *kernel], or [out, in]."""
        return self.weight

    def folded(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(weight, bias) in volts before they are quantised: with the norm, by its running
        statistics, or as they are."""
        return self.folded_weight(), self.folded_bias()

    def folded_weight(self) -> torch.Tensor:
        """The first of them alone."""
        weight = self.by_channel()
        return weight if self.norm is None else self.norm.folded_weight(weight)

    def folded_bias(self) -> torch.Tensor | None:
        """The second."""
        bias: torch.Tensor | None = self.bias
        return bias if self.norm is None else self.norm.folded_bias(bias)

    def quantised_weight(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(weights in volts as the chip has them, exponent: int64, one number or one for each
        output channel)."""
        return self._quantise(self.folded_weight())

    def _quantise(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return quantise_weight(
            self.where,
            weight,
            weight_bits=self.weight_bits,
            fraction_bits=self.fraction_bits,
            source_fraction_bits=self.source_fraction_bits,
            per_channel=self.granularity == "channel",
        )

    def quantised_bias(self) -> torch.Tensor | None:
        """The bias in volts as the chip has it."""
        bias = self.folded_bias()
        return None if bias is None else quantise_bias(self.where, bias, self.fraction_bits)

    def extra_repr(self) -> str:
        return (
            f"{super().extra_repr()}, weight_bits={self.weight_bits}, "
            f"fraction_bits={self.fraction_bits}, "
            f"source_fraction_bits={self.source_fraction_bits}, granularity={self.granularity!r}"
        )

    def _largest_source(self, x: torch.Tensor) -> int:
        """Largest magnitude of the integers that ``x`` stands for; raises GridError where it stands
        for none."""
        scale = 2.0**self.source_fraction_bits
        if not x.is_floating_point():
            x = x.to(self.weight.dtype)
        x = x.detach()

        if x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64):
            largest, broken = compiled.largest(x, scale)
        else:
            units = x.double() * scale
            broken = int((torch.round(units) != units).any()) or int((units.abs() > 1 << 24).any())
            largest = 0 if broken or not x.numel() else int(units.abs().max())

        if broken:
            units = x.double() * scale
            value = float(x[(torch.round(units) != units) | (units.abs() > 1 << 24)][0])
            raise GridError(
                f"{self.where}: it reads a value of {value!r}; with "
                f"source_fraction_bits={self.source_fraction_bits} it must be a whole "
                f"multiple of 2**-{self.source_fraction_bits} of at most 24 bits: quantise the "
                f"input, or give the source_fraction_bits of "
                "what it reads"
            )

        return int(largest)

    def _apply_weights(self, x: torch.Tensor, linear: Product) -> torch.Tensor:
        """``linear(x, weight)`` with quantised weights, exact, plus the bias. ``linear`` keeps
        leading dimensions and adds no bias."""
        if x.shape[0] > 1 and x.stride(0) == 0:
            # the same input in every step (direct encoding, an expanded tensor) is computed once
            result = self._apply_weights(x[:1], linear)
            return result.expand(x.shape[0], *result.shape[1:])

        if self.norm is not None and self.norm.batch_statistics:
            return self._normalised(x, linear, self.norm)

        largest = self._largest_source(x)
        weight, exponent = self.quantised_weight()

        with torch.autocast(x.device.type, enabled=False):
            sums = (
                weight.detach().abs().reshape(weight.shape[0], -1).sum(dim=1, dtype=torch.float64)
            )
            unit = 2.0 ** (self.fraction_bits - self.source_fraction_bits)
            bound = float(sums.max()) * unit * largest if sums.numel() else 0.0
            x = x.to(weight.dtype)
            if bound < EXACT_UNITS and self._exact_on(x.device) and not _reduced_precision():
                # NNPACK's Winograd leaves errors of up to 0.07 units
                with torch.backends.nnpack.flags(enabled=False):
                    result = linear(x, weight)
            else:
                result = self._in_double(linear(x.double(), weight.double()), bound, exponent).to(
                    torch.float64 if bound >= EXACT_UNITS else weight.dtype
                )

            if self.weight_bits > SYNAPSE_BITS:
                self._check_parts(x, linear, weight, exponent, largest)
            bias = self.quantised_bias()
            return result if bias is None else result + self._channelwise(bias)

    def _check_parts(
        self,
        x: torch.Tensor,
        linear: Product,
        weight: torch.Tensor,
        exponent: torch.Tensor,
        largest: int,
    ) -> None:
        """Refuse what one of the two synapses of each weight brings, where the chip's accumulator
        would wrap it; their sum may be smaller than either."""
        formats = (exponent, self.weight_bits, self.fraction_bits, self.source_fraction_bits)
        high = high_of(weight, *formats)
        unit = 2.0 ** (self.fraction_bits - self.source_fraction_bits)
        low = weight.detach().double() - high
        lower = exponent + SYNAPSE_BITS + 1 - self.weight_bits
        for part, own in ((high, exponent), (low, lower)):
            sums = part.abs().reshape(len(part), -1).sum(dim=1) * unit * largest
            bound = float(sums.max()) if sums.numel() else 0.0
            if bound >= EXACT_UNITS:
                with torch.no_grad():
                    self._in_double(linear(x.double(), part), bound, own)

    def _normalised(self, x: torch.Tensor, linear: Product, norm: BatchNorm) -> torch.Tensor:
        """A training step with the statistics of the batch; see toolchain.layers.norm.

        The weights are rounded where evaluation would round them, and divided by the factor again:
        what the normalisation then multiplies with is the batch's own factor.
        """
        scale = channelwise(norm.scale(), self.weight.dim())
        weight = self._quantise(self.by_channel() * scale)[0] / scale
        with torch.autocast(x.device.type, enabled=False):
            z = linear(x.to(weight.dtype), weight)
            if self.bias is not None:
                z = z + self._channelwise(self.bias)
            return round_in_place(self.with_batch_statistics(z, norm), 2.0**self.fraction_bits)

    def with_batch_statistics(self, z: torch.Tensor, norm: BatchNorm) -> torch.Tensor:
        """Weighted sums z [..., channel, *map] normalised with their own statistics, a new
        tensor."""
        if norm.per_step and self._has_time(z):
            return torch.stack([norm.normalise(self._samples(s)).reshape(s.shape) for s in z])
        return norm.normalise(self._samples(z)).reshape(z.shape)

    def _samples(self, z: torch.Tensor) -> torch.Tensor:
        """[..., channel, *map] as [sample, channel, *map]."""
        return z.reshape(-1, *z.shape[-(self.weight.dim() - 1) :])

    def _has_time(self, z: torch.Tensor) -> bool:
        """Whether the result of a call is of [time, batch, channel, *map]."""
        return z.dim() > self.weight.dim()

    def _in_double(
        self, result: torch.Tensor, bound: float, exponent: torch.Tensor
    ) -> torch.Tensor:
        """Round away what an indirect algorithm (Winograd, FFT) left; refuse what the chip's
        accumulator would wrap."""
        units = torch.round(result.detach() * 2.0**self.fraction_bits)
        largest = float(units.abs().max()) if units.numel() else 0.0
        if bound * 2.0 ** -float(exponent.min()) >= 1 << 31 or largest >= self._accumulator:
            raise CurrentRangeError(
                f"{self.where}: a weighted input of {largest:.6g} units of "
                f"2**-{self.fraction_bits} V, where {bound:.6g} are possible; the "
                f"chip's accumulator holds less than {self._accumulator}, and 2**31 before the "
                f"exponent: use smaller weights, a smaller "
                "fan-in or inputs of fewer bits"
            )
        return result + (units * 2.0**-self.fraction_bits - result.detach())


class Linear(_Synapse, nn.Linear):
    """torch.nn.Linear on the chip's weights; input [..., in_features], result [..., out_features]
    volts."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        weight_bits: int = 8,
        fraction_bits: int = 10,
        source_fraction_bits: int = 0,
        granularity: str | None = None,
        norm: BatchNorm | bool | None = None,
    ) -> None:
        bias = not norm if bias is None else bias
        super().__init__(in_features, out_features, bias=bias, device=device, dtype=dtype)
        self._set_grid(weight_bits, fraction_bits, source_fraction_bits, granularity, norm)

    _accumulator = 1 << 31

    def _exact_on(self, device: torch.device) -> bool:
        return True

    def _channelwise(self, bias: torch.Tensor) -> torch.Tensor:
        return bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., out_features] volts, whole multiples of 2**-F. Raises GridError, CurrentRangeError,
        LayerError."""
        if x.dim() == 1:
            return self._apply_weights(x.unsqueeze(0), functional.linear).squeeze(0)
        return self._apply_weights(x, functional.linear)

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> nir_nodes.Described:
        """(nir.Linear or nir.Affine, metadata); see the package's docstring."""
        return nir_nodes.linear(self, tuple(input_shape))


class Convolution(_Synapse):
    """Shared by the convolutions."""

    _accumulator = 1 << 23  # Lava wraps the result of a convolution to 24 bits

    # what nn.Conv1d and nn.Conv2d set
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"]

    def _exact_on(self, device: torch.device) -> bool:
        # PyTorch asks oneDNN for direct convolutions; cuDNN may choose Winograd or FFT
        return device.type == "cpu"

    def _channelwise(self, bias: torch.Tensor) -> torch.Tensor:
        return bias.reshape(-1, *(1,) * len(self.kernel_size))

    def _convolve(self, x: torch.Tensor, function: Callable[..., torch.Tensor]) -> torch.Tensor:
        dimensions = len(self.kernel_size) + 1
        if x.dim() < dimensions or x.shape[-dimensions] != self.in_channels:
            spatial = "height, width" if dimensions == 3 else "length"
            raise LayerError(
                f"{self.where}: its input has shape {tuple(x.shape)}; it must be [..., "
                f"{self.in_channels}, {spatial}]"
            )

        def linear(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            maps = channels_last(values.reshape(-1, *values.shape[-dimensions:]))
            result = function(
                maps, weight, None, self.stride, self.padding, self.dilation, self.groups
            )
            return result.reshape(*values.shape[:-dimensions], *result.shape[1:])

        return (
            self._apply_weights(x, linear)
            if x.dim() > dimensions
            else self._apply_weights(x.unsqueeze(0), linear).squeeze(0)
        )


class _Direct(Convolution):
    """Shared by Conv1d and Conv2d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool | None = None,
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
        bias = not norm if bias is None else bias
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )
        self._set_grid(weight_bits, fraction_bits, source_fraction_bits, granularity, norm)
        self._check()

    def _check(self) -> None:
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            raise LayerError(
                f"{self.where}: padding {self.padding!r} with mode {self.padding_mode!r}; it "
                f"must be numbers, and zeros"
            )

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> nir_nodes.Described:
        """(nir.Conv1d or nir.Conv2d, metadata); see the package's docstring."""
        return nir_nodes.convolution(self, tuple(input_shape))


class Conv1d(_Direct, nn.Conv1d):
    """torch.nn.Conv1d on the chip's weights; input [..., in_channels, length] with any leading
    dimensions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., out_channels, length] volts, whole multiples of 2**-F. Raises GridError,
        CurrentRangeError, LayerError."""
        return self._convolve(x, functional.conv1d)


class Conv2d(_Direct, nn.Conv2d):
    """torch.nn.Conv2d on the chip's weights; input [..., in_channels, height, width] with any
    leading dimensions."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., out_channels, height, width] volts, whole multiples of 2**-F. Raises GridError,
        CurrentRangeError, LayerError."""
        return self._convolve(x, functional.conv2d)
