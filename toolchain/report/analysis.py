"""From the stored records of a sweep to every number of the report, as plain JSON values.

The page, the CSV and the NeuroBench result show what is here and compute nothing of their own.

    {"about":   how the run was made,
     "models":  [{"name", "program", "targets": [one entry for each target], "comparisons": [software against each other target]}]}

A target's entry:

    samples, clean (share), attacks [one row for each attack, radius and seed], worst [one row for each radius: per-sample worst
    case over the battery, with the spread over attack seeds], energy {"clean": …, "attacked": …}, layers, flags

A share is {"value", "low", "high", "samples"} with its 95 % Wilson interval, 0 to 1. Energy is in joules of one inference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np

from toolchain.errors import ToolchainError
from toolchain.robustness import flags
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import Share, align, paired_difference, robustness, spread, worst_case

ENERGY_DEVICE = "loihi-davies2018"
"""The table that single figures use; the band is over all spiking tables."""


class ReportError(ToolchainError):
    """A run holds nothing that can be reported."""


def analyse(records: Sequence[Scored], about: dict) -> dict:
    """Every number of the report. Raises ReportError where there are no scored cells."""
    if not records:
        raise ReportError("the run holds no scored cells; 'spikeport bench' has not finished one yet")
    names = list(dict.fromkeys(r.description["model"] for r in sorted(records, key=lambda r: r.description["model"])))
    order = [m["name"] for m in about.get("models", [])]
    names.sort(key=lambda n: order.index(n) if n in order else len(order))
    return {"about": about, "models": [_model(name, [r for r in records if r.description["model"] == name]) for name in names]}


def _model(name: str, records: list[Scored]) -> dict:
    targets = list(dict.fromkeys(r.description["target"] for r in records))
    targets.sort(key=lambda t: ("software", "reference", "fast", "lava", "loihi2").index(t))
    per_target = {t: [r for r in records if r.description["target"] == t] for t in targets}
    entries = [_target(t, per_target[t], [r for r in records if r.description["target"] != t]) for t in targets]
    first = per_target[targets[0]]
    others = list(targets[1:])
    return {
        "name": name,
        "program": records[0].description["program"],
        "steps": records[0].description["steps"],
        "chip": records[0].description["chip"],
        "cores": records[0].description["cores"],
        "classes": records[0].description["classes"],
        "twin_macs": records[0].description["twin_macs"],
        "twin_energy_j": records[0].description["twin_energy_j"],
        "targets": entries,
        "comparisons": [_comparison(targets[0], other, first, per_target[other]) for other in others],
    }


def share(correct: np.ndarray) -> dict:
    """A Share as plain values."""
    return asdict(Share.of(correct))


def _clean(records: Iterable[Scored]) -> list[Scored]:
    return [r for r in records if r.description["family"] == "clean"]


def _attacked(records: Iterable[Scored]) -> list[Scored]:
    return [r for r in records if r.description["family"] not in ("clean", "energy")]


def _target(target: str, records: list[Scored], others: list[Scored]) -> dict:
    clean = _clean(records)
    if not clean:
        raise ReportError(f"model {records[0].description['model']!r} has no clean record on target {target!r}; the run is not finished")
    reference = clean[0]
    rows = []
    for record in records:
        if record.description["family"] == "clean":
            continue
        base = next((c for c in clean if c.description["seed"] == record.description["seed"]), reference)
        _, (a, b) = align([base, record])
        found = robustness(base.correct[a], record.correct[b])
        row = {
            key: record.description[key]
            for key in ("name", "family", "norm", "epsilon", "seed", "crafted_on", "iterations", "estimator", "eot")
        }
        row |= {
            "attacked_accuracy": asdict(found.attacked_accuracy),
            "drop": found.drop,
            "success_over_all": asdict(found.success_over_all),
            "success_over_correct": asdict(found.success_over_correct),
            "mean_margin": float(record.margin.mean()),
            "largest_distance": float(record.distance.max()),
            "mean_queries": float(record.history["queries"].mean()),
            "energy": energy(record),
            "spikes": float(sum(v for v in record.description["spikes_per_inference"].values() if v)),
            "syn_ops": float(record.activity["syn_ops"].sum(axis=1).mean()),
        }
        rows.append(row)
    rows.sort(key=lambda r: (r["epsilon"], r["seed"], r["attacked_accuracy"]["value"], r["name"]))
    return {
        "target": target,
        "samples": int(reference.correct.size),
        "clean": share(reference.correct),
        "clean_over_seeds": asdict(spread([c.accuracy for c in clean])),
        "attacks": rows,
        "worst": _worst(records),
        "energy": {"clean": energy(reference), "attacked": _attacked_energy(records)},
        "syn_ops": float(reference.activity["syn_ops"].sum(axis=1).mean()),
        "layers": _layers(reference, records),
        "flags": [asdict(flag) for flag in flags.check(flags.Evidence(records, reference.description["classes"], others))],
    }


def _worst(records: list[Scored]) -> list[dict]:
    """For each radius: the per-sample worst case over the whole battery and all seeds, and over each seed's battery alone."""
    found = []
    for norm, epsilon in sorted({(r.description["norm"], r.description["epsilon"]) for r in _attacked(records)}):
        here = [r for r in _attacked(records) if (r.description["norm"], r.description["epsilon"]) == (norm, epsilon)]
        seeds = sorted({r.description["seed"] for r in here})
        single = min(here, key=lambda r: (r.accuracy, r.description["name"]))
        found.append(
            {
                "norm": norm,
                "epsilon": epsilon,
                "attacks": len(here),
                "share": share(worst_case(here)),
                "over_seeds": asdict(spread([float(worst_case([r for r in here if r.description["seed"] == s]).mean()) for s in seeds])),
                "strongest": single.description["name"],
                "strongest_share": share(single.correct),
            }
        )
    return found


def energy(record: Scored) -> dict:
    """Mean energy of one inference: dynamic with the band over tables, static, time; joules and seconds."""
    spiking = {name: values for name, values in record.energy.items() if "time_s" in values}
    if not spiking:
        raise ReportError("the records hold no energy of a spiking device table")
    chosen = spiking.get(ENERGY_DEVICE) or next(iter(spiking.values()))
    static = {name: float(values["static_j"].mean()) for name, values in spiking.items() if "static_j" in values}
    return {
        "table": ENERGY_DEVICE if ENERGY_DEVICE in spiking else next(iter(spiking)),
        "dynamic_j": float(chosen["dynamic_j"].mean()),
        "dynamic_low_j": min(float(v["dynamic_low_j"].mean()) for v in spiking.values()),
        "dynamic_high_j": max(float(v["dynamic_high_j"].mean()) for v in spiking.values()),
        "static_j": static.get(ENERGY_DEVICE, next(iter(static.values()), None)),
        "time_s": float(chosen["time_s"].mean()),
        "tables": {name: float(values["dynamic_j"].mean()) for name, values in record.energy.items()},
    }


def _attacked_energy(records: list[Scored]) -> list[dict]:
    """For each radius: energy on the strongest misclassification attack's samples, and on the costliest energy attack's."""
    rows = []
    for norm, epsilon in sorted({(r.description["norm"], r.description["epsilon"]) for r in records if r.description["family"] != "clean"}):
        here = [r for r in records if (r.description["norm"], r.description["epsilon"]) == (norm, epsilon)]
        row: dict = {"norm": norm, "epsilon": epsilon}
        attacked, sponges = _attacked(here), [r for r in here if r.description["family"] == "energy"]
        if attacked:
            strongest = min(attacked, key=lambda r: (r.accuracy, r.description["name"]))
            row["strongest"] = {"name": strongest.description["name"], **energy(strongest)}
        if sponges:
            costliest = max(sponges, key=lambda r: energy(r)["dynamic_j"])
            row["sponge"] = {"name": costliest.description["name"], **energy(costliest)}
        rows.append(row)
    return rows


def _layers(clean: Scored, records: list[Scored]) -> list[dict]:
    """Spikes and synaptic operations of each layer in one inference, clean and under the strongest attack of the largest radius."""
    attacked = _attacked(records)
    strongest = None
    if attacked:
        radius = max(r.description["epsilon"] for r in attacked)
        strongest = min((r for r in attacked if r.description["epsilon"] == radius), key=lambda r: (r.accuracy, r.description["name"]))
    table = []
    for column, name in enumerate(clean.layers):
        row = {
            "layer": name,
            "spikes": clean.description["spikes_per_inference"][name],
            "syn_ops": float(clean.activity["syn_ops"][:, column].mean()),
        }
        if strongest is not None:
            row |= {
                "attack": strongest.description["name"],
                "attacked_spikes": strongest.description["spikes_per_inference"][name],
                "attacked_syn_ops": float(strongest.activity["syn_ops"][:, column].mean()),
            }
        table.append(row)
    return table


def _comparison(one: str, other: str, first: list[Scored], second: list[Scored]) -> dict:
    """Software against hardware on the same samples, clean, attack by attack, and in the worst case."""

    def key(record: Scored):
        return tuple(record.description[k] for k in ("name", "norm", "epsilon", "seed", "crafted_on"))

    theirs = {key(r): r for r in second}
    pairs = [(a, theirs[key(a)]) for a in first if key(a) in theirs]
    rows = []
    for a, b in pairs:
        _, (i, j) = align([a, b])
        found = paired_difference(a.correct[i], b.correct[j])
        spent = _mean_energy(a, i), _mean_energy(b, j)
        identical = bool(
            np.array_equal(a.correct[i], b.correct[j]) and all(np.array_equal(a.activity[c][i], b.activity[c][j]) for c in a.activity)
        )
        rows.append(
            {k: a.description[k] for k in ("name", "family", "norm", "epsilon", "seed", "crafted_on")}
            | {
                "accuracy": [float(a.correct[i].mean()), float(b.correct[j].mean())],
                "energy_j": list(spent),
                "identical": identical,
                **asdict(found),
            }
        )
    worst = []
    for norm, epsilon in sorted(
        {(a.description["norm"], a.description["epsilon"]) for a, _ in pairs if a.description["family"] not in ("clean", "energy")}
    ):
        here = [
            (a, b)
            for a, b in pairs
            if a.description["family"] not in ("clean", "energy") and (a.description["norm"], a.description["epsilon"]) == (norm, epsilon)
        ]
        _, where = align([record for pair in here for record in pair])
        left = np.logical_and.reduce([a.correct[i] for (a, _), i in zip(here, where[0::2])])
        right = np.logical_and.reduce([b.correct[j] for (_, b), j in zip(here, where[1::2])])
        worst.append({"norm": norm, "epsilon": epsilon, "shares": [share(left), share(right)], **asdict(paired_difference(left, right))})
    return {"targets": [one, other], "cells": rows, "worst": worst, "identical": all(row["identical"] for row in rows)}


def _mean_energy(record: Scored, where: np.ndarray) -> float:
    values = record.energy.get(ENERGY_DEVICE) or next(v for v in record.energy.values() if "time_s" in v)
    return float(values["dynamic_j"][where].mean())
