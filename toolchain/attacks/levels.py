"""Encoders about other encoders: what happens to the grey levels of an image before, or to the
values after."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from toolchain.attacks.encoding import Around, Direct, Encoder, Poisson, straight_through


@dataclass(frozen=True)
class Signed(Around):
    """2 * level - 1 for the levels of a direct encoder: grey levels from -1 to 1, as
    toolchain.data's "direct_signed"."""

    @property
    def fraction_bits(self) -> int:
        """Of the values, whose unit is twice that of the levels."""
        return max(self.encoder.fraction_bits - 1, 0)

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        return 2 * self.encoder(images, seed) - 1


@dataclass(frozen=True)
class Scaled(Around):
    """The values of an encoder times a power of two, ``scale``: the same integers, which mean
    more."""

    scale: float

    @property
    def fraction_bits(self) -> int:
        """Of the scaled values."""
        return self.encoder.fraction_bits - (math.frexp(self.scale)[1] - 1)

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        return self.scale * self.encoder(images, seed)


@dataclass(frozen=True)
class Prequantised(Around):
    """Only ``kept_bits`` of an image's ``bits`` bits reach the encoder; the others are cut off.
    Backward: the identity.

    largest   what the encoder gets for the largest level, where that is not 1 - 2**-kept_bits
    """

    bits: int
    kept_bits: int
    largest: float | None = None

    def __call__(self, images: torch.Tensor, seed: int = 0) -> torch.Tensor:
        read = torch.round(images.detach() * 2.0**self.bits)
        levels = torch.floor(read * 2.0 ** (self.kept_bits - self.bits)) * 2.0**-self.kept_bits
        if self.largest is not None:
            levels = levels * (self.largest / (1 - 2.0**-self.kept_bits))
        return self.encoder(straight_through(images, levels), seed)


def direct(steps: int, signed: bool, message_bits: int, fraction_bits: int, bits: int) -> Encoder:
    """The encoder of "direct" and "direct_signed". message_bits, fraction_bits: formats of the
    unsigned levels. bits: the image's; 0: as many as the levels have."""
    if bits and not fraction_bits:  # one bit is left, and stands for full intensity
        encoder: Encoder = Prequantised(Direct(steps, message_bits, 0), bits, 1, 1.0)
    else:
        encoder = Direct(steps, message_bits, fraction_bits, max(0, bits - fraction_bits))
    return Signed(encoder) if signed else encoder


def poisson(steps: int, signed: bool, rate: float, bits: int, kept_bits: int | None) -> Encoder:
    """The encoder of "poisson" and "poisson_signed", with pre-quantisation where ``kept_bits`` says
    so."""
    encoder = Poisson(steps, signed=signed, rate=rate)
    return (
        encoder
        if kept_bits is None or kept_bits >= bits
        else Prequantised(encoder, bits, kept_bits)
    )
