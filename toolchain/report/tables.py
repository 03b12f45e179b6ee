"""Which tables a report has, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from toolchain import files
from toolchain.pages import formats
from toolchain.pages.table import BAND, SEEDS, Column, Table, to_csv
from toolchain.report import battery, further, methods, rate
from toolchain.report import facts as known


def write(facts: dict, folder: str | Path, force: bool = False) -> list[Path]:
    """Every table as FOLDER/NAME.csv. Raises OutputError where one exists (without ``force``) or
    cannot be written."""
    made = build(facts)
    folder = files.claim_folder(folder, [f"{table.name}.csv" for table in made], force)
    for table in made:
        files.write_text(folder / f"{table.name}.csv", to_csv(table), force)
    return [folder / f"{table.name}.csv" for table in made]


def build(facts: dict) -> list[Table]:
    """All tables, in the order of the page; those of ``further`` only where they have rows, those
    of ``methods`` where models differ in the seed of their training alone."""
    always = [
        table(facts)
        for table in (
            glance,
            worst,
            attacks,
            comparisons,
            energy,
            layers,
            chip,
            examples,
            flags,
            devices,
        )
    ]
    return always + _methods(facts) + [table for table in further.build(facts) if table.rows]


def _methods(facts: dict) -> list[Table]:
    """Of methods with several trainings; of targets that ran fewer samples only the networks' own
    rows say something."""
    if not methods.several(facts):
        return []
    most = max(entry["samples"] for _, entry in _every(facts))
    found = methods.results([facts])
    made = (
        replace(
            found, name="methods", rows=tuple(row for row in found.rows if row["samples"] == most)
        ),
        methods.masking([facts]),
    )
    return [
        replace(
            table,
            name=name,
            columns=tuple(column for column in table.columns if column.key != "data"),
        )
        for name, table in zip(("methods", "methods_masking"), made)
    ]


BATTERY = Column("battery", "battery")
"""How strong the attacks were that a worst case rests on, see ``battery``."""

_MODEL, _TARGET, _RADIUS = (
    Column("model", "model"),
    Column("target", "target"),
    Column("epsilon", "radius", "number"),
)


def _every(facts: dict):
    for model in facts["models"]:
        for entry in model["targets"]:
            yield model, entry


def _band(row: Mapping | None) -> dict | None:
    """Dynamic energy with the band over all device tables."""
    return row and {
        "value": row["dynamic_j"]["value"],
        "low": row["band_low_j"],
        "high": row["band_high_j"],
    }


def _ends(row: Mapping, name: str) -> dict | None:
    """Static energy with its band."""
    value, low, high = (row[f"{name}{end}_j"] for end in ("", "_low", "_high"))
    return None if value is None else {"value": value, "low": low, "high": high}


def _energy_at(entry: Mapping, inputs: str, epsilon: float | None) -> dict | None:
    return next(
        (
            row
            for row in entry["energy"]
            if row["inputs"] == inputs and (inputs == "clean" or row["epsilon"] == epsilon)
        ),
        None,
    )


def glance(facts: dict) -> Table:
    """One row for each model and target."""
    radii, radius = facts["radii"], facts["radius"]
    rows = []
    for model, entry in _every(facts):
        compared = next(
            (c for c in model["comparisons"] if c["targets"] == ["software", entry["target"]]), None
        )
        worst = {row["epsilon"]: row for row in entry["worst"]}
        at = compared and next((row for row in compared["worst"] if row["epsilon"] == radius), None)
        clean, attacked, costly = (
            _energy_at(entry, inputs, radius) for inputs in ("clean", "attacked", "energy attack")
        )
        rows.append(
            {
                "model": model["name"],
                "target": entry["target"],
                "samples": entry["samples"],
                "clean_accuracy": entry["clean"],
                **{f"worst_case_{e:g}": worst[e]["share"] if e in worst else None for e in radii},
                "target_minus_software": at
                and {"value": at["difference"], "low": at["low"], "high": at["high"]},
                "dynamic_j": _band(clean),
                "static_j": _ends(clean, "static"),
                "dynamic_change_attacked": attacked and attacked["change"],
                "dynamic_change_energy_attack": costly and costly["change"],
                "battery": battery.mark(entry["battery"]),
                "flags": battery.flags([flag["name"] for flag in entry["flags"]], entry["battery"]),
                "differs": "; ".join(model["differs"]) or None,
            }
        )
    said = formats.radius(facts["norm"], radius)
    columns = (
        _MODEL,
        _TARGET,
        Column("samples", "samples", "count"),
        Column("clean_accuracy", "clean", "share"),
        *(
            Column(f"worst_case_{e:g}", f"worst case, {formats.radius(facts['norm'], e)}", "share")
            for e in radii
        ),
        Column("target_minus_software", "against software", "points"),
        Column("dynamic_j", "dynamic energy", "joules", BAND),
        Column("static_j", "static energy", "joules", BAND),
        Column("dynamic_change_attacked", "dynamic, attacked", "change"),
        Column("dynamic_change_energy_attack", "dynamic, energy attack", "change"),
        BATTERY,
        Column("flags", "flags", "flags"),
        *([methods.DIFFERS] if any(row["differs"] for row in rows) else []),
    )
    caption = (
        "Share of samples that are classified correctly, with 95 % intervals; worst case: correct "
        "under every attack, restart and "
        f"seed. Energy is an estimate for one inference on clean inputs with its band "
        f"({rate.said(facts)}); then its change "
        "under attack. "
        f"Against software, and changes under attack: {said}."
    )
    return Table("summary", battery.caption(facts["battery"]) + caption, columns, tuple(rows))


def worst(facts: dict) -> Table:
    """One row for each model, target and radius."""
    rows = [
        {
            "model": model["name"],
            "target": entry["target"],
            "epsilon": row["epsilon"],
            "attacks": row["attacks"],
            "samples": row["share"]["samples"],
            "worst_case": row["share"],
            "attack_seeds": row["over_seeds"]["seeds"],
            "one_seed_alone": {
                "value": row["over_seeds"]["mean"],
                "low": row["over_seeds"]["low"],
                "high": row["over_seeds"]["high"],
            },
            "strongest_attack": row["strongest"],
            "strongest_attack_leaves": row["strongest_share"],
            "dynamic_j": _band(_energy_at(entry, "clean", None)),
            "battery": battery.mark(row["battery"]),
            "flags": battery.flags(row["flags"], row["battery"]),
        }
        for model, entry in _every(facts)
        for row in entry["worst"]
    ]
    columns = (
        _MODEL,
        _TARGET,
        _RADIUS,
        Column("attacks", "attacks", "count"),
        Column("samples", "samples", "count"),
        Column("worst_case", "worst case", "share"),
        Column("attack_seeds", "seeds", "count"),
        Column("one_seed_alone", "each seed alone: mean, smallest, largest", "share", SEEDS),
        Column("strongest_attack", "strongest single attack"),
        Column("strongest_attack_leaves", "alone it leaves", "share"),
        Column("dynamic_j", "dynamic energy", "joules", BAND),
        BATTERY,
        Column("flags", "flags", "flags"),
    )
    caption = "Accuracy in the per-sample worst case, and energy of one inference on clean inputs."
    return Table("worst_case", battery.caption(facts["battery"]) + caption, columns, tuple(rows))


def attacks(facts: dict) -> Table:
    """One row for each model, target, attack, radius and seed."""
    names = (
        "epsilon",
        "eot",
        "seed",
        "samples",
        "attacked_accuracy",
        "success_over_all",
        "success_over_correct",
        "mean_margin",
    )
    names += (
        "largest_distance",
        "mean_queries",
        "spikes",
        "syn_ops",
        "dynamic_j",
        "crafted_on",
        "flags",
    )
    rows = [
        {
            "model": model["name"],
            "target": entry["target"],
            "attack": row["name"],
            "drop": _bare(row["drop"]),
            **{n: row[n] for n in names},
        }
        for model, entry in _every(facts)
        for row in entry["attacks"]
    ]
    columns = (
        _MODEL,
        _TARGET,
        Column("attack", "attack"),
        Column("crafted_on", "made on"),
        _RADIUS,
        Column("eot", "draws in a gradient", "count"),
        Column("seed", "seed", "count"),
        Column("samples", "samples", "count"),
        Column("attacked_accuracy", "accuracy", "share"),
        Column("drop", "drop from clean", "points"),
        Column("success_over_all", "success over all", "share"),
        Column("success_over_correct", "success over correct", "share"),
        Column("mean_margin", "mean margin", "number"),
        Column("largest_distance", "largest change", "number"),
        Column("mean_queries", "queries", "count"),
        Column("spikes", "spikes", "count"),
        Column("syn_ops", "synaptic operations", "count"),
        Column("dynamic_j", "dynamic energy", "joule"),
        Column("flags", "flags", "flags"),
    )
    caption = (
        "Every attack by itself. Drop: clean minus attacked accuracy. Success over all counts "
        "samples that are wrong afterwards, over "
        "correct only those that were right before. Margin: score of the label minus the best "
        "other. "
        "Draws in a gradient: where the network is random, as many are averaged (EOT)."
    )
    return Table("attacks", caption, columns, tuple(rows))


def _bare(value: float | None) -> dict | None:
    return None if value is None else {"value": value, "low": None, "high": None}


def comparisons(facts: dict) -> Table:
    """One row for each model, hardware target and attack: the same samples in software and
    there."""
    rows = []
    for model in facts["models"]:
        for compared in model["comparisons"]:
            one, other = compared["targets"]
            common = {"model": model["name"], "baseline": one, "target": other}
            for row in compared["cells"]:
                rows.append(
                    common
                    | {
                        n: row[n]
                        for n in (
                            "epsilon",
                            "seed",
                            "samples",
                            "right_only_on_baseline",
                            "right_only_on_target",
                        )
                    }
                    | {"mcnemar_p": row["p_value"], "dynamic_change": row["energy_change"]}
                    | {
                        "attack": row["name"],
                        "baseline_accuracy": row["accuracy"][0],
                        "target_accuracy": row["accuracy"][1],
                    }
                    | {"predictions_that_differ": row["predictions_that_differ"]}
                    | {"every_count_the_same": "yes" if row["identical"] else "no"}
                    | {
                        "target_minus_baseline": {
                            n: row[k]
                            for n, k in (("value", "difference"), ("low", "low"), ("high", "high"))
                        }
                    }
                )
            for row in compared["worst"]:
                rows.append(
                    common
                    | {
                        n: row[n]
                        for n in (
                            "epsilon",
                            "samples",
                            "right_only_on_baseline",
                            "right_only_on_target",
                        )
                    }
                    | {
                        "attack": "worst case of all",
                        "seed": None,
                        "mcnemar_p": row["p_value"],
                        "dynamic_change": None,
                    }
                    | {
                        f"{name}_accuracy": share["value"]
                        for name, share in zip(("baseline", "target"), row["shares"])
                    }
                    | {"predictions_that_differ": None, "every_count_the_same": None}
                    | {
                        "target_minus_baseline": {
                            n: row[k]
                            for n, k in (("value", "difference"), ("low", "low"), ("high", "high"))
                        }
                    }
                )
    columns = (
        _MODEL,
        Column("baseline", "baseline"),
        _TARGET,
        Column("attack", "attack"),
        _RADIUS,
        Column("seed", "seed", "count"),
        Column("samples", "samples", "count"),
        Column("baseline_accuracy", "accuracy, baseline", "plain share"),
        Column("target_accuracy", "accuracy, target", "plain share"),
        Column("target_minus_baseline", "target − baseline", "points"),
        Column("right_only_on_baseline", "right on the baseline only", "count"),
        Column("right_only_on_target", "right on the target only", "count"),
        Column("mcnemar_p", "McNemar p", "number"),
        Column("predictions_that_differ", "predictions that differ", "count"),
        Column("dynamic_change", "dynamic energy", "change"),
        Column("every_count_the_same", "every count the same"),
    )
    caption = (
        "The same samples on both. Difference with its 95 % interval (Newcombe’s, of paired "
        "shares), exact McNemar test. "
        "Every count the same: all predictions, and spikes and synaptic operations of every layer "
        "and sample."
    )
    return Table(
        "software_hardware", battery.caption(facts["battery"]) + caption, columns, tuple(rows)
    )


def energy(facts: dict) -> Table:
    """One row for each model, target and kind of input; a column for every device table."""
    tables = sorted(
        {t for _, entry in _every(facts) for row in entry["energy"] for t in row["tables"]}
    )
    rows = [
        {
            "model": model["name"],
            "target": entry["target"],
            **{
                n: row[n]
                for n in (
                    *(
                        "inputs",
                        "epsilon",
                        "attack",
                        "samples",
                        "dynamic_j",
                        "dynamic_calibrated_j",
                        "static_share",
                    ),
                    *("time_s", "time_low_s", "time_high_s", "time_limit", "spikes", "syn_ops"),
                )
            },
            "static_j": _ends(row, "static"),
            "dynamic_change": row["change"],
            **{
                f"dynamic_j_{t}": row["tables"][t]["dynamic_j"] if t in row["tables"] else None
                for t in tables
            },
            "with_band_j": _band(row),
            "steps": model["steps"],
        }
        for model, entry in _every(facts)
        for row in entry["energy"]
    ]
    columns = (
        _MODEL,
        _TARGET,
        Column("inputs", "inputs"),
        _RADIUS,
        Column("attack", "attack"),
        Column("samples", "samples", "count"),
        Column("steps", "time steps", "count"),
        Column("dynamic_j", "dynamic, with 95 % interval", "joules"),
        Column("with_band_j", "dynamic, with band", "joules", BAND),
        Column("dynamic_calibrated_j", "dynamic, calibrated", "joule"),
        Column("static_j", "static, with band", "joules", BAND),
        Column("static_share", "static of all", "plain share"),
        Column("time_s", "time", "seconds"),
        Column("time_low_s", "time, low", "seconds"),
        Column("time_high_s", "time, high", "seconds"),
        Column("time_limit", "time limited by"),
        Column("dynamic_change", "dynamic, change from clean", "change"),
        Column("spikes", "spikes", "count"),
        Column("syn_ops", "synaptic operations", "count"),
        *(Column(f"dynamic_j_{t}", f"dynamic, table {t}", "joule") for t in tables),
    )
    caption = (
        "Estimates for one inference, mean over the samples. Attacked: inputs of the attack that "
        "leaves least accuracy; energy attack: "
        "of the one that costs most. Dynamic energy is of events, static energy is of the chip "
        "while it waits or works; neither contains "
        f"the other; {rate.said(facts)}. Bands: over the device tables, widened by the error "
        f"against measured tasks. Calibrated: times "
        "measured/estimate of the measured tasks that can be rebuilt."
    )
    return Table("energy", caption, columns, tuple(rows))


def layers(facts: dict) -> Table:
    """One row for each model, target, layer and kind of input."""
    names = (
        "layer",
        "inputs",
        "attack",
        "epsilon",
        "spikes",
        "syn_ops",
        "dendrite_updates",
        "macs",
    )
    rows = [
        {"model": model["name"], "target": entry["target"], **{n: row[n] for n in names}}
        for model, entry in _every(facts)
        for row in entry["layers"]
    ]
    columns = (
        _MODEL,
        _TARGET,
        Column("layer", "layer"),
        Column("inputs", "inputs"),
        Column("attack", "attack"),
        _RADIUS,
        Column("spikes", "spikes", "count"),
        Column("syn_ops", "synaptic operations", "count"),
        Column("dendrite_updates", "neuron updates", "count"),
        *(
            [Column("macs", "multiply-accumulates", "count")]
            if any(row["macs"] for row in rows)
            else ()
        ),
    )
    caption = "Means of one inference. Attacks: at the largest radius, the one that leaves least accuracy and the one that costs most energy."
    return Table("layers", caption, columns, tuple(rows))


def chip(facts: dict) -> Table:
    """One row for each model and population: how full its fullest core is."""
    placed = [model for model in facts["models"] if model["placement"] is not None]
    resources = list(
        dict.fromkeys(
            r for m in placed for layer in m["placement"]["layers"] for r in layer["resources"]
        )
    )
    rows = [
        {
            "model": model["name"],
            "layer": layer["population"],
            "neurons_in_all": layer["neurons"],
            "cores": layer["cores"],
            **{r: layer["resources"].get(r) for r in resources},
            "limited_by": formats.words(layer["binding"]),
            "fits": "yes" if layer["fits"] else "no",
        }
        for model in placed
        for layer in model["placement"]["layers"]
    ]
    columns = (
        _MODEL,
        Column("layer", "layer"),
        Column("neurons_in_all", "neurons in all", "count"),
        Column("cores", "cores", "count"),
        *(Column(r, formats.words(r), "used") for r in resources),
        Column("limited_by", "limited by"),
        Column("fits", "fits"),
    )
    return Table(
        "chip", "Used of most allowed in the fullest core of each layer.", columns, tuple(rows)
    )


def examples(facts: dict) -> Table:
    """One row for each sample shown and target."""
    rows = [
        {n: shown[n] for n in ("model", "index", "label", "attack", "epsilon", "seed", "distance")}
        | {"target": target, "before": before, "after": after}
        for shown in facts["examples"]
        for target, (before, after) in shown["predictions"].items()
    ]
    columns = (
        _MODEL,
        Column("index", "sample", "count"),
        Column("label", "label", "count"),
        Column("attack", "attack"),
        _RADIUS,
        Column("seed", "seed", "count"),
        Column("distance", "change", "number"),
        _TARGET,
        Column("before", "predicted before", "count"),
        Column("after", "predicted after", "count"),
    )
    return Table(
        "examples",
        "The samples that are shown, and what every target made of them.",
        columns,
        tuple(rows),
    )


def flags(facts: dict) -> Table:
    """One row for each finding."""
    rows = [
        {"model": model["name"], "flag": name, "target": target, "finding": finding}
        for model in facts["models"]
        for name, found in known.flags_of(model).items()
        for target, finding in found
    ]
    columns = (_MODEL, Column("flag", "flag"), _TARGET, Column("finding", "finding"))
    return Table("flags", "What the checks of honesty found.", columns, tuple(rows))


def devices(facts: dict) -> Table:
    """One row for each constant of each energy table."""
    rows = [
        {"device": device["title"], "constant": name, **constant}
        for device in (facts["about"].get("energy") or {}).get("devices", [])
        for name, constant in device["constants"].items()
    ]
    columns = (
        Column("device", "table"),
        Column("constant", "constant"),
        Column("value", "value", "number"),
        Column("low", "low", "number"),
        Column("high", "high", "number"),
        Column("source", "source"),
    )
    return Table(
        "devices",
        "Constants that the energies rest on; the unit ends the name.",
        columns,
        tuple(rows),
    )
