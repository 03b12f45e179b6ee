"""Which random cases the tests draw, and how many: the same share of them in every run, so that
what passed on one machine passes on the next; all of them, new ones each time, on demand."""

from __future__ import annotations

import os

from hypothesis import settings

THOROUGH = "thorough"
SHARE = float(os.environ.get("SPIKEPORT_EXAMPLES", "0.3"))
"""`make test-thorough` sets 1."""

settings.register_profile("every day", derandomize=True)
settings.register_profile(THOROUGH, derandomize=False)
settings.load_profile(THOROUGH if SHARE >= 1 else "every day")


def many(examples: int) -> int:
    """So many of ``examples`` as this run is to draw, at least 10."""
    return max(10, round(examples * SHARE))
