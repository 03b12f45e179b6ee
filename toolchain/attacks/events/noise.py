"""Random changes of events: the floor for both event threats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from toolchain.attacks.base import AttackResult, Threat, Victim
from toolchain.attacks.events.retiming import offsets, retimed
from toolchain.attacks.optimisers.signed_steps import positive_number
from toolchain.attacks.search import Search, SearchOptions, without_gradients
from toolchain.whole import whole

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True)
class EventNoise:
    """The worst of ``tries`` random changes, by predictions alone: threat "flips": that many cells
    drawn without replacement are flipped; threat "shift": every event prefers a random offset."""

    tries: int = 1

    def __post_init__(self) -> None:
        positive_number("event noise", "tries", self.tries)

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
            norms=("flips", "shift"),
            white_box=False,
            **without_gradients(options),
        )
        search.query(search.clean)
        generators = search.generators("event noise")
        for done in range(self.tries if threat.epsilon > 0 else 0):
            points = [
                self._changed(search.samples[row], threat, g) for row, g in enumerate(generators)
            ]
            search.query(torch.from_numpy(np.stack(points)).to(search.clean))
            search.tick(done + 1, self.tries)
        return search.finish()

    @staticmethod
    def _changed(sample: np.ndarray, threat: Threat, generator: np.random.Generator) -> np.ndarray:
        if threat.norm == "flips":
            changed = sample.copy().reshape(-1)
            cells = generator.choice(
                changed.size, min(int(threat.epsilon), changed.size), replace=False
            )
            changed[cells] = 1 - changed[cells]
            return changed.reshape(sample.shape)
        events = torch.from_numpy(sample.astype(np.float32)).flatten(1)[None]
        count = len(offsets(min(int(threat.epsilon), len(sample) - 1)))
        moved = retimed(events, torch.from_numpy(generator.random((*events.shape, count))))
        return whole(moved.reshape(sample.shape).numpy(), np.uint8, "events moved in time", 0, 1)
