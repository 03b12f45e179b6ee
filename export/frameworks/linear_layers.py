"""PyTorch's linear layers: weights, batch normalisation, average pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import nir
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from export.errors import UnsupportedError
from export.frameworks.leaves import Leaf, Part, Shape, array


@dataclass
class Weights(Leaf):
    """nn.Linear, nn.Conv1d, nn.Conv2d. ``weight`` and ``bias`` are copies, into which factors and
    normalisations are folded."""

    module: nn.Linear | nn.Conv1d | nn.Conv2d
    weight: np.ndarray = field(init=False)
    bias: np.ndarray | None = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        module = self.module
        self.weight = array(self.label, "weight", module.weight)
        self.bias = None if module.bias is None else array(self.label, "bias", module.bias)
        if isinstance(module, (nn.Conv1d, nn.Conv2d)) and module.padding_mode != "zeros":
            raise UnsupportedError(
                f"{self.label}: padding_mode is {module.padding_mode!r}; it must be 'zeros'"
            )

    def see_shapes(self, shape: Shape) -> None:
        if isinstance(self.module, nn.Linear):
            if any(n != 1 for n in shape[:-1]):
                raise UnsupportedError(
                    f"{self.label}: its input has shape {shape}; it must be ({shape[-1]},): put a "
                    f"Flatten in front"
                )
            shape = shape[-1:]
        elif len(shape) != self.weight.ndim - 1:
            raise UnsupportedError(
                f"{self.label}: its input has shape {shape}, without batch; there must be "
                f"{self.weight.ndim - 1} dimensions"
            )
        super().see_shapes(shape)

    def see_output(self, shape: Shape) -> None:
        super().see_output(shape[-1:] if isinstance(self.module, nn.Linear) else shape)

    def compute(self, given: torch.Tensor) -> torch.Tensor:
        module, bias = self.module, None
        weight = torch.from_numpy(self.weight).to(given.device, torch.float64)
        if self.bias is not None:
            bias = torch.from_numpy(self.bias).to(given.device, torch.float64)
        if isinstance(module, nn.Linear):
            return functional.linear(given.double(), weight, bias)
        convolve = functional.conv1d if isinstance(module, nn.Conv1d) else functional.conv2d
        return convolve(
            given.double(),
            weight,
            bias,
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
        )

    def scale(self, factor: float | np.ndarray, offset: np.ndarray | None = None) -> None:
        """Output times ``factor`` (one number, or one for each output channel) plus ``offset``."""
        kind = self.weight.dtype
        column = np.reshape(factor, (-1,) + (1,) * (self.weight.ndim - 1))
        self.weight = (self.weight.astype(np.float64) * column).astype(kind)
        if self.bias is not None or offset is not None:
            bias = (
                np.zeros(self.weight.shape[0])
                if self.bias is None
                else self.bias.astype(np.float64)
            )
            self.bias = (bias * factor + (0.0 if offset is None else offset)).astype(kind)

    def scale_input(self, factor: float) -> None:
        """Input times ``factor``."""
        self.weight = (self.weight.astype(np.float64) * factor).astype(self.weight.dtype)

    def part(self, dt: float) -> Part:
        module = self.module
        if isinstance(module, nn.Linear):
            node = (
                nir.Linear(weight=self.weight)
                if self.bias is None
                else nir.Affine(weight=self.weight, bias=self.bias)
            )
            return Part.single(self.name, node)
        bias = np.zeros(self.weight.shape[0], self.weight.dtype) if self.bias is None else self.bias
        common: dict[str, Any] = {"weight": self.weight, "groups": module.groups, "bias": bias}
        if isinstance(module, nn.Conv1d):
            padding = module.padding if isinstance(module.padding, str) else module.padding[0]
            node = nir.Conv1d(
                self.given_shape[1],
                stride=module.stride[0],
                padding=padding,
                dilation=module.dilation[0],
                **common,
            )
        else:
            node = nir.Conv2d(
                self.given_shape[1:],
                stride=module.stride,
                padding=module.padding,
                dilation=module.dilation,
                **common,
            )
        return Part.single(self.name, node)


@dataclass
class Normalisation(Leaf):
    """nn.BatchNorm1d, nn.BatchNorm2d with running statistics: a factor and an offset for each
    channel, folded into the layer before."""

    module: nn.BatchNorm1d | nn.BatchNorm2d

    @property
    def structural(self) -> bool:
        return True

    def accept(self, layout: str | None, kwargs: Mapping[str, Any]) -> None:
        if self.module.running_mean is None:
            raise UnsupportedError(
                f"{self.label}: it has no running statistics, so its output depends on the batch; "
                f"it must have track_running_stats=True"
            )
        if layout is not None and "*" not in layout:
            raise UnsupportedError(
                f"{self.label}: its input holds all time steps in a dimension of its own, which it "
                f"takes for channels; "
                "merge time and batch first"
            )

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """(factor, offset) for each channel, float64."""
        module = self.module
        mean, variance = (
            array(self.label, n, getattr(module, n)).astype(np.float64)
            for n in ("running_mean", "running_var")
        )
        factor: np.ndarray = 1.0 / np.sqrt(variance + module.eps)
        if module.weight is not None:
            factor = factor * array(self.label, "weight", module.weight)
        offset = -mean * factor
        if module.bias is not None:
            offset = offset + array(self.label, "bias", module.bias)
        return factor, offset

    def compute(self, given: torch.Tensor) -> torch.Tensor:
        factor, offset = (
            torch.from_numpy(a).to(given.device).reshape(1, -1, *(1,) * (given.dim() - 2))
            for a in self.factors()
        )
        return given.double() * factor + offset


@dataclass
class Pool(Leaf):
    """Average pooling over 1 or 2 dimensions."""

    kernel: Shape = ()
    stride: Shape = ()
    padding: Shape = ()

    @property
    def structural(self) -> bool:
        return True

    @property
    def label(self) -> str:
        return f"average pooling {self.path or 'of the model'!r}"

    def part(self, dt: float) -> Part:
        if len(self.kernel) == 2:
            kernel, stride, padding = (
                np.array(v) for v in (self.kernel, self.stride, self.padding)
            )
            return Part.single(
                self.name, nir.AvgPool2d(kernel_size=kernel, stride=stride, padding=padding)
            )
        # NIR has no average pooling over one dimension; it is a convolution of every channel with
        # itself
        channels, length = self.given_shape
        weight = np.full((channels, 1, *self.kernel), 1.0 / self.kernel[0])
        node = nir.Conv1d(
            length, weight, self.stride[0], self.padding[0], 1, channels, np.zeros(channels)
        )
        return Part.single(self.name, node)


def _numbers(value: Any, count: int) -> Shape:
    """One number for every dimension, or one for each, as PyTorch takes it."""
    return (
        tuple(int(n) for n in value) if isinstance(value, (tuple, list)) else (int(value),) * count
    )


def pool_leaf(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    where: str,
    source: torch.Tensor,
    result: torch.Tensor,
) -> tuple[Pool, float]:
    """The Pool that a call of an average pooling function amounts to, and the factor on its result.
    Raises UnsupportedError."""
    dims = 1 if name.endswith("1d") else 2
    pool = Pool(where, None, where or name)
    if source.dim() != dims + 2:
        raise UnsupportedError(
            f"{pool.label}: its input has shape {tuple(source.shape)}; it must be [batch, "
            f"channels, {dims} spatial dimensions]"
        )
    spatial, factor = tuple(source.shape[2:]), 1.0
    if name.startswith("adaptive"):
        out = tuple(result.shape[2:])
        if any(n % o for n, o in zip(spatial, out)):
            raise UnsupportedError(
                f"{pool.label}: {spatial} cannot be divided into {out} equal windows; the sizes "
                f"must divide the input's"
            )
        kernel = stride = tuple(n // o for n, o in zip(spatial, out))
        padding = (0,) * dims
    else:
        names = (
            "input",
            "kernel_size",
            "stride",
            "padding",
            "ceil_mode",
            "count_include_pad",
            "divisor_override",
        )
        given = {**dict(zip(names, args)), **kwargs}
        kernel = _numbers(given["kernel_size"], dims)
        step = given.get("stride")
        stride = kernel if step is None or step == () else _numbers(step, dims)
        padding = _numbers(given.get("padding", 0), dims)
        if any(padding) and not given.get("count_include_pad", True):
            raise UnsupportedError(
                f"{pool.label}: count_include_pad=False with padding {padding}; it must be "
                f"count_include_pad=True"
            )
        if given.get("divisor_override"):
            factor = float(np.prod(kernel)) / given["divisor_override"]
    plain = functional.avg_pool1d if dims == 1 else functional.avg_pool2d
    expected = plain(source, kernel, stride, padding) * factor
    if expected.shape != result.shape or not torch.allclose(expected, result, rtol=1e-4, atol=1e-6):
        raise UnsupportedError(
            f"{pool.label}: incomplete windows at the border (ceil_mode=True); it must be "
            f"ceil_mode=False"
        )
    pool = replace(
        pool,
        kernel=kernel,
        stride=stride,
        padding=padding,
        input_shape=tuple(source.shape[1:]),
        output_shape=tuple(result.shape[1:]),
    )
    return pool, factor
