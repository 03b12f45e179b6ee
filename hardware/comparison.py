"""Compare two Recordings, spike by spike and potential by potential, with zero tolerance."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from hardware.errors import InputError
from hardware.recording import Recording


@dataclass(frozen=True)
class FirstDifference:
    """Where two runs part first: the earliest sample, then step, then layer in order, then neuron."""

    layer: str
    quantity: str
    sample: int
    step: int
    neuron: tuple[int, ...]
    values: tuple[float, float]


@dataclass(frozen=True)
class LayerAgreement:
    """One layer: how many values were compared and how many differ; None where a run did not record them."""

    layer: str
    spikes: int | None
    spike_differences: int | None
    potentials: int | None
    potential_differences: int | None


@dataclass(frozen=True)
class Comparison:
    """Agreement of two runs, layer by layer."""

    targets: tuple[str, str]
    layers: tuple[LayerAgreement, ...]
    first: FirstDifference | None

    @property
    def identical(self) -> bool:
        """No difference in anything that was compared."""
        return self.first is None

    def to_dict(self) -> dict:
        """Plain JSON values."""
        return asdict(self) | {"identical": self.identical}


def compare(one: Recording, other: Recording) -> Comparison:
    """Compare everything that both runs recorded. Raises InputError if they ran different things or share nothing."""
    if one.program != other.program:
        raise InputError(f"the runs are of different Programs: {one.program[:12]} and {other.program[:12]}")
    if (one.samples, one.steps) != (other.samples, other.steps):
        raise InputError(f"the runs differ in [sample, step]: {(one.samples, one.steps)} and {(other.samples, other.steps)}")
    layers, first = [], None
    for order, layer in enumerate(one.layers):
        compared: dict[str, tuple[int, int] | tuple[None, None]] = {}
        for quantity in ("spikes", "potentials"):
            a, b = getattr(one, quantity).get(layer), getattr(other, quantity).get(layer)
            if a is None or b is None:
                compared[quantity] = (None, None)
                continue
            different = a != b
            compared[quantity] = (int(different.size), int(np.count_nonzero(different)))
            if compared[quantity][1]:
                where = tuple(int(i) for i in np.unravel_index(int(different.argmax()), different.shape))
                rank = (where[0], where[1], order, quantity != "potentials")
                if first is None or rank < first[0]:
                    values = (a[where].item(), b[where].item())
                    first = (rank, FirstDifference(layer, quantity, where[0], where[1], where[2:], values))
        layers.append(LayerAgreement(layer, *compared["spikes"], *compared["potentials"]))
    if all(entry.spikes is None and entry.potentials is None for entry in layers):
        raise InputError("the runs recorded nothing that can be compared")
    return Comparison((one.target, other.target), tuple(layers), None if first is None else first[1])
