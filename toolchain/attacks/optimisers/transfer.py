"""Transfer: samples made on one victim, tried on another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolchain.attacks.base import Attack, AttackError, AttackResult, Threat, Victim, verify


@dataclass(frozen=True)
class Transfer:
    """Craft with ``attack`` on ``source``; the victim is asked once, at the end, and has no say in
    what is crafted.

    Queries count the victim's (one); the history is that of the crafting, and "source_success" [1,
    sample].
    """

    attack: Attack
    source: Victim

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
        if (
            tuple(self.source.sample_shape) != tuple(victim.sample_shape)
            or self.source.classes != victim.classes
        ):
            raise AttackError(
                f"transfer from samples {tuple(self.source.sample_shape)}, {self.source.classes} "
                f"classes, "
                f"to {tuple(victim.sample_shape)}, {victim.classes}; "
                "both must take the same samples and know the same classes"
            )
        crafted = self.attack(self.source, samples, labels, threat, seed=seed, **options)
        verify(np.asarray(samples), crafted.adversarial, threat)
        success = np.asarray(victim.predict(crafted.adversarial, seed=seed)).argmax(
            axis=1
        ) != np.asarray(labels)
        history = {**crafted.history, "source_success": crafted.success[None].astype(np.float32)}
        return AttackResult(crafted.adversarial, success, np.ones(len(samples), np.int64), history)
