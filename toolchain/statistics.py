"""What a measured share, or the difference of two, says about the true one."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""97.5 % point of the standard normal distribution: a two-sided interval of 95 %."""


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a share, as (low, high) in 0 to 1; default 95 %.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. Unlike the normal approximation it
    stays within 0 and 1 and is of use at 0 and 100 %.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(
            f"{successes} of {trials}: there must be at least 1 trial, and 0 to all successes"
        )
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (0.0 if successes == 0 else middle - half), (
        1.0 if successes == trials else middle + half
    )


def newcombe_paired(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """95 % interval for the difference of two shares of the same trials (first minus second), as
    (low, high) in -1 to 1.

    both, neither    trials that succeed, or fail, both times
    first, second    trials that succeed the first time alone, or the second time alone

    Source: R. G. Newcombe, Statistics in Medicine 17 (1998) 2635-2650, method 10: Wilson's interval
    of each share, squared and added, with the correlation of the two (its numerator corrected for
    continuity). It has a width where no trial differs, as a bootstrap or a normal approximation
    have not: two equal trials say little.
    """
    counts = (both, first, second, neither)
    trials = sum(counts)
    if trials < 1 or min(counts) < 0:
        raise ValueError(f"counts are {counts}; they must be 0 or more, and at least one trial")

    wins, others = both + first, both + second
    one, other = wins / trials, others / trials
    (low_one, high_one), (low_other, high_other) = wilson(wins, trials), wilson(others, trials)
    phi = _correlation(both, first, second, neither)

    def reach(up: float, down: float) -> float:
        return math.sqrt(max(0.0, up * up - 2 * phi * up * down + down * down))

    difference = one - other
    low = difference - reach(one - low_one, high_other - other)
    high = difference + reach(high_one - one, other - low_other)
    return max(-1.0, low), min(1.0, high)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Of two records of successes; 0 where one of them never changes. A positive one is lowered by
    half a trial for each trial."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    product: float = both * neither - first * second
    if product > 0:
        product = max(0.0, product - (both + first + second + neither) / 2)
    return product / math.sqrt(margins)
