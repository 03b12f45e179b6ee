"""PyTorch's layers by class and function: weights, batch normalisation, pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import nir
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from export.errors import UnsupportedError
from export.frameworks.leaves import GraphPart, Leaf, Shape, array
from export.frameworks.moved import Maximum, Selection, Windows, in_a_row, numbers
from export.rearranging import spread
from export.windows import Geometry, adaptive, averages


@dataclass
class WeightLeaf(Leaf):
    """nn.Linear, the convolutions and transposed convolutions of 1 and 2 dimensions. ``weight`` and
    ``bias`` are copies, into which factors and normalisations are folded; ``weight`` [out, in /
    groups, *kernel] as a convolution has it, also of a transposed one."""

    module: nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d
    weight: np.ndarray = field(init=False)
    bias: np.ndarray | None = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        module = self.module
        self.weight = array(self.label, "weight", module.weight)
        if isinstance(module, TRANSPOSED):
            self.weight = turned(self.weight, module.groups)
        self.bias = None if module.bias is None else array(self.label, "bias", module.bias)
        if not isinstance(module, nn.Linear) and module.padding_mode != "zeros":
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
        if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
            return _transposed(module, given.double(), weight, bias)
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

    def part(self, dt: float) -> GraphPart:
        module = self.module
        if isinstance(module, nn.Linear):
            node = (
                nir.Linear(weight=self.weight)
                if self.bias is None
                else nir.Affine(weight=self.weight, bias=self.bias)
            )
            return GraphPart.single(self.name, node)

        bias = np.zeros(self.weight.shape[0], self.weight.dtype) if self.bias is None else self.bias
        if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d)):
            return self._transposed_part(module, bias)

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
        return GraphPart.single(self.name, node)

    def _transposed_part(
        self, module: nn.ConvTranspose1d | nn.ConvTranspose2d, bias: np.ndarray
    ) -> GraphPart:
        """A transposed convolution as zeros between the inputs, and a convolution."""
        assert self.output_shape is not None, "a layer that was called has both shapes"
        row, node = spread(
            self.given_shape,
            self.output_shape,
            self.weight,
            bias,
            module.stride,
            numbers(module.padding, len(module.kernel_size)),
            module.dilation,
            module.groups,
        )
        entry = {"moves": "zeros between the inputs of a transposed convolution"}
        before = {f"{self.name}.{n}": (part, dict(entry)) for n, part in row.nodes}
        return in_a_row({**before, self.name: (node, {})})


TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d)


def _transposed(
    module: nn.ConvTranspose1d | nn.ConvTranspose2d,
    given: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
) -> torch.Tensor:
    one = isinstance(module, nn.ConvTranspose1d)
    convolve = functional.conv_transpose1d if one else functional.conv_transpose2d
    back = torch.from_numpy(turned_back(weight.cpu().numpy(), module.groups)).to(given.device)
    geometry: dict[str, Any] = {
        "stride": module.stride,
        "padding": module.padding,
        "output_padding": module.output_padding,
        "groups": module.groups,
        "dilation": module.dilation,
    }
    return convolve(given, back, bias, **geometry)


MOST_FEATURES = 2048
"""Most features that a normalisation of its own may have: NIR writes it as a square matrix."""


def turned(weight: np.ndarray, groups: int) -> np.ndarray:
    """[in, out / groups, *kernel], a transposed convolution's weights in PyTorch, as [out, in /
    groups, *kernel]."""
    inputs, outputs, *kernel = weight.shape
    apart = weight.reshape(groups, inputs // groups, outputs, *kernel)
    return np.ascontiguousarray(apart.swapaxes(1, 2)).reshape(
        groups * outputs, inputs // groups, *kernel
    )


def turned_back(weight: np.ndarray, groups: int) -> np.ndarray:
    """What ``turned`` was given."""
    outputs, inputs, *kernel = weight.shape
    apart = weight.reshape(groups, outputs // groups, inputs, *kernel)
    return np.ascontiguousarray(apart.swapaxes(1, 2)).reshape(
        groups * inputs, outputs // groups, *kernel
    )


@dataclass
class Normalisation(Leaf):
    """nn.BatchNorm1d, nn.BatchNorm2d with running statistics: a factor and an offset for each
    channel, folded into the layer before where there is one, else a layer of its own."""

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

    def part(self, dt: float) -> GraphPart:
        factor, offset = (a.astype(np.float32) for a in self.factors())
        channels, *size = self.given_shape
        if not size:
            if channels > MOST_FEATURES:
                raise UnsupportedError(
                    f"{self.label}: {channels} features, and no layer of weights directly before "
                    f"it to fold it into; there must be at most {MOST_FEATURES}"
                )
            return GraphPart.single(self.name, nir.Affine(weight=np.diag(factor), bias=offset))
        weight = factor.reshape(-1, 1, *(1 for _ in size))
        if len(size) == 1:
            node = nir.Conv1d(size[0], weight, 1, 0, 1, channels, offset)
        else:
            node = nir.Conv2d(tuple(size), weight, (1, 1), (0, 0), (1, 1), channels, offset)
        return GraphPart.single(self.name, node)

    def compute(self, given: torch.Tensor) -> torch.Tensor:
        factor, offset = (
            torch.from_numpy(a).to(given.device).reshape(1, -1, *(1,) * (given.dim() - 2))
            for a in self.factors()
        )
        return given.double() * factor + offset


@dataclass
class PoolLeaf(Leaf):
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

    @property
    def what(self) -> tuple[object, ...]:
        """What tells it from others of its name."""
        return self.input_shape, self.kernel, self.stride, self.padding

    def part(self, dt: float) -> GraphPart:
        if len(self.kernel) == 2:
            kernel, stride, padding = (
                np.array(v) for v in (self.kernel, self.stride, self.padding)
            )
            return GraphPart.single(
                self.name, nir.AvgPool2d(kernel_size=kernel, stride=stride, padding=padding)
            )
        # NIR has no average pooling over one dimension; it is a convolution of every channel with
        # itself
        channels, length = self.given_shape
        weight = np.full((channels, 1, *self.kernel), 1.0 / self.kernel[0])
        node = nir.Conv1d(
            length, weight, self.stride[0], self.padding[0], 1, channels, np.zeros(channels)
        )
        return GraphPart.single(self.name, node)


Derived: TypeAlias = Selection | Windows | Maximum | PoolLeaf
"""What an operation without a module of its own may be."""


def pool_leaf(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    where: str,
    source: torch.Tensor,
    result: torch.Tensor,
) -> tuple[PoolLeaf | Windows, float]:
    """What a call of an average pooling function amounts to, and the factor on its result. Raises
    UnsupportedError."""
    dims = 1 if name.endswith("1d") else 2
    pool = PoolLeaf(where, None, where or name)
    if source.dim() != dims + 2:
        raise UnsupportedError(
            f"{pool.label}: its input has shape {tuple(source.shape)}; it must be [batch, "
            f"channels, {dims} spatial dimensions]"
        )

    size, out, factor = tuple(source.shape[2:]), tuple(result.shape[2:]), 1.0
    if name.startswith("adaptive"):
        kernel = stride = tuple(n // o for n, o in zip(size, out))
        padding = (0,) * dims
        matrices = adaptive(size, out)
        even = not any(n % o for n, o in zip(size, out))
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
        options = {**dict(zip(names, args)), **kwargs}
        kernel = numbers(options["kernel_size"], dims)
        step = options.get("stride")
        stride = kernel if step is None or step == () else numbers(step, dims)
        padding = numbers(options.get("padding", 0), dims)

        divisor, ceil = options.get("divisor_override"), bool(options.get("ceil_mode", False))
        count_padding = bool(options.get("count_include_pad", True))
        geometry = Geometry(kernel, stride, padding, (1,) * dims, ceil)

        if divisor:  # every window is divided by the same number
            factor = float(np.prod(kernel)) / divisor
            matrices = [
                np.where(m > 0, 1.0 / k, 0.0)
                for m, k in zip(averages(geometry, size, True), kernel)
            ]
        else:
            matrices = averages(geometry, size, count_padding)

        whole = replace(geometry, ceil=False).counts(size) == geometry.counts(size)
        even = whole and (count_padding or bool(divisor) or not any(padding))

    leaf: PoolLeaf | Windows = Windows(where, None, where or name, matrices=matrices)
    if even:
        leaf = replace(pool, kernel=kernel, stride=stride, padding=padding)
    leaf.input_shape, leaf.output_shape = tuple(source.shape[1:]), tuple(result.shape[1:])

    _check_pool(leaf, matrices, factor, source, result)
    return leaf, factor


def _check_pool(
    leaf: PoolLeaf | Windows,
    matrices: list[np.ndarray],
    factor: float,
    source: torch.Tensor,
    result: torch.Tensor,
) -> None:
    """The matrices must give what the function gave. Raises UnsupportedError."""
    expected = source.detach().double()
    for axis, matrix in enumerate(matrices, 2):
        along = torch.from_numpy(matrix).to(expected.device)
        expected = (expected.movedim(axis, -1) @ along.T).movedim(-1, axis)
    if expected.shape != result.shape or not torch.allclose(
        expected * factor, result.double(), rtol=1e-4, atol=1e-5
    ):
        raise UnsupportedError(
            f"{leaf.label}: its result is not the average of its windows; it must be what "
            f"PyTorch's own functions compute"
        )


def maximum_leaf(
    name: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    where: str,
    source: torch.Tensor,
    result: torch.Tensor,
) -> Maximum:
    """What a call of a max pooling function amounts to. Raises UnsupportedError."""
    dims = 1 if "1d" in name else 2
    leaf = Maximum(where, None, where or name)
    if source.dim() != dims + 2:
        raise UnsupportedError(
            f"{leaf.label}: its input has shape {tuple(source.shape)}; it must be [batch, "
            f"channels, {dims} spatial dimensions]"
        )

    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode")
    options = {**dict(zip(names, args)), **kwargs}
    kernel = numbers(options["kernel_size"], dims)
    stride = options.get("stride")
    geometry = Geometry(
        kernel,
        kernel if stride in (None, (), []) else numbers(stride, dims),
        numbers(options.get("padding", 0), dims),
        numbers(options.get("dilation", 1), dims),
        bool(options.get("ceil_mode", False)),
    )

    leaf = replace(leaf, geometry=geometry)
    leaf.input_shape, leaf.output_shape = tuple(source.shape[1:]), tuple(result.shape[1:])
    if geometry.counts(tuple(source.shape[2:])) != tuple(result.shape[2:]):
        raise UnsupportedError(
            f"{leaf.label}: gives shape {tuple(result.shape)} of {tuple(source.shape)}; it "
            f"must be what PyTorch's own functions compute"
        )
    return leaf
