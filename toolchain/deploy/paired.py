"""Two targets that classified the same samples: how often they say the same, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.deploy.summary import accuracy
from toolchain.statistics import newcombe_paired


@dataclass(frozen=True)
class Paired:
    """Predictions of two targets, sample by sample.

    same      samples that both classify alike, rightly or not
    both, first, second, neither   samples that both classify correctly, the first target alone, the
                                   second alone, none of them; None without labels
    """

    targets: tuple[str, str]
    samples: int
    same: int
    both: int | None = None
    first: int | None = None
    second: int | None = None
    neither: int | None = None

    @classmethod
    def of(
        cls,
        targets: tuple[str, str],
        one: np.ndarray,
        other: np.ndarray,
        labels: np.ndarray | None = None,
    ) -> Paired:
        """From predictions [sample] of two targets.

        Args:
            targets: their names.
            one: classes that the first predicts.
            other: classes that the second predicts.
            labels: the right ones, or None.
        """
        same = int(np.count_nonzero(one == other))
        if labels is None:
            return cls(targets, len(one), same)
        right, other_right = one == labels, other == labels
        counts = (
            right & other_right,
            right & ~other_right,
            ~right & other_right,
            ~right & ~other_right,
        )
        return cls(targets, len(one), same, *(int(np.count_nonzero(c)) for c in counts))

    @property
    def share(self) -> float:
        """Of samples that both classify alike, 0 to 1."""
        return self.same / self.samples

    @property
    def difference(self) -> dict[str, float] | None:
        """Accuracy of the second target minus that of the first, {"value", "low", "high"} in -1 to
        1, with Newcombe's 95 % interval for paired shares; None without labels."""
        both, first, second, neither = self.both, self.first, self.second, self.neither
        if both is None or first is None or second is None or neither is None:
            return None
        # the interval is of first minus second, so the two swap places
        low, high = newcombe_paired(both, second, first, neither)
        return {"value": (second - first) / self.samples, "low": low, "high": high}

    def lines(self) -> list[str]:
        """For the terminal."""
        low, high = (100 * end for end in accuracy(self.same, self.samples)["interval"])
        lines = [
            f"predictions of {self.targets[0]} and {self.targets[1]} agree on {self.same} of "
            f"{self.samples} samples, {100 * self.share:.2f} % (95 % interval {low:.2f} to "
            f"{high:.2f} %)"
        ]
        difference = self.difference
        if difference is not None:
            value, low, high = (100 * difference[name] for name in ("value", "low", "high"))
            lines.append(
                f"accuracy of {self.targets[1]} minus {self.targets[0]}: {value:+.2f} points (95 % "
                f"interval {low:+.2f} to {high:+.2f}); {self.targets[0]} alone is right on "
                f"{self.first}, {self.targets[1]} alone on {self.second}"
            )
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "targets": list(self.targets),
            "agreement": {
                "same": self.same,
                "samples": self.samples,
                "share": self.share,
                "interval": accuracy(self.same, self.samples)["interval"],
            },
            "both_right": self.both,
            "first_alone_right": self.first,
            "second_alone_right": self.second,
            "neither_right": self.neither,
            "difference": self.difference,
        }
