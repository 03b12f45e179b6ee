"""Our question: does a wide margin around the threshold also make the deployment exact?

Networks are trained in floating point (toolchain.layers.floating) with the membrane-potential
constraint of threshold guarding at several widths delta, quantised after training, and compared
with themselves spike by spike (toolchain.studies.flips). Beside them stands the same recipe trained
on the chip's grid, whose spikes are the Program's at any margin.

recipe = "../recipes/digits-small-margin.toml"   # its [defence] margin says lambda_max and more;
                                                 delta and the seed are replaced
deltas = [0.0, 0.5, 1.0]                         # volts; 0: no constraint
weight_bits = [8, 4]
seeds = [0, 1, 2]
near = 0.1                                       # volts: what counts as near the threshold, the
                                                 same for every delta
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolchain.defences import Defence
from toolchain.errors import ConfigError
from toolchain.studies import base, margin_page
from toolchain.studies.base import Cell
from toolchain.studies.margin_settings import MarginStudy
from toolchain.studies.page import Findings
from toolchain.tables import from_table
from toolchain.training import Config, read_config

FLOATING = "toolchain.studies.deploying:train"
"""Trains as a recipe says; the network forgets the chip before."""


settings = MarginStudy


@dataclass(frozen=True)
class MarginPlan:
    """measured: (delta, seed) → cell of a floating-point network; aware: seed → cell of a network
    trained on the grid."""

    settings: MarginStudy
    recipe: Config
    measured: dict[tuple[float, int], Cell]
    aware: dict[int, Cell]


def read(table: Mapping[str, Any], where: str, folder: Path) -> MarginPlan:
    """See ``toolchain.studies``."""
    settings = from_table(MarginStudy, table, where)
    recipe = read_config(folder / settings.recipe)
    margin = recipe.defence.margin
    if margin is None or replace(recipe.defence, margin=None) != Defence():
        raise ConfigError(
            f"{where}: recipe {settings.recipe!r} must have the defence margin, and no other"
        )

    measured, aware = {}, {}
    for seed in settings.seeds:
        seeded = replace(recipe, training=replace(recipe.training, seed=seed))
        for delta in settings.deltas:
            defence = Defence(margin=replace(margin, delta=delta) if delta else None)
            label = f"margin {delta:g} V, seed {seed}"
            trained = base.training(
                replace(seeded, defence=defence), f"{label}: training", by=FLOATING, prefix="float-"
            )

            job = {
                "network": trained.product,
                "weight_bits": list(settings.weight_bits),
                "near": settings.near,
                "delta": delta,
            }
            measured[delta, seed] = base.cell(
                "toolchain.studies.deploying:measure", job, f"{label}: flips", (trained,)
            )

        config = replace(
            seeded,
            defence=Defence(),
            grid=replace(seeded.grid, weight_bits=min(settings.weight_bits)),
        )
        trained = base.training(config, f"on the grid, seed {seed}: training")
        aware[seed] = base.cell(
            "toolchain.studies.deploying:measure_aware",
            {"network": trained.product},
            f"on the grid, seed {seed}",
            (trained,),
        )

    return MarginPlan(settings, recipe, measured, aware)


def cells(plan: MarginPlan) -> list[Cell]:
    """See ``toolchain.studies``."""
    return [*plan.measured.values(), *plan.aware.values()]


def findings(plan: MarginPlan, results: Mapping[str, dict[str, Any]]) -> Findings:
    """See ``toolchain.studies``."""
    measured = {key: results[cell.key] for key, cell in plan.measured.items()}
    return margin_page.findings(
        plan.settings,
        plan.recipe,
        measured,
        {seed: results[cell.key] for seed, cell in plan.aware.items()},
    )
