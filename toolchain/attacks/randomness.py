"""Random numbers of attacks: reproducible from the seed, and the same for a sample whatever batch
it comes in."""

from __future__ import annotations

import hashlib

import numpy as np


def derived_seed(*parts: object) -> int:
    """A seed (0 to 2**63 - 1) from other numbers and names; equal parts give equal seeds, others
    independent ones."""
    text = "\x1f".join(map(repr, parts)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def generators(samples: np.ndarray, seed: int, purpose: str) -> list[np.random.Generator]:
    """One generator for each sample, keyed by its content, the seed and the purpose.

    So an attack finds the same perturbation for a sample alone, in a batch, or in any order of the
    samples.
    """
    keys = (
        hashlib.sha256(np.ascontiguousarray(sample).tobytes()).hexdigest() for sample in samples
    )
    return [np.random.default_rng(derived_seed(seed, purpose, key)) for key in keys]
