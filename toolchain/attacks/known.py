"""An adversary who knows the seed.

Noise on a chip, and the spikes of a Poisson encoder, are sequences that follow from a seed. It
stands in the checkpoint's header and in the Program, so it is no secret, and a network of known
numbers is not random. Both are functions of the seed alone: neither depends on a sample's place
among those that are computed together, so that an attack and every inference of that seed draw the
same numbers.

victim = Known(victim, seed=0)      every call is the inference of that seed; nothing is left to
                                    average over
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from toolchain.attacks.base import NotApplicable, Victim
from toolchain.attacks.encoding import revealed
from toolchain.attacks.readings import Reading, ask, read


class Known:
    """A random victim whose numbers are those of one inference seed; everything else is the
    victim's.

    reach   how far the adversary can move a pixel: the gradient then passes a Poisson encoder only
            where that changes a spike

    Raises NotApplicable where nothing is random.
    """

    stochastic = False

    def __init__(self, victim: Victim, seed: int, reach: float | None = None) -> None:
        if not victim.stochastic:
            raise NotApplicable("the network is not random, so there is no seed to know")
        self._inner, self._seed = victim if reach is None else _revealed(victim, reach), seed

    @property
    def sample_shape(self) -> tuple[int, ...]:
        return self._inner.sample_shape

    @property
    def classes(self) -> int:
        return self._inner.classes

    @property
    def model(self) -> nn.Module:
        return self._inner.model

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_inner":  # what copying asks for before there is one
            raise AttributeError(name)
        return getattr(self._inner, name)

    def read(self, samples: torch.Tensor, *, seed: int = 0) -> Reading:
        """The victim's, of the known seed; ``seed`` is not used."""
        return read(self._inner, samples, self._seed)

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """The victim's, of the known seed; ``seed`` is not used."""
        return self.read(samples).scores

    def ask(self, samples: np.ndarray, *, seed: int = 0) -> Reading:
        """The victim's, of the known seed; ``seed`` is not used."""
        return ask(self._inner, samples, self._seed)

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """The victim's, of the known seed; ``seed`` is not used."""
        return self._inner.predict(samples, seed=self._seed)


def _revealed(victim: Victim, reach: float) -> Victim:
    """A copy of the victim, or of what it wraps, whose encoder shows its draws."""
    encoder, inside = getattr(victim, "encoder", None), getattr(victim, "victim", None)
    if encoder is None and inside is None:
        return victim
    shown: Any = copy.copy(victim)
    if inside is not None:
        shown.victim = _revealed(inside, reach)
    elif encoder is not None:
        shown.encoder = revealed(encoder, reach)
    found: Victim = shown
    return found
