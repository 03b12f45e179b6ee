"""What one scored cell holds for every sample, and how cells are described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_OPTIONAL = ("label", "prediction", "detector")


@dataclass(frozen=True, eq=False)
class Scored:
    """One target's view of one set of samples, clean or attacked.

    description   plain JSON values: "model", "attack", "estimator", "family" (noise, single_step,
                  iterative, black_box, energy, clean), "iterations", "norm", "epsilon", "seed",
                  "target", "eot", "stochastic", "crafted_on", and "crafted", the key of the crafted
                  cell that holds the samples
    index         int64 [sample]: position in the data set, the same sample has the same index in
                  every cell
    correct       bool [sample]: prediction equals the label
    margin        float64 [sample]: score of the label minus the best other score; positive where
                  correct
    distance      float64 [sample]: size of the change, in the norm of the threat model
    activity      counter → float64 [sample, layer]: "axon_out", "syn_ops", "dendrite_updates",
                  "spikes_in"
    layers        names of the layers, the columns of ``activity``
    energy        device table → a name of hardware.energy.QUANTITIES → float64 [sample], joules and
                  seconds of one inference; static, time and calibrated ones only where there are
                  such. The description's "time_limit" says, for each spiking table, which term of
                  which layer the time is of
    history       what the attack reported about itself, see AttackResult
    label, prediction   int64 [sample]: the class that it is, and the one with the highest score
    detector      float64 [sample]: what the detector of a front reads; above the description's
                  "detector_threshold" a sample is taken for perturbed. None without a detector, and
                  on targets other than software
    """

    description: Mapping[str, Any]
    index: np.ndarray
    correct: np.ndarray
    margin: np.ndarray
    distance: np.ndarray
    activity: Mapping[str, np.ndarray]
    layers: tuple[str, ...]
    history: Mapping[str, np.ndarray] = field(default_factory=dict)
    energy: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    label: np.ndarray | None = None
    prediction: np.ndarray | None = None
    detector: np.ndarray | None = None

    @property
    def classified(self) -> tuple[np.ndarray, np.ndarray]:
        """(label, prediction). Raises ValueError where a record was made without them."""
        if self.label is None or self.prediction is None:
            raise ValueError("the record says neither labels nor predictions")
        return self.label, self.prediction

    @property
    def accuracy(self) -> float:
        """Share of correct samples, 0 to 1."""
        return float(self.correct.mean())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For the store."""
        arrays = {
            "index": self.index,
            "correct": self.correct,
            "margin": self.margin,
            "distance": self.distance,
        }
        arrays |= {
            name: getattr(self, name) for name in _OPTIONAL if getattr(self, name) is not None
        }
        arrays |= {f"activity.{name}": values for name, values in self.activity.items()}
        arrays |= {
            f"energy.{device}.{name}": values
            for device, quantities in self.energy.items()
            for name, values in quantities.items()
        }
        return arrays | {f"history.{name}": values for name, values in self.history.items()}

    @classmethod
    def from_arrays(
        cls, description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Scored:
        """Back from the store."""

        def part(prefix: str) -> dict[str, np.ndarray]:
            return {
                name.removeprefix(prefix): values
                for name, values in arrays.items()
                if name.startswith(prefix)
            }

        energy: dict[str, dict[str, np.ndarray]] = {}
        for name, values in part("energy.").items():
            device, quantity = name.rsplit(".", 1)
            energy.setdefault(device, {})[quantity] = values
        return cls(
            description=description,
            index=arrays["index"],
            correct=arrays["correct"],
            margin=arrays["margin"],
            distance=arrays["distance"],
            activity=part("activity."),
            layers=tuple(description["layers"]),
            history=part("history."),
            energy=energy,
            **{name: arrays.get(name) for name in _OPTIONAL},
        )
