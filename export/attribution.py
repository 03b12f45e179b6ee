"""Where a quantisation after training loses spikes: the network in floating point, with one group
of parameters rounded at a time.

Two views. *Layer by layer*: every layer alone, given the spikes that the floating-point network
sends it, with one group of its own parameters rounded; nothing that an earlier layer lost is seen.
*The network*: one group rounded in every layer, and what that makes of the outputs, where small
losses have grown. With every group rounded the network is the Program, spike for spike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from export.audit import Parameter
from export.errors import CalibrationError
from export.lower import CALIBRATION_CHUNK, FloatingNetwork, beside
from export.rounded import GROUPS, Rounded, predictions
from export.simulate import Simulation, execution_order
from hardware import _tabular
from hardware.errors import HardwareError
from hardware.program import Program
from hardware.recording import check_inputs

EVERYTHING = "all"

RARE = 0.01
"""Largest weights up to this share of a projection count as outliers."""


@dataclass(frozen=True)
class Outlier:
    """Large weights of a projection that cost the others resolution.

    value    the largest, volts; at: its index; of: weights that share its scale
    count    weights so large that without them the step would be 2**-bits times as large
    """

    value: float
    at: tuple[int, ...]
    of: int
    count: int
    bits: int

    def __str__(self) -> str:
        place = ", ".join(map(str, self.at))
        largest = f"largest weight {self.value:.4g} V at [{place}]"
        if not self.bits:
            return f"{largest}, no outlier"
        many = "1 weight" if self.count == 1 else f"{self.count:,} weights"
        return (
            f"{largest}: {many} of {self.of:,} cost{'s' if self.count == 1 else ''} the others "
            f"{self.bits} bit{'s' if self.bits > 1 else ''}"
        )


@dataclass(frozen=True)
class LayerLoss:
    """What one layer alone loses, given the spikes of the floating-point network.

    spikes       that it sends there; None: an integrator
    differ       group, or "all" → spikes that differ; of an integrator: the root-mean-square
                 difference of its potential, as a share of its root mean square
    projections  name → the same with the weights of this projection alone rounded
    outliers     projection → its largest weights
    """

    name: str
    spikes: int | None
    differ: Mapping[str, float]
    projections: Mapping[str, float]
    outliers: Mapping[str, Outlier]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "spikes": self.spikes,
            "unit": "share of the potential" if self.spikes is None else "spikes that differ",
            "differ": dict(self.differ),
            "projections": [
                {
                    "name": name,
                    "differ": value,
                    "largest": self.outliers[name].value,
                    "at": list(self.outliers[name].at),
                    "outliers": self.outliers[name].count,
                    "bits_lost": self.outliers[name].bits,
                }
                for name, value in self.projections.items()
            ],
        }


@dataclass(frozen=True)
class Attribution:
    """What each group of parameters contributes to the loss of a quantisation.

    layers       in order of execution, each alone
    outputs      output → group, or "all" → as of a layer, with this group rounded in every layer
    predictions  group, or "all" → samples whose prediction is that of the floating-point network
    """

    samples: int
    steps: int
    layers: tuple[LayerLoss, ...]
    outputs: Mapping[str, Mapping[str, float]]
    predictions: Mapping[str, int]

    def layer(self, name: str) -> LayerLoss:
        """One layer by name; KeyError where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(f"no layer {name!r}; there are {', '.join(x.name for x in self.layers)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "layers": [layer.to_dict() for layer in self.layers],
            "outputs": {name: dict(differ) for name, differ in self.outputs.items()},
            "same_predictions": dict(self.predictions),
        }

    def table(self) -> str:
        """As plain text: the layers, their weights, the network."""
        columns = (*GROUPS, EVERYTHING)
        head = ("layer alone", "spikes", *columns)
        kinds = {layer.name: layer.spikes is not None for layer in self.layers}

        rows = [
            (
                layer.name,
                "-" if layer.spikes is None else f"{layer.spikes:,}",
                *(_cell(layer.differ[c], layer.spikes is not None) for c in columns),
            )
            for layer in self.layers
        ]

        lines = [
            f"what rounding costs, on {self.samples} samples x {self.steps} steps: spikes that "
            f"differ from floating point (of an integrator: rms share of its potential)",
            "",
            *_tabular_lines(head, rows),
            "",
        ]

        weights = [
            (name, layer.name, _cell(value, kinds[layer.name]), str(layer.outliers[name]))
            for layer in self.layers
            for name, value in layer.projections.items()
        ]
        lines += [*_tabular_lines(("weights of", "into", "differ", "outliers"), weights), ""]

        network = [
            (name, "", *(_cell(differ[c], kinds[name]) for c in columns))
            for name, differ in self.outputs.items()
        ]
        same = [f"{self.predictions[c]:,}" for c in columns]
        network.append((f"same predictions, of {self.samples:,}", "", *same))
        return "\n".join([*lines, *_tabular_lines(("whole network", "", *columns), network)])

    def __repr__(self) -> str:
        return (
            f"Attribution({len(self.layers)} layers, {self.samples} samples; same predictions: "
            f"{self.predictions[EVERYTHING]})"
        )

    def _repr_html_(self) -> str:
        columns = (*GROUPS, EVERYTHING)
        rows = [
            [layer.name, layer.spikes, *(layer.differ[c] for c in columns)] for layer in self.layers
        ]
        return _tabular.html("What rounding costs", ["layer", "spikes", *columns], rows)


def _cell(value: float, counted: bool) -> str:
    if counted:
        return f"{int(value):,}"
    return "0" if value == 0 else f"{100 * value:.2g} %"


def _tabular_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in [head, tuple("-" * w for w in widths), *rows]
    ]


def attribute(
    graph: nir.NIRGraph, inputs: np.ndarray | Mapping[str, np.ndarray], **how: Any
) -> Attribution:
    """Find out which parameters a quantisation loses spikes by, layer by layer.

    Args:
        graph: as of ``lower``.
        inputs: samples, whole numbers [sample, step, *shape] (or Input node → array), as for
            calibration.
        how: options of ``lower``.

    Raises:
        CalibrationError: for inputs that do not fit the graph.
        ExportError: as ``lower``.
    """
    lowered, network = beside(graph, **how)
    return attributed(lowered.program, network, inputs)


def attributed(
    program: Program, network: FloatingNetwork, inputs: np.ndarray | Mapping[str, np.ndarray]
) -> Attribution:
    """The same for a graph that was lowered."""
    try:
        arrays = check_inputs(program, inputs)
    except HardwareError as error:
        raise CalibrationError(f"inputs: {error}") from error

    order = execution_order(network.traced.ways)
    samples, steps = next(iter(arrays.values())).shape[:2]
    whole = {group: Rounded(network, {group}) for group in GROUPS}
    whole[EVERYTHING] = Rounded(network, set(GROUPS))
    plain = Rounded(network, set())

    layers = {name: _Counts() for name in order}
    outputs = {output.population: _Counts() for output in program.outputs}
    same = dict.fromkeys(whole, 0)

    for first in range(0, samples, CALIBRATION_CHUNK):
        chunk = {n: a[first : first + CALIBRATION_CHUNK] for n, a in arrays.items()}
        real = network.real(chunk)
        wanted = plain.run(real)
        for name in order:
            layers[name].sent(network, name, wanted)
            arriving = real | wanted.spikes
            for group, rounded in whole.items():
                layers[name].add(group, network, name, rounded.alone(name, arriving), wanted)
            for synapses in network.parts[name].synapses:
                alone = plain.alone(name, arriving, synapses.name)
                layers[name].add((synapses.name,), network, name, alone, wanted)

        expected = predictions(program, wanted)
        for group, rounded in whole.items():
            simulated = rounded.run(real)
            for name, counts in outputs.items():
                counts.add(group, network, name, simulated, wanted)
            same[group] += int(np.count_nonzero(predictions(program, simulated) == expected))

    losses = tuple(_loss(network, name, layers[name]) for name in order)
    return Attribution(
        samples,
        steps,
        losses,
        {name: counts.shares(tuple(whole)) for name, counts in outputs.items()},
        same,
    )


@dataclass
class _Counts:
    """What differs in one layer, summed over chunks."""

    spikes: int | None = 0
    square: float = 0.0
    differ: dict[Any, float] = field(default_factory=dict)

    def sent(self, network: FloatingNetwork, name: str, wanted: Simulation) -> None:
        if network.neurons[name].threshold is None:
            self.spikes = None
            self.square += float(np.sum(wanted.potentials[name] ** 2))
        else:
            self.spikes = int(self.spikes or 0) + int(wanted.spikes[name].sum())

    def add(
        self,
        key: Any,
        network: FloatingNetwork,
        name: str,
        simulated: Simulation,
        wanted: Simulation,
    ) -> None:
        if network.neurons[name].threshold is None:
            if not self.square:
                self.sent(network, name, wanted)
            off = float(np.sum((simulated.potentials[name] - wanted.potentials[name]) ** 2))
        else:
            off = float(np.count_nonzero(simulated.spikes[name] != wanted.spikes[name]))
        self.differ[key] = self.differ.get(key, 0.0) + off

    def shares(self, keys: Sequence[Any]) -> dict[Any, float]:
        """Counts; of an integrator, root-mean-square shares."""
        if self.spikes is not None:
            return {key: self.differ[key] for key in keys}
        return {key: float(np.sqrt(self.differ[key] / (self.square or 1.0))) for key in keys}


def _loss(network: FloatingNetwork, name: str, counts: _Counts) -> LayerLoss:
    part = network.parts[name]
    names = [synapses.name for synapses in part.synapses]
    shares = counts.shares(list(counts.differ))
    return LayerLoss(
        name,
        counts.spikes,
        {group: shares[group] for group in (*GROUPS, EVERYTHING)},
        {n: shares[(n,)] for n in names},
        {n: outlier_of(weights) for n, weights in zip(names, part.weights)},
    )


def outlier_of(weights: Parameter) -> Outlier:
    """The largest weights of a projection, among those that share the largest one's scale."""
    size = np.abs(weights.values)
    if not size.size or not size.max():
        return Outlier(0.0, (), int(size.size), 0, 0)
    at = tuple(int(n) for n in np.unravel_index(int(size.argmax()), size.shape))
    scale = np.broadcast_to(np.asarray(weights.scale), size.shape)
    # with a scale for each channel only those of its channel suffer
    sharing = size[at[0]].ravel() if scale.min() != scale.max() else size.ravel()
    bits, count = 0, 0
    most = max(1.0, RARE * sharing.size)
    while sharing.size > 1 and bits < 64:
        larger = int(np.count_nonzero(sharing > size[at] * 0.5 ** (bits + 1)))
        if larger > most:
            break
        bits, count = bits + 1, larger
    return Outlier(float(weights.values[at]), at, int(sharing.size), count, bits)
