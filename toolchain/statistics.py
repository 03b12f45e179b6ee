"""What a measured share says about the true one."""

from __future__ import annotations

import math

Z_95 = 1.959963984540054
"""97.5 % point of the standard normal distribution: a two-sided interval of 95 %."""


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval for a share, as (low, high) in 0 to 1; default 95 %.

    Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. Unlike the normal approximation it stays within 0 and 1 and
    is of use at 0 and 100 %.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials}: accepted are at least 1 trial and 0 to all successes")
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == trials else middle + half)
