"""What one scored cell holds for every sample, and how cells are described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Scored:
    """One target's view of one set of samples, clean or attacked.

    description   plain JSON values: "model", "attack", "estimator", "family" (noise, single_step, iterative, black_box, energy,
                  clean), "iterations", "norm", "epsilon", "seed", "target", "eot", "stochastic", "crafted_on"
    index         int64 [sample]: position in the data set, the same sample has the same index in every cell
    correct       bool [sample]: prediction equals the label
    margin        float64 [sample]: score of the label minus the best other score; positive where correct
    distance      float64 [sample]: size of the change, in the norm of the threat model
    activity      counter → float64 [sample, layer]: "axon_out", "syn_ops", "dendrite_updates", "spikes_in"
    layers        names of the layers, the columns of ``activity``
    history       what the attack reported about itself, see AttackResult
    """

    description: Mapping
    index: np.ndarray
    correct: np.ndarray
    margin: np.ndarray
    distance: np.ndarray
    activity: Mapping[str, np.ndarray]
    layers: tuple[str, ...]
    history: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def accuracy(self) -> float:
        """Share of correct samples, 0 to 1."""
        return float(self.correct.mean())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """For the store."""
        arrays = {"index": self.index, "correct": self.correct, "margin": self.margin, "distance": self.distance}
        arrays |= {f"activity.{name}": values for name, values in self.activity.items()}
        return arrays | {f"history.{name}": values for name, values in self.history.items()}

    @classmethod
    def from_arrays(cls, description: Mapping, arrays: Mapping[str, np.ndarray]) -> Scored:
        """Back from the store."""

        def part(prefix):
            return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}

        return cls(
            description=description,
            index=arrays["index"],
            correct=arrays["correct"],
            margin=arrays["margin"],
            distance=arrays["distance"],
            activity=part("activity."),
            layers=tuple(description["layers"]),
            history=part("history."),
        )
