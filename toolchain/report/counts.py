"""Activity and energy of records: means with intervals, bands over device
tables, layer by layer.

A model without a Program (an ANN) has no spikes, no static energy and no time: its energy is of
multiply-accumulate operations in the table of a conventional device, and everything else is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from hardware.charging import TimeTerm
from toolchain.report.facts import Energy, Mean, ReportedLayer
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import align

ENERGY_DEVICE = "loihi-davies2018"
"""The table that single figures use where a run has it; the band is over all spiking tables."""


def attacks(record: Scored) -> bool:
    """Whether it is an attack on the prediction."""
    return record.description["family"] not in ("clean", "energy", "corruption")


def strongest(records: Sequence[Scored]) -> Scored:
    """The single attack that leaves least accuracy."""
    return min(records, key=lambda r: (r.accuracy, r.description["name"]))


def base(record: Scored, clean: Sequence[Scored]) -> Scored:
    """The clean record with the same seed, so that random models are compared under the same
    randomness."""
    return next((c for c in clean if c.description["seed"] == record.description["seed"]), clean[0])


ONE, SAME = "one sample", "the same in every sample"
"""Why a mean has no interval."""


def mean(values: np.ndarray) -> Mean:
    """The mean of a sample with its 95 % t interval. Without a spread there is none: "no_interval"
    says why (``ONE``, ``SAME``)."""
    size, middle = len(values), float(values.mean())
    why = ONE if size < 2 else SAME if bool(np.all(values == values[0])) else None
    if why is not None:
        return Mean(middle, None, None, size, why)

    half = float(stats.t.ppf(0.975, size - 1) * values.std(ddof=1) / math.sqrt(size))
    return Mean(middle, middle - half, middle + half, size, None)


def change(before: np.ndarray, after: np.ndarray) -> Mean | None:
    """Mean of after - before over the mean of before, on the same samples; t interval of the paired
    difference. None from zero."""
    scale = float(before.mean())
    if not scale:
        return None

    difference = mean(after - before)
    low, high = (None if end is None else end / scale for end in (difference.low, difference.high))
    return replace(difference, value=difference.value / scale, low=low, high=high)


def spikes(record: Scored) -> float | None:
    """Spikes of all layers, inputs included, in one inference."""
    counts = [v for v in record.description["spikes_per_inference"].values() if v is not None]
    return float(sum(counts)) if counts else None


def total(record: Scored, counter: str) -> float | None:
    """Mean over the samples of a counter, all layers together."""
    return (
        float(record.activity[counter].sum(axis=1).mean()) if counter in record.activity else None
    )


def spent(record: Scored) -> tuple[str, Mapping[str, np.ndarray]]:
    """The device table that single figures use: a spiking one, or for a model without a Program the
    conventional one."""
    tables = {name: values for name, values in record.energy.items() if "time_s" in values} or dict(
        record.energy
    )
    name = ENERGY_DEVICE if ENERGY_DEVICE in tables else min(tables)
    return name, tables[name]


def dynamic(record: Scored) -> np.ndarray:
    """Dynamic energy of every inference in that table, joules."""
    return spent(record)[1]["dynamic_j"]


def costliest(records: Sequence[Scored]) -> Scored:
    """The attack after which an inference takes most energy."""
    return max(records, key=lambda r: float(dynamic(r).mean()))


def energies(clean: Scored, records: Sequence[Scored]) -> tuple[Energy, ...]:
    """Clean inputs, and for each radius the strongest attack on the prediction and the costliest
    attack on energy."""
    rows = [_energy("clean", clean, clean)]
    every = [r for r in records if r.description["family"] == "clean"]
    aimed = [r for r in records if attacks(r) or r.description["family"] == "energy"]

    for epsilon in sorted({r.description["epsilon"] for r in aimed}):
        here = [r for r in aimed if r.description["epsilon"] == epsilon]
        attacked, sponges = [r for r in here if attacks(r)], [r for r in here if not attacks(r)]
        if attacked:
            single = strongest(attacked)
            rows.append(_energy("attacked", single, base(single, every)))
        if sponges:
            worst = costliest(sponges)
            rows.append(_energy("energy attack", worst, base(worst, every)))
    return tuple(rows)


def _energy(inputs: str, record: Scored, clean: Scored) -> Energy:
    """Mean energy of one inference: dynamic with the band over tables, static, time, and the change
    from clean inputs."""
    name, chosen = spent(record)
    tables = [values for values in record.energy.values() if "time_s" in values] or [chosen]
    limit = (record.description.get("time_limit") or {}).get(name)
    _, (before, after) = align([clean, record])

    return Energy(
        inputs=inputs,
        epsilon=record.description["epsilon"],
        attack=record.description["name"],
        samples=len(record.index),
        table=name,
        dynamic_j=mean(chosen["dynamic_j"]),
        band_low_j=min(float(v["dynamic_low_j"].mean()) for v in tables),
        band_high_j=max(float(v["dynamic_high_j"].mean()) for v in tables),
        dynamic_calibrated_j=_mean(chosen, "dynamic_calibrated_j"),
        static_j=_mean(chosen, "static_j"),
        static_low_j=_end(tables, "static_low_j", min),
        static_high_j=_end(tables, "static_high_j", max),
        time_s=_mean(chosen, "time_s"),
        time_low_s=_end(tables, "time_low_s", min),
        time_high_s=_end(tables, "time_high_s", max),
        time_calibrated_s=_mean(chosen, "time_calibrated_s"),
        time_limit=None if limit is None else TimeTerm(**limit).text(),
        static_share=static_share(float(chosen["dynamic_j"].mean()), _mean(chosen, "static_j")),
        change=None
        if inputs == "clean"
        else change(dynamic(clean)[before], chosen["dynamic_j"][after]),
        spikes=spikes(record),
        syn_ops=total(record, "syn_ops"),
        tables={
            table: {quantity: float(v.mean()) for quantity, v in sorted(values.items())}
            for table, values in sorted(record.energy.items())
        },
    )


def _mean(values: Mapping[str, np.ndarray], name: str) -> float | None:
    return float(values[name].mean()) if name in values else None


def _end(
    tables: Sequence[Mapping[str, np.ndarray]],
    name: str,
    choose: Callable[[Iterable[float]], float],
) -> float | None:
    """Lowest or highest mean over the tables; None where they have no such quantity."""
    means = [float(values[name].mean()) for values in tables if name in values]
    return choose(means) if means else None


def static_share(dynamic_j: float, static_j: float | None) -> float | None:
    """Static energy of all that is estimated, 0 to 1; None where there is no static energy."""
    return (
        None if static_j is None or not dynamic_j + static_j else static_j / (dynamic_j + static_j)
    )


Pick = Callable[[Sequence[Scored]], Scored]
"""Of several records the one that is shown."""


def layers(clean: Scored, records: Sequence[Scored]) -> tuple[ReportedLayer, ...]:
    """Spikes and synaptic operations of each layer: clean, under the strongest attack and the
    costliest at the largest radius."""
    shown: list[tuple[str, Scored]] = [("clean", clean)]
    choose: tuple[tuple[str, Callable[[Scored], bool], Pick], ...] = (
        ("attacked", attacks, strongest),
        ("energy attack", lambda r: r.description["family"] == "energy", costliest),
    )
    for inputs, belongs, pick in choose:
        if matching := [r for r in records if belongs(r)]:
            radius = max(r.description["epsilon"] for r in matching)
            shown.append(
                (inputs, pick([r for r in matching if r.description["epsilon"] == radius]))
            )

    return tuple(
        ReportedLayer(
            layer,
            inputs,
            record.description["name"],
            record.description["epsilon"],
            record.description["spikes_per_inference"].get(layer),
            _of_layer(record, "syn_ops", column),
            _of_layer(record, "dendrite_updates", column),
            _of_layer(record, "macs", column),
        )
        for column, layer in enumerate(clean.layers)
        for inputs, record in shown
    )


def _of_layer(record: Scored, counter: str, column: int) -> float | None:
    return float(record.activity[counter][:, column].mean()) if counter in record.activity else None
