"""NIR graph → Program: the passes, the integers, and the audit of both, in order.

settle what is open (export.reading) → flatten subgraphs → shapes → join integrators with Thresholds
→ find the ways between populations (folding scales, pooling, Flatten and delays into them)
→ neurons in discrete time → scales and integers → Program
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import nir
import numpy as np

from export import metadata as graph_metadata
from export.audit import APPROXIMATE, FAITHFUL, REFUSED, Audit, LayerAudit
from export.errors import (
    CalibrationError,
    ExportError,
    GraphError,
    MissingInformationError,
    QuantizationError,
    RefusedError,
    UnsupportedError,
)
from export.neurons import (
    DISCRETIZATIONS,
    DiscreteNeuron,
    compensated,
    discretize,
    needs_dt,
    readout,
)
from export.passes.subgraphs import flatten, without_virtual
from export.passes.threshold import fuse
from export.populations import LoweredPopulation, constant_source, lower_population
from export.quantize import MOST_BITS
from export.reading import GraphReading, Told, settle
from export.shapes import NEURONS, Shape, infer
from export.simulate import Extremes, execution_order, simulate
from export.synapses import LoweringOptions, Sources, values_of
from export.trace import Traced, Way, projection_name, trace
from hardware.errors import HardwareError
from hardware.parameters import parameter
from hardware.program import Input, Output, Program
from hardware.recording import check_inputs

CALIBRATION_CHUNK = 16
"""Samples of calibration data that are simulated at once."""


class Lowered(NamedTuple):
    """What lowering gives: ``program, audit = lower(graph)``."""

    program: Program
    audit: Audit


@dataclass(frozen=True, eq=False)
class FloatingNetwork:
    """The network in volts and discrete time, before any number became an integer.

    inputs     as of the Program; fractions: Input node → k, an integer x means x * 2**-k
    parts      population → its integers, and what they were made from
    """

    traced: Traced
    neurons: Mapping[str, DiscreteNeuron]
    inputs: tuple[Input, ...]
    fractions: Mapping[str, int]
    parts: Mapping[str, LoweredPopulation]

    def real(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Integer inputs in real units."""
        return {name: array * 2.0 ** -self.fractions[name] for name, array in arrays.items()}


def lower(
    graph: nir.NIRGraph,
    *,
    dt: float | None = None,
    reset: str | None = None,
    r_per: str | None = None,
    dialect: str | None = None,
    weight_bits: int = 8,
    per_channel: bool | None = None,
    calibration: np.ndarray | Mapping[str, np.ndarray] | None = None,
    message_bits: int | Mapping[str, int] | None = None,
    input_fraction_bits: int | Mapping[str, int] | None = None,
    discretization: str = "euler",
    allow_clipping: bool = False,
    source: str = "NIR graph",
) -> Lowered:
    """Lower a NIR graph to a Program.

    dt                    time step in seconds, where the graph does not state it
    reset                 "zero", "subtract" or "none", where the graph does not state it
    r_per                 "second" (r * dt, NIR's equation) or "step": what r of IF and I counts by,
                          where it is not unmistakable
    dialect               one of export.dialects.DIALECTS: the framework that wrote the graph, which
                          states its conventions at once
    weight_bits           2 to 16, for layers without a grid from quantisation-aware training; more
                          than 8: each weight is carried by two synapses
    per_channel           one power-of-two weight scale for each output channel (True) or one for
                          the layer (False; same layers); not given: for each channel where that
                          makes the weights' error smaller by a tenth or more, which the audit says
    calibration           typical inputs, whole numbers [sample, step, *shape] (or Input node →
                          array): the numbers of layers without a grid get room for what these
                          inputs cause, times 2, instead of for the worst case
    message_bits          bits of graded inputs (or Input node → bits), where the graph does not
                          state them; default binary
    input_fraction_bits   an input integer x means x * 2**-k, where the graph does not state k
    discretization        "euler" (dt/tau), or "exponential" (1 - exp(-dt/tau)): see export.neurons
    allow_clipping        clip weights where that makes the squared error smaller; counted in the
                          audit
    source                where the graph came from, for the audit

    Raises MissingInformationError (dt, reset, r_per: all that are open, with their options),
    GraphError, UnsupportedError, QuantizationError, CalibrationError; and RefusedError, which holds
    the audit, where nodes of the graph have no integer counterpart.
    """
    return beside(
        graph,
        dt=dt,
        reset=reset,
        r_per=r_per,
        dialect=dialect,
        weight_bits=weight_bits,
        per_channel=per_channel,
        calibration=calibration,
        message_bits=message_bits,
        input_fraction_bits=input_fraction_bits,
        discretization=discretization,
        allow_clipping=allow_clipping,
        source=source,
    )[0]


def beside(
    graph: nir.NIRGraph,
    *,
    dt: float | None = None,
    reset: str | None = None,
    r_per: str | None = None,
    dialect: str | None = None,
    weight_bits: int = 8,
    per_channel: bool | None = None,
    calibration: np.ndarray | Mapping[str, np.ndarray] | None = None,
    message_bits: int | Mapping[str, int] | None = None,
    input_fraction_bits: int | Mapping[str, int] | None = None,
    discretization: str = "euler",
    allow_clipping: bool = False,
    source: str = "NIR graph",
) -> tuple[Lowered, FloatingNetwork]:
    """As ``lower``, with the network in floating point beside its integers."""
    if not isinstance(weight_bits, int) or not 2 <= weight_bits <= MOST_BITS:
        raise QuantizationError(
            f"{parameter('weight_bits')} is {weight_bits!r}; it must be a whole number from 2 to "
            f"{MOST_BITS}"
        )
    if discretization not in DISCRETIZATIONS:
        raise MissingInformationError(
            f"{parameter('discretization')} is {discretization!r}; it must be one of "
            f"{', '.join(DISCRETIZATIONS)}"
        )

    read = settle(graph, Told(dt, reset, r_per, dialect))
    graph, dt_s, dt_source = read.graph, read.dt_s, read.dt_source
    meta = graph_metadata.of(graph)
    if discretization != "euler" and "discretization" in meta["origin"]:
        raise MissingInformationError(
            f"{parameter('discretization')} is {discretization!r}, but the graph's time constants "
            "were brought into Euler's form; leave it out"
        )

    flat = flatten(graph)
    shapes = infer(flat.nodes, flat.edges)
    flat, fused = fuse(without_virtual(flat))
    traced = trace(flat, shapes, dt_s, meta["nodes"])
    sources = {
        name: {**entry, "sources": read.sources.get(name, {})}
        for name, entry in meta["nodes"].items()
    }
    neurons = _neurons(traced, sources, dt_s, discretization, fused)
    if traced.refused:
        _refuse(traced, source, read)

    inputs, input_audits, fractions = _inputs(
        flat.nodes, shapes, meta["nodes"], message_bits, input_fraction_bits
    )
    largest = {
        part.name: max(map(abs, part.value_range)) * 2.0 ** -fractions[part.name] for part in inputs
    }

    maxima = [name for name in neurons if meta["nodes"].get(name, {}).get("pooling")]
    for name in maxima:
        _check_maximum(name, traced.ways[name], inputs)

    known = Sources(
        {name: shapes[name][1] for name in flat.nodes},
        largest | dict.fromkeys(neurons, 1.0),
        fractions | dict.fromkeys(neurons, 0),
    )
    order = execution_order(traced.ways)
    measured = (
        _calibrate(traced, neurons, inputs, fractions, calibration)
        if calibration is not None
        else {}
    )

    names = _Names(flat.nodes)
    options = LoweringOptions(weight_bits, per_channel, allow_clipping, names.unused("constant"))
    with _suspecting(read.warnings):
        lowered = {
            name: lower_population(
                neurons[name],
                traced.ways[name],
                traced.constants[name],
                known,
                meta["nodes"],
                options,
                measured.get(name),
                names.projection,
            )
            for name in neurons
        }

    outputs, output_audits = _outputs(traced, neurons, meta["nodes"])
    constant = (
        [constant_source(options.constant)]
        if any(p.needs_constant for p in lowered.values())
        else []
    )
    scales = {population.name: 1.0 for population in constant} | {
        name: part.scale for name, part in lowered.items()
    }

    try:
        program = Program(
            inputs=tuple(inputs),
            populations=(*constant, *(lowered[name].population for name in order)),
            projections=tuple(p for name in order for p in lowered[name].projections),
            outputs=tuple(outputs),
            metadata=_metadata(
                meta,
                source,
                None if graph_metadata.in_steps(meta) else dt_s,
                scales,
                neurons,
                fractions,
                maxima,
            ),
        )
    except HardwareError as error:
        raise QuantizationError(str(error)) from error

    if graph_metadata.in_steps(meta):
        dt_s = None
    layers = [
        *input_audits,
        *(audit for name in order for audit in lowered[name].audits),
        *output_audits,
    ]

    notes = [str(note) for note in meta["origin"].get("notes", [])]
    if discretization != "euler" and any(
        needs_dt(node, meta["nodes"].get(n, {})) for n, node in flat.nodes.items()
    ):
        notes.append("discretization: exponential")

    texts = (tuple(notes), tuple(read.lines), tuple(read.warnings))
    beside_it = FloatingNetwork(traced, neurons, tuple(inputs), fractions, lowered)
    return Lowered(program, Audit(source, dt_s, dt_source, tuple(layers), *texts)), beside_it


@contextmanager
def _suspecting(warnings: Sequence[str]) -> Iterator[None]:
    """Numbers that do not fit are often a graph that was read wrongly: what looks like it is said,
    too."""
    try:
        yield
    except QuantizationError as error:
        if not warnings:
            raise
        raise QuantizationError(f"{error}. Warning: {' Warning: '.join(warnings)}") from error


def _neurons(
    traced: Traced,
    entries: Mapping[str, Any],
    dt_s: float | None,
    discretization: str,
    fused: Mapping[str, str],
) -> dict[str, DiscreteNeuron]:
    """Every population in discrete time; what cannot be is added to ``traced.refused``."""
    neurons = {}
    for name, node in traced.flat.nodes.items():
        shape = traced.shapes[name][0]
        if isinstance(node, NEURONS):
            try:
                neuron = discretize(
                    name, node, shape, entries.get(name, {}), dt_s, discretization, fused.get(name)
                )
                neurons[name] = compensated(neuron) if discretization == "exponential" else neuron
            except ExportError as error:
                traced.refused[name] = error
        elif name in traced.readouts:
            neurons[name] = readout(name, shape)
    return neurons


def _refuse(traced: Traced, source: str, read: GraphReading) -> NoReturn:
    """Raise a RefusedError that says for every node whether it could be lowered."""
    layers = [
        LayerAudit(name, type(node).__name__, REFUSED, (str(traced.refused[name]),), nodes=(name,))
        if name in traced.refused
        else LayerAudit(
            name,
            type(node).__name__,
            FAITHFUL,
            ("not lowered, because other nodes were refused",),
            nodes=(name,),
        )
        for name, node in traced.flat.nodes.items()
    ]

    causes = tuple(traced.refused.values())
    more = f" (and {len(causes) - 1} more: see the audit)" if len(causes) > 1 else ""
    texts = ((), tuple(read.lines), tuple(read.warnings))
    raise RefusedError(
        f"{causes[0]}{more}",
        Audit(source, read.dt_s, read.dt_source, tuple(layers), *texts),
        causes,
    ) from causes[0]


def _inputs(
    nodes: Mapping[str, nir.NIRNode],
    shapes: Mapping[str, tuple[Shape, Shape]],
    entries: Mapping[str, Any],
    message_bits: int | Mapping[str, int] | None,
    fraction_bits: int | Mapping[str, int] | None,
) -> tuple[list[Input], list[LayerAudit], dict[str, int]]:
    """Inputs of the Program, their audit, and the fraction bits of their values."""
    names = [n for n, node in nodes.items() if isinstance(node, nir.Input)]
    given = {}
    for option, value in (("message_bits", message_bits), ("fraction_bits", fraction_bits)):
        given[option] = (
            dict(value)
            if isinstance(value, Mapping)
            else {}
            if value is None
            else dict.fromkeys(names, value)
        )
        unknown = set(given[option]) - set(names)
        if unknown:
            raise GraphError(
                f"{option} is given for {sorted(unknown)[0]!r}, which is no Input; there are "
                f"{', '.join(names)}"
            )

    inputs, audits, fractions = [], [], {}
    for name in names:
        bits, statements, assumed = {}, {}, False
        for option, default in (("message_bits", 0), ("fraction_bits", 0)):
            stated, chosen = entries.get(name, {}).get(option), given[option].get(name)
            if stated is not None and chosen is not None and stated != chosen:
                raise GraphError(
                    f"input {name!r}: {option} is {chosen}, but the graph states {stated}; leave "
                    f"the option out, or correct the graph"
                )
            bits[option] = next((v for v in (stated, chosen) if v is not None), default)
            where = (
                "stated in the graph"
                if stated is not None
                else "given by the caller"
                if chosen is not None
                else "assumed"
            )
            assumed |= where == "assumed" and option == "message_bits"
            statements[option] = (
                str(bits[option])
                + (" (binary spikes)" if option == "message_bits" and not bits[option] else ""),
                where,
            )

        try:
            inputs.append(Input(name, shapes[name][1], message_bits=bits["message_bits"]))
        except HardwareError as error:
            raise GraphError(str(error)) from error
        fractions[name] = int(bits["fraction_bits"])
        reasons = ("binary spikes are assumed, not stated",) if assumed else ()
        audits.append(
            LayerAudit(
                name,
                "input",
                APPROXIMATE if assumed else FAITHFUL,
                reasons,
                (),
                statements,
                (name,),
            )
        )

    return inputs, audits, fractions


def _calibrate(
    traced: Traced,
    neurons: Mapping[str, DiscreteNeuron],
    inputs: list[Input],
    fractions: Mapping[str, int],
    data: np.ndarray | Mapping[str, np.ndarray],
) -> dict[str, Extremes]:
    """Extremes of every population on calibration data. Raises CalibrationError for unusable
    data."""
    try:
        arrays = check_inputs(_OnlyInputs(inputs), data)
    except HardwareError as error:
        raise CalibrationError(f"calibration data: {error}") from error
    total = {name: Extremes() for name in neurons}
    for first in range(0, len(next(iter(arrays.values()))), CALIBRATION_CHUNK):
        chunk = {
            n: a[first : first + CALIBRATION_CHUNK] * 2.0 ** -fractions[n]
            for n, a in arrays.items()
        }
        for name, extremes in simulate(traced, neurons, chunk).extremes.items():
            total[name] = Extremes(
                *(
                    max(getattr(total[name], q), getattr(extremes, q))
                    for q in ("input", "current", "potential")
                )
            )
    return total


class _OnlyInputs:
    """What ``check_inputs`` needs of a Program."""

    def __init__(self, inputs: list[Input]) -> None:
        self.inputs = inputs


def _check_maximum(name: str, ways: Sequence[Way], inputs: Sequence[Input]) -> None:
    """Only of spikes is the maximum an OR. Raises UnsupportedError where something else arrives."""
    graded = {part.name for part in inputs if part.message_bits}
    for way in ways:
        values = values_of(way.operator)
        if way.source in graded:
            what = f"graded values of {way.source!r}"
        elif np.any((values != 0) & (values < 1 - 1e-6)):
            what = f"{way.source!r} times {float(values[values != 0].min()):g}"
        else:
            continue
        raise UnsupportedError(
            f"population {name!r}: max pooling of {what}; the values must be spikes as they are (a "
            f"neuron's, or an input of message_bits 0), because the maximum of other values is no "
            f"OR"
        )


def _outputs(
    traced: Traced, neurons: Mapping[str, DiscreteNeuron], entries: Mapping[str, Any]
) -> tuple[list[Output], list[LayerAudit]]:
    """Outputs of the Program and how they are decoded."""
    outputs, audits = [], []
    for name, population in traced.outputs.items():
        stated = entries.get(name, {}).get("decode")
        default = (
            "mean_potential"
            if name == population
            else "last_potential"
            if neurons[population].threshold is None
            else "spike_count"
        )
        outputs.append(Output(population, stated or default))
        statements = {"decode": (stated or default, "stated in the graph" if stated else "assumed")}
        audits.append(
            LayerAudit(
                name, "output", FAITHFUL, (f"reads {population!r}",), (), statements, (name,)
            )
        )
    return outputs, audits


def _metadata(
    meta: Mapping[str, Any],
    source: str,
    dt_s: float | None,
    scales: Mapping[str, float],
    neurons: Mapping[str, DiscreteNeuron],
    fractions: Mapping[str, int],
    maxima: Sequence[str],
) -> dict[str, Any]:
    """What the Program says about itself: volts = potential * 2**-(fraction_bits + 6) +
    potential_offset_v; "maxima": populations that pool spikes, which no module need have."""
    bits = {name: float(np.log2(scale)) for name, scale in scales.items()}
    offsets = {name: n.offset.tolist() for name, n in neurons.items() if np.any(n.offset)}
    return {
        "source": source,
        "origin": meta["origin"],
        "data": meta["data"],
        "dt_s": dt_s,
        "fraction_bits": {
            name: int(value) if value == int(value) else value for name, value in bits.items()
        },
        "input_fraction_bits": dict(fractions),
        **({"potential_offset_v": offsets} if offsets else {}),
        **({"maxima": list(maxima)} if maxima else {}),
    }


class _Names:
    """Names of projections, each used once."""

    def __init__(self, nodes: Mapping[str, nir.NIRNode]) -> None:
        self.nodes = nodes
        self.taken: set[str] = set()

    def projection(self, of: Way | str) -> str:
        """An unused name for a way, or one based on a text."""
        if isinstance(of, Way):
            return projection_name(of, self.nodes, self.taken)
        name = self._free(of, self.taken)
        self.taken.add(name)
        return name

    def unused(self, name: str) -> str:
        """A name that no node has."""
        return self._free(name, set(self.nodes))

    @staticmethod
    def _free(base: str, taken: set[str]) -> str:
        name, number = base, 2
        while name in taken:
            name, number = f"{base} ({number})", number + 1
        return name
