"""Recording: what one run of a Program produced, the same type from every target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hardware import _tabular
from hardware.errors import InputError
from hardware.program import Input, Program

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Record:
    """What to keep of a run besides the outputs and the counts, which are always kept.

    spikes: every layer's (and input's) spikes; potentials: every layer's membrane potential after
    each step.
    """

    spikes: bool = False
    potentials: bool = False


@dataclass(frozen=True, eq=False)
class Recording:
    """Results of one run; arrays are [sample, step, *shape of the layer].

    program       fingerprint of the Program that ran
    target        name of the target
    layers        names of inputs and populations, sources first
    spikes        layer → uint8 spikes (int32 for graded inputs). Spiking outputs always; all layers
                  where recorded
    potentials    layer → int32 membrane potential after the step's reset (float32 from
                  floating-point software, in the same units). Non-spiking outputs always; all
                  layers where recorded. Every target records at this moment of a step: in the step
                  of a spike, what the reset left. What shows another moment (a framework whose
                  reset comes one step later) is converted where it becomes a Recording
    counts        counter (see hardware.counters) → layer → int64 [sample], summed over the steps of
                  a sample
    scores        output → float64 [sample, neuron], decoded as the Program says
    wall_time_s   seconds for the whole run, set-up of the target included
    details       what a target wants to say about itself; plain JSON values
    """

    program: str
    target: str
    samples: int
    steps: int
    layers: tuple[str, ...]
    spikes: Mapping[str, np.ndarray]
    potentials: Mapping[str, np.ndarray]
    counts: Mapping[str, Mapping[str, np.ndarray]]
    scores: Mapping[str, np.ndarray]
    wall_time_s: float
    details: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.target}, {self.samples} samples x {self.steps} steps, "
            f"{len(self.layers)} layers, {self.program[:12]})"
        )

    def _repr_html_(self) -> str:
        rows = self._rows()
        names = list(rows[0]) if rows else []
        title = f"{self.samples} samples x {self.steps} steps on {self.target}"
        note = f"counts: mean of one sample. Program {self.program[:12]}, {self.wall_time_s:.2f} s"
        cells = [[row[name] for name in names] for row in rows]
        return _tabular.html(title, [name.replace("_", " ") for name in names], cells, note)

    def _rows(self) -> list[dict[str, object]]:
        """A row for each layer: its counts, as means over the samples."""
        return [
            {"layer": layer}
            | {
                counter: float(by_layer[layer].mean())
                for counter, by_layer in self.counts.items()
                if layer in by_layer
            }
            for layer in self.layers
        ]

    def to_frame(self) -> pandas.DataFrame:
        """A data frame with a row for each layer: its counters (``hardware.counters``), as means
        over the samples, for one sample.

        Raises:
            MissingPackageError: where pandas is not installed.
        """
        return _tabular.frame(self._rows())

    def predictions(self, output: str | None = None) -> np.ndarray:
        """Class of every sample, int64 [sample]: the neuron with the largest score, the first of
        equals."""
        name = next(iter(self.scores)) if output is None else output
        classes: np.ndarray = self.scores[name].argmax(axis=1)
        return classes

    def accuracy(self, labels: np.ndarray, output: str | None = None) -> float:
        """Share of samples whose prediction equals the label, 0 to 1."""
        labels = np.asarray(labels)
        if labels.shape != (self.samples,):
            raise InputError(
                f"labels have shape {labels.shape}; there must be one for each of the "
                f"{self.samples} samples"
            )
        return float(np.mean(self.predictions(output) == labels))


def decode(
    program: Program, spikes: Mapping[str, np.ndarray], potentials: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Scores of every output, float64 [sample, neuron] (neurons flattened in C order).

    Needs the spikes of spiking outputs that are counted and the potentials of those whose potential
    is read.
    """
    scores = {}
    for output in program.outputs:
        if output.decode == "spike_count":
            value = spikes[output.population].sum(axis=1, dtype=np.int64)
        else:
            trace = potentials[output.population]
            if output.decode == "last_potential":
                value = trace[:, -1]
            elif output.decode == "mean_potential":
                value = trace.mean(axis=1, dtype=np.float64)
            else:
                value = trace.max(axis=1)
        scores[output.population] = value.reshape(len(value), -1).astype(np.float64)
    return scores


class HasInputs(Protocol):
    """What ``check_inputs`` needs of a Program."""

    @property
    def inputs(self) -> Sequence[Input]:
        """Populations whose spikes come from outside."""


def check_inputs(program: HasInputs, inputs: Any) -> dict[str, np.ndarray]:
    """Inputs as name → uint8 (binary) or int32 (graded) array [sample, step, *shape], range
    checked.

    ``inputs`` is one array where the Program has one input, or a mapping name → array. Raises
    InputError, which names the input, what was found and what it must be.
    """
    names = [part.name for part in program.inputs]
    if not isinstance(inputs, Mapping):
        if len(names) != 1:
            raise InputError(
                f"the Program has {len(names)} inputs ({', '.join(names)}): give a mapping name → "
                f"array"
            )
        inputs = {names[0]: inputs}
    if set(inputs) != set(names):
        raise InputError(
            f"inputs are {', '.join(sorted(map(str, inputs)))}; the Program has "
            f"{', '.join(sorted(names))}"
        )

    checked: dict[str, np.ndarray] = {}
    for part in program.inputs:
        where = f"input {part.name!r}"
        try:
            array = np.asarray(inputs[part.name])
        except ValueError:
            shape = ", ".join(map(str, part.shape))
            raise InputError(
                f"{where}: no array: its rows differ in length; it must be [sample, step, {shape}]"
            ) from None
        if array.ndim != 2 + len(part.shape) or array.shape[2:] != part.shape:
            raise InputError(
                f"{where}: shape {array.shape}; it must be [sample, step, "
                f"{', '.join(map(str, part.shape))}]"
            )
        if array.shape[0] < 1 or array.shape[1] < 1:
            raise InputError(f"{where}: shape {array.shape} holds no sample or no step")
        if array.dtype.kind not in "biuf":
            raise InputError(f"{where}: type {array.dtype}; it must hold whole numbers")

        low, high = part.value_range
        if array.dtype.kind == "f":
            if not np.all(np.isfinite(array)):
                raise InputError(
                    f"{where}: NaN or infinite values; they must be whole numbers from {low} to "
                    f"{high}"
                )
            if not np.all(array == np.trunc(array)):
                raise InputError(
                    f"{where}: values that are not whole numbers; they must be whole numbers from "
                    f"{low} to {high}"
                )

        smallest, largest = array.min(), array.max()
        if smallest < low or largest > high:
            wanted = f"{low} to {high} ({part.message_bits} message bits)"
            raise InputError(
                f"{where}: values from {smallest} to {largest}; they must be from {wanted}"
            )
        checked[part.name] = np.ascontiguousarray(
            array, dtype=np.uint8 if part.message_bits == 0 else np.int32
        )

    lengths = {array.shape[:2] for array in checked.values()}
    if len(lengths) > 1:
        raise InputError(f"the inputs differ in [sample, step]: {sorted(lengths)}")
    return checked
