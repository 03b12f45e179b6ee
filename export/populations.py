"""One population of the Program: its scale, its integers, the projections into it, and their
audit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.audit import APPROXIMATE, FAITHFUL, LayerAudit, Parameter
from export.errors import GraphError, QuantizationError
from export.headroom import headroom, wanted, worst_case
from export.neurons import DiscreteNeuron, collapse
from export.quantize import choose_scale, fit_bias, fits_bias, split_constant
from export.simulate import Extremes
from export.synapses import (
    LoweringOptions,
    Sources,
    Synapses,
    audit_of,
    integers_of,
    projections_of,
    synapses_of,
)
from export.trace import ConstantInput, Way
from hardware.lif import LIF
from hardware.parameters import parameter as named
from hardware.program import Dense, Population, Projection


@dataclass
class LoweredPopulation:
    """The parts of a Program that one population brings, and what they were made from.

    synapses   the ways into it with the neuron's gain in their weights; weights: of each, what was
               wanted and what is used
    direct     volts per step straight into the potential, as wanted
    delayed    volts per step that come in as synaptic input, by delay: wanted and used
    own        parameters of the population itself, wanted and used
    """

    population: Population
    projections: list[Projection]
    audits: list[LayerAudit]
    scale: float
    synapses: list[Synapses]
    weights: list[Parameter]
    direct: np.ndarray
    delayed: dict[int, Parameter]
    own: list[Parameter]

    @property
    def needs_constant(self) -> bool:
        """Whether the source that fires in every step is needed."""
        return bool(self.delayed)


def lower_population(
    neuron: DiscreteNeuron,
    ways: list[Way],
    constants: list[ConstantInput],
    sources: Sources,
    entries: Mapping[str, Mapping[str, Any]],
    options: LoweringOptions,
    measured: Extremes | None,
    name_of: Callable[[Way | str], str],
) -> LoweredPopulation:
    """Integers for one population and everything that leads into it.

    entries    metadata of all nodes; measured: extremes from calibration data, None for the worst
               case
    name_of    gives an unused name for a way, or based on a text
    """
    where = f"population {neuron.name!r}"
    synapses = [synapses_of(way, name_of(way), neuron, sources, entries) for way in ways]

    grid = neuron.grid
    if (
        grid is None
        and neuron.threshold is None
        and synapses
        and all(s.grid is not None and "fraction_bits" in s.grid for s in synapses)
    ):
        stated = (synapses[0].grid or {})["fraction_bits"]
        grid = {"fraction_bits": stated} if _is_readout(neuron) else None

    wraps = grid is not None and grid.get("overflow") == "wrap"
    direct, delayed = _biases(neuron, constants, through_current=neuron.has_current or wraps)
    reasons = list(neuron.reasons)
    if grid is not None:
        scale = 2.0 ** grid["fraction_bits"]
        for s in synapses:
            if (
                s.grid is not None
                and s.grid.get("fraction_bits", grid["fraction_bits"]) != grid["fraction_bits"]
            ):
                other = s.grid["fraction_bits"]
                raise GraphError(
                    f"{where}: fraction_bits {grid['fraction_bits']}, but those of {s.name!r} are "
                    f"{other}; there must be one number"
                )
    else:
        scale = _choose(
            where,
            neuron,
            synapses,
            ways,
            constants,
            direct,
            delayed,
            sources,
            options,
            measured,
            reasons,
        )

    projections, audits = [], []
    for s in synapses:
        s.bits = options.weight_bits if grid is None else (s.grid or {}).get("weight_bits", 8)
        weights = integers_of(s, scale, neuron.shape[0], grid is not None, options)
        made = projections_of(s, weights, sources, name_of)
        projections += made
        audits.append(audit_of(s, weights, scale, neuron.shape[0], options, made))

    if not neuron.has_current and not fits_bias(direct * scale * 64, grid is not None):
        # what comes from a source that fires in every step arrives in the same step as a bias
        delayed[0] = delayed.get(0, np.zeros(())) + direct
        direct = np.zeros(())
        reasons.append("its bias is more than 13 bits hold")

    sent, more = _constant_projections(
        where, neuron, delayed, scale, grid is not None, name_of, options.constant
    )
    population, parameters = _population(where, neuron, direct, scale, grid is not None)
    reasons += (
        [f"input bias through the population {options.constant!r}, which fires in every step"]
        if sent
        else []
    )

    exact = all(p.exact for p in parameters)
    assumed = [
        key for key, (_, source) in neuron.statements.items() if source.startswith("assumed")
    ]
    reasons += [f"{key.replace('_', ' ')} is assumed, not stated" for key in assumed]
    reasons += [f"{p.name} rounded" for p in parameters if not p.exact]
    reasons += neuron.caveats
    if neuron.noise is not None:
        reasons.append(
            f"fires when potential + noise exceeds the threshold (seed {neuron.noise.seed}, every "
            f"sample the same): synapses, decays and "
            "reset are the chip's own where its check says nothing else, the noise needs "
            "microcode; the chip's own noise is another"
        )

    verdict = FAITHFUL if exact and not assumed and not neuron.caveats else APPROXIMATE
    audit = LayerAudit(
        neuron.name,
        "population",
        verdict,
        tuple(reasons),
        tuple(parameters),
        dict(neuron.statements),
        (neuron.name,),
    )
    return LoweredPopulation(
        population,
        projections + sent,
        [*audits, *more, audit],
        scale,
        synapses,
        [of_weights.parameter("weight") for of_weights in audits],
        direct,
        {delay: of_bias.parameter("bias") for delay, of_bias in zip(sorted(delayed), more)},
        parameters,
    )


def _is_readout(neuron: DiscreteNeuron) -> bool:
    return not neuron.has_current and bool(np.all(neuron.voltage_decay == 1))


def _biases(
    neuron: DiscreteNeuron, constants: list[ConstantInput], through_current: bool
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Volts per step straight into the potential; and, by delay, volts per step that must come in
    as synaptic input."""
    direct = np.broadcast_to(neuron.leak, neuron.shape).copy()
    delayed: dict[int, np.ndarray] = {}
    for constant in constants:
        value = np.broadcast_to(neuron.gain, neuron.shape) * constant.value
        if through_current or constant.delay:
            before = delayed.get(constant.delay, np.zeros(()))
            delayed[constant.delay] = before + value
        else:
            direct += value
    return collapse(direct), delayed


def _choose(
    where: str,
    neuron: DiscreteNeuron,
    synapses: list[Synapses],
    ways: list[Way],
    constants: list[ConstantInput],
    direct: np.ndarray,
    delayed: Mapping[int, np.ndarray],
    sources: Sources,
    options: LoweringOptions,
    measured: Extremes | None,
    reasons: list[str],
) -> float:
    """The scale of a population without grid; appends to ``reasons`` what it rests on."""
    worst = worst_case(neuron, ways, constants, sources.largest)
    largest = [float(np.abs(s.weights).max(initial=0.0)) for s in synapses]
    through = max((float(np.max(np.abs(volts))) for volts in delayed.values()), default=0.0)

    room = headroom(
        neuron,
        worst,
        measured,
        max(largest, default=0.0),
        direct,
        through,
        options.weight_bits,
    )

    if room.scale <= 0:
        raise QuantizationError(
            f"{where}: nothing bounds {room.limited_by}, which does not decay; give "
            f"{named('calibration')} data"
        )

    aim = wanted(neuron, min((w for w in largest if w > 0), default=0.0), options.weight_bits)
    top = min(room.scale, aim)
    if not math.isfinite(top):
        top = 1.0
    reasons += room.notes
    if room.scale < aim:
        reasons.append(f"scale limited by {room.limited_by} ({room.source})")

    scale = choose_scale(
        top,
        [(s.weights, s.lowest) for s in synapses],
        neuron.threshold,
        options.weight_bits,
        options.allow_clipping,
    )

    saturates = ((1 << 23) - 1) / 64 / scale
    reasons.append(
        f"{scale:.8g} integer steps in a volt; the potential saturates at ±{saturates:.4g} V "
        f"({room.source})"
    )
    return scale


def _constant_projections(
    where: str,
    neuron: DiscreteNeuron,
    delayed: dict[int, np.ndarray],
    scale: float,
    exact: bool,
    name_of: Callable[[Way | str], str],
    constant: str,
) -> tuple[list[Projection], list[LayerAudit]]:
    """Projections from the constant population that add an input bias, and their audit."""
    projections: list[Projection] = []
    audits: list[LayerAudit] = []
    for delay, volts in sorted(delayed.items()):
        steps = np.asarray(volts * scale).ravel()
        whole = np.rint(steps)
        if exact and np.any(np.abs(steps - whole) > 1e-4):
            off = float(steps[np.argmax(np.abs(steps - whole))])
            raise QuantizationError(
                f"{where}: an input bias of {off:g} integer steps is off the grid; it must be a "
                f"whole number"
            )

        for part in split_constant(where, whole):
            name = name_of(f"bias of {neuron.name}")
            column = part.mantissas.reshape(-1, 1)
            projections.append(
                Dense(
                    name,
                    constant,
                    neuron.name,
                    column,
                    exponent=np.asarray(part.exponent),
                    delay=np.asarray(delay),
                )
            )

        parameter = Parameter(
            "bias", "V", np.asarray(volts).ravel(), whole.astype(np.int64), 1 / scale
        )
        verdict = FAITHFUL if parameter.exact else APPROXIMATE
        reasons = () if parameter.exact else ("bias rounded",)
        audits.append(
            LayerAudit(projections[-1].name, "projection", verdict, reasons, (parameter,))
        )
    return projections, audits


def _population(
    where: str, neuron: DiscreteNeuron, direct: np.ndarray, scale: float, exact: bool
) -> tuple[Population, list[Parameter]]:
    """The population itself and the audit of its parameters."""
    parameters: list[Parameter] = []

    def whole(name: str, unit: str, values: np.ndarray, step: float) -> np.ndarray:
        limit = LIF[name].high
        integers = np.rint(values / step)
        if exact and np.any(np.abs(values / step - integers) > 1e-4):
            raise QuantizationError(
                f"{where}: {name} {float(np.ravel(values)[0]):g} {unit} is off the grid of "
                f"{step:g} {unit}"
            )
        if np.any(integers > limit) or np.any(integers < 0):
            raise QuantizationError(
                f"{where}: {name} is {float(np.max(np.abs(integers))):g} integer steps; it "
                f"must be from 0 to {limit}"
            )
        if name == "threshold" and np.any((values > 0) & (integers == 0)):
            small = float(np.min(values[values > 0]))
            raise QuantizationError(
                f"{where}: threshold {small:g} {unit} is less than half an integer step of "
                f"{step:g} {unit}, which what comes in needs; "
                f"give {named('calibration')} data, or smaller weights"
            )

        parameters.append(Parameter(name, unit, values, integers.astype(np.int64), step))
        return integers.astype(np.int64)

    current = whole("current_decay", "1/step", neuron.current_decay, 1 / 4096)
    voltage = whole("voltage_decay", "1/step", neuron.voltage_decay, 1 / 4096)
    values: dict[str, Any] = {"current_decay": current, "voltage_decay": voltage}
    if neuron.threshold is not None:
        values |= {
            "threshold": whole("threshold", "V", neuron.threshold, 1 / scale),
            "reset": neuron.reset,
            "refractory": neuron.refractory,
            "noise": neuron.noise,
        }
        if neuron.noise is not None:
            step = 1 / (64 * scale)
            parameters.append(
                Parameter(
                    "noise_sigma",
                    "V",
                    np.asarray(neuron.noise.sigma * step),
                    np.asarray(neuron.noise.sigma),
                    step,
                )
            )
        if neuron.reset == "subtract":
            given = np.asarray(neuron.reset_amount)
            amount = whole("reset_amount", "V", given, 1 / (64 * scale))
            if not np.array_equal(amount, values["threshold"] << 6):
                values["reset_amount"] = amount
    else:
        values["threshold"] = None
    mantissa, exponent = fit_bias(where, direct * scale * 64, exact)
    if np.any(direct):
        parameters.append(
            Parameter("bias", "V/step", direct, mantissa, 2.0**exponent / (64 * scale))
        )
        values |= {"bias": mantissa, "bias_exponent": exponent}
    return Population(neuron.name, neuron.shape, **values), parameters


def constant_source(name: str) -> Population:
    """A neuron without input that fires in every step, from the first.

    Its potential is reset in every step, so no voltage decay changes anything; 0 is one that a chip
    has.
    """
    zero, one = np.zeros((), np.int64), np.ones((), np.int64)
    return Population(
        name, (1,), current_decay=4096 * one, voltage_decay=zero, threshold=zero, bias=one
    )
