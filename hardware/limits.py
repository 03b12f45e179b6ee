"""How much a file may hold at most: what a large system of chips can hold, by the chip's own table.

A file that asks for more describes no network that such a system runs, and is refused before
anything is allocated for it. The numbers of ``chips/loihi2.toml`` are repeated here, because Lava's
Python 3.10 reads Programs too and has no TOML reader; a test compares them.
"""

from __future__ import annotations

CHIPS = 32
"""Four boards of eight Loihi 2 chips (Kapoho Point, announced by Intel in September 2022)."""

CHIP_NEURONS = 120 * 4095
"""Cores of a chip, and neurons of a core."""

CHIP_SYNAPSES = 120 * 12_000 * 64 // 20
"""Cores of a chip, words of synaptic memory of a core, bits of a word, bits of a stored synapse."""

NEURONS = CHIPS * CHIP_NEURONS
SYNAPSES = CHIPS * CHIP_SYNAPSES

MODEL_BYTES = 8 * SYNAPSES
"""Bytes of all numbers of a network, at the widest that a graph stores: 64-bit floating point."""

PARTS = 4096
"""Populations, and nodes of a graph: above the neuron groups of four chips (8 for each of 120
cores), and more than any published network has layers."""

HEADER_BYTES = 2048 * PARTS
"""Bytes of the JSON header of a safetensors file: 2 KiB for each part, whose tensors need about 100
bytes each. Python objects made of it take ten times as much."""
