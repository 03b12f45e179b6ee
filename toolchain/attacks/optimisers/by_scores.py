"""What attacks on images that look at scores alone do alike, around their own climb."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim
from toolchain.attacks.search import Search, SearchOptions, without_gradients


def attack_by_scores(
    name: str,
    climb: Callable[[Search], None],
    victim: Victim,
    samples: np.ndarray,
    labels: np.ndarray,
    threat: Threat,
    options: SearchOptions,
    norms: tuple[str, ...] = ("linf", "l2"),
) -> AttackResult:
    """Search by the margin from the clean samples on, and keep the best point.

    name      of the attack, for errors
    climb     what the attack does with the search; not called for a radius of 0
    samples   [sample, channels, height, width]
    options   of ``Search``; an estimator, which nothing needs here, is left out
    norms     of the threats that the attack keeps to

    Raises AttackError.
    """
    search = Search(
        victim,
        samples,
        labels,
        threat,
        norms=norms,
        white_box=False,
        **without_gradients(options),
    )
    search.goal = search.misclassify("margin")
    if search.samples.ndim != 4:
        raise AttackError(
            f"{name}: samples have shape {search.samples.shape}; "
            "they must be [sample, channels, height, width]"
        )

    search.query(search.clean)
    if threat.epsilon > 0:
        climb(search)
    return search.finish()
