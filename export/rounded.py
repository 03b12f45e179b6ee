"""The network in floating point with some groups of its parameters as the Program has them; with
all of them it computes the Program's spikes and potentials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from export.audit import Parameter
from export.lower import CALIBRATION_CHUNK, FloatingNetwork
from export.neurons import DiscreteNeuron
from export.operators import Kernel, Matrix, Operator, Triples
from export.populations import LoweredPopulation
from export.simulate import Simulation, simulate
from export.synapses import Synapses
from export.trace import ConstantInput, Traced, Way
from hardware.arithmetic import STATE_SHIFT
from hardware.program import Program
from hardware.recording import decode

GROUPS = ("weights", "biases", "decays", "threshold", "state")
"""What is rounded: weights of synapses; biases; current and voltage decay; threshold and what a
reset subtracts; the states themselves, in every step, with their range."""


class Rounded:
    """The network with some of ``GROUPS`` rounded."""

    def __init__(self, network: FloatingNetwork, groups: set[str]) -> None:
        self.network, self.groups = network, groups
        self.neurons = {name: self._neuron(name) for name in network.parts}
        self.units = {
            name: part.scale * (1 << STATE_SHIFT)
            for name, part in network.parts.items()
            if "state" in groups
        }
        self.traced = replace(
            network.traced,
            ways={name: self._ways(part) for name, part in network.parts.items()},
            constants={name: self._constants(name) for name in network.parts},
        )

    def run(self, real: Mapping[str, np.ndarray]) -> Simulation:
        """The whole network."""
        return simulate(self.traced, self.neurons, real, record=True, units=self.units)

    def alone(
        self, name: str, given: Mapping[str, np.ndarray], projection: str | None = None
    ) -> Simulation:
        """One layer, given what every other one sends. projection: its weights are rounded, too."""
        part = self.network.parts[name]
        ways = self._ways(part, projection)
        traced: Traced = replace(
            self.traced, ways={name: ways}, constants={name: self.traced.constants[name]}
        )
        senders = {w.source for w in ways if not w.recurrent} or {next(iter(given))}
        inputs = {n: given[n] for n in senders}
        return simulate(traced, self.neurons, inputs, record=True, units=self.units)

    def _ways(self, part: LoweredPopulation, projection: str | None = None) -> list[Way]:
        return [
            self._way(synapses, weights, "weights" in self.groups or synapses.name == projection)
            for synapses, weights in zip(part.synapses, part.weights)
        ]

    def _way(self, synapses: Synapses, weights: Parameter, rounded: bool) -> Way:
        operator: Operator = synapses.operator
        if rounded:
            values = np.broadcast_to(weights.represented, weights.values.shape)
            if isinstance(operator, (Kernel, Matrix)):
                operator = replace(operator, weight=values)
            else:
                assert isinstance(operator, Triples), "a way is shortened to what a projection has"
                operator = replace(operator, values=values)
        return replace(synapses.way, operator=operator)

    def _constants(self, name: str) -> list[ConstantInput]:
        shape = self.network.neurons[name].shape
        return [
            ConstantInput(name, "", self._value(bias, "biases").reshape(shape), delay)
            for delay, bias in self.network.parts[name].delayed.items()
        ]

    def _value(self, parameter: Parameter, group: str) -> np.ndarray:
        return np.asarray(parameter.represented if group in self.groups else parameter.values)

    def _neuron(self, name: str) -> DiscreteNeuron:
        """The gain is in the weights; a bias that is no synaptic input is in the leak."""
        part, neuron = self.network.parts[name], self.network.neurons[name]
        own = {parameter.name: parameter for parameter in part.own}
        changed: dict[str, Any] = {
            "current_decay": self._value(own["current_decay"], "decays"),
            "voltage_decay": self._value(own["voltage_decay"], "decays"),
            "gain": np.ones(()),
            "leak": self._value(own["bias"], "biases") if "bias" in own else part.direct,
        }
        for what in ("threshold", "reset_amount"):
            if what in own:
                changed[what] = self._value(own[what], "threshold")
        return replace(neuron, **changed)


def float_predictions(
    program: Program, network: FloatingNetwork, arrays: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Class of every sample of the network in floating point, int64 [sample], decoded as the
    Program says. arrays: integer inputs, checked against the Program."""
    plain, classes = Rounded(network, set()), []
    samples = len(next(iter(arrays.values())))
    for first in range(0, samples, CALIBRATION_CHUNK):
        chunk = {n: a[first : first + CALIBRATION_CHUNK] for n, a in arrays.items()}
        classes.append(predictions(program, plain.run(network.real(chunk))))
    return np.concatenate(classes)


def predictions(program: Program, simulated: Simulation) -> np.ndarray:
    """Class of every simulated sample, int64 [sample]: the first output's largest score."""
    scores = next(iter(decode(program, simulated.spikes, simulated.potentials).values()))
    classes: np.ndarray = scores.argmax(axis=1)
    return classes
