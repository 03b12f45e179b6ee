"""Tables of energy, time and activity, of what lies on the chip, and of measured tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.pages import formats
from toolchain.pages.table import BAND, Column, Table, Used
from toolchain.report import rate
from toolchain.report.facts import Analysis, Facts
from toolchain.report.rows import (
    MODEL,
    RADIUS,
    TARGET,
    Row,
    band,
    every,
    item,
    rows,
    static,
)


def energy(facts: Analysis) -> Table:
    """One row for each model, target and kind of input; a column for every device table."""
    entries = rows(every(facts), lambda entry: entry.energy)
    tables = sorted({name for row in entries for name in row.item.tables})

    columns = (
        MODEL,
        TARGET,
        item("inputs", "inputs"),
        RADIUS,
        item("attack", "attack"),
        item("samples", "samples", "count"),
        Column("steps", "time steps", "count", get=lambda row: row.model.steps),
        item("dynamic_j", "dynamic, with 95 % interval", "joules"),
        Column("with_band_j", "dynamic, with band", "joules", BAND, lambda row: band(row.item)),
        item("dynamic_calibrated_j", "dynamic, calibrated", "joule"),
        Column("static_j", "static, with band", "joules", BAND, lambda row: static(row.item)),
        item("static_share", "static of all", "plain share"),
        item("time_s", "time", "seconds"),
        item("time_low_s", "time, low", "seconds"),
        item("time_high_s", "time, high", "seconds"),
        item("time_limit", "time limited by"),
        item("dynamic_change", "dynamic, change from clean", "change", "change"),
        item("spikes", "spikes", "count"),
        item("syn_ops", "synaptic operations", "count"),
        *map(_of_device, tables),
    )

    caption = (
        "Estimates for one inference, mean over the samples. Attacked: inputs of the attack that "
        "leaves least accuracy; energy attack: of the one that costs most. Dynamic energy is of "
        "events, static energy is of the chip while it waits or works; neither contains the "
        f"other; {rate.said(facts)}. Bands: over the device tables, widened by the error against "
        "measured tasks. Calibrated: times measured/estimate of the measured tasks that can be "
        "rebuilt."
    )
    return Table.of("energy", caption, columns, entries)


def _of_device(name: str) -> Column:
    def get(row: Row) -> float | None:
        entry: Mapping[str, float] | None = row.item.tables.get(name)
        return entry["dynamic_j"] if entry else None

    return Column(f"dynamic_j_{name}", f"dynamic, table {name}", "joule", get=get)


def layers(facts: Analysis) -> Table:
    """One row for each model, target, layer and kind of input."""
    entries = rows(every(facts), lambda entry: entry.layers)
    columns = [
        MODEL,
        TARGET,
        item("layer", "layer"),
        item("inputs", "inputs"),
        item("attack", "attack"),
        RADIUS,
        item("spikes", "spikes", "count"),
        item("syn_ops", "synaptic operations", "count"),
        item("dendrite_updates", "neuron updates", "count"),
    ]
    if any(row.item.macs for row in entries):
        columns.append(item("macs", "multiply-accumulates", "count"))
    caption = (
        "Means of one inference. Attacks: at the largest radius, the one that leaves least "
        "accuracy and the one that costs most energy."
    )
    return Table.of("layers", caption, columns, entries)


def chip(facts: Facts) -> Table:
    """One row for each model and population: how full its fullest core is."""
    placed = [
        (model.name, layer)
        for model in facts.models
        if model.placement is not None
        for layer in model.placement["layers"]
    ]
    resources = dict.fromkeys(name for _, layer in placed for name in layer["resources"])
    columns = (
        Column("model", "model", get=lambda row: row[0]),
        Column("layer", "layer", get=lambda row: row[1]["population"]),
        Column("neurons_in_all", "neurons in all", "count", get=lambda row: row[1]["neurons"]),
        Column("cores", "cores", "count", get=lambda row: row[1]["cores"]),
        *map(_of_resource, resources),
        Column("limited_by", "limited by", get=lambda row: formats.words(row[1]["binding"])),
        Column("fits", "fits", get=lambda row: "yes" if row[1]["fits"] else "no"),
    )
    caption = "Used of most allowed in the fullest core of each layer."
    return Table.of("chip", caption, columns, placed)


def _of_resource(name: str) -> Column:
    def get(row: tuple[str, Mapping[str, Any]]) -> Used | None:
        entry = row[1]["resources"].get(name)
        return None if entry is None else Used(entry["used"], entry["maximum"])

    return Column(name, formats.words(name), "used", get=get)


def devices(facts: Analysis) -> Table:
    """One row for each constant of each energy table."""
    rows = [
        {"device": device["title"], "constant": name, **constant}
        for device in (facts.about.get("energy") or {}).get("devices", [])
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
    caption = "Constants that the energies rest on; the unit ends the name."
    return Table("devices", caption, columns, tuple(rows))


def measured(facts: Analysis) -> list[Table]:
    """One row for each measured task that can be rebuilt and device table, and one for each
    measured task; as the run remembers them."""
    estimate = facts.about.get("energy") or {}

    rebuilt = (
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

    whole = (
        *(_of_task(name, name) for name in ("title", "chip", "unit")),
        _in_units("total_j", "total", "joule", "total_mj"),
        _in_units("dynamic_j", "dynamic", "joule", "dynamic_mj"),
        _in_units("static_j", "static", "joule", "static_mj"),
        _in_units("unstated_j", "energy, kind not stated", "joule", "unstated_mj"),
        _in_units("time_s", "time", "seconds", "time_ms"),
        _of_task("static_share", "static of all", "plain share"),
        Column(
            "rebuilt",
            "estimated here, too",
            get=lambda task: "no" if task["counts"] is None else "yes",
        ),
        _of_task("read", "how it was read"),
        _of_task("source", "source"),
        _of_task("note", "note"),
    )

    caption = f"Whole tasks that others measured. {estimate.get('static_text', '')}"
    return [
        Table(
            "measured",
            estimate.get("measured_text", ""),
            rebuilt,
            tuple(estimate.get("measured", [])),
        ),
        Table.of("measured_tasks", caption, whole, estimate.get("tasks", [])),
    ]


def _of_task(key: str, label: str, kind: str = "text") -> Column:
    return Column(key, label, kind, get=lambda task: task[key])


def _in_units(key: str, label: str, kind: str, name: str) -> Column:
    """A column whose numbers a task has in thousandths: millijoules, milliseconds."""
    return Column(
        key, label, kind, get=lambda task: None if task[name] is None else 1e-3 * task[name]
    )
