"""Random noise: the floor that every gradient must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions, without_gradients

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Noise:
    """The worst of ``tries`` random points, by predictions alone.

    kind    "uniform": uniformly from the ball
            "gaussian": linf: normal with standard deviation epsilon; l2: normal with expected
            length epsilon; then projected onto the ball and the range
    """

    kind: str = "uniform"
    tries: int = 1

    def __post_init__(self) -> None:
        positive_number("noise", "tries", self.tries)
        if self.kind not in ("uniform", "gaussian"):
            raise AttackError(f"noise: kind is {self.kind!r}; it must be uniform or gaussian")

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        **options: Unpack[SearchOptions],
    ) -> AttackResult:
        search = Search(
            victim,
            samples,
            labels,
            threat,
            white_box=False,
            **without_gradients(options),
        )
        search.query(search.clean)
        generators = search.generators(f"noise {self.kind}")

        for done in range(self.tries if threat.epsilon > 0 else 0):
            if self.kind == "uniform":
                point = geometry.uniform_in_ball(search.clean, threat, generators)
            else:
                drawn = torch.from_numpy(
                    np.stack([g.standard_normal(search.samples.shape[1:]) for g in generators])
                ).to(search.clean)
                scale = 1 if threat.norm == "linf" else drawn[0].numel() ** -0.5
                point = search.project(search.clean + threat.epsilon * scale * drawn)
            search.query(point)
            search.tick(done + 1, self.tries)

        return search.finish()
