"""Projections of a Program: synapses with integer weights, from one population to another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hardware._parts import (
    MAX_NEURONS,
    ZERO,
    ProgramPart,
    check_integer,
    check_integers,
    check_name,
    fail,
)

if TYPE_CHECKING:
    from hardware.populations import Node


@dataclass(frozen=True, eq=False)
class Projection(ProgramPart):
    """Synapses from one population to another; made as Dense, Sparse or Convolution.

    exponent      the accumulated weighted spikes are shifted by it (a right shift rounds down); one
                  number, or one for each output channel (first dimension of the target's shape)
    weight_bits   1 to 8; fewer bits leave fewer weights to choose from
    delay         0 to 62 further steps

    Weights are the values that the chip uses: even integers in [-256, 254] where signs are mixed,
    integers in [0, 255] (excitatory) or [-255, 0] (inhibitory) where they are not; with b < 8 bits
    they are multiples of 2**(8 - b) (mixed: 2**(9 - b)). Other weights are refused, because the
    chip would change them.
    """

    name: str
    source: str
    target: str
    weights: np.ndarray
    exponent: np.ndarray = ZERO
    weight_bits: int = 8
    delay: np.ndarray = ZERO

    MAX_DELAY: ClassVar[int] = 62
    lowest_exponent: ClassVar[int] = -8

    def _check_common(self) -> str:
        where = f"{type(self).__name__.lower()} projection {check_name('projection', self.name)!r}"
        check_name(where + " source", self.source)
        check_name(where + " target", self.target)
        exponent = check_integers(where, "exponent", self.exponent, self.lowest_exponent, 7)
        if exponent.ndim > 1:
            fail(
                where,
                f"exponent has shape {exponent.shape}; it must be one number, or one for each "
                f"output channel",
            )

        bits = check_integer(where, "weight_bits", self.weight_bits, 1, 8)
        self._set(exponent=exponent, weight_bits=bits)
        self._set(weights=check_integers(where, "weights", self.weights, -256, 255))
        if sign_mode(self.weights, bits) is None:
            fail(
                where,
                f"weights in [{int(self.weights.min())}, {int(self.weights.max())}] are not on the "
                f"grid of {bits} bits: they must be "
                f"multiples of {1 << (9 - bits)} in [-256, {256 - (1 << (9 - bits))}], or of one "
                f"sign multiples of {1 << (8 - bits)} "
                f"up to {256 - (1 << (8 - bits))}",
            )

        return where

    @property
    def sign_mode(self) -> str:
        """ "mixed", "excitatory" or "inhibitory": the chip's format in which these weights are
        exact."""
        mode = sign_mode(self.weights, self.weight_bits)
        assert mode is not None, "other weights are refused"
        return mode

    @property
    def recurrent(self) -> bool:
        """From a population to itself."""
        return self.source == self.target

    @property
    def max_delay(self) -> int:
        """Largest delay of any synapse, in steps."""
        return int(self.delay.max()) if self.delay.size else 0

    def exponent_per_neuron(self, target_shape: tuple[int, ...]) -> np.ndarray:
        """The exponent broadcast over the target's shape, int64."""
        exponent = self.exponent.astype(np.int64)
        if exponent.ndim:
            exponent = exponent.reshape((-1,) + (1,) * (len(target_shape) - 1))
        return np.broadcast_to(exponent, target_shape)

    def _check_ends(self, source: Node, target: Node) -> None:
        """Shapes against the two populations; called when the Program is made."""
        where = f"{type(self).__name__.lower()} projection {self.name!r}"
        if self.exponent.ndim and self.exponent.shape[0] != target.shape[0]:
            channels = f"each of the {target.shape[0]} channels of {target.name!r}"
            fail(
                where,
                f"{self.exponent.shape[0]} exponents; there must be one, or one for {channels}",
            )


def sign_mode(weights: np.ndarray, weight_bits: int) -> str | None:
    """The first of excitatory, inhibitory, mixed in which ``weights`` are exact at ``weight_bits``;
    None where none is.

    Rule of lava-nc 0.10.0 ``lava.utils.weightutils``: clip to the sign mode's range, then clear the
    low ``8 - weight_bits`` (mixed: one more) bits of the magnitude.
    """
    if not weights.size:
        return "excitatory"
    low, high = int(weights.min()), int(weights.max())
    step = 1 << (8 - weight_bits)
    if (low >= 0 or (low >= -255 and high <= 0)) and not np.any(weights % step):
        return "excitatory" if low >= 0 else "inhibitory"
    if low >= -256 and high <= 254 and not np.any(weights % (2 * step)):
        return "mixed"
    return None


@dataclass(frozen=True, eq=False)
class Dense(Projection):
    """All-to-all synapses. ``weights`` [target neuron, source neuron], both flattened in C order.

    ``delay``: one number, or one for each synapse (shape of ``weights``).
    """

    def __post_init__(self) -> None:
        where = self._check_common()
        if self.weights.ndim != 2:
            fail(
                where,
                f"weights have shape {self.weights.shape}; it must be [target neuron, source "
                f"neuron]",
            )
        delay = check_integers(where, "delay", self.delay, 0, self.MAX_DELAY)
        if delay.ndim and delay.shape != self.weights.shape:
            fail(
                where,
                f"delay has shape {delay.shape}; it must be one number, or one for each synapse, "
                f"{self.weights.shape}",
            )
        self._set(delay=delay)

    def _check_ends(self, source: Node, target: Node) -> None:
        super()._check_ends(source, target)
        if self.weights.shape != (target.size, source.size):
            needed = f"{target.name!r} from {source.name!r} needs {(target.size, source.size)}"
            fail(
                f"dense projection {self.name!r}",
                f"weights have shape {self.weights.shape}; {needed}",
            )


@dataclass(frozen=True, eq=False)
class Sparse(Projection):
    """Single synapses: ``weights[i]`` from source neuron ``columns[i]`` to target neuron
    ``rows[i]`` (flattened in C order).

    A pair may occur once only. ``delay``: one number, or one for each synapse.
    """

    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    columns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    def __post_init__(self) -> None:
        where = self._check_common()
        rows = check_integers(where, "rows", self.rows, 0, MAX_NEURONS - 1)
        columns = check_integers(where, "columns", self.columns, 0, MAX_NEURONS - 1)
        if (
            self.weights.ndim != 1
            or rows.shape != self.weights.shape
            or columns.shape != self.weights.shape
        ):
            shapes = f"{self.weights.shape}, {rows.shape}, {columns.shape}"
            fail(where, f"weights, rows and columns must be vectors of one length, not {shapes}")

        delay = check_integers(where, "delay", self.delay, 0, self.MAX_DELAY)
        if delay.ndim and delay.shape != self.weights.shape:
            fail(
                where,
                f"delay has shape {delay.shape}; it must be one number, or one for each synapse, "
                f"{self.weights.shape}",
            )

        order = np.lexsort((columns, rows))
        pairs = rows[order].astype(np.int64) * MAX_NEURONS + columns[order]
        if np.any(pairs[1:] == pairs[:-1]):
            first = int(np.flatnonzero(pairs[1:] == pairs[:-1])[0])
            fail(
                where,
                f"the synapse from neuron {columns[order][first]} to neuron {rows[order][first]} "
                f"occurs twice",
            )

        parts = {"weights": self.weights[order], "rows": rows[order], "columns": columns[order]}
        parts["delay"] = delay[order] if delay.ndim else delay
        for array in parts.values():
            array.setflags(write=False)
        self._set(**parts)

    def _check_ends(self, source: Node, target: Node) -> None:
        super()._check_ends(source, target)
        where = f"sparse projection {self.name!r}"
        if self.rows.size and (
            int(self.rows.max()) >= target.size or int(self.columns.max()) >= source.size
        ):
            sizes = f"{target.name!r} has {target.size} neurons, {source.name!r} {source.size}"
            fail(
                where,
                f"a synapse to neuron {int(self.rows.max())} from neuron "
                f"{int(self.columns.max())}; {sizes}",
            )


@dataclass(frozen=True, eq=False)
class Convolution(Projection):
    """Cross-correlation as PyTorch computes it, over 1 or 2 spatial dimensions.

    ``weights`` [output channel, input channel / groups, *kernel]; stride, padding (zeros, both
    sides) and dilation have one number for each spatial dimension. The result is wrapped to 24
    bits, as Lava does. ``exponent`` is 0 to 7: a convolution cannot shift right. ``delay`` is one
    number.
    """

    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    lowest_exponent: ClassVar[int] = 0

    def __post_init__(self) -> None:
        where = self._check_common()
        dimensions = self.weights.ndim - 2
        if dimensions not in (1, 2) or 0 in self.weights.shape:
            wanted = "[out, in / groups, length] or [out, in / groups, height, width]"
            fail(where, f"weights have shape {self.weights.shape}; it must be {wanted}")

        for name, default, low in (("stride", 1, 1), ("padding", 0, 0), ("dilation", 1, 1)):
            value = getattr(self, name)
            value = (default,) * dimensions if isinstance(value, tuple) and not value else value
            array = check_integers(where, name, value, low, 1 << 15)
            if array.shape != (dimensions,):
                fail(
                    where,
                    f"{name} is {value!r}; it must be {dimensions} numbers, one for each spatial "
                    f"dimension",
                )
            self._set(**{name: tuple(int(n) for n in array)})

        groups = check_integer(where, "groups", self.groups, 1, 1 << 20)
        if self.weights.shape[0] % groups:
            fail(
                where,
                f"{self.weights.shape[0]} output channels cannot be divided into {groups} groups",
            )
        delay = check_integers(where, "delay", self.delay, 0, self.MAX_DELAY)
        if delay.ndim:
            fail(where, "delay must be one number for the whole convolution")

        self._set(groups=groups, delay=delay)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Spatial size of the kernel."""
        return self.weights.shape[2:]

    def output_shape(self, source_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(channels, *spatial) that a source of shape (channels, *spatial) gives."""
        spatial = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(
                source_shape[1:], self.kernel_size, self.stride, self.padding, self.dilation
            )
        )
        return (self.weights.shape[0], *spatial)

    def _check_ends(self, source: Node, target: Node) -> None:
        super()._check_ends(source, target)
        where = f"convolution projection {self.name!r}"
        if len(source.shape) != self.weights.ndim - 1:
            needed = f"a kernel {self.weights.shape} needs {self.weights.ndim - 1} dimensions"
            fail(where, f"source {source.name!r} has shape {source.shape}; {needed}")
        if source.shape[0] != self.weights.shape[1] * self.groups:
            needed = f"{self.groups} groups of {self.weights.shape[1]} are needed"
            fail(where, f"source {source.name!r} has {source.shape[0]} channels; {needed}")

        if any(
            n + 2 * p < d * (k - 1) + 1
            for n, p, d, k in zip(source.shape[1:], self.padding, self.dilation, self.kernel_size)
        ):
            fail(
                where,
                f"the kernel {self.kernel_size} does not fit into source {source.name!r} of shape "
                f"{source.shape}",
            )

        if self.output_shape(source.shape) != target.shape:
            fail(
                where,
                f"gives shape {self.output_shape(source.shape)}; target {target.name!r} has shape "
                f"{target.shape}",
            )
