"""What each attack of a cascade added, and at which cost."""

from __future__ import annotations

import numpy as np

from toolchain.attacks.cascade import NOT_MADE, WRONG_BEFORE
from toolchain.pages.table import Column, Table
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


def stages(record: Scored) -> list[dict]:
    """Plain values for each stage of a cascade, in order; of any other attack none."""
    names = record.description.get("stages") or []
    if not names or "felled_by" not in record.history:
        return []

    felled_by = record.history["felled_by"][0]
    size, left = len(felled_by), int(np.count_nonzero(felled_by != WRONG_BEFORE))
    rows, together = [], 0.0
    for number, name in enumerate(names, 1):
        passes = record.history[f"passes.{number}"][0]
        made = not np.any(passes == NOT_MADE)
        spent = float(passes.sum()) / size if made else 0.0
        added, tried, together = int(np.count_nonzero(felled_by == number)), left, together + spent
        left -= added
        row = {
            "stage": number,
            "name": name,
            "made": made,
            "tried": tried,
            "added": added,
            "left": left / size,
        }
        rows.append(row | {"passes": spent, "passes_so_far": together})
    return rows


def table(facts: dict) -> Table:
    """One row for each network, target, radius, seed and stage of a cascade, of the target that ran
    most samples."""
    rows = []
    for model in facts["models"]:
        entry = max(model["targets"], key=lambda entry: entry["samples"])
        for attack in entry["attacks"]:
            common = {name: attack[name] for name in ("crafted_on", "epsilon", "seed", "samples")}
            for stage in attack["stages"]:
                made = "yes" if stage["made"] else "no: the network does not have it"
                rows.append(
                    {
                        "model": model["name"],
                        "cascade": attack["name"],
                        **common,
                        **stage,
                        "made": made,
                    }
                )
    columns = (
        Column("model", "model"),
        Column("cascade", "cascade"),
        Column("crafted_on", "judged on"),
        Column("epsilon", "radius", "number"),
        Column("seed", "seed", "count"),
        Column("samples", "samples", "count"),
        Column("stage", "stage", "count"),
        Column("name", "attack"),
        Column("made", "made"),
        Column("tried", "tried on", "count"),
        Column("added", "added", "count"),
        Column("left", "left", "plain share"),
        Column("passes", "passes", "number"),
        Column("passes_so_far", "passes so far", "number"),
    )
    return Table("cascade", CAPTION, columns, tuple(rows))
