"""The registry of neuron kinds."""

from __future__ import annotations

from hardware.errors import ProgramError
from hardware.lif import LIF
from hardware.neurons import NeuronKind
from hardware.registry import Registry

KINDS: Registry[NeuronKind] = Registry(
    "neuron kind", "spikeport.neurons", NeuronKind, {LIF.name: LIF}, ProgramError
)
"""Name → neuron kind."""
