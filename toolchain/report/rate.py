"""Static energy of a report at a given rate: static power / rate instead of static power × time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hardware.parameters import parameter
from toolchain.pages import formats
from toolchain.report.counts import static_share
from toolchain.report.facts import Analysis, Energy, ReportedModel
from toolchain.report.run import ReportError


def at_rate(facts: Analysis, rate_hz: float | None) -> Analysis:
    """The same with static energy of every row at ``rate_hz`` inferences in a second; None: as it
    is.

    Raises ReportError for a rate that is not positive or above what the band of some row's time
    allows, and for a run whose records do not hold the band.
    """
    if rate_hz is None:
        return facts
    lows = [row.time_low_s for row in _rows(facts) if row.static_j is not None]
    times = [low for low in lows if low is not None]
    if len(times) < len(lows):
        raise ReportError(
            f"{parameter('rate_hz')} needs the band of the time, which this run does not hold; run "
            "'spikeport bench' on it again"
        )

    slowest = max(times, default=0.0)
    if not rate_hz > 0 or rate_hz * slowest > 1:
        most = f" and at most {1 / slowest:.4g}" if slowest else ""
        took = formats.quantity(slowest, "s")
        raise ReportError(
            f"{parameter('rate_hz')} is {rate_hz:g}; it must be above 0{most}: at the low end of "
            f"the band an inference takes {took}"
        )
    return replace(facts, models=tuple(_model(model, rate_hz) for model in facts.models))


def _rows(facts: Analysis) -> Iterator[Energy]:
    """Every row of energy; those of the answers are among them."""
    for model in facts.models:
        for entry in model.targets:
            yield from entry.energy


def _model(model: ReportedModel, rate_hz: float) -> ReportedModel:
    targets = tuple(
        replace(entry, energy=tuple(_row(row, rate_hz) for row in entry.energy))
        for entry in model.targets
    )
    spent = {inputs: _row(row, rate_hz) for inputs, row in model.answer.energy.items()}
    return replace(model, targets=targets, answer=replace(model.answer, energy=spent))


def _row(row: Energy, rate_hz: float) -> Energy:
    if row.static_j is None:
        return row
    static = _at(rate_hz, row.static_j, row.time_s)
    return replace(
        row,
        static_j=static,
        static_low_j=_at(rate_hz, row.static_low_j, row.time_low_s),
        static_high_j=_at(rate_hz, row.static_high_j, row.time_high_s),
        static_share=static_share(row.dynamic_j.value, static),
    )


def _at(rate_hz: float, energy_j: float | None, time_s: float | None) -> float:
    """Joules at the rate, of those that go with a time. Raises ReportError where a run does not
    hold both."""
    if energy_j is None or time_s is None:
        raise ReportError(
            f"{parameter('rate_hz')} needs static energy and time, which this run does not hold; "
            "run 'spikeport bench' on it again"
        )
    return energy_j / (time_s * rate_hz)


def said(facts: Analysis) -> str:
    """What static energy is for, in words."""
    rate_hz = getattr(facts, "rate_hz", None)  # an analysis without a report has no rate
    if rate_hz is None:
        return "static energy is for one inference after the other, without a pause"
    return f"static energy is for {rate_hz:g} inferences in a second"
