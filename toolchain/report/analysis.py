"""From the stored records of a sweep to every number of the report, as plain JSON values.

The page, the CSV tables and the command line show what is here and compute nothing of their own.

    {"norm", "radii", "radius",        the threat; "radius": the one that the answer in words is about
     "about",                          how the run was made
     "models": [{"name", "program", "steps", "chip", "classes", "twin", "answer", "targets", "comparisons"}]}

A target's entry:

    samples, clean (share), attacks [one row for each attack, radius and seed], worst [one row for each radius: per-sample worst case
    over the battery, with the spread over attack seeds], energy [one row for clean inputs and for each radius under the strongest and
    the costliest attack], layers, flags

A share is {"value", "low", "high", "samples"} with its 95 % Wilson interval, 0 to 1. A mean is the same with a 95 % t interval.
Energy is in joules of one inference, time in seconds. None stands for what there is no number for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np
from scipy import stats

from toolchain.execution import TARGETS
from toolchain.report.run import ReportError
from toolchain.robustness import flags
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import Share, align, paired_difference, robustness, spread, worst_case

ENERGY_DEVICE = "loihi-davies2018"
"""The table that single figures use where a run has it; the band is over all spiking tables."""

SINGLE = ("worst_case_not_reached",)
"""Flags that accuse the number of a single attack and leave that of the whole battery alone."""

PREFERRED = ("loihi2", "lava", "fast", "reference")
"""Which hardware the answer in words is about, among those with most samples."""


def analyse(records: Sequence[Scored], about: Mapping) -> dict:
    """Every number of the report. Raises ReportError where a model has not been run on clean inputs yet."""
    ordered = sorted(records, key=_order)
    names = list(dict.fromkeys(r.description["model"] for r in ordered))
    told = [m["name"] for m in about.get("models") or []]
    names.sort(key=lambda n: told.index(n) if n in told else len(told))
    radii = sorted({r.description["epsilon"] for r in ordered if attacks(r)})
    norm = next((r.description["norm"] for r in ordered if attacks(r)), ordered[0].description["norm"])
    radius = _middle(norm, radii)
    models = [_model(name, [r for r in ordered if r.description["model"] == name], radius) for name in names]
    return _plain({"norm": norm, "radii": radii, "radius": radius, "about": dict(about), "models": models})


def _order(record: Scored):
    d = record.description
    return d["epsilon"], d["seed"], d["name"], d["crafted_on"], d["crafted"]


def _middle(norm: str, radii: Sequence[float]) -> float | None:
    """The middle radius, the smaller of two; radii at which every pixel is free are a check of the attack, not an answer."""
    some = [r for r in radii if norm != "linf" or r < 1] or list(radii)
    return some[(len(some) - 1) // 2] if some else None


def _plain(value):
    """Plain JSON values: tuples as lists, numbers that are none as None."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value


def attacks(record: Scored) -> bool:
    """Whether it is an attack on the prediction."""
    return record.description["family"] not in ("clean", "energy")


def share(correct: np.ndarray) -> dict:
    """A Share as plain values."""
    return asdict(Share.of(correct))


def mean(values: np.ndarray) -> dict:
    """The mean of a sample with its 95 % t interval; no interval for one value."""
    size, middle = len(values), float(values.mean())
    if size < 2:
        return {"value": middle, "low": None, "high": None, "samples": size}
    half = float(stats.t.ppf(0.975, size - 1) * values.std(ddof=1) / math.sqrt(size))
    return {"value": middle, "low": middle - half, "high": middle + half, "samples": size}


def change(before: np.ndarray, after: np.ndarray) -> dict | None:
    """Mean of after - before over the mean of before, on the same samples; t interval of the paired difference. None from zero."""
    scale = float(before.mean())
    if not scale:
        return None
    found = mean(after - before)
    return found | {end: None if found[end] is None else found[end] / scale for end in ("value", "low", "high")}


def _model(name: str, records: list[Scored], radius: float | None) -> dict:
    targets = sorted({r.description["target"] for r in records}, key=TARGETS.index)
    per_target = {t: [r for r in records if r.description["target"] == t] for t in targets}
    said = records[0].description
    entries = [_target(t, per_target[t], [r for r in records if r.description["target"] != t]) for t in targets]
    baseline = targets[0]
    comparisons = [_comparison(baseline, other, per_target[baseline], per_target[other]) for other in targets[1:]]
    return {
        "name": name,
        "program": said["program"],
        "steps": said["steps"],
        "chip": said["chip"],
        "cores": said["cores"],
        "classes": said["classes"],
        "stochastic": any(r.description["stochastic"] for r in records),
        "twin": {"macs": said["twin_macs"], "energy_j": said["twin_energy_j"]},
        "answer": _answer(entries, comparisons, radius),
        "targets": entries,
        "comparisons": comparisons,
    }


def _answer(entries: list[dict], comparisons: list[dict], radius: float | None) -> dict:
    """What the first sentence about a model says: hardware with most samples, against software where that was run."""
    hardware = [e for e in entries if e["target"] != "software"] or entries
    most = max(e["samples"] for e in hardware)
    chosen = min((e for e in hardware if e["samples"] == most), key=lambda e: (*PREFERRED, "software").index(e["target"]))
    compared = next((c for c in comparisons if c["targets"] == ["software", chosen["target"]]), None)
    samples = {entry["target"]: entry["samples"] for entry in entries}
    others = [c["targets"][1] for c in comparisons if c["targets"][1] != chosen["target"] and c["identical"]]

    def at(rows):
        return next((row for row in rows if row["epsilon"] == radius), None)

    spent = [row for row in chosen["energy"] if row["epsilon"] in (0.0, radius)]
    return {
        "target": chosen["target"],
        "samples": chosen["samples"],
        "clean": chosen["clean"],
        "worst": at(chosen["worst"]),
        "energy": {row["inputs"]: row for row in spent},
        "software": None if compared is None else {
            "clean": next((row for row in compared["cells"] if row["family"] == "clean"), None),
            "worst": at(compared["worst"]),
            "energy_change": compared["energy_change"],
            "identical": compared["identical"],
            "cells": len(compared["cells"]),
        },
        "also_identical": {target: samples[target] for target in others},
        "flags": sorted({flag["name"] for entry in entries for flag in entry["flags"]}),
    }  # fmt: skip


def _target(target: str, records: list[Scored], others: list[Scored]) -> dict:
    clean = [r for r in records if r.description["family"] == "clean"]
    if not clean:
        raise ReportError(
            f"model {records[0].description['model']!r} has no clean record on target {target!r} yet; let 'spikeport bench' finish"
        )
    reference = clean[0]
    found = [asdict(f) | {"finding": f.finding} for f in flags.check(flags.Evidence(records, reference.description["classes"], others))]
    return {
        "target": target,
        "samples": int(reference.correct.size),
        "clean": share(reference.correct),
        "clean_over_seeds": asdict(spread([c.accuracy for c in clean])),
        "attacks": [_attack(r, _base(r, clean), found) for r in records if r.description["family"] != "clean"],
        "worst": _worst(records, found),
        "energy": _energies(reference, records),
        "layers": _layers(reference, records),
        "flags": found,
    }


def _base(record: Scored, clean: Sequence[Scored]) -> Scored:
    """The clean record with the same seed, so that random models are compared under the same randomness."""
    return next((c for c in clean if c.description["seed"] == record.description["seed"]), clean[0])


def _attack(record: Scored, base: Scored, found: Sequence[Mapping]) -> dict:
    _, (a, b) = align([base, record])
    measured = robustness(base.correct[a], record.correct[b])
    said = record.description
    cell = (said["name"], said["epsilon"], said["seed"])
    names = ("name", "family", "norm", "epsilon", "seed", "crafted_on", "iterations", "estimator", "eot", "crafted")
    return {name: said[name] for name in names} | {
        "samples": len(b),
        "attacked_accuracy": asdict(measured.attacked_accuracy),
        "drop": measured.drop,
        "success_over_all": asdict(measured.success_over_all),
        "success_over_correct": asdict(measured.success_over_correct),
        "mean_margin": float(record.margin.mean()),
        "largest_distance": float(record.distance.max()),
        "mean_queries": float(np.mean(record.history["queries"])) if "queries" in record.history else None,
        "spikes": _spikes(record),
        "syn_ops": float(record.activity["syn_ops"].sum(axis=1).mean()),
        "dynamic_j": float(_spiking(record)[1]["dynamic_j"].mean()),
        "flags": [flag["name"] for flag in found if cell in flag["cells"]],
    }


def _spikes(record: Scored) -> float:
    """Spikes of all layers, inputs included, in one inference."""
    return float(sum(v for v in record.description["spikes_per_inference"].values() if v is not None))


def _worst(records: list[Scored], found: Sequence[Mapping]) -> list[dict]:
    """For each radius: the per-sample worst case over the whole battery and all seeds, and over each seed's battery alone."""
    rows = []
    for epsilon in sorted({r.description["epsilon"] for r in records if attacks(r)}):
        here = [r for r in records if attacks(r) and r.description["epsilon"] == epsilon]
        seeds = sorted({r.description["seed"] for r in here})
        single = strongest(here)
        each = [float(worst_case([r for r in here if r.description["seed"] == s]).mean()) for s in seeds]
        rows.append(
            {
                "epsilon": epsilon,
                "attacks": len({(r.description["name"], r.description["crafted_on"]) for r in here}),
                "share": share(worst_case(here)),
                "over_seeds": asdict(spread(each)),
                "strongest": single.description["name"],
                "strongest_share": share(single.correct),
                "flags": [f["name"] for f in found if f["name"] not in SINGLE and any(cell[1] == epsilon for cell in f["cells"])],
            }
        )
    return rows


def strongest(records: Sequence[Scored]) -> Scored:
    """The single attack that leaves least accuracy."""
    return min(records, key=lambda r: (r.accuracy, r.description["name"]))


def _spiking(record: Scored) -> tuple[str, Mapping[str, np.ndarray]]:
    """The device table that single figures use."""
    tables = {name: values for name, values in record.energy.items() if "time_s" in values}
    name = ENERGY_DEVICE if ENERGY_DEVICE in tables else min(tables)
    return name, tables[name]


def _energies(clean: Scored, records: Sequence[Scored]) -> list[dict]:
    """Clean inputs, and for each radius the strongest attack on the prediction and the costliest attack on energy."""
    rows = [_energy("clean", clean, clean)]
    every = [r for r in records if r.description["family"] == "clean"]
    for epsilon in sorted({r.description["epsilon"] for r in records if r.description["family"] != "clean"}):
        here = [r for r in records if r.description["family"] != "clean" and r.description["epsilon"] == epsilon]
        attacked, sponges = [r for r in here if attacks(r)], [r for r in here if r.description["family"] == "energy"]
        if attacked:
            single = strongest(attacked)
            rows.append(_energy("attacked", single, _base(single, every)))
        if sponges:
            costliest = max(sponges, key=lambda r: float(_spiking(r)[1]["dynamic_j"].mean()))
            rows.append(_energy("energy attack", costliest, _base(costliest, every)))
    return rows


def _energy(inputs: str, record: Scored, clean: Scored) -> dict:
    """Mean energy of one inference: dynamic with the band over tables, static, time, and the change from clean inputs."""
    name, chosen = _spiking(record)
    spiking = [values for values in record.energy.values() if "time_s" in values]
    _, (before, after) = align([clean, record])
    return {
        "inputs": inputs,
        "epsilon": record.description["epsilon"],
        "attack": record.description["name"],
        "samples": len(record.index),
        "table": name,
        "dynamic_j": mean(chosen["dynamic_j"]),
        "band_low_j": min(float(v["dynamic_low_j"].mean()) for v in spiking),
        "band_high_j": max(float(v["dynamic_high_j"].mean()) for v in spiking),
        "static_j": float(chosen["static_j"].mean()),
        "time_s": float(chosen["time_s"].mean()),
        "change": None if inputs == "clean" else change(_spiking(clean)[1]["dynamic_j"][before], chosen["dynamic_j"][after]),
        "spikes": _spikes(record),
        "syn_ops": float(record.activity["syn_ops"].sum(axis=1).mean()),
        "tables": {
            table: {quantity: float(v.mean()) for quantity, v in sorted(values.items())} for table, values in sorted(record.energy.items())
        },
    }


def _layers(clean: Scored, records: Sequence[Scored]) -> list[dict]:
    """Spikes and synaptic operations of each layer: clean, under the strongest attack and the costliest at the largest radius."""
    shown: list[tuple[str, Scored]] = [("clean", clean)]
    choose: tuple[tuple[str, Callable[[Scored], bool], Callable], ...] = (
        ("attacked", attacks, strongest),
        (
            "energy attack",
            lambda r: r.description["family"] == "energy",
            lambda found: max(found, key=lambda r: float(_spiking(r)[1]["dynamic_j"].mean())),
        ),
    )
    for inputs, belongs, pick in choose:
        if found := [r for r in records if belongs(r)]:
            radius = max(r.description["epsilon"] for r in found)
            shown.append((inputs, pick([r for r in found if r.description["epsilon"] == radius])))
    return [
        {
            "layer": layer,
            "inputs": inputs,
            "attack": record.description["name"],
            "epsilon": record.description["epsilon"],
            "spikes": record.description["spikes_per_inference"][layer],
            "syn_ops": float(record.activity["syn_ops"][:, column].mean()),
            "dendrite_updates": float(record.activity["dendrite_updates"][:, column].mean()),
        }
        for column, layer in enumerate(clean.layers)
        for inputs, record in shown
    ]


def _comparison(one: str, other: str, first: list[Scored], second: list[Scored]) -> dict:
    """Software against hardware on the same samples, clean, attack by attack, and in the worst case."""
    theirs = {r.description["crafted"]: r for r in second}
    pairs = [(a, theirs[a.description["crafted"]]) for a in first if a.description["crafted"] in theirs]
    rows = []
    for a, b in pairs:
        _, (i, j) = align([a, b])
        identical = np.array_equal(a.prediction[i], b.prediction[j]) and all(
            np.array_equal(a.activity[c][i], b.activity[c][j]) for c in a.activity
        )
        rows.append(
            {k: a.description[k] for k in ("name", "family", "norm", "epsilon", "seed", "crafted_on")}
            | {
                "accuracy": [float(a.correct[i].mean()), float(b.correct[j].mean())],
                "identical": bool(identical),
                "predictions_that_differ": int(np.count_nonzero(a.prediction[i] != b.prediction[j])),
                "energy_change": change(_spiking(a)[1]["dynamic_j"][i], _spiking(b)[1]["dynamic_j"][j]),
                **asdict(paired_difference(b.correct[j], a.correct[i])),
            }
        )
    worst = []
    attacked = [(a, b) for a, b in pairs if attacks(a)]
    for epsilon in sorted({a.description["epsilon"] for a, _ in attacked}):
        here = [pair for pair in attacked if pair[0].description["epsilon"] == epsilon]
        _, where = align([record for pair in here for record in pair])
        left = np.logical_and.reduce([a.correct[i] for (a, _), i in zip(here, where[0::2])])
        right = np.logical_and.reduce([b.correct[j] for (_, b), j in zip(here, where[1::2])])
        worst.append({"epsilon": epsilon, "shares": [share(left), share(right)], **asdict(paired_difference(right, left))})
    clean = next((row for row in rows if row["family"] == "clean"), None)
    return {
        "targets": [one, other],
        "cells": rows,
        "worst": worst,
        "energy_change": None if clean is None else clean["energy_change"],
        "identical": bool(rows) and all(row["identical"] for row in rows),
    }
