"""Compare two Recordings, spike by spike and potential by potential, with zero tolerance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hardware.errors import InputError
from hardware.program import Program
from hardware.recording import Recording


@dataclass(frozen=True)
class FirstDifference:
    """Where two runs part first: the earliest sample, then step, then layer in order, then
    neuron."""

    layer: str
    quantity: str
    sample: int
    step: int
    neuron: tuple[int, ...]
    values: tuple[float, float]


@dataclass(frozen=True)
class LayerAgreement:
    """One layer: how many values were compared and how many differ; None where a run did not record
    them.

    largest_difference, mean_difference   of the potentials, absolute, over all that were compared,
                                          in ``unit``
    unit    "threshold" of each neuron, where the Program is known and the layer has one; else
            "state", the integer step of the membrane potential (64 make one step of the threshold's
            mantissa)
    largest_potential   absolute, in steps of the state: what the differences of a layer without
                        threshold are held against
    """

    layer: str
    spikes: int | None
    spike_differences: int | None
    potentials: int | None
    potential_differences: int | None
    largest_difference: float | None = None
    mean_difference: float | None = None
    unit: str | None = None
    largest_potential: float | None = None

    @property
    def relative(self) -> tuple[float, float] | None:
        """(largest, mean) difference of the potentials in thresholds; of a layer without, in its
        largest potential."""
        if self.largest_difference is None or self.mean_difference is None:
            return None
        scale = 1.0 if self.unit == "threshold" else self.largest_potential or 1.0
        return self.largest_difference / scale, self.mean_difference / scale

    @property
    def spike_share(self) -> float | None:
        """Share of the spike values that differ, 0 to 1."""
        return (self.spike_differences or 0) / self.spikes if self.spikes else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"spike_share": self.spike_share}

    @classmethod
    def joined(cls, parts: Sequence[LayerAgreement]) -> LayerAgreement:
        """The same layer over the samples of all parts."""

        def whole(name: str) -> list[Any] | None:
            values = [getattr(part, name) for part in parts]
            return None if None in values else values

        def total(name: str) -> int | None:
            values = whole(name)
            return None if values is None else sum(values)

        tops, most, means = map(
            whole, ("largest_potential", "largest_difference", "mean_difference")
        )
        potentials, mean = whole("potentials"), None
        if means is not None and potentials is not None:
            mean = sum(m * n for m, n in zip(means, potentials)) / sum(potentials)
        return cls(
            layer=parts[0].layer,
            spikes=total("spikes"),
            spike_differences=total("spike_differences"),
            potentials=total("potentials"),
            potential_differences=total("potential_differences"),
            largest_difference=None if most is None else max(most),
            mean_difference=mean,
            unit=parts[0].unit,
            largest_potential=None if tops is None else max(tops),
        )


@dataclass(frozen=True)
class Comparison:
    """Agreement of two runs, layer by layer.

    first_spike   the same of spikes alone
    floating      one of the two is floating point: potentials differ by what quantisation changed
    """

    targets: tuple[str, str]
    layers: tuple[LayerAgreement, ...]
    first: FirstDifference | None
    first_spike: FirstDifference | None = None
    floating: bool = False

    @property
    def identical(self) -> bool:
        """No difference in anything that was compared."""
        return self.first is None

    @property
    def spikes_identical(self) -> bool:
        """No difference in any spike, whatever the potentials."""
        return not any(layer.spike_differences for layer in self.layers)

    @property
    def largest_difference(self) -> float:
        """Of any potential, in thresholds; in layers without (integrators), in the layer's largest
        potential."""
        return max(
            (layer.relative[0] for layer in self.layers if layer.relative is not None), default=0.0
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "targets": list(self.targets),
            "layers": [layer.to_dict() for layer in self.layers],
            "first": None if self.first is None else asdict(self.first),
            "first_spike": None if self.first_spike is None else asdict(self.first_spike),
            "floating": self.floating,
            "identical": self.identical,
            "spikes_identical": self.spikes_identical,
        }


def compare(one: Recording, other: Recording, program: Program | None = None) -> Comparison:
    """Compare everything that both runs recorded. Raises InputError if they ran different things or
    share nothing.

    program   what ran; with it, differences of potentials are in units of the neurons' thresholds
    """
    if one.program != other.program:
        raise InputError(
            f"the runs are of different Programs: {one.program[:12]} and {other.program[:12]}"
        )
    if (one.samples, one.steps) != (other.samples, other.steps):
        raise InputError(
            f"the runs differ in [sample, step]: {(one.samples, one.steps)} and "
            f"{(other.samples, other.steps)}"
        )

    layers, floating = [], False
    differences: list[tuple[tuple[Any, ...], FirstDifference]] = []
    for order, layer in enumerate(one.layers):
        compared: dict[str, tuple[int, int] | tuple[None, None]] = {}
        size: tuple[Any, Any, Any, Any] = (None, None, None, None)
        for quantity in ("spikes", "potentials"):
            a, b = getattr(one, quantity).get(layer), getattr(other, quantity).get(layer)
            if a is None or b is None:
                compared[quantity] = (None, None)
                continue
            different = a != b
            compared[quantity] = (int(different.size), int(np.count_nonzero(different)))
            if quantity == "potentials":
                floating |= "f" in (a.dtype.kind, b.dtype.kind)
                size = _size(a, b, different, program, layer)
            if compared[quantity][1]:
                where = tuple(
                    int(i) for i in np.unravel_index(int(different.argmax()), different.shape)
                )
                rank = (where[0], where[1], order, quantity != "potentials")
                values = (a[where].item(), b[where].item())
                differences.append(
                    (rank, FirstDifference(layer, quantity, where[0], where[1], where[2:], values))
                )

        (spikes, wrong_spikes), (potentials, wrong_potentials) = compared.values()
        layers.append(
            LayerAgreement(layer, spikes, wrong_spikes, potentials, wrong_potentials, *size)
        )

    if all(entry.spikes is None and entry.potentials is None for entry in layers):
        raise InputError("the runs recorded nothing that can be compared")
    differences.sort(key=lambda entry: entry[0])
    first, first_spike = (
        next((entry for _, entry in differences if quantity in (None, entry.quantity)), None)
        for quantity in (None, "spikes")
    )
    return Comparison((one.target, other.target), tuple(layers), first, first_spike, floating)


def _size(
    a: np.ndarray, b: np.ndarray, different: np.ndarray, program: Program | None, layer: str
) -> tuple[float, float, str, float]:
    """(largest, mean absolute difference, their unit, largest potential) of potentials [sample,
    step, *shape]."""
    # an input, and some neuron kinds, have no threshold
    threshold = None if program is None else getattr(program.nodes[layer], "threshold", None)
    unit = "state" if threshold is None else "threshold"
    top = float(max(abs(float(x)) for array in (a, b) for x in (array.min(), array.max())))
    if not different.any():
        return 0.0, 0.0, unit, top

    apart = np.abs(a[different].astype(np.float64) - b[different])
    if threshold is not None:
        # a threshold of 0 has no size: there the step of its mantissa is the unit
        each = np.maximum(np.broadcast_to(threshold, a.shape[2:]), 1).astype(np.float64) * 64
        apart /= np.broadcast_to(each, a.shape)[different]
    return float(apart.max()), float(apart.sum() / different.size), unit, top
