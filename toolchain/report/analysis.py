"""From the stored records of a sweep to every number of the report, as plain JSON values.

The page, the CSV tables and the command line show what is here and compute nothing of their own.

    {"norm", "radii", "radius",        the threat; "radius": the one that the answer in words is
    about
     "battery",                        how strong the weakest battery was: {"level", "missing"}, see
                                       ``strength``; also of every model, target and row of "worst"
     "about",                          how the run was made
     "models": [{"name", "program", "steps", "chip", "classes", "near_threshold", "twin", "answer",
     "targets", "comparisons", "absent",
                 "differs"}]}

A target's entry:

    samples, clean (share), attacks [one row for each attack, radius and seed], worst [one row for
    each radius: per-sample worst case over the battery, with the spread over attack seeds; beside
    it what usual publications report, "published", and the worst case of every kind of attack
    alone, "kinds"], energy [one row for clean inputs and for each radius under the strongest and
    the costliest attack], layers, flags; of a model that is random "inference" [clean, and the
    worst case of each radius, over the seeds of the inference], of one with a detector "detector"
    [clean inputs, and each attack: AUC, and the share that is taken for perturbed], "corruptions"
    [one row for each and its severity]

"differs": what the form of a model has otherwise than the papers of its defences, see
``toolchain.defences.differences``. "absent": cells that cannot be, with their reason: a target for
a model without a Program, an estimator that a neuron does not have. Of a model that is random
everything but "inference" is of its first inference seed.

A share is {"value", "low", "high", "samples"} with its 95 % Wilson interval, 0 to 1. A mean is the
same with a 95 % t interval, or none where there is no spread ("no_interval" says why). A difference
of two accuracies on the same samples has Newcombe's interval. Energy is in joules of one inference,
time in seconds. None stands for what there is no number for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from scipy import stats

from toolchain.attacks.batteries import PUBLISHED
from toolchain.deploy.targets import in_order, nearest_to_chip
from toolchain.report import battery
from toolchain.report.cascades import stages
from toolchain.report.counts import (
    attacks,
    base,
    change,
    dynamic,
    energies,
    layers,
    spikes,
    strongest,
    total,
)
from toolchain.report.run import ReportError
from toolchain.robustness import flags, strength
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import (
    Share,
    align,
    paired_difference,
    robustness,
    spread,
    worst_case,
)
from toolchain.robustness.traits import CASCADE, estimator_of


def analyse(records: Sequence[Scored], about: Mapping, absent: Sequence[Mapping] = ()) -> dict:
    """Every number of the report. Raises ReportError where a model has not been run on clean inputs
    yet, TargetError where a record is of a target that is not known here.

    absent   descriptions of the cells that cannot be
    """
    ordered = sorted(records, key=_order)
    names = list(dict.fromkeys(r.description["model"] for r in ordered))
    told = [m["name"] for m in about.get("models") or []]
    names.sort(key=lambda n: told.index(n) if n in told else len(told))
    radii = sorted({r.description["epsilon"] for r in ordered if attacks(r)})
    norm = next(
        (r.description["norm"] for r in ordered if attacks(r)), ordered[0].description["norm"]
    )
    radius = _middle(norm, radii)
    models = [
        _model(name, [r for r in ordered if r.description["model"] == name], radius)
        for name in names
    ]
    forms = {m["name"]: m.get("differs") or [] for m in about.get("models") or []}
    for model in models:
        model["differs"] = forms.get(model["name"], [])
        model["absent"] = _absent([entry for entry in absent if entry["model"] == model["name"]])
    return _plain(
        {
            "norm": norm,
            "radii": radii,
            "radius": radius,
            "battery": battery.weakest(models),
            "about": dict(about),
            "models": models,
        }
    )


def _order(record: Scored):
    d = record.description
    return d["epsilon"], d["seed"], d["name"], d["crafted_on"], d["crafted"]


def _middle(norm: str, radii: Sequence[float]) -> float | None:
    """The middle radius, the smaller of two; radii at which every pixel is free are a check of the
    attack, not an answer."""
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


def share(correct: np.ndarray) -> dict:
    """A Share as plain values."""
    return asdict(Share.of(correct))


def _model(name: str, records: list[Scored], radius: float | None) -> dict:
    targets = in_order(r.description["target"] for r in records)
    per_target = {t: [r for r in records if r.description["target"] == t] for t in targets}
    said = records[0].description
    entries = [
        _target(t, per_target[t], [r for r in records if r.description["target"] != t])
        for t in targets
    ]
    baseline = targets[0]
    comparisons = [
        _comparison(baseline, other, per_target[baseline], per_target[other])
        for other in targets[1:]
    ]
    return {
        "name": name,
        "program": said["program"],
        "steps": said["steps"],
        "chip": said["chip"],
        "cores": said["cores"],
        "classes": said["classes"],
        "stochastic": any(r.description["stochastic"] for r in records),
        "no_program": said.get("no_program", ""),
        "has_front": said.get("has_front", False),
        "exact": said.get("exact", True),
        "near_threshold": next(
            (
                r.description["near_threshold"]
                for r in records
                if r.description.get("near_threshold")
            ),
            None,
        ),
        "twin": {"macs": said["twin_macs"], "energy_j": said["twin_energy_j"]},
        "battery": battery.weakest(entries),
        "answer": _answer(entries, comparisons, radius),
        "targets": entries,
        "comparisons": comparisons,
    }


def _answer(entries: list[dict], comparisons: list[dict], radius: float | None) -> dict:
    """What the first sentence about a model says: hardware with most samples, against software
    where that was run."""
    hardware = [e for e in entries if e["target"] != "software"] or entries
    most = max(e["samples"] for e in hardware)
    whole = {e["target"]: e for e in hardware if e["samples"] == most}
    chosen = whole[nearest_to_chip(whole)]
    compared = next(
        (c for c in comparisons if c["targets"] == ["software", chosen["target"]]), None
    )
    samples = {entry["target"]: entry["samples"] for entry in entries}
    others = [
        c["targets"][1]
        for c in comparisons
        if c["targets"][1] != chosen["target"] and c["identical"]
    ]

    def at(rows):
        return next((row for row in rows if row["epsilon"] == radius), None)

    spent = [row for row in chosen["energy"] if row["epsilon"] in (0.0, radius)]
    return {
        "target": chosen["target"],
        "samples": chosen["samples"],
        "clean": chosen["clean"],
        "worst": at(chosen["worst"]),
        "inference": chosen["inference"],
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


def _inference_seed(record: Scored) -> int:
    return record.description.get("inference_seed", 0)


def _absent(found: Sequence[Mapping]) -> list[dict]:
    """One row for each thing that is not there: a target for everything, or an attack; "cells": how
    many cells that are."""
    rows: dict[tuple, dict] = {}
    targets = {
        entry["target"]: entry["reason"]
        for entry in found
        if entry.get("target") and entry["family"] == "clean"
    }
    for entry in found:
        target = entry.get("target")
        if target in targets:
            key = ("target", target, targets[target])
        elif target is None:
            key = ("attack", entry["name"], entry["reason"])
        else:
            continue  # follows from the attack that could not be made
        row = rows.setdefault(
            key, {"kind": key[0], "what": key[1], "crafted_on": [], "reason": key[2], "cells": 0}
        )
        row["cells"] += 1
        if entry["crafted_on"] not in row["crafted_on"]:
            row["crafted_on"].append(entry["crafted_on"])
    return list(rows.values())


def _target(target: str, every: list[Scored], others: list[Scored]) -> dict:
    first = min(map(_inference_seed, every))
    records, others = ([r for r in some if _inference_seed(r) == first] for some in (every, others))
    clean = [r for r in records if r.description["family"] == "clean"]
    if not clean:
        raise ReportError(
            f"model {records[0].description['model']!r} has no clean record on target {target!r} "
            f"yet; let 'spikeport bench' finish"
        )
    reference = clean[0]
    found = [
        asdict(f) | {"finding": f.finding}
        for f in flags.check(flags.Evidence(records, reference.description["classes"], others))
    ]
    worst = _worst(records, found)
    return {
        "target": target,
        "samples": int(reference.correct.size),
        "clean": share(reference.correct),
        "clean_over_seeds": asdict(spread([c.accuracy for c in clean])),
        "attacks": [
            _attack(r, base(r, clean), found)
            for r in records
            if attacks(r) or r.description["family"] == "energy"
        ],
        "worst": worst,
        "battery": battery.weakest(worst),
        "energy": energies(reference, records),
        "layers": layers(reference, records),
        "flags": found,
        "inference": _inference(every),
        "detector": _detector(reference, records),
        "corruptions": [
            _corruption(r, base(r, clean))
            for r in records
            if r.description["family"] == "corruption"
        ],
    }


def _inference(records: list[Scored]) -> list[dict]:
    """Over the seeds of the inference: clean accuracy, and for each radius the worst case of each
    seed's inferences. Empty for one seed."""
    seeds = sorted(set(map(_inference_seed, records)))
    if len(seeds) < 2:
        return []
    rows = []
    for epsilon in [0.0, *sorted({r.description["epsilon"] for r in records if attacks(r)})]:
        here = [
            r for r in records if (attacks(r) if epsilon else r.description["family"] == "clean")
        ]
        here = [r for r in here if r.description["epsilon"] == epsilon]
        each = [
            float(worst_case([r for r in here if _inference_seed(r) == seed]).mean())
            for seed in seeds
        ]
        rows.append({"epsilon": epsilon, "numbers": seeds, "each": each, **asdict(spread(each))})
    return rows


def _detector(clean: Scored, records: list[Scored]) -> list[dict]:
    """What a detector makes of clean inputs (the share is its false-positive rate) and of each
    attack (its true-positive rate), and how well its reading tells the one from the other at any
    threshold: the area under the receiver operating characteristic. Empty without a detector."""
    if clean.detector is None:
        return []
    threshold, rows = clean.description["detector_threshold"], []
    for record in [clean, *(r for r in records if attacks(r))]:
        said = record.description
        rows.append(
            {name: said[name] for name in ("name", "family", "epsilon", "seed", "crafted_on")}
            | {
                "front": said.get("front", "through"),
                "auc": None if record is clean else auc(clean.detector, record.detector),
                "caught": share(record.detector > threshold),
            }
        )
    return rows


def auc(clean: np.ndarray, attacked: np.ndarray) -> float:
    """Probability that a reading of an attacked sample is above one of a clean sample (half of the
    ties): the area under the curve, by Mann and Whitney."""
    return float(stats.mannwhitneyu(attacked, clean).statistic / (len(attacked) * len(clean)))


def _corruption(record: Scored, clean: Scored) -> dict:
    _, (a, b) = align([clean, record])
    found = paired_difference(record.correct[b], clean.correct[a])
    return {
        "name": record.description["params"]["name"],
        "severity": int(record.description["epsilon"]),
        "share": share(record.correct[b]),
        "change": {"value": found.difference, "low": found.low, "high": found.high},
        "mean_margin": float(record.margin.mean()),
        "energy_change": change(dynamic(clean)[a], dynamic(record)[b]),
    }


def _attack(record: Scored, base: Scored, found: Sequence[Mapping]) -> dict:
    _, (a, b) = align([base, record])
    measured = robustness(base.correct[a], record.correct[b])
    said = record.description
    cell = (said["name"], said["epsilon"], said["seed"])
    names = (
        "name",
        "family",
        "norm",
        "epsilon",
        "seed",
        "crafted_on",
        "iterations",
        "estimator",
        "eot",
        "crafted",
    )
    return {name: said[name] for name in names} | {
        "front": said.get("front", "through"),
        "samples": len(b),
        "attacked_accuracy": asdict(measured.attacked_accuracy),
        "drop": measured.drop,
        "success_over_all": asdict(measured.success_over_all),
        "success_over_correct": asdict(measured.success_over_correct),
        "mean_margin": float(record.margin.mean()),
        "largest_distance": float(record.distance.max()),
        "mean_queries": float(np.mean(record.history["queries"]))
        if "queries" in record.history
        else None,
        "spikes": spikes(record),
        "syn_ops": total(record, "syn_ops"),
        "dynamic_j": float(dynamic(record).mean()),
        "flags": [flag["name"] for flag in found if cell in flag["cells"]],
        "stages": stages(record),
    }


def _worst(records: list[Scored], found: Sequence[Mapping]) -> list[dict]:
    """For each radius: the per-sample worst case over the whole battery and all seeds, and over
    each seed's battery alone."""
    rows = []
    for epsilon in sorted({r.description["epsilon"] for r in records if attacks(r)}):
        here = [r for r in records if attacks(r) and r.description["epsilon"] == epsilon]
        seeds = sorted({r.description["seed"] for r in here})
        single = strongest(here)
        each = [
            float(worst_case([r for r in here if r.description["seed"] == s]).mean()) for s in seeds
        ]
        rows.append(
            {
                "epsilon": epsilon,
                "attacks": len(
                    {(r.description["name"], r.description["crafted_on"]) for r in here}
                ),
                "share": share(worst_case(here)),
                "over_seeds": asdict(spread(each)),
                "strongest": single.description["name"],
                "strongest_share": share(single.correct),
                "flags": [
                    f["name"] for f in found if any(cell[1] == epsilon for cell in f["cells"])
                ],
                "battery": asdict(strength.of_records(here)),
                "kinds": _kinds(here),
                "zero_gradient": _zero_gradient(here),
                **_published(here),
            }
        )
    return rows


TRAINED, OTHER, ELSEWHERE, NONE, KNOWN = (
    "training surrogate",
    "other gradients",
    "from another network",
    "no gradient",
    "knows the seed",
)
KINDS = (TRAINED, OTHER, ELSEWHERE, NONE, CASCADE, KNOWN)
"""Kinds of attack that a network which masks its gradient looks different under: white box with the
surrogate that it was trained with; with surrogates that vanish nowhere, and other ways to a
gradient; made on another network; without any gradient; all of these one after the other, each on
what is left (``toolchain.attacks.cascade``); and, of a network whose noise stays on, by an
adversary who knows the noise."""


def kind(record: Scored) -> str:
    """Which of ``KINDS`` an attack is."""
    said = record.description
    if said["crafted_on"].startswith("model "):
        return ELSEWHERE
    if said.get("known_seed") is not None:
        return KNOWN
    if said["optimiser"] == CASCADE:
        return CASCADE
    estimator = estimator_of(said)
    return NONE if estimator is None else TRAINED if estimator == "training" else OTHER


def _kinds(records: list[Scored]) -> dict[str, dict | None]:
    """The worst case of every kind of attack alone; None for a kind that the battery does not
    have."""
    found = {name: [r for r in records if kind(r) == name] for name in KINDS}
    return {name: share(worst_case(those)) if those else None for name, those in found.items()}


def _zero_gradient(records: list[Scored]) -> float | None:
    """Mean share of gradients with the training surrogate that are exactly zero everywhere; None
    where no attack says."""
    said = [
        r.history["zero_gradient"].mean()
        for r in records
        if kind(r) == TRAINED and "zero_gradient" in r.history
    ]
    return float(np.mean(said)) if said else None


def published(record: Scored) -> bool:
    """Whether it is an attack that most publications stop at: FGSM or PGD with the training
    surrogate, on the network alone where something stands before it."""
    said = record.description
    front = "skip" if said.get("has_front") else "through"
    return (
        said["optimiser"] in PUBLISHED
        and said.get("known_seed") is None
        and estimator_of(said) == "training"
        and said.get("front", "through") == front
    )


def _published(records: list[Scored]) -> dict:
    """What a usual publication would report, and the points by which it lies above the whole
    battery."""
    naive = [r for r in records if published(r)]
    if not naive:
        return {"published": None, "published_attacks": [], "flattered": None}
    shared = [r.correct[w] for r, w in zip(records, align(records)[1])]
    kept = [r.correct[w] for r, w in zip(naive, align([*naive, *records])[1])]
    found = paired_difference(np.logical_and.reduce(kept), np.logical_and.reduce(shared))
    return {
        "published": share(np.logical_and.reduce(kept)),
        "published_attacks": sorted({r.description["name"] for r in naive}),
        "flattered": {"value": found.difference, "low": found.low, "high": found.high},
    }


def _target_minus_baseline(baseline: np.ndarray, target: np.ndarray) -> dict:
    """Difference of two correctness records of the same samples, and which of the two has what
    right."""
    found = paired_difference(target, baseline)
    return {
        "difference": found.difference,
        "low": found.low,
        "high": found.high,
        "right_only_on_baseline": found.right_only_second,
        "right_only_on_target": found.right_only_first,
        "p_value": found.p_value,
        "samples": found.samples,
    }


def _comparison(one: str, other: str, first: list[Scored], second: list[Scored]) -> dict:
    """Software against hardware on the same samples, clean, attack by attack, and in the worst
    case; with the same inference seed."""
    theirs = {(r.description["crafted"], _inference_seed(r)): r for r in second}
    key = [(r.description["crafted"], _inference_seed(r)) for r in first]
    pairs = [(a, theirs[k]) for a, k in zip(first, key) if k in theirs]
    rows = []
    for a, b in pairs:
        _, (i, j) = align([a, b])
        identical = np.array_equal(a.prediction[i], b.prediction[j]) and all(
            np.array_equal(a.activity[c][i], b.activity[c][j]) for c in a.activity
        )
        rows.append(
            {
                k: a.description[k]
                for k in ("name", "family", "norm", "epsilon", "seed", "crafted_on")
            }
            | {
                "accuracy": [float(a.correct[i].mean()), float(b.correct[j].mean())],
                "identical": bool(identical),
                "predictions_that_differ": int(
                    np.count_nonzero(a.prediction[i] != b.prediction[j])
                ),
                "energy_change": change(dynamic(a)[i], dynamic(b)[j]),
                **_target_minus_baseline(a.correct[i], b.correct[j]),
            }
        )
    worst = []
    seed = min(map(_inference_seed, first))
    attacked = [(a, b) for a, b in pairs if attacks(a) and _inference_seed(a) == seed]
    for epsilon in sorted({a.description["epsilon"] for a, _ in attacked}):
        here = [pair for pair in attacked if pair[0].description["epsilon"] == epsilon]
        _, where = align([record for pair in here for record in pair])
        left = np.logical_and.reduce([a.correct[i] for (a, _), i in zip(here, where[0::2])])
        right = np.logical_and.reduce([b.correct[j] for (_, b), j in zip(here, where[1::2])])
        worst.append(
            {
                "epsilon": epsilon,
                "shares": [share(left), share(right)],
                **_target_minus_baseline(left, right),
            }
        )
    clean = next((row for row in rows if row["family"] == "clean"), None)
    return {
        "targets": [one, other],
        "cells": rows,
        "worst": worst,
        "energy_change": None if clean is None else clean["energy_change"],
        "identical": bool(rows) and all(row["identical"] for row in rows),
    }
