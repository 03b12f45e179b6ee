"""Models that differ in the seed of their training alone ("NAME seed 3") are one method: means and
spreads over its trainings.

A share over several trainings is {"value": mean, "low": smallest, "high": largest}; of one training
it is that training's own, with its interval. A ``run`` is what ``analysis.analyse`` gives, and so
is ``facts``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from toolchain.pages.table import EITHER, Column, Table
from toolchain.report import battery
from toolchain.report.analysis import KINDS
from toolchain.report.further import MASKING, ZERO

ENDS = Column("ends", "the two ends")
"""What ``EITHER`` is in a row."""

_SEED = re.compile(r" seed \d+$")


DIFFERS = Column("differs", "differs from its paper in")
"""The form in which a method was trained and attacked, where its paper has, or may have,
another."""


def grouped(models: Sequence[dict]) -> dict[str, list[dict]]:
    """Method → its models, in their order."""
    found: dict[str, list[dict]] = {}
    for model in models:
        found.setdefault(_SEED.sub("", model["name"]), []).append(model)
    return found


def several(facts: Mapping) -> bool:
    """Whether some method has more than one training."""
    return len(grouped(facts["models"])) < len(facts["models"])


def data(run: Mapping) -> str:
    """Name of the data set that a run attacked."""
    return str(((run["about"].get("sweep") or {}).get("data") or {}).get("name") or "not stated")


def merged(facts: Mapping) -> dict:
    """Facts with one model for each method, on the target that its answer is about: all that a
    picture of energy and worst case needs."""
    return {
        **facts,
        "models": [_merged(method, models) for method, models in grouped(facts["models"]).items()],
    }


def _merged(method: str, models: list[dict]) -> dict:
    target = models[0]["answer"]["target"]
    entries = [e for model in models for e in model["targets"] if e["target"] == target]
    spent = [entry["energy"][0] for entry in entries]
    worst = []
    for epsilon in (row["epsilon"] for row in entries[0]["worst"]):
        rows = [_at(entry, epsilon) for entry in entries]
        if (
            None not in rows
        ):  # of a run that is not finished, a training may not be attacked there yet
            share = {**over([row["share"] for row in rows]), "samples": rows[0]["share"]["samples"]}
            worst.append(
                {
                    "epsilon": epsilon,
                    "share": share,
                    "flags": sorted({flag for row in rows for flag in row["flags"]}),
                }
            )
    energy = {
        "dynamic_j": {"value": float(np.mean([row["dynamic_j"]["value"] for row in spent]))},
        "band_low_j": min(row["band_low_j"] for row in spent),
        "band_high_j": max(row["band_high_j"] for row in spent),
    }
    trainings = f", {len(entries)} trainings" if len(entries) > 1 else ""
    return {
        "name": f"{method}{trainings}",
        "answer": {"target": target},
        "targets": [
            {"target": target, "samples": entries[0]["samples"], "worst": worst, "energy": [energy]}
        ],
    }


def _at(entry: Mapping, epsilon: float | None) -> dict | None:
    """The worst case of a target at a radius; None where it was not attacked there."""
    return next((row for row in entry["worst"] if row["epsilon"] == epsilon), None)


def results(runs: Sequence[dict]) -> Table:
    """Every method's numbers: one row for each, target and radius."""
    rows = [row for run in runs for row in _rows(run, _row)]
    columns = (
        Column("method", "method"),
        Column("data", "data"),
        Column("samples", "samples", "count"),
        Column("steps", "time steps", "count"),
        Column("target", "target"),
        Column("epsilon", "radius", "number"),
        Column("trainings", "trainings", "count"),
        ENDS,
        Column("clean", "clean", "share", EITHER),
        Column("fgsm", "FGSM", "share", EITHER),
        Column("pgd", "PGD", "share", EITHER),
        Column("worst_case", "worst case", "share", EITHER),
        Column("spikes", "spikes", "count"),
        Column("dynamic_j", "dynamic energy", "joule"),
        Column("battery", "battery"),
        Column("flags", "flags", "flags"),
        *([DIFFERS] if any(row["differs"] for row in rows) else []),
    )
    caption = battery.caption(battery.weakest(runs)) + (
        "Mean over trainings (and attack seeds), with the smallest and the largest; for one "
        "training its 95 % interval. FGSM and PGD: with "
        "the training surrogate, on the whole model. Worst case: correct under every attack of the "
        "battery. Spikes and energy of one clean "
        "inference; energy is an estimate (for a model without a Program, of multiply-accumulate "
        "operations in 45 nm)."
    )
    errors = dict.fromkeys((run["about"].get("energy") or {}).get("measured_text") for run in runs)
    caption += "".join(f" {said}" for said in errors if said)
    return Table("results", caption, columns, tuple(rows))


def masking(runs: Sequence[dict]) -> Table:
    """What each kind of attack sees: one row for each method and radius, in software, where attacks
    are made."""
    rows = [row for run in runs if run["radii"] for row in _rows(run, _kinds, everywhere=False)]
    columns = (
        Column("method", "method"),
        Column("data", "data"),
        Column("epsilon", "radius", "number"),
        Column("trainings", "trainings", "count"),
        ENDS,
        Column("near_threshold", "near threshold", "share", EITHER),
        replace(ZERO, kind="share", ends=EITHER),
        *(Column(name, name, "share", EITHER) for name in KINDS),
        Column("published_attacks_leave", "as usually published", "share", EITHER),
        Column("worst_case", "worst case", "share", EITHER),
    )
    within = sorted(
        {
            m["near_threshold"]["within"]
            for run in runs
            for m in run["models"]
            if m["near_threshold"]
        }
    )
    near = (
        f" Near threshold: share of potentials less than {within[0]:g} of it away, on clean inputs."
        if within
        else ""
    )
    return Table(
        "masking", battery.caption(battery.weakest(runs)) + MASKING + near, columns, tuple(rows)
    )


def _ends(entries: Sequence[Mapping]) -> str:
    return "95 % interval" if len(entries) == 1 else "smallest and largest training"


def _kinds(
    run: dict, method: str, models: list[dict], target: str, entries: list[dict], epsilon: float
) -> dict:
    worst = [_at(entry, epsilon) for entry in entries]
    near = [_bare(model["near_threshold"] and model["near_threshold"]["share"]) for model in models]
    return {
        "method": method,
        "data": data(run),
        "epsilon": epsilon,
        "trainings": len(entries),
        "ends": _ends(entries),
        "near_threshold": over(near),
        "zero_gradient": over([row and _bare(row["zero_gradient"]) for row in worst]),
        **{name: over([row and row["kinds"][name] for row in worst]) for name in KINDS},
        "published_attacks_leave": over([row and row["published"] for row in worst]),
        "worst_case": over([row and row["share"] for row in worst]),
    }


def _bare(value: float | None) -> dict | None:
    return None if value is None else {"value": value, "low": None, "high": None}


def _rows(run: dict, row: Callable[..., dict], everywhere: bool = True) -> list[dict]:
    """One of ``row`` for each method, radius, and target; not ``everywhere``: the first target
    alone."""
    rows = []
    for method, models in grouped(run["models"]).items():
        targets = list(
            dict.fromkeys(entry["target"] for model in models for entry in model["targets"])
        )
        for target in targets if everywhere else targets[:1]:
            entries = [e for model in models for e in model["targets"] if e["target"] == target]
            rows += [
                row(run, method, models, target, entries, epsilon)
                for epsilon in run["radii"] or [None]
            ]
    return rows


def _row(
    run: dict,
    method: str,
    models: list[dict],
    target: str,
    entries: list[dict],
    epsilon: float | None,
) -> dict:
    clean = [entry["energy"][0] for entry in entries]
    worst = [row for entry in entries for row in entry["worst"] if row["epsilon"] == epsilon]
    tried = battery.weakest(worst)
    spikes = [row["spikes"] for row in clean if row["spikes"] is not None]
    return {
        "method": method,
        "data": data(run),
        "samples": entries[0]["samples"],
        "steps": models[0]["steps"],
        "target": target,
        "epsilon": epsilon,
        "trainings": len(entries),
        "ends": _ends(entries),
        "clean": over([entry["clean"] for entry in entries]),
        "fgsm": over([_single(entry, epsilon, lambda name: name == "fgsm") for entry in entries]),
        "pgd": over(
            [_single(entry, epsilon, lambda name: name.startswith("pgd ")) for entry in entries]
        ),
        "worst_case": over(
            [_at(entry, epsilon) and _at(entry, epsilon)["share"] for entry in entries]
        ),
        "spikes": float(np.mean(spikes)) if spikes else None,
        "dynamic_j": float(np.mean([row["dynamic_j"]["value"] for row in clean])),
        "battery": battery.mark(tried),
        "differs": "; ".join(dict.fromkeys(text for model in models for text in model["differs"]))
        or None,
        "flags": battery.flags(sorted({flag for row in worst for flag in row["flags"]}), tried),
    }


def _single(entry: dict, epsilon: float | None, wanted: Callable[[str], bool]) -> dict | None:
    """A plain attack on the whole model: mean over the attack's seeds; of several lengths the one
    with the most iterations."""
    rows = [
        row for row in entry["attacks"] if row["epsilon"] == epsilon and row["front"] == "through"
    ]
    said = [row["name"].split(" · ") for row in rows]
    rows = [
        row
        for row, parts in zip(rows, said)
        if parts[1:2] == ["training"] and wanted(parts[0]) and not _knows(parts)
    ]
    if not rows:
        return None
    most = max(row["iterations"] for row in rows)
    return over([row["attacked_accuracy"] for row in rows if row["iterations"] == most])


def _knows(parts: list[str]) -> bool:
    """Whether an attack's label says that the adversary knows the seed, which publications do not
    assume."""
    return any(part.startswith("knows seed") for part in parts)


def over(shares: Sequence[Mapping | None]) -> dict | None:
    """Mean, smallest and largest of several shares; one share as it is, with its interval. None
    where one is not there."""
    if not shares or any(share is None for share in shares):
        return None
    if len(shares) == 1:
        return {end: shares[0][end] for end in ("value", "low", "high")}
    each = [share["value"] for share in shares]
    return {"value": float(np.mean(each)), "low": min(each), "high": max(each)}
