"""Tables that not every run has: published against adaptive, corruptions, seeds of the inference,
what is not there."""

from __future__ import annotations

from toolchain.pages import formats
from toolchain.pages.table import SEEDS, Column, Table
from toolchain.report import battery, cascades
from toolchain.report.analysis import KINDS

MASKING = (
    "The worst case of each kind of attack alone. Where attacks with another gradient, samples of "
    "another network, or attacks without a "
    "gradient leave less, beyond the intervals, than white-box attacks with the surrogate of the "
    "training do, that surrogate does not see "
    "all there is: the gradient is masked. Knows the seed: of a network whose noise stays on, an "
    "adversary to whom it is not random."
)

ZERO = Column("zero_gradient", "gradient exactly zero", "plain share")
"""With the training surrogate: what an attack has nothing to follow on."""

_MODEL, _TARGET, _RADIUS = (
    Column("model", "model"),
    Column("target", "target"),
    Column("epsilon", "radius", "number"),
)


def build(facts: dict) -> list[Table]:
    """All of them, with or without rows."""
    attacked = [
        cascades.table(facts),
        published(facts),
        masking(facts),
        near_threshold(facts),
        detector(facts),
        corruptions(facts),
    ]
    return [*attacked, inference(facts), *measured(facts), absent(facts)]


def _every(facts: dict):
    for model in facts["models"]:
        for entry in model["targets"]:
            yield model, entry


def published(facts: dict) -> Table:
    """One row for each model, target and radius: what usual publications report beside the worst
    case."""
    rows = [
        {
            "model": model["name"],
            "target": entry["target"],
            "epsilon": row["epsilon"],
            "published_attacks_leave": row["published"],
            "worst_case": row["share"],
            "published_minus_worst_case": row["flattered"],
            "published_attacks": "; ".join(row["published_attacks"]),
            "attacks": row["attacks"],
        }
        for model, entry in _every(facts)
        for row in entry["worst"]
        if row["published"] is not None
    ]
    columns = (
        _MODEL,
        _TARGET,
        _RADIUS,
        Column("published_attacks_leave", "as usually published", "share"),
        Column("worst_case", "worst case of all", "share"),
        Column("published_minus_worst_case", "published − worst case", "points"),
        Column("published_attacks", "the usual attacks"),
        Column("attacks", "attacks in all", "count"),
    )
    caption = "Accuracy under the attacks that most publications stop at, together, and in the worst case of the whole battery."
    return Table("published", battery.caption(facts["battery"]) + caption, columns, tuple(rows))


def masking(facts: dict) -> Table:
    """One row for each model, target and radius: the worst case of every kind of attack alone."""
    rows = [
        {
            **{
                "model": model["name"],
                "target": entry["target"],
                "epsilon": row["epsilon"],
                "zero_gradient": row["zero_gradient"],
            },
            **row["kinds"],
            "worst_case": row["share"],
        }
        for model, entry in _every(facts)
        for row in entry["worst"]
    ]
    kinds = (Column(name, name, "share") for name in KINDS)
    columns = (
        _MODEL,
        _TARGET,
        _RADIUS,
        ZERO,
        *kinds,
        Column("worst_case", "all together", "share"),
    )
    return Table("masking", battery.caption(facts["battery"]) + MASKING, columns, tuple(rows))


def near_threshold(facts: dict) -> Table:
    """One row for each model and layer of spiking neurons, and one for all its layers together."""
    rows = []
    for model in facts["models"]:
        found = model["near_threshold"]
        if found is not None:
            each = {"all layers": found["share"], **found["layers"]}
            rows += [
                {"model": model["name"], "layer": layer, "share": share}
                for layer, share in each.items()
            ]
    within = next(
        (model["near_threshold"]["within"] for model in facts["models"] if model["near_threshold"]),
        None,
    )
    columns = (_MODEL, Column("layer", "layer"), Column("share", "near threshold", "plain share"))
    caption = (
        "Share of potentials (clean inputs, every step and neuron, before the reset) that are less "
        "than "
        f"{within or 0:g} of the threshold away from it: what threshold guarding makes smaller."
    )
    return Table("near_threshold", caption, columns, tuple(rows))


def detector(facts: dict) -> Table:
    """One row for each model with a detector and attack, and one for clean inputs."""
    rows = [
        {"model": model["name"], "attack": row["name"], **row}
        for model, entry in _every(facts)
        for row in entry["detector"]
    ]
    columns = (
        _MODEL,
        Column("attack", "attack"),
        _RADIUS,
        Column("seed", "seed", "count"),
        Column("crafted_on", "made on"),
        Column("auc", "AUC", "number"),
        Column("caught", "taken for perturbed", "share"),
    )
    caption = (
        "What the detector makes of clean inputs (its false-positive rate) and of attacked ones "
        "(its true-positive rate), at the threshold "
        "of its gate; AUC: the area under the curve over all thresholds, 0.5 is chance. Attacks "
        "that know of it hold it down."
    )
    return Table("detector", caption, columns, tuple(rows))


def corruptions(facts: dict) -> Table:
    """One row for each model, target, corruption and severity."""
    rows = [
        {
            "model": model["name"],
            "target": entry["target"],
            "corruption": row["name"],
            "severity": row["severity"],
        }
        | {
            "accuracy": row["share"],
            "accuracy_change": row["change"],
            "mean_margin": row["mean_margin"],
        }
        | {"dynamic_change": row["energy_change"]}
        for model, entry in _every(facts)
        for row in entry["corruptions"]
    ]
    columns = (
        _MODEL,
        _TARGET,
        Column("corruption", "corruption"),
        Column("severity", "severity", "count"),
        Column("accuracy", "accuracy", "share"),
        Column("accuracy_change", "against clean", "points"),
        Column("mean_margin", "mean margin", "number"),
        Column("dynamic_change", "dynamic energy", "change"),
    )
    caption = "Common corruptions, which nobody chose against the network: a second axis of robustness. Severity 1 to 5."
    return Table("corruptions", caption, columns, tuple(rows))


def inference(facts: dict) -> Table:
    """One row for each model that is random, target and radius."""
    rows = [
        {
            "model": model["name"],
            "target": entry["target"],
            "epsilon": row["epsilon"],
            "inputs": "clean" if row["epsilon"] == 0 else "worst case",
            "inference_seeds": row["seeds"],
            "accuracy": {"value": row["mean"], "low": row["low"], "high": row["high"]},
            "deviation": row["deviation"],
            "each": ", ".join(
                f"{seed}: {formats.percent(value)}"
                for seed, value in zip(row["numbers"], row["each"])
            ),
        }
        for model, entry in _every(facts)
        for row in entry["inference"]
    ]
    columns = (
        _MODEL,
        _TARGET,
        Column("inputs", "inputs"),
        _RADIUS,
        Column("inference_seeds", "inference seeds", "count"),
        Column("accuracy", "accuracy: mean, smallest, largest", "share", SEEDS),
        Column("deviation", "standard deviation", "plain share"),
        Column("each", "each seed"),
    )
    caption = "Networks whose inference is random, over the seeds of the inference: the same samples, other noise or other input spikes."
    return Table("inference", battery.caption(facts["battery"]) + caption, columns, tuple(rows))


def measured(facts: dict) -> list[Table]:
    """One row for each measured task that can be rebuilt and device table, and one for each
    measured task."""
    told = facts["about"].get("energy") or {}
    mega = ("total_mj", "dynamic_mj", "static_mj", "unstated_mj")
    tasks = [
        {n: task[n] for n in ("title", "chip", "unit", "read", "source", "note", "static_share")}
        | {
            name.replace("_mj", "_j"): None if task[name] is None else 1e-3 * task[name]
            for name in mega
        }
        | {"time_s": None if task["time_ms"] is None else 1e-3 * task["time_ms"]}
        | {"rebuilt": "no" if task["counts"] is None else "yes"}
        for task in told.get("tasks", [])
    ]
    ours = (
        Column("title", "measured task"),
        Column("chip", "chip"),
        Column("device", "table"),
        Column("measured_dynamic_j", "dynamic, measured", "joule"),
        Column("dynamic_j", "dynamic, estimated", "joule"),
        Column("dynamic_ratio", "estimated / measured", "number"),
        Column("measured_time_s", "time, measured", "seconds"),
        Column("time_s", "time, estimated", "seconds"),
        Column("time_ratio", "estimated / measured, time", "number"),
        Column("limited_by", "time limited by"),
    )
    theirs = (
        *(Column(n, n) for n in ("title", "chip", "unit")),
        *(
            Column(
                n.replace("_mj", "_j"),
                n.replace("_mj", "").replace("unstated", "energy, kind not stated"),
                "joule",
            )
            for n in mega
        ),
        Column("time_s", "time", "seconds"),
        Column("static_share", "static of all", "plain share"),
        Column("rebuilt", "estimated here, too"),
        Column("read", "how it was read"),
        Column("source", "source"),
        Column("note", "note"),
    )
    return [
        Table("measured", told.get("measured_text", ""), ours, tuple(told.get("measured", []))),
        Table(
            "measured_tasks",
            f"Whole tasks that others measured. {told.get('static_text', '')}",
            theirs,
            tuple(tasks),
        ),
    ]


def absent(facts: dict) -> Table:
    """One row for each thing that could not be measured, and why."""
    rows = [
        {
            "model": model["name"],
            "what": f"target {row['what']}" if row["kind"] == "target" else row["what"],
            "crafted_on": "; ".join(row["crafted_on"]) if row["kind"] == "attack" else None,
            "reason": row["reason"],
            "cells": row["cells"],
        }
        for model in facts["models"]
        for row in model["absent"]
    ]
    columns = (
        _MODEL,
        Column("what", "not there"),
        Column("crafted_on", "to be made on"),
        Column("reason", "not applicable, because"),
        Column("cells", "cells", "count"),
    )
    return Table(
        "absent",
        "Cells that cannot be: no figure is missing elsewhere without a row here.",
        columns,
        tuple(rows),
    )
