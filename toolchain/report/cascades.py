"""What each attack of a cascade added, and at which cost."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from toolchain.attacks.cascade import NOT_MADE, WRONG_BEFORE
from toolchain.pages.table import Column, Table
from toolchain.report.facts import Analysis, ReportedAttack, ReportedModel, ReportedStage
from toolchain.robustness.records import Scored

CAPTION = (
    "Attacks one after the other, each on the samples that those before it left. Added: samples "
    "that fell to it, of those that it was "
    "tried on; left: what stands afterwards, of all samples. Passes: forward passes of the network "
    "for each sample of the whole set, a "
    "gradient counted as one, by this attack and up to here: the curve by which the preset was "
    "chosen. What an attack leaves by itself "
    "is in the table of all attacks."
)


def stages(record: Scored) -> list[ReportedStage]:
    """Each stage of a cascade, in order; of any other attack none."""
    names = record.description.get("stages") or []
    if not names or "felled_by" not in record.history:
        return []

    felled_by = record.history["felled_by"][0]
    size, left = len(felled_by), int(np.count_nonzero(felled_by != WRONG_BEFORE))
    rows, together = [], 0.0
    for number, name in enumerate(names, 1):
        passes = record.history[f"passes.{number}"][0]
        attempted = not np.any(passes == NOT_MADE)
        spent = float(passes.sum()) / size if attempted else 0.0
        added, tried, together = int(np.count_nonzero(felled_by == number)), left, together + spent
        left -= added
        rows.append(
            ReportedStage(number, name, bool(attempted), tried, added, left / size, spent, together)
        )
    return rows


class _Row(NamedTuple):
    model: ReportedModel
    attack: ReportedAttack
    stage: ReportedStage


_COLUMNS = (
    Column("model", "model", get=lambda row: row.model.name),
    Column("cascade", "cascade", get=lambda row: row.attack.name),
    Column("crafted_on", "judged on", get=lambda row: row.attack.crafted_on),
    Column("epsilon", "radius", "number", get=lambda row: row.attack.epsilon),
    Column("seed", "seed", "count", get=lambda row: row.attack.seed),
    Column("samples", "samples", "count", get=lambda row: row.attack.samples),
    Column("stage", "stage", "count", get=lambda row: row.stage.stage),
    Column("name", "attack", get=lambda row: row.stage.name),
    Column(
        "made",
        "made",
        get=lambda row: "yes" if row.stage.made else "no: the network does not have it",
    ),
    Column("tried", "tried on", "count", get=lambda row: row.stage.tried),
    Column("added", "added", "count", get=lambda row: row.stage.added),
    Column("left", "left", "plain share", get=lambda row: row.stage.left),
    Column("passes", "passes", "number", get=lambda row: row.stage.passes),
    Column("passes_so_far", "passes so far", "number", get=lambda row: row.stage.passes_so_far),
)


def table(facts: Analysis) -> Table:
    """One row for each network, target, radius, seed and stage of a cascade, of the target that ran
    most samples."""
    rows = [
        _Row(model, attack, stage)
        for model in facts.models
        for attack in max(model.targets, key=lambda entry: entry.samples).attacks
        for stage in attack.stages
    ]
    return Table.of("cascade", CAPTION, _COLUMNS, rows)
