"""The page of the study of margins: what the numbers say, plots and tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from toolchain.errors import ConfigError
from toolchain.pages.formats import percent, significant
from toolchain.pages.plot import Axis, Line, PlotPanel, Point, legend, lines
from toolchain.pages.table import SEEDS, Column, Interval, Table
from toolchain.robustness.statistics import spread
from toolchain.studies.flips import MODES
from toolchain.studies.margin_settings import MarginStudy
from toolchain.studies.page import Figure, Findings, Section
from toolchain.training import Config

PER = 10_000
"""Flips are given per so many comparisons with the threshold."""

NAMES = {"forced": "each layer given the float network’s spikes", "free": "running free"}

Measured = Mapping[tuple[float, int], dict[str, Any]]
Value = Callable[[dict[str, Any]], float]
"""What a measured network has of one quantity."""
Seeds = Callable[[float, Value], list[float]]
"""(half width, value) -> the value of every seed."""


def total(result: dict[str, Any], bits: int, mode: str, quantity: str) -> int:
    """Sum over the layers of one network."""
    return sum(layer[quantity] for layer in result["bits"][str(bits)]["flips"][mode].values())


def rate(result: dict[str, Any], bits: int, mode: str) -> float:
    """Flips per PER comparisons, over all layers."""
    return PER * total(result, bits, mode, "flips") / total(result, bits, mode, "comparisons")


def near(result: dict[str, Any]) -> float:
    """Mean share of the layers."""
    return float(sum(result["near"].values()) / len(result["near"]))


def of_bits(result: dict[str, Any], bits: int, quantity: str) -> float:
    """Of the network of so many bits: its "accuracy", or the share of predictions "changed"."""
    return float(result["bits"][str(bits)][quantity])


def error(result: dict[str, Any], bits: int) -> float:
    """Largest of the layers' errors of a potential, volts."""
    return max(
        layer["error"] or 0.0 for layer in result["bits"][str(bits)]["flips"]["forced"].values()
    )


def findings(
    settings: MarginStudy, recipe: Config, measured: Measured, aware: Mapping[int, dict[str, Any]]
) -> Findings:
    """What the study says. ``measured``: (delta, seed) → margin.measure; ``aware``: seed →
    margin.measure_aware."""
    deltas = sorted(settings.deltas)

    def seeds(delta: float, value: Value) -> list[float]:
        return [value(measured[delta, seed]) for seed in settings.seeds]

    exact = [
        (d, b)
        for b in settings.weight_bits
        for d in deltas
        if not any(seeds(d, partial(total, bits=b, mode="free", quantity="flips")))
    ]
    summary, layers = _summary(settings, deltas, seeds), _layers(settings, deltas, measured)
    most = max(settings.weight_bits)
    means = {d: spread(seeds(d, lambda r: rate(r, most, "free"))).mean for d in deltas}
    best = min(deltas, key=lambda d: (means[d], d))
    title = _title(exact, most, best, means)
    some = next(iter(measured.values()))
    each, grid = _answer(deltas, seeds, most, settings, aware)
    sections = (
        Section("answer", "The answer", (grid,), each, _flips(settings, deltas, seeds)),
        Section(
            "why",
            "Why",
            _why(deltas, seeds, most, settings),
            figures=_causes(settings, deltas, seeds, list(some["near"])),
        ),
        Section("how", "How it was measured", _how(settings, recipe)),
        Section("numbers", "All numbers", tables=(summary, layers), folded=0),
    )
    lead = (
        f"{len(measured)} networks trained in floating point on {recipe.data.name} with a hinge of "
        f"half width δ around the threshold "
        f"({len(deltas)} widths, {len(settings.seeds)} seeds), quantised to "
        f"{', '.join(map(str, settings.weight_bits))} bits after "
        f"training, and compared spike by spike on {some['samples']} test samples."
    )
    facts = {
        "rows": list(layers.rows),
        "exact": [{"delta": d, "weight_bits": b} for d, b in exact],
        "summary": list(summary.rows),
    }
    facts["on_the_grid"] = {
        "weight_bits": min(settings.weight_bits),
        "seeds": dict(zip(map(str, aware), aware.values())),
    }
    return Findings(title, lead, sections, layers, facts)


def _title(
    exact: Sequence[tuple[float, int]], most: int, best: float, means: Mapping[float, float]
) -> str:
    if exact:
        delta, bits = exact[0]
        return (
            f"A margin makes the deployment exact: from δ = {delta:g} V at {bits} bits, no spike "
            "differs"
        )
    if best == 0:
        return (
            f"No margin made the deployment more exact: at {most} bits the fewest spikes flip "
            "without one"
        )
    return (
        f"A wide margin makes fewer spikes flip, and no deployment exact: at {most} bits "
        f"{significant(means[0.0])} of {PER:,} comparisons "
        f"flip without it, {significant(means[best])} with δ = {best:g} V"
    )


def _answer(
    deltas: Sequence[float],
    seeds: Seeds,
    most: int,
    settings: MarginStudy,
    aware: Mapping[int, dict[str, Any]],
) -> tuple[tuple[str, ...], str]:
    """What each width does, and what training on the grid does instead."""

    def said(delta: float) -> str:
        free, forced = (
            spread(seeds(delta, partial(rate, bits=most, mode=m))) for m in ("free", "forced")
        )
        accuracy = spread(seeds(delta, lambda r: r["accuracy"]))
        changed = spread(seeds(delta, partial(of_bits, bits=most, quantity="changed")))
        return (
            f"δ = {delta:g} V, {most} bits: {significant(forced.mean)} flips per {PER:,} "
            f"comparisons where each layer is given the float "
            f"network’s spikes, {significant(free.mean)} ({significant(free.low)} to "
            f"{significant(free.high)} over the seeds) where the "
            f"network runs free; {percent(changed.mean)} of the predictions change; accuracy in "
            f"floating point {percent(accuracy.mean)}."
        )

    flipped = sum(result["flips"] for result in aware.values())
    compared = sum(result["comparisons"] for result in aware.values())
    accuracy = spread([result["accuracy"] for result in aware.values()])
    grid = (
        f"The same recipe without constraint, trained on the chip’s grid at "
        f"{min(settings.weight_bits)} bits: {flipped:,} of {compared:,} "
        f"comparisons differ between the network and its Program, at an accuracy of "
        f"{percent(accuracy.mean)} ({percent(accuracy.low)} to "
        f"{percent(accuracy.high)})."
    )
    return tuple(said(delta) for delta in deltas), grid


def _why(
    deltas: Sequence[float], seeds: Seeds, most: int, settings: MarginStudy
) -> tuple[str, ...]:
    first, last = deltas[0], deltas[-1]
    near_ends = [spread(seeds(d, near)).mean for d in (first, last)]
    errors = [spread(seeds(d, lambda r: error(r, most))).mean for d in (first, last)]
    sizes = [
        spread(seeds(d, lambda r: sum(r["size"].values()) / len(r["size"]))).mean
        for d in (first, last)
    ]

    return (
        f"From δ = {first:g} to {last:g} V, the share of potentials within {settings.near:g} V of "
        f"their threshold goes from "
        f"{percent(near_ends[0])} to {percent(near_ends[1])} (mean of the layers): the constraint "
        f"is a term of a loss, and some potentials "
        "stay near.",
        f"Meanwhile the potentials’ distance from their threshold goes from "
        f"{significant(sizes[0], 2)} to {significant(sizes[1], 2)} V "
        f"(root mean square), and what rounding to {most} bits does to a potential before the "
        f"first spike (its 99 % point, worst layer) "
        f"from {significant(errors[0], 2)} to {significant(errors[1], 2)} V. A step of rounding is "
        f"a fixed share of the largest weight: "
        "distance that is bought with larger weights is no gain.",
    )


def _how(settings: MarginStudy, recipe: Config) -> tuple[str, ...]:
    margin = recipe.defence.margin
    if margin is None:
        raise ConfigError(f"recipe {settings.recipe!r} must have the defence margin")
    return (
        "A flip is one comparison of one neuron in one step that ends otherwise in the integer "
        "Program than in floating point (float64). "
        "Running free, one flip changes everything behind it; with each layer given the float "
        "network’s own spikes, a layer is charged "
        "with its own rounding alone (inside a layer, a flip still changes what its neuron does "
        "later).",
        "Quantisation after training rounds weights, thresholds, biases and decays; nothing is "
        "clipped, no layer is calibrated, one scale "
        "for each layer.",
        f"The constraint is that of Wang et al. (arXiv 2602.20548), power {margin.power}, schedule "
        f"{margin.schedule} to λ = "
        f"{margin.lambda_max:g} under the {margin.neurons} over the neurons of a layer. The widths "
        f"δ and λ are ours; the question is not "
        "the paper’s, and no number here is.",
    )


def _line(
    name: str,
    place: int,
    deltas: Sequence[float],
    seeds: Seeds,
    value: Value,
    unit: str,
    floor: float = 0.0,
) -> Line:
    points = []
    for position, delta in enumerate(deltas):
        s = spread(seeds(delta, value))
        words = (
            f"δ = {delta:g} V, {name}: {significant(s.mean)} {unit} ({significant(s.low)} to "
            f"{significant(s.high)} over {s.seeds} seeds)"
        )
        bar = s.seeds > 1
        points.append(
            Point(
                float(position),
                max(s.mean, floor),
                max(s.low, floor) if bar else None,
                max(s.high, floor) if bar else None,
                words,
            )
        )
    return Line(name, place, tuple(points))


def _figure(
    name: str,
    title: str,
    panels: list[PlotPanel],
    deltas: Sequence[float],
    y: Axis,
    caption: str,
) -> Figure:
    x = Axis(
        "half width δ of the constraint, V",
        names=tuple((float(i), f"{d:g}") for i, d in enumerate(deltas)),
    )
    return Figure(lines(name, title, panels, x, y), legend(panels), caption)


def _log(label: str, panels: list[PlotPanel]) -> Axis:
    """A logarithmic axis with ticks at 1, 2 and 5 of every decade that the points reach."""
    values = [
        v
        for panel in panels
        for line in panel.lines
        for p in line.points
        for v in (p.y, p.low, p.high)
        if v is not None
    ]
    decades = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    marks = [m * 10.0**decade for decade in decades for m in (1, 2, 5)]
    return Axis(
        label, "log", tuple((v, f"{v:g}") for v in marks if min(values) <= v <= max(values))
    )


def _flips(settings: MarginStudy, deltas: Sequence[float], seeds: Seeds) -> tuple[Figure, ...]:
    counts = seeds(deltas[0], lambda r: total(r, settings.weight_bits[0], "free", "comparisons"))
    floor = 0.5 * PER / max(counts)

    rates = []
    for mode in MODES:
        curves = [
            _line(
                f"{b} bits",
                i,
                deltas,
                seeds,
                partial(rate, bits=b, mode=mode),
                f"flips per {PER:,}",
                floor,
            )
            for i, b in enumerate(settings.weight_bits)
        ]
        rates.append(PlotPanel(NAMES[mode], tuple(curves)))

    accuracy = [
        _line(
            "floating point",
            len(settings.weight_bits),
            deltas,
            seeds,
            lambda r: 100 * r["accuracy"],
            "%",
        )
    ]

    changed = []
    for i, b in enumerate(settings.weight_bits):
        accuracy.append(
            _line(
                f"{b} bits",
                i,
                deltas,
                seeds,
                _percent(partial(of_bits, bits=b, quantity="accuracy")),
                "%",
            )
        )
        changed.append(
            _line(
                f"{b} bits",
                i,
                deltas,
                seeds,
                _percent(partial(of_bits, bits=b, quantity="changed")),
                "%",
            )
        )

    seeds_said = f"Mean over {len(settings.seeds)} seeds; bars: smallest to largest seed."
    none = any(p.y == floor for panel in rates for line in panel.lines for p in line.points)
    zero = (
        f" No flip at all stands at {significant(floor, 2)}: a logarithmic axis has no zero."
        if none
        else ""
    )

    return (
        _figure(
            "margin-flips",
            "Spike flips against the width of the margin",
            rates,
            deltas,
            _log(f"flips per {PER:,} comparisons", rates),
            f"{seeds_said} All layers together." + zero,
        ),
        _figure(
            "margin-accuracy",
            "Accuracy against the width of the margin",
            [PlotPanel("test split", tuple(accuracy))],
            deltas,
            Axis("accuracy, %"),
            f"{seeds_said} What the margin costs.",
        ),
        _figure(
            "margin-changed",
            "Changed predictions against the width of the margin",
            [PlotPanel("test split", tuple(changed))],
            deltas,
            Axis("predictions that change, %"),
            f"{seeds_said} What is left of the flips in the end.",
        ),
    )


def _percent(value: Value) -> Value:
    return lambda result: 100 * value(result)


def _causes(
    settings: MarginStudy, deltas: Sequence[float], seeds: Seeds, layers: Sequence[str]
) -> tuple[Figure, ...]:
    within = [
        _line(
            name,
            i,
            deltas,
            seeds,
            _percent(partial(_near, layer=name)),
            f"% within {settings.near:g} V",
        )
        for i, name in enumerate(layers)
    ]

    curves = [
        _line(f"{b} bits", i, deltas, seeds, partial(error, bits=b), "V", 1e-9)
        for i, b in enumerate(settings.weight_bits)
    ]
    errors = [PlotPanel("worst layer", tuple(curves))]

    return (
        _figure(
            "margin-near",
            "Potentials near threshold against the width of the margin",
            [PlotPanel("by layer", tuple(within))],
            deltas,
            Axis(f"potentials within {settings.near:g} V, %"),
            "Share of potentials, of every step, sample and neuron, that come near their "
            "threshold; the same distance for every δ.",
        ),
        _figure(
            "margin-error",
            "Rounding error of the potential against the width of the margin",
            errors,
            deltas,
            _log("99 % point of the error, V", errors),
            "Difference of the potentials of a neuron that has not fired yet, each layer given the "
            "float network’s spikes.",
        ),
    )


def _near(result: dict[str, Any], layer: str) -> float:
    return float(result["near"][layer])


def _samples(result: dict[str, Any], bits: int) -> float:
    """Share of the samples with any flip in the last layer."""
    last = list(result["bits"][str(bits)]["flips"]["free"].values())[-1]
    return float(last["samples"] / result["samples"])


def _summary(settings: MarginStudy, deltas: Sequence[float], seeds: Seeds) -> Table:
    columns = (
        Column("delta", "δ (V)", "number"),
        Column("weight_bits", "bits", "count"),
        Column("flips_forced", f"flips per {PER:,}, forced", "number"),
        Column("flips_free", f"flips per {PER:,}, free", "number"),
        Column("flips_free_smallest", "smallest seed", "number"),
        Column("flips_free_largest", "largest seed", "number"),
        Column("samples_with_flip", "samples with any flip in the last layer", "share", SEEDS),
        Column("predictions_changed", "predictions that change", "share", SEEDS),
        Column("integer_accuracy", "accuracy, integers", "share", SEEDS),
        Column("float_accuracy", "accuracy, floating point", "share", SEEDS),
    )

    def share(delta: float, value: Value) -> Interval:
        s = spread(seeds(delta, value))
        return Interval(s.mean, s.low, s.high)

    rows = []
    for delta in deltas:
        for bits in settings.weight_bits:
            rates = {m: spread(seeds(delta, partial(rate, bits=bits, mode=m))) for m in MODES}
            rows.append(
                {
                    "delta": delta,
                    "weight_bits": bits,
                    "flips_forced": rates["forced"].mean,
                    "flips_free": rates["free"].mean,
                    "flips_free_smallest": rates["free"].low,
                    "flips_free_largest": rates["free"].high,
                    "samples_with_flip": share(delta, partial(_samples, bits=bits)),
                    "predictions_changed": share(
                        delta, partial(of_bits, bits=bits, quantity="changed")
                    ),
                    "integer_accuracy": share(
                        delta, partial(of_bits, bits=bits, quantity="accuracy")
                    ),
                    "float_accuracy": share(delta, lambda r: r["accuracy"]),
                }
            )
    return Table(
        "margin-summary",
        "Mean over the seeds (smallest to largest); all layers together.",
        columns,
        tuple(rows),
    )


def _layers(settings: MarginStudy, deltas: Sequence[float], measured: Measured) -> Table:
    kinds = {
        "delta": "number",
        "seed": "count",
        "weight_bits": "count",
        "mode": "text",
        "layer": "text",
    }
    kinds |= {
        "flips": "count",
        "comparisons": "count",
        "float_spikes": "count",
        "samples_with_flip": "count",
        "error_99_v": "number",
    }
    kinds |= {
        "share_near_threshold": "number",
        "share_within_delta": "number",
        "rms_distance_v": "number",
    }
    kinds |= {
        "predictions_changed": "number",
        "integer_accuracy": "number",
        "float_accuracy": "number",
    }

    rows = []
    for delta in deltas:
        for seed in settings.seeds:
            result = measured[delta, seed]
            own = {"delta": delta, "seed": seed, "float_accuracy": result["accuracy"]}
            for bits in settings.weight_bits:
                part = result["bits"][str(bits)]
                for mode in MODES:
                    for layer, counts in part["flips"][mode].items():
                        rows.append(
                            {
                                **own,
                                "weight_bits": bits,
                                "mode": mode,
                                "layer": layer,
                                "predictions_changed": part["changed"],
                                "integer_accuracy": part["accuracy"],
                                "flips": counts["flips"],
                                "comparisons": counts["comparisons"],
                                "float_spikes": counts["spikes"],
                                "samples_with_flip": counts["samples"],
                                "error_99_v": counts.get("error"),
                                "share_near_threshold": result["near"][layer],
                                "share_within_delta": result["within"][layer],
                                "rms_distance_v": result["size"][layer],
                            }
                        )

    caption = (
        "Every network, layer and way of measuring. Samples with flip: with any in this layer. "
        "Error: 99 % point, V. Near threshold: "
        f"within {settings.near:g} V of it. Predictions and accuracies are the network’s."
    )

    return Table(
        "margin",
        caption,
        tuple(Column(name, name.replace("_", " "), kind) for name, kind in kinds.items()),
        tuple(rows),
    )
