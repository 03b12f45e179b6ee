"""Layers that choose and move elements: nearest upsampling, zero padding, crops, pixel shuffle,
concatenation.

They cost nothing on a chip: lowering multiplies them into the weights that follow, or that come
before them (export.rearranging).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional

from toolchain.errors import LayerError
from toolchain.layers import nir_nodes
from toolchain.layers.shaping import Size, over_maps, pair

Part: TypeAlias = slice | Sequence[int] | None
"""A part of an axis: a slice, (start, stop), (start, stop, step), or None for all of it."""


class _Moving(nn.Module):
    """Maps [..., channels, height, width] whose elements are those of the input, or zeros."""

    @property
    def kind(self) -> str:
        """Name of the class, for messages."""
        return type(self).__name__

    @property
    def told(self) -> str:
        """What it does, for the audit."""
        raise NotImplementedError

    def move(self, maps: torch.Tensor) -> torch.Tensor:
        """What it makes of [n, channels, height, width]."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., channels, height, width]. Raises LayerError where the input does not fit."""
        moved = over_maps(self.kind, x, self.move)
        if not moved.numel() and x.numel():
            raise LayerError(
                f"layer {self.kind!r}: nothing is left of an input of shape {tuple(x.shape[-3:])}"
            )
        return moved

    def nir_parts(self, input_shape: Sequence[int], dt: float = 1.0) -> dict[str, Any]:
        """Small convolutions of zeros and ones; see the package's docstring."""
        shape = tuple(input_shape)
        numbers = torch.arange(1, 1 + torch.Size(shape).numel(), dtype=torch.float64)
        index = self(numbers.reshape(shape)).long().numpy() - 1
        return nir_nodes.chosen(index, shape, self.told)


class Upsample(_Moving):
    """Every value repeated, ``scale_factor`` times along height and width (nearest
    neighbours)."""

    def __init__(self, scale_factor: Size) -> None:
        super().__init__()
        self.scale_factor = pair("layer 'Upsample'", "scale_factor", scale_factor, 1)

    def extra_repr(self) -> str:
        return f"scale_factor={self.scale_factor}"

    @property
    def told(self) -> str:
        return f"nearest upsampling by {self.scale_factor}"

    def move(self, maps: torch.Tensor) -> torch.Tensor:
        height, width = self.scale_factor
        return maps.repeat_interleave(height, -2).repeat_interleave(width, -1)


class ZeroPad2d(_Moving):
    """Zeros around maps; ``padding``: one number for all sides, or (left, right, top, bottom)."""

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        if len(sides) != 4 or any(
            isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in sides
        ):
            raise LayerError(
                f"layer 'ZeroPad2d': padding is {padding!r}; it must be a whole number from 0, or "
                f"four of them: left, right, top, bottom"
            )
        self.padding = sides

    def extra_repr(self) -> str:
        return f"padding={self.padding}"

    @property
    def told(self) -> str:
        return f"zeros around it, {self.padding} (left, right, top, bottom)"

    def move(self, maps: torch.Tensor) -> torch.Tensor:
        return functional.pad(maps, self.padding)


class Crop(_Moving):
    """A part of channels, height and width; each a slice, (start, stop), (start, stop, step), or
    None for all. Numbers below 0 count from the end."""

    def __init__(self, channels: Part = None, height: Part = None, width: Part = None) -> None:
        super().__init__()
        self.parts = tuple(
            _slice(name, part)
            for name, part in (("channels", channels), ("height", height), ("width", width))
        )

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={part}" for name, part in zip(("channels", "height", "width"), self.parts)
        )

    @property
    def told(self) -> str:
        kept = (f"{p.start}:{p.stop}:{p.step}".replace("None", "") for p in self.parts)
        return f"a crop to [{', '.join(kept)}]"

    def move(self, maps: torch.Tensor) -> torch.Tensor:
        return maps[(slice(None), *self.parts)]


def _slice(name: str, part: Part) -> slice:
    bounds = part if isinstance(part, slice) else slice(*(part or (None,)))
    numbers = (bounds.start, bounds.stop, bounds.step)
    whole = all(n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in numbers)
    if not whole or (bounds.step is not None and bounds.step < 1):
        raise LayerError(
            f"layer 'Crop': {name} is {part!r}; it must be a slice of whole numbers with a step of "
            f"at least 1, (start, stop) or None"
        )
    return bounds


class PixelShuffle(_Moving):
    """torch.nn.PixelShuffle: [..., c * r * r, height, width] → [..., c, height * r, width * r] for
    ``upscale_factor`` r."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        if (
            isinstance(upscale_factor, bool)
            or not isinstance(upscale_factor, int)
            or upscale_factor < 1
        ):
            raise LayerError(
                f"layer 'PixelShuffle': upscale_factor is {upscale_factor!r}; it must be a whole "
                f"number from 1"
            )
        self.upscale_factor = upscale_factor

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"

    @property
    def told(self) -> str:
        return f"pixels shuffled out of channels, {self.upscale_factor} by {self.upscale_factor}"

    def move(self, maps: torch.Tensor) -> torch.Tensor:
        if maps.shape[1] % self.upscale_factor**2:
            raise LayerError(
                f"layer 'PixelShuffle': its input has {maps.shape[1]} channels; they must be a "
                f"multiple of {self.upscale_factor**2}"
            )
        return functional.pixel_shuffle(maps, self.upscale_factor)


class Concat(nn.Module):
    """Several inputs side by side: along channels, or features. A ``Network`` gives it all that its
    ``inputs`` name, in that order; called by itself, it takes them as arguments.

    It is no node of a graph: what reads it has a projection from each of its inputs.
    """

    temporal = True
    several = True

    def forward(self, *inputs: torch.Tensor, sequence: bool = False) -> torch.Tensor:
        """[batch, channels, ...], with ``sequence`` [time, batch, channels, ...]. Raises LayerError
        where the inputs do not fit together."""
        lead = 2 if sequence else 1
        shapes = {(*x.shape[:lead], *x.shape[lead + 1 :]) for x in inputs}
        if len(shapes) != 1 or any(x.dim() <= lead for x in inputs):
            listed = " and ".join(str(tuple(x.shape)) for x in inputs) or "none"
            raise LayerError(
                f"layer 'Concat': its inputs have shapes {listed}; they must differ in dimension "
                f"{lead}, the channels, alone"
            )
        return torch.cat(inputs, dim=lead)
