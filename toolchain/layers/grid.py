"""Where float parameters meet the chip's number formats: rounding forward, straight through
backward.

Formats (source: fixed-point models of lava-nc 0.10.0): weights of b bits with mixed signs are
multiples of 2**(9 - b) in [-256, 256 - 2**(9 - b)] with an exponent of 0 to 7; weights of 9 to 16
bits are the same, carried by two synapses (export.quantize.Weights.parts), with an exponent of at
least b - 9, at which their step is a whole one; decays are 12-bit; a threshold is a 17-bit
mantissa; a bias is a 13-bit signed mantissa with an exponent of at most 7 in units of the state,
2**-(F + 6) volts.
"""

from __future__ import annotations

from typing import Any

import torch

from hardware.arithmetic import DECAY_UNITY, SYNAPSE_BITS, high_part
from hardware.lif import LIF
from toolchain.errors import LayerError
from toolchain.layers import compiled
from toolchain.layers.memory import line

MAX_EXPONENT = 7
MAX_FRACTION_BITS = 17
MAX_THRESHOLD = LIF["threshold"].high
MAX_BIAS, MIN_BIAS = LIF["bias"].high, LIF["bias"].low
MAX_CONSTANT = 32512
"""Most units of 2**-F that a source which fires in every step sends through two 8-bit synapses, of
exponents 0 and 7 (export.quantize.split_constant)."""


class _RoundTo(torch.autograd.Function):
    """``round(x * scale) / scale`` for powers of two, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: float | torch.Tensor) -> torch.Tensor:
        return torch.round(x * scale).div_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def round_to(x: torch.Tensor, scale: float | torch.Tensor) -> torch.Tensor:
    """``x`` rounded to whole multiples of 1 / scale (powers of two, a tensor of them broadcasts),
    with the gradient of the identity."""
    rounded: torch.Tensor = _RoundTo.apply(x, scale)  # type: ignore[no-untyped-call]  # torch's
    return rounded


class _RoundInPlace(torch.autograd.Function):
    """As ``_RoundTo``, in the memory of ``x``."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: float) -> torch.Tensor:
        ctx.mark_dirty(x)
        in_a_row = line(x.detach()) if x.device.type == "cpu" else None
        if in_a_row is not None:
            compiled.round_in_place(in_a_row, scale)
            return x
        return x.mul_(scale).round_().div_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradient, None


def round_in_place(x: torch.Tensor, scale: float) -> torch.Tensor:
    """``round_to`` in the memory of ``x``, which must be no leaf and which nothing else needs."""
    rounded: torch.Tensor = _RoundInPlace.apply(x, scale)  # type: ignore[no-untyped-call]  # same
    return rounded


def check_bits(
    where: str, weight_bits: int, fraction_bits: int, source_fraction_bits: int = 0
) -> None:
    """Refuse numbers of bits that no chip format has."""
    for name, value, low, high in (
        ("weight_bits", weight_bits, 2, 2 * SYNAPSE_BITS),
        ("fraction_bits", fraction_bits, 0, MAX_FRACTION_BITS),
        ("source_fraction_bits", source_fraction_bits, 0, 24),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise LayerError(
                f"{where}: {name} is {value!r}; it must be a whole number from {low} to {high}"
            )


def weight_exponent(
    where: str,
    weight: torch.Tensor,
    weight_bits: int,
    fraction_bits: int,
    source_fraction_bits: int,
    per_channel: bool,
) -> torch.Tensor:
    """The smallest exponent, 0 (of more than 9 bits: ``weight_bits - 9``) to 7, that clips no
    weight: int64, one number, or one for each output channel (first dimension).

    Raises LayerError for weights that are not finite or too large for every exponent.
    """
    half = 1 << (weight_bits - 1)
    smallest = max(weight_bits - SYNAPSE_BITS - 1, 0)
    rows = weight.detach().reshape(weight.shape[0] if per_channel else 1, -1)
    if rows.shape[1] == 0:
        return torch.full(
            (rows.shape[0],) if per_channel else (),
            smallest,
            dtype=torch.int64,
            device=weight.device,
        )

    # a row fits where its two ends do; all exponents are tried at once
    lowest, highest = torch.aminmax(rows, dim=1)
    steps = torch.stack([lowest, highest], 1).double() * 2.0 ** (
        fraction_bits - source_fraction_bits - (9 - weight_bits)
    )
    scaled = torch.round(
        steps[:, None, :]
        * 2.0
        ** -torch.arange(smallest, MAX_EXPONENT + 1, device=weight.device, dtype=torch.float64)[
            None, :, None
        ]
    )

    fits = (scaled[..., 0] >= -half) & (scaled[..., 1] <= half - 1)
    if not bool(fits[:, -1].all()):
        if not bool(torch.isfinite(weight).all()):
            raise LayerError(f"{where}: NaN or infinite weights")
        largest = 2.0 ** (MAX_EXPONENT + 8 - fraction_bits + source_fraction_bits)
        raise LayerError(
            f"{where}: a weight of {float(weight.detach().abs().max()):.6g} V; {weight_bits} bits "
            f"with fraction_bits={fraction_bits} "
            f"and source_fraction_bits={source_fraction_bits} hold less than {largest:.6g} V: use "
            f"fewer fraction_bits"
        )

    # argmax gives the first that fits
    exponent = fits.to(torch.int64).argmax(dim=1) + smallest
    return exponent if per_channel else exponent[0]


def quantise_weight(
    where: str,
    weight: torch.Tensor,
    *,
    weight_bits: int,
    fraction_bits: int,
    source_fraction_bits: int,
    per_channel: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(weights in volts on the chip's grid, exponent as from ``weight_exponent``); the gradient
    passes straight through.

    Nothing is clipped: the exponent is large enough for the largest weight, so the straight-through
    gradient needs no mask.
    """
    if weight.dtype not in (torch.float32, torch.float64):
        raise LayerError(
            f"{where}: weights are {weight.dtype}; they must be float32 or float64, because the "
            f"grid must be exact"
        )
    exponent = weight_exponent(
        where, weight, weight_bits, fraction_bits, source_fraction_bits, per_channel
    )
    scale = 2.0 ** (
        fraction_bits - source_fraction_bits - (9 - weight_bits) - exponent.to(weight.dtype)
    )
    if per_channel:
        scale = scale.reshape((-1,) + (1,) * (weight.dim() - 1))
    return round_to(weight, scale), exponent


def mantissas(
    quantised: torch.Tensor, exponent: torch.Tensor, fraction_bits: int, source_fraction_bits: int
) -> torch.Tensor:
    """Integer mantissas of weights of up to 8 bits that ``quantise_weight`` returned, int64."""
    exponent = (
        exponent.reshape((-1,) + (1,) * (quantised.dim() - 1)) if exponent.dim() else exponent
    )
    return torch.round(
        quantised.detach().double()
        * 2.0 ** (fraction_bits - source_fraction_bits - exponent.double())
    ).to(torch.int64)


def high_of(
    quantised: torch.Tensor,
    exponent: torch.Tensor,
    weight_bits: int,
    fraction_bits: int,
    source_fraction_bits: int,
) -> torch.Tensor:
    """Of weights of more than 8 bits that ``quantise_weight`` returned: what the first of their two
    synapses carries, in volts, float64; the second carries the rest, 0 to 255 steps."""
    if exponent.dim():
        exponent = exponent.reshape((-1,) + (1,) * (quantised.dim() - 1))
    step = 2.0 ** (
        exponent.double() + SYNAPSE_BITS + 1 - weight_bits - fraction_bits + source_fraction_bits
    )
    steps = torch.round(quantised.detach().double() / step).to(torch.int64)
    high: torch.Tensor = high_part(steps)
    return (high << SYNAPSE_BITS).double() * step


def quantise_bias(where: str, bias: torch.Tensor, fraction_bits: int) -> torch.Tensor:
    """A bias in volts as whole multiples of 2**-F, or of 2**(1 - F) where 13 bits do not reach.

    Beyond 14 bits it is what a source that fires in every step sends through two synapses, whole
    multiples of 2**-F again, up to MAX_CONSTANT of them; raises LayerError beyond that.
    """
    units = bias.detach().double() * 2.0**fraction_bits
    for coarser in (0, 1):
        rounded = torch.round(units * 0.5**coarser)
        if bool(((rounded >= MIN_BIAS) & (rounded <= MAX_BIAS)).all()):
            return round_to(bias, 2.0 ** (fraction_bits - coarser))
    if bool((torch.round(units).abs() <= MAX_CONSTANT).all()):
        return round_to(bias, 2.0**fraction_bits)
    if not bool(torch.isfinite(units).all()):
        raise LayerError(f"{where}: NaN or infinite bias")
    raise LayerError(
        f"{where}: a bias of {float(bias.detach().abs().max()):.6g} V; with "
        f"fraction_bits={fraction_bits} it must be at most "
        f"{MAX_CONSTANT * 2.0**-fraction_bits:.6g} V: use fewer fraction_bits, in this layer and "
        f"its neuron"
    )


def quantise_decay(
    where: str, name: str, factor: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What remains each step (snnTorch's alpha or beta), as (12-bit decay 0 to 4096 in int64,
    remaining factor on that grid).

    The factor is clamped to [0, 1] as snnTorch does, with the clamp's gradient; the rounding is
    straight through.
    """
    if not bool(torch.isfinite(factor.detach()).all()):
        raise LayerError(f"{where}: {name} is NaN or infinite")
    remaining = round_to(factor.clamp(0, 1), float(DECAY_UNITY))
    return DECAY_UNITY - torch.round(remaining.detach().double() * DECAY_UNITY).to(
        torch.int64
    ), remaining


def quantise_threshold(
    where: str, threshold: torch.Tensor, fraction_bits: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(threshold mantissa in int64, threshold in volts on its grid of 2**-F); straight-through
    gradient."""
    mantissa = torch.round(threshold.detach().double() * 2.0**fraction_bits)
    if not bool(((mantissa >= 0) & (mantissa <= MAX_THRESHOLD)).all()):
        raise LayerError(
            f"{where}: threshold {threshold.detach().tolist()!r} V with "
            f"fraction_bits={fraction_bits}; it must be 0 to "
            f"{MAX_THRESHOLD * 2.0**-fraction_bits:.6g} V (a 17-bit mantissa): use fewer "
            f"fraction_bits for a larger threshold"
        )
    return mantissa.to(torch.int64), round_to(threshold, 2.0**fraction_bits)
