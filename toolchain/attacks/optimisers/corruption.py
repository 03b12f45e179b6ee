"""A common corruption as an "attack": nobody looks for the worst, the image is spoilt as cameras
and weather do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim, check_kind, verify
from toolchain.attacks.randomness import derived_seed


@dataclass(frozen=True)
class Corruption:
    """``name`` of ``toolchain.data.corruptions``; the severity is the threat's epsilon. Asks the
    victim once, to know the success."""

    name: str

    def __call__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        *,
        seed: int = 0,
        **options: Any,
    ) -> AttackResult:
        from toolchain.data.corruptions import CORRUPTIONS, corrupt

        if self.name not in CORRUPTIONS:
            raise AttackError(
                f"there is no corruption {self.name!r}; there are {', '.join(CORRUPTIONS)}"
            )
        check_kind(victim, threat)
        clean = np.ascontiguousarray(samples, np.float32)
        spoilt = corrupt(
            clean,
            self.name,
            int(threat.epsilon),
            seed=derived_seed("corruption", seed) & 0xFFFFFFFF,
        ).astype(np.float32)
        verify(clean, spoilt, threat)
        success = np.asarray(victim.predict(spoilt, seed=seed)).argmax(axis=1) != np.asarray(labels)
        return AttackResult(spoilt, success, np.ones(len(clean), np.int64))
