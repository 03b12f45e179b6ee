"""An adversary who knows the seed: noise on a chip is a sequence that follows from one, and a network of known numbers is not random.

victim = Known(victim, seed=0)      every call is the inference of that seed; nothing is left to average over
"""

from __future__ import annotations

import numpy as np
import torch

from toolchain.attacks.base import NotApplicable, Victim


class Known:
    """A victim with noisy neurons, whose noise is that of one inference seed; everything else is the victim's.

    Raises NotApplicable where nothing is random, and where the encoder is: what it draws depends on a sample's place among those that are
    encoded together, which differs between an attack and an inference.
    """

    stochastic = False

    def __init__(self, victim: Victim, seed: int):
        if not victim.stochastic:
            raise NotApplicable("the network is not random, so there is no seed to know")
        inner = victim
        while hasattr(inner, "victim"):
            inner = inner.victim
        if getattr(getattr(inner, "encoder", None), "stochastic", False):
            raise NotApplicable("the encoder draws by a sample's place in its batch; a known seed is for the noise of neurons")
        self._inner, self._seed = victim, seed

    def __getattr__(self, name: str):
        if name.startswith("__") or name == "_inner":  # what copying asks for before there is one
            raise AttributeError(name)
        return getattr(self._inner, name)

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """The victim's, of the known seed; ``seed`` is not used."""
        return self._inner.scores(samples, seed=self._seed)

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """The victim's, of the known seed; ``seed`` is not used."""
        return self._inner.predict(samples, seed=self._seed)
