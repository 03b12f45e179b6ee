"""One way into a population as synapses: the neuron's gain in its weights, then its integers, its
projection and its audit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from export.audit import APPROXIMATE, FAITHFUL, LayerAudit, Parameter
from export.errors import GraphError, QuantizationError
from export.neurons import DiscreteNeuron
from export.operators import Gain, Kernel, Matrix, Operator, Triples, symmetric
from export.passes import products, scales
from export.quantize import Weights, fit, on_grid, sums_on_grid
from export.trace import Way
from hardware.arithmetic import SYNAPSE_BITS
from hardware.parameters import parameter as named
from hardware.program import Convolution, Dense, Projection, Sparse

LEAST = 1e-100
"""Smallest largest weight, in volts; one over it is the largest."""

HELPS = 0.9
"""One scale for each output channel is taken where its root-mean-square weight error is below this
share of the error that one scale for the layer has."""

PART = 1 << 23
"""Integer steps that a convolution's sum must stay below: lava-nc wraps it to 24 bits."""


@dataclass(frozen=True)
class LoweringOptions:
    """How integers are chosen where the graph states no grid."""

    weight_bits: int = 8
    per_channel: bool | None = None
    """None: where it helps (``HELPS``)."""
    allow_clipping: bool = False
    constant: str = "constant"
    """Name of the population that fires in every step, where one is needed."""


@dataclass(frozen=True)
class Sources:
    """What is known of everything that sends: shapes, largest |value| in real units, fraction bits
    of graded values."""

    shapes: Mapping[str, tuple[int, ...]]
    largest: Mapping[str, float]
    fraction_bits: Mapping[str, int]


@dataclass
class Synapses:
    """A way with the neuron's gain in its weights, ready for integers.

    unit   real units in one integer step of the source; grid: what the graph states about the
           weights; bits: weight bits to be used
    """

    way: Way
    name: str
    operator: Operator
    unit: float
    grid: Mapping[str, Any] | None
    bits: int = 8
    notes: list[str] = field(default_factory=list)

    @property
    def values(self) -> np.ndarray:
        """Volts for one real unit of the source."""
        return values_of(self.operator)

    @property
    def weights(self) -> np.ndarray:
        """Volts for one integer step of the source."""
        return self.values * self.unit

    @property
    def lowest(self) -> int:
        """Smallest exponent that the projection can have."""
        return (
            Convolution.lowest_exponent
            if isinstance(self.operator, Kernel)
            else Projection.lowest_exponent
        )

    def channel(self, channels: int) -> np.ndarray:
        """Output channel of each weight, flat."""
        if isinstance(self.operator, Kernel):
            return np.repeat(np.arange(channels), self.operator.weight[0].size)
        size = math.prod(self.operator.out_shape) // channels
        if isinstance(self.operator, Matrix):
            return np.repeat(
                np.arange(self.operator.weight.shape[0]) // size, self.operator.weight.shape[1]
            )
        rows: np.ndarray = _single(self.operator).rows // size
        return rows


def values_of(operator: Operator) -> np.ndarray:
    """The weights of an operator that a projection has."""
    if isinstance(operator, (Kernel, Matrix)):
        return operator.weight
    return _single(operator).values


def _single(operator: Operator) -> Triples:
    assert isinstance(operator, Triples), "a way is shortened to what a projection has"
    return operator


def _check_size(name: str, volts: np.ndarray) -> None:
    """Weights whose squares floating point cannot hold are no weights. Raises QuantizationError."""
    what = f"projection {name!r}: weights times the neuron's gain are"
    if not np.all(np.isfinite(volts)):
        raise QuantizationError(f"{what} infinite; they must be finite")
    largest = float(np.abs(volts).max(initial=0.0))
    if largest and not LEAST <= largest <= 1 / LEAST:
        raise QuantizationError(
            f"{what} up to {largest:g} V; they must be from {LEAST:g} to {1 / LEAST:g} V"
        )


def synapses_of(
    way: Way,
    name: str,
    neuron: DiscreteNeuron,
    sources: Sources,
    entries: Mapping[str, Mapping[str, Any]],
) -> Synapses:
    """A way with the neuron's gain multiplied in, as an operator that a projection has."""
    operator, notes = way.operator, list(way.notes)
    if neuron.gain.ndim or neuron.gain != 1:
        with np.errstate(over="ignore", invalid="ignore"):
            chain = scales.fold(
                [
                    operator,
                    Gain(
                        operator.out_shape,
                        operator.out_shape,
                        np.broadcast_to(neuron.gain, operator.out_shape),
                    ),
                ]
            )
            operator = products.multiply(chain)

    _check_size(name, values_of(operator))
    if isinstance(operator, Kernel):
        operator = symmetric(operator) or operator.triples()
    if isinstance(operator, Triples):
        if isinstance(way.operator, Kernel):
            notes.append(
                "unfolded into single synapses, because padding or gains differ within a channel"
            )
        operator = _dense_if_full(operator)

    grids = [entries[n]["grid"] for n in way.nodes if "grid" in entries.get(n, {})]
    return Synapses(
        way,
        name,
        operator,
        2.0 ** -sources.fraction_bits[way.source],
        grids[-1] if grids else None,
        notes=notes,
    )


def _dense_if_full(triples: Triples) -> Operator:
    """A matrix where more than half of all synapses are there, which then costs less than a list of
    them."""
    shape = (math.prod(triples.out_shape), math.prod(triples.in_shape))
    if triples.values.size * 2 <= shape[0] * shape[1]:
        return triples
    weight = np.zeros(shape)
    weight[triples.rows, triples.columns] = triples.values
    delay = triples.delay
    if np.ndim(delay):
        each = np.zeros(shape, np.int64)
        each[triples.rows, triples.columns] = delay
        delay = each
    return Matrix(triples.in_shape, triples.out_shape, weight, delay)


def projections_of(
    synapses: Synapses, weights: Weights, sources: Sources, name_of: Callable[[str], str]
) -> list[Projection]:
    """The projections that carry these integers: one, or of precise weights one for the high part,
    which has the way's name, and one for the low part, which has its name and " low".

    name_of   gives an unused name, based on a text

    Raises QuantizationError where what a part brings could leave its accumulator.
    """
    parts = weights.parts()
    names = [synapses.name, *(name_of(f"{synapses.name} low") for _ in parts[1:])]
    several = len(parts) > 1
    made = [_projection(synapses, part, name, several) for part, name in zip(parts, names)]
    if len(made) > 1 and isinstance(synapses.operator, Kernel):
        _check_parts(synapses, parts, sources)
    return made


def _check_parts(synapses: Synapses, parts: list[Weights], sources: Sources) -> None:
    """Lava wraps what a convolution brings to 24 bits, each part for itself; parts of both signs
    may be larger than their sum."""
    source = synapses.way.source
    largest = sources.largest[source] / synapses.unit
    for part in parts:
        each = np.abs(part.mantissas.astype(np.float64)).reshape(len(part.mantissas), -1)
        reach = float(np.max(each.sum(axis=1) * 2.0**part.exponent)) * largest
        if reach >= PART:
            raise QuantizationError(
                f"projection {synapses.name!r}: a part of its {synapses.bits}-bit weights may "
                f"bring {reach:g} integer steps; a convolution holds less than {PART}: use up to 8 "
                f"weight bits, fewer message bits or a smaller fan-in"
            )


def _projection(synapses: Synapses, weights: Weights, name: str, part: bool) -> Projection:
    """``part``: of several that carry the weights together; single synapses without weight are then
    left out."""
    way, operator = synapses.way, synapses.operator
    shared: dict[str, Any] = {
        "name": name,
        "source": way.source,
        "target": way.target,
        "exponent": weights.exponent,
        "weight_bits": weights.bits,
    }

    if isinstance(operator, Kernel):
        padding = tuple(before for before, _ in operator.padding)
        return Convolution(
            **shared,
            weights=weights.mantissas,
            delay=np.asarray(way.delay),
            stride=operator.stride,
            padding=padding,
            dilation=operator.dilation,
            groups=operator.groups,
        )

    assert isinstance(operator, (Matrix, Triples)), "a way is shortened to what a projection has"
    if isinstance(operator, Triples) and part:
        # a high part is mostly zeros
        kept = weights.mantissas != 0
        delays = operator.delay
        operator = replace(
            operator,
            rows=operator.rows[kept],
            columns=operator.columns[kept],
            delay=delays[kept] if isinstance(delays, np.ndarray) and delays.ndim else delays,
        )
        shared["weights"] = weights.mantissas[kept]

    delay = np.asarray(way.delay + np.asarray(operator.delay))
    if np.max(delay, initial=0) > Projection.MAX_DELAY:
        raise QuantizationError(
            f"projection {synapses.name!r}: delays add up to {int(np.max(delay))} steps; they "
            f"must be at most {Projection.MAX_DELAY}"
        )
    if isinstance(operator, Matrix):
        return Dense(**shared, weights=weights.mantissas, delay=delay)
    return Sparse(
        **{"weights": weights.mantissas, **shared},
        rows=operator.rows,
        columns=operator.columns,
        delay=delay,
    )


def integers_of(
    s: Synapses, scale: float, channels: int, exact: bool, options: LoweringOptions
) -> Weights:
    """Mantissas and exponent of one projection."""
    steps = s.weights * scale
    where = f"projection {s.name!r}"
    if not exact:
        try:
            weights = _fitted(s, steps, channels, options)
        except QuantizationError as error:
            raise QuantizationError(f"{where}: {error}") from None
        if np.any(steps) and not np.any(weights.mantissas):
            raise QuantizationError(
                f"{where}: the room that {s.way.target!r} needs leaves no bits for its weights, of "
                f"which the largest is {np.abs(steps).max():g} integer steps; give "
                f"{named('calibration')} data, or fewer message bits"
            )
        return weights

    exponent = np.asarray(0 if s.grid is None else s.grid.get("exponent", 0), np.int64)
    try:
        if exponent.ndim and exponent.size != channels:
            raise GraphError(
                f"{where}: the grid has {exponent.size} exponents; there must be one, or one for "
                f"each of {channels} output channels"
            )
        return on_grid(
            where, steps, s.bits, s.lowest, exponent, s.channel(channels) if exponent.ndim else None
        )
    except (GraphError, QuantizationError):
        summed = (
            sums_on_grid(steps, s.lowest, s.channel(channels), channels) if s.way.added else None
        )
        if summed is None:
            raise

    s.bits = summed.bits
    s.notes.append("its weights were moved or added up, exactly; exponents are those of the sums")
    return summed


def _fitted(s: Synapses, steps: np.ndarray, channels: int, options: LoweringOptions) -> Weights:
    """One scale for the layer or one for each output channel, as told, or the one of smaller error;
    which and why is noted."""
    channel = s.channel(channels)

    def of(each: np.ndarray | None) -> tuple[Weights, float]:
        weights = fit(steps, s.bits, s.lowest, each, options.allow_clipping)
        exponent = weights.exponent if each is None else weights.exponent[each].reshape(steps.shape)
        off = weights.mantissas * 2.0**exponent - steps
        return weights, float(np.sqrt(np.sum(off**2) / max(np.sum(steps**2), LEAST)))

    if options.per_channel is not None:
        return of(channel if options.per_channel else None)[0]
    layer, coarse = of(None)
    if coarse == 0 or channels == 1:
        return layer
    each, fine = of(channel)
    if fine < HELPS * coarse:
        s.notes.append(
            f"one weight scale for each output channel: rms error {_share(fine)} instead of "
            f"{_share(coarse)} with one for the layer"
        )
        return each
    s.notes.append(
        f"one weight scale for the layer: rms error {_share(coarse)}; one for each output channel "
        f"would leave {_share(fine)}"
    )
    return layer


def _share(fraction: float) -> str:
    return f"{100 * fraction:.2g} %"


def audit_of(
    s: Synapses,
    weights: Weights,
    scale: float,
    channels: int,
    options: LoweringOptions,
    made: Sequence[Projection],
) -> LayerAudit:
    """What became of a projection's weights. Raises QuantizationError where weights were clipped
    and may not be."""
    each = (
        weights.exponent[s.channel(channels)].reshape(s.values.shape)
        if weights.exponent.ndim
        else weights.exponent
    )
    step = 2.0**each / (scale * s.unit)
    parameter = Parameter("weight", "V", s.values, weights.mantissas, step, weights.clipped)

    if weights.clipped and not options.allow_clipping:
        raise QuantizationError(
            f"projection {s.name!r}: {weights.clipped} weights do not fit; "
            f"{named('allow_clipping', True)} brings them to the end of the range"
        )

    reasons = [*s.notes, *([f"{weights.clipped} weights clipped"] if weights.clipped else [])]
    if not parameter.exact:
        reasons.append(f"weights rounded to {s.bits} bits")
    if len(made) > 1:
        bits = " and ".join(str(p.weight_bits) for p in made)
        synapses = sum(p.weights.size for p in made) / max(s.values.size, 1)
        each_two = synapses == 2
        reasons.append(
            f"{'each weight' if each_two else 'weights'} carried by two synapses, of {bits} bits, "
            f"the second in {made[1].name!r}: "
            f"{'twice' if each_two else f'{synapses:.3g} times'} the synapses"
            + (
                f" and synaptic operations, {sum(p.weight_bits for p in made)} bits of synaptic "
                f"memory a weight instead of {SYNAPSE_BITS}"
                if each_two
                else " that the weights alone would be"
            )
        )

    if s.way.recurrent:
        reasons.append("recurrent: brings the spikes of the step before")
    return LayerAudit(
        s.name,
        "projection",
        FAITHFUL if parameter.exact else APPROXIMATE,
        tuple(reasons),
        (parameter,),
        {},
        s.way.nodes,
    )
