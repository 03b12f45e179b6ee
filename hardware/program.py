"""Program: the integer network that a Loihi-class chip executes, and its parts.

A Program is step-synchronous: in step t every population, in order, sees the spikes that its sources send in step t; a
bias acts from the first step; every sample starts from zero state. A projection of delay d brings the spikes of step
t - d; a projection from a population to itself brings those of step t - 1 - d. Targets realise this order, whatever
pipeline they have; no caller ever sees it.

Arrays are read-only, C-ordered integers. Everything is checked when it is made: a Program that exists can be run.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from hardware.errors import ProgramError
from hardware.noise import Noise

MAX_NEURONS = 1 << 26
"""Largest population that is accepted, so that a damaged file cannot ask for all memory."""

DECODINGS = ("spike_count", "last_potential", "mean_potential", "max_potential")
RESETS = ("zero", "subtract", "none")


def _fail(where: str, message: str):
    raise ProgramError(f"{where}: {message}")


def _shape(where: str, value) -> tuple[int, ...]:
    try:
        shape = tuple(operator.index(n) for n in value)
    except TypeError:
        _fail(where, f"shape must be a tuple of positive integers, not {value!r}")
    if not shape or len(shape) > 3 or any(n < 1 for n in shape):
        _fail(where, f"shape must have 1 to 3 positive dimensions (features; channels, length; or channels, height, width), not {shape}")
    if np.prod(shape, dtype=object) > MAX_NEURONS:
        _fail(where, f"shape {shape} has more than {MAX_NEURONS} neurons")
    return shape


def _integers(where: str, name: str, value, low: int, high: int) -> np.ndarray:
    """A read-only int32 array of whole numbers within [low, high]; floats and out-of-range values are refused."""
    try:
        array = np.asarray(value)
    except ValueError:
        _fail(where, f"{name} is not an array: its rows differ in length")
    if array.dtype == bool or not np.issubdtype(array.dtype, np.integer):
        _fail(where, f"{name} must be integers, not {array.dtype}")
    if array.size:
        smallest, largest = int(array.min()), int(array.max())
        if smallest < low or largest > high:
            _fail(where, f"{name} is {smallest if smallest < low else largest}; accepted are {low} to {high}")
    array = np.array(array, dtype=np.int32, order="C")
    array.setflags(write=False)
    return array


def _integer(where: str, name: str, value, low: int, high: int) -> int:
    """One whole number within [low, high]."""
    array = _integers(where, name, value, low, high)
    if array.ndim:
        _fail(where, f"{name} has shape {array.shape}; accepted is one number")
    return int(array)


def _parameter(where: str, name: str, value, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """A parameter that is one number for the population, or one per neuron (shape of the population)."""
    array = _integers(where, name, value, low, high)
    if array.ndim and array.shape != shape:
        if array.size != 1:
            _fail(where, f"{name} has shape {array.shape}; accepted are one number or the population's shape {shape}")
        array = array.reshape(())
    return array


def _name(kind: str, value) -> str:
    if not isinstance(value, str) or not value or len(value) > 200 or "/" in value or value in (".", "..") or not value.isprintable():
        raise ProgramError(f"{kind}: a name is 1 to 200 printable characters without '/', not {value!r}")
    return value


class _Part:
    """Shared by the frozen parts of a Program: assignment during construction."""

    def _set(self, **values):
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.shape))


@dataclass(frozen=True, eq=False)
class Input(_Part):
    """A population whose spikes come from outside.

    ``message_bits`` 0: binary spikes, values 0 and 1. 1 to 24: graded spikes, signed integers in
    [-2**(message_bits - 1), 2**(message_bits - 1) - 1] (1 bit: [-1, 0]).
    """

    name: str
    shape: tuple[int, ...]
    message_bits: int = 0

    def __post_init__(self):
        where = f"input {_name('input', self.name)!r}"
        bits = _integer(where, "message_bits", self.message_bits, 0, 24)
        self._set(shape=_shape(where, self.shape), message_bits=bits)

    @property
    def value_range(self) -> tuple[int, int]:
        """Smallest and largest value that one element may have."""
        if self.message_bits == 0:
            return 0, 1
        return -(1 << (self.message_bits - 1)), (1 << (self.message_bits - 1)) - 1


@dataclass(frozen=True, eq=False)
class Population(_Part):
    """Neurons of one kind with integer parameters; each is one number or one per neuron.

    shape             features; (channels, length); or (channels, height, width)
    current_decay     0 to 4096, share of the synaptic current lost each step; 4096: no synaptic current (Lava: du + 1)
    voltage_decay     0 to 4096, share of the membrane potential lost each step; 0: integrate and fire (Lava: dv)
    threshold         mantissa, shifted left by 6; a neuron fires when its potential is strictly greater.
                      None: a non-spiking leaky integrator, whose potential is read
    bias              13-bit signed mantissa, added to the potential (not to the current) in every step
    bias_exponent     -7 to 7, shift of the bias mantissa
    reset             "zero" (hard, the chip's own), "subtract", or "none"
    reset_amount      what "subtract" takes off, in units of the state; default threshold << 6
    refractory        steps after a spike in which the potential rests and no spike can occur; the current goes on
    noise             None, or Noise: a neuron fires when potential + noise exceeds the threshold. Noise does not stay in the
                      potential, and is the same in every sample (see hardware.noise)

    ``message_bits`` is 0: neurons send binary spikes.
    """

    name: str
    shape: tuple[int, ...]
    current_decay: np.ndarray | int = 4096
    voltage_decay: np.ndarray | int = 0
    threshold: np.ndarray | int | None = 1
    bias: np.ndarray | int = 0
    bias_exponent: int = 0
    reset: str = "zero"
    reset_amount: np.ndarray | int | None = None
    refractory: int = 0
    noise: Noise | None = None

    message_bits: ClassVar[int] = 0

    def __post_init__(self):
        where = f"population {_name('population', self.name)!r}"
        shape = _shape(where, self.shape)

        def number(name, low, high):
            return _parameter(where, name, getattr(self, name), low, high, shape)

        if self.reset not in RESETS:
            _fail(where, f"reset is {self.reset!r}; accepted are {', '.join(RESETS)}")
        if self.threshold is None and (self.reset != "zero" or self.refractory or self.reset_amount is not None):
            _fail(where, "a non-spiking integrator (threshold None) has no reset, no reset_amount and no refractory period")
        if self.reset_amount is not None and self.reset != "subtract":
            _fail(where, f"reset_amount goes with reset 'subtract', not {self.reset!r}")
        if self.noise is not None and not isinstance(self.noise, Noise):
            _fail(where, f"noise is a {type(self.noise).__name__}; accepted are None and hardware.noise.Noise")
        if self.noise is not None and self.threshold is None:
            _fail(where, "a non-spiking integrator (threshold None) compares nothing with a threshold, so it has no noise")
        self._set(
            shape=shape,
            current_decay=number("current_decay", 0, 4096),
            voltage_decay=number("voltage_decay", 0, 4096),
            threshold=None if self.threshold is None else number("threshold", 0, (1 << 17) - 1),
            bias=number("bias", -4096, 4095),
            bias_exponent=_integer(where, "bias_exponent", self.bias_exponent, -7, 7),
            reset_amount=None if self.reset_amount is None else number("reset_amount", 0, (1 << 23) - 1),
            refractory=_integer(where, "refractory", self.refractory, 0, 1 << 15),
        )

    @property
    def spiking(self) -> bool:
        """False for a non-spiking integrator."""
        return self.threshold is not None

    @property
    def bias_state(self) -> np.ndarray:
        """The bias in units of the membrane potential, int64: mantissa shifted by its exponent (right shifts round down)."""
        from hardware.arithmetic import shift

        return shift(self.bias.astype(np.int64), np.int64(self.bias_exponent))

    @property
    def subtracted(self) -> np.ndarray | None:
        """What a reset by subtraction takes off, in units of the membrane potential, int64; None for other resets."""
        if self.reset != "subtract":
            return None
        if self.reset_amount is not None:
            return self.reset_amount.astype(np.int64)
        return self.threshold.astype(np.int64) << 6


@dataclass(frozen=True, eq=False)
class Projection(_Part):
    """Synapses from one population to another; made as Dense, Sparse or Convolution.

    exponent      the accumulated weighted spikes are shifted by it (a right shift rounds down); one number, or one for each
                  output channel (first dimension of the target's shape)
    weight_bits   1 to 8; fewer bits leave fewer weights to choose from
    delay         0 to 62 further steps

    Weights are the values that the chip uses: even integers in [-256, 254] where signs are mixed, integers in [0, 255]
    (excitatory) or [-255, 0] (inhibitory) where they are not; with b < 8 bits they are multiples of 2**(8 - b) (mixed:
    2**(9 - b)). Other weights are refused, because the chip would change them.
    """

    name: str
    source: str
    target: str
    weights: np.ndarray
    exponent: np.ndarray | int = 0
    weight_bits: int = 8
    delay: np.ndarray | int = 0

    MAX_DELAY: ClassVar[int] = 62
    lowest_exponent: ClassVar[int] = -8

    def _check_common(self) -> str:
        where = f"{type(self).__name__.lower()} projection {_name('projection', self.name)!r}"
        _name(where + " source", self.source)
        _name(where + " target", self.target)
        exponent = _integers(where, "exponent", self.exponent, self.lowest_exponent, 7)
        if exponent.ndim > 1:
            _fail(where, f"exponent has shape {exponent.shape}; accepted are one number or one for each output channel")
        bits = _integer(where, "weight_bits", self.weight_bits, 1, 8)
        self._set(exponent=exponent, weight_bits=bits)
        self._set(weights=_integers(where, "weights", self.weights, -256, 255))
        if sign_mode(self.weights, bits) is None:
            _fail(
                where,
                f"weights in [{int(self.weights.min())}, {int(self.weights.max())}] are not on the grid of {bits} bits: accepted are "
                f"multiples of {1 << (9 - bits)} in [-256, {256 - (1 << (9 - bits))}], or of one sign multiples of {1 << (8 - bits)} "
                f"up to {256 - (1 << (8 - bits))}",
            )
        return where

    @property
    def sign_mode(self) -> str:
        """"mixed", "excitatory" or "inhibitory": the chip's format in which these weights are exact."""
        return sign_mode(self.weights, self.weight_bits)

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

    def _check_ends(self, source, target) -> None:
        """Shapes against the two populations; called when the Program is made."""
        where = f"{type(self).__name__.lower()} projection {self.name!r}"
        if self.exponent.ndim and self.exponent.shape[0] != target.shape[0]:
            channels = f"each of the {target.shape[0]} channels of {target.name!r}"
            _fail(where, f"{self.exponent.shape[0]} exponents; accepted are one, or one for {channels}")


def sign_mode(weights: np.ndarray, weight_bits: int) -> str | None:
    """The first of excitatory, inhibitory, mixed in which ``weights`` are exact at ``weight_bits``; None where none is.

    Rule of lava-nc 0.10.0 ``lava.utils.weightutils``: clip to the sign mode's range, then clear the low
    ``8 - weight_bits`` (mixed: one more) bits of the magnitude.
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

    def __post_init__(self):
        where = self._check_common()
        if self.weights.ndim != 2:
            _fail(where, f"weights have shape {self.weights.shape}; accepted is [target neuron, source neuron]")
        delay = _integers(where, "delay", self.delay, 0, self.MAX_DELAY)
        if delay.ndim and delay.shape != self.weights.shape:
            _fail(where, f"delay has shape {delay.shape}; accepted are one number or one for each synapse, {self.weights.shape}")
        self._set(delay=delay)

    def _check_ends(self, source, target) -> None:
        super()._check_ends(source, target)
        if self.weights.shape != (target.size, source.size):
            needed = f"{target.name!r} from {source.name!r} needs {(target.size, source.size)}"
            _fail(f"dense projection {self.name!r}", f"weights have shape {self.weights.shape}; {needed}")


@dataclass(frozen=True, eq=False)
class Sparse(Projection):
    """Single synapses: ``weights[i]`` from source neuron ``columns[i]`` to target neuron ``rows[i]`` (flattened in C order).

    A pair may occur once only. ``delay``: one number, or one for each synapse.
    """

    rows: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    columns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))

    def __post_init__(self):
        where = self._check_common()
        rows = _integers(where, "rows", self.rows, 0, MAX_NEURONS - 1)
        columns = _integers(where, "columns", self.columns, 0, MAX_NEURONS - 1)
        if self.weights.ndim != 1 or rows.shape != self.weights.shape or columns.shape != self.weights.shape:
            shapes = f"{self.weights.shape}, {rows.shape}, {columns.shape}"
            _fail(where, f"weights, rows and columns must be vectors of one length, not {shapes}")
        delay = _integers(where, "delay", self.delay, 0, self.MAX_DELAY)
        if delay.ndim and delay.shape != self.weights.shape:
            _fail(where, f"delay has shape {delay.shape}; accepted are one number or one for each synapse, {self.weights.shape}")
        order = np.lexsort((columns, rows))
        pairs = rows[order].astype(np.int64) * MAX_NEURONS + columns[order]
        if np.any(pairs[1:] == pairs[:-1]):
            first = int(np.flatnonzero(pairs[1:] == pairs[:-1])[0])
            _fail(where, f"the synapse from neuron {columns[order][first]} to neuron {rows[order][first]} occurs twice")
        parts = {"weights": self.weights[order], "rows": rows[order], "columns": columns[order]}
        parts["delay"] = delay[order] if delay.ndim else delay
        for array in parts.values():
            array.setflags(write=False)
        self._set(**parts)

    def _check_ends(self, source, target) -> None:
        super()._check_ends(source, target)
        where = f"sparse projection {self.name!r}"
        if self.rows.size and (int(self.rows.max()) >= target.size or int(self.columns.max()) >= source.size):
            sizes = f"{target.name!r} has {target.size} neurons, {source.name!r} {source.size}"
            _fail(where, f"a synapse to neuron {int(self.rows.max())} from neuron {int(self.columns.max())}; {sizes}")


@dataclass(frozen=True, eq=False)
class Convolution(Projection):
    """Cross-correlation as PyTorch computes it, over 1 or 2 spatial dimensions.

    ``weights`` [output channel, input channel / groups, *kernel]; stride, padding (zeros, both sides) and dilation have one
    number for each spatial dimension. The result is wrapped to 24 bits, as Lava does. ``exponent`` is 0 to 7: a convolution
    cannot shift right. ``delay`` is one number.
    """

    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    lowest_exponent: ClassVar[int] = 0

    def __post_init__(self):
        where = self._check_common()
        dimensions = self.weights.ndim - 2
        if dimensions not in (1, 2) or 0 in self.weights.shape:
            accepted = "[out, in / groups, length] and [out, in / groups, height, width]"
            _fail(where, f"weights have shape {self.weights.shape}; accepted are {accepted}")
        for name, default, low in (("stride", 1, 1), ("padding", 0, 0), ("dilation", 1, 1)):
            value = getattr(self, name)
            value = (default,) * dimensions if isinstance(value, tuple) and not value else value
            array = _integers(where, name, value, low, 1 << 15)
            if array.shape != (dimensions,):
                _fail(where, f"{name} is {value!r}; accepted are {dimensions} numbers, one for each spatial dimension")
            self._set(**{name: tuple(int(n) for n in array)})
        groups = _integer(where, "groups", self.groups, 1, 1 << 20)
        if self.weights.shape[0] % groups:
            _fail(where, f"{self.weights.shape[0]} output channels cannot be divided into {groups} groups")
        delay = _integers(where, "delay", self.delay, 0, self.MAX_DELAY)
        if delay.ndim:
            _fail(where, "delay must be one number for the whole convolution")
        self._set(groups=groups, delay=delay)

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Spatial size of the kernel."""
        return self.weights.shape[2:]

    def output_shape(self, source_shape: tuple[int, ...]) -> tuple[int, ...]:
        """(channels, *spatial) that a source of shape (channels, *spatial) gives."""
        spatial = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(source_shape[1:], self.kernel_size, self.stride, self.padding, self.dilation)
        )
        return (self.weights.shape[0], *spatial)

    def _check_ends(self, source, target) -> None:
        super()._check_ends(source, target)
        where = f"convolution projection {self.name!r}"
        if len(source.shape) != self.weights.ndim - 1:
            needed = f"a kernel {self.weights.shape} needs {self.weights.ndim - 1} dimensions"
            _fail(where, f"source {source.name!r} has shape {source.shape}; {needed}")
        if source.shape[0] != self.weights.shape[1] * self.groups:
            needed = f"{self.groups} groups of {self.weights.shape[1]} are needed"
            _fail(where, f"source {source.name!r} has {source.shape[0]} channels; {needed}")
        if any(n + 2 * p < d * (k - 1) + 1 for n, p, d, k in zip(source.shape[1:], self.padding, self.dilation, self.kernel_size)):
            _fail(where, f"the kernel {self.kernel_size} does not fit into source {source.name!r} of shape {source.shape}")
        if self.output_shape(source.shape) != target.shape:
            _fail(where, f"gives shape {self.output_shape(source.shape)}; target {target.name!r} has shape {target.shape}")


@dataclass(frozen=True)
class Output:
    """A population that is read, and how its activity becomes a score for each neuron.

    decode: "spike_count"; or "last_potential", "mean_potential", "max_potential" over the steps of a sample.
    """

    population: str
    decode: str = "spike_count"

    def __post_init__(self):
        _name("output", self.population)
        if self.decode not in DECODINGS:
            _fail(f"output {self.population!r}", f"decode is {self.decode!r}; accepted are {', '.join(DECODINGS)}")


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network; immutable, validated when made.

    ``order`` lists the populations so that every source stands before its targets. ``metadata`` is any JSON-able mapping
    (where the network came from, dt, scales); it does not change what is computed, nor the fingerprint.
    """

    inputs: tuple[Input, ...]
    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]
    outputs: tuple[Output, ...]
    metadata: Mapping = field(default_factory=dict)

    def __post_init__(self):
        for name, kind in (("inputs", Input), ("populations", Population), ("projections", Projection), ("outputs", Output)):
            parts = getattr(self, name)
            if not isinstance(parts, (tuple, list)):
                _fail(name, f"is a {type(parts).__name__}; accepted is a tuple of {kind.__name__}")
            parts = tuple(parts)
            for part in parts:
                if not isinstance(part, kind) or type(part) is Projection:
                    _fail(name, f"holds {type(part).__name__}; accepted is {kind.__name__}")
            object.__setattr__(self, name, parts)
        if not self.inputs or not self.populations or not self.outputs:
            raise ProgramError("a Program needs at least one input, one population and one output")
        try:
            metadata = json.loads(json.dumps(dict(self.metadata), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ProgramError(f"metadata must be plain JSON values: {error}") from None
        object.__setattr__(self, "metadata", MappingProxyType(metadata))
        names = [part.name for part in (*self.inputs, *self.populations)]
        for group in (names, [p.name for p in self.projections], [o.population for o in self.outputs]):
            twice = {n for n in group if group.count(n) > 1}
            if twice:
                raise ProgramError(f"the name {sorted(twice)[0]!r} is used twice")
        inputs = {part.name for part in self.inputs}
        for projection in self.projections:
            for end in (projection.source, projection.target):
                if end not in self.nodes:
                    _fail(f"projection {projection.name!r}", f"there is no population {end!r}; there are {', '.join(names)}")
            if projection.target in inputs:
                _fail(f"projection {projection.name!r}", f"its target {projection.target!r} is an input")
            source = self.nodes[projection.source]
            if projection.source not in inputs and not source.spiking:
                _fail(f"projection {projection.name!r}", f"its source {projection.source!r} is a non-spiking integrator and sends nothing")
            projection._check_ends(source, self.nodes[projection.target])
            self._check_accumulator(projection, source)
        seeds: dict[int, str] = {}
        for part in self.populations:
            if part.noise is not None and seeds.setdefault(part.noise.seed, part.name) != part.name:
                _fail(
                    f"population {part.name!r}",
                    f"its noise has the seed {part.noise.seed} of {seeds[part.noise.seed]!r}: both would have the same noise; "
                    "hardware.noise.derived gives each population its own seed",
                )
        populations = {p.name: p for p in self.populations}
        for output in self.outputs:
            if output.population not in populations:
                _fail(f"output {output.population!r}", f"there is no such population; there are {', '.join(populations)}")
            if output.decode == "spike_count" and not populations[output.population].spiking:
                _fail(f"output {output.population!r}", "a non-spiking integrator has no spikes to count; decode its potential")
        _ = self.order  # refuses loops

    def _check_accumulator(self, projection: Projection, source) -> None:
        """Lava accumulates in 64 bits for binary and 32 for graded spikes; a sum beyond 32 bits before a right shift would differ."""
        largest = max(abs(v) for v in (source.value_range if isinstance(source, Input) else (0, 1)))
        if isinstance(projection, Sparse):
            sums = np.bincount(projection.rows, np.abs(projection.weights).astype(np.float64)) if projection.weights.size else np.zeros(1)
        else:
            sums = np.abs(projection.weights.astype(np.int64)).reshape(projection.weights.shape[0], -1).sum(axis=1)
        total = int(sums.max()) * largest if len(sums) else 0
        if total >= 1 << 31:
            _fail(
                f"projection {projection.name!r}",
                f"the weighted input may reach {total}; the accumulator holds less than {1 << 31}: use fewer message bits, a smaller "
                "fan-in or smaller weights",
            )

    @cached_property
    def nodes(self) -> Mapping[str, Input | Population]:
        """Name → input or population."""
        return MappingProxyType({part.name: part for part in (*self.inputs, *self.populations)})

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of the populations, sources first; in the given order where that is free.

        Raises ProgramError on a loop through several synapses.
        """
        waiting = [p.name for p in self.populations]
        done = {part.name for part in self.inputs}
        order: list[str] = []
        while waiting:
            ready = [n for n in waiting if all(p.source in done for p in self.into(n) if not p.recurrent)]
            if not ready:
                raise ProgramError(f"a loop through several synapses: {', '.join(waiting)}; accepted are loops from a population to itself")
            order.append(ready[0])
            done.add(ready[0])
            waiting.remove(ready[0])
        return tuple(order)

    def into(self, population: str) -> tuple[Projection, ...]:
        """Projections that end in a population."""
        return tuple(p for p in self.projections if p.target == population)

    def out_of(self, population: str) -> tuple[Projection, ...]:
        """Projections that start in an input or population."""
        return tuple(p for p in self.projections if p.source == population)

    @cached_property
    def depth(self) -> Mapping[str, int]:
        """Name → number of synapses on the longest way from an input; a population without input has depth 0."""
        depth = {part.name: 0 for part in self.inputs}
        for name in self.order:
            depth[name] = max((depth[p.source] + 1 for p in self.into(name) if not p.recurrent), default=0)
        return MappingProxyType(depth)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that changes what is computed (names included, metadata not)."""
        digest = hashlib.sha256()
        for part in (*self.inputs, *self.populations, *self.projections, *self.outputs):
            digest.update(type(part).__name__.encode())
            for item in fields(part):
                value = getattr(part, item.name)
                if item.name == "noise" and value is None:
                    continue  # younger than the first files: theirs stay valid
                if isinstance(value, np.ndarray):
                    value = (value.shape, hashlib.sha256(value.astype("<i4").tobytes()).hexdigest())
                digest.update(f"|{item.name}={value!r}".encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        sizes = f"{len(self.inputs)} inputs, {len(self.populations)} populations, {len(self.projections)} projections"
        return f"Program({sizes}, {self.fingerprint[:12]})"
