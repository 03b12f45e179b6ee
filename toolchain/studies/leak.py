"""Attacked accuracy against leak: what remains of the potential in each step, 1: no leak (IF)."""

from __future__ import annotations

from dataclasses import replace

from toolchain.errors import ConfigError
from toolchain.pages.table import Column, Table
from toolchain.studies.setting import SHARMIN, Setting
from toolchain.training import Config


def put(config: Config, value: float) -> Config:
    """The recipe with another leak; the integrator at the end keeps its own (readout_beta)."""
    if not 0 <= value <= 1:
        raise ConfigError(
            f"leak: {value:g}; it is what remains in each step, and must be from 0 to 1"
        )
    return replace(config, neuron=replace(config.neuron, beta=value))


_COLUMNS = ("remaining", "clean", "fgsm", "pgd", "bim", "cw")
_PUBLISHED = (
    (1.0, 92.26, 39.67, 21.56, 21.05, 10.12),
    (0.8, 92.45, 39.83, 23.19, 22.40, 11.04),
    (0.5, 90.31, 42.72, 24.05, 23.12, 11.71),
    (0.3, 89.26, 52.20, 38.02, 37.01, 12.35),
    (0.0, 81.76, 62.84, 63.80, 63.09, 12.46),
)
ANCHOR = Table(
    "published-leak",
    "Published elsewhere, in another setting: accuracy in %, FEEL-SNN (NeurIPS 2024), Table 6; "
    "CIFAR-10, VGG-11, 4 steps, direct input "
    "with frequency encoding, ε = 4/255, 4 attack steps. PGD climbs by 42 points while the "
    "optimisation attack CW moves by 2: most of "
    "the gain is what the gradient does not see.",
    tuple(
        Column(
            name, "remaining in each step" if i == 0 else name.upper() if i > 1 else name, "number"
        )
        for i, name in enumerate(_COLUMNS)
    ),
    tuple(dict(zip(_COLUMNS, row)) for row in _PUBLISHED),
)

LEAK = Setting(
    name="leak",
    title="Attacked accuracy against leak",
    axis="what remains of the potential in each step (1: no leak)",
    put=put,
    claim=(
        "Sharmin et al. (ECCV 2020): a larger leak, so a smaller remaining factor, gives more "
        "accuracy under attack; leaky neurons are "
        "more robust than those without leak.",
    ),
    theirs=SHARMIN,
    anchor=ANCHOR,
)
