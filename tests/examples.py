"""How many random cases a test draws: a share of them in every run, all of them on demand."""

from __future__ import annotations

import os

SHARE = float(os.environ.get("SPIKEPORT_EXAMPLES", "0.3"))
"""`make test-thorough` sets 1."""


def many(examples: int) -> int:
    """So many of ``examples`` as this run is to draw, at least 10."""
    return max(10, round(examples * SHARE))
