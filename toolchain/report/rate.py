"""Static energy of a report at a given rate: static power / rate instead of static power × time."""

from __future__ import annotations

from collections.abc import Iterator

from toolchain.pages import formats
from toolchain.report.counts import static_share
from toolchain.report.run import ReportError

_ENDS = ("", "_low", "_high")


def at_rate(facts: dict, rate_hz: float | None) -> None:
    """Put static energy of every row at ``rate_hz`` inferences in a second; None leaves it.

    Raises ReportError for a rate that is not positive or above what the band of some row's time
    allows, and for a run whose records do not hold the band.
    """
    facts["rate_hz"] = rate_hz
    if rate_hz is None:
        return
    rows = [row for row in _rows(facts) if row["static_j"] is not None]
    if any(row["time_low_s"] is None for row in rows):
        raise ReportError(
            "--rate needs the band of the time, which this run does not hold; run 'spikeport "
            "bench' on it again"
        )
    slowest = max((row["time_low_s"] for row in rows), default=0.0)
    if not rate_hz > 0 or rate_hz * slowest > 1:
        most = f" and at most {1 / slowest:.4g}" if slowest else ""
        took = formats.quantity(slowest, "s")
        raise ReportError(
            f"--rate {rate_hz:g}: it must be above 0{most}: at the low end of the band an "
            f"inference takes {took}"
        )

    for row in rows:
        for end in _ENDS:
            row[f"static{end}_j"] /= row[f"time{end}_s"] * rate_hz
        row["static_share"] = static_share(row["dynamic_j"]["value"], row["static_j"])


def _rows(facts: dict) -> Iterator[dict]:
    """Every row of energy, those of the answers included, each once."""
    seen: set[int] = set()
    for model in facts["models"]:
        answers = model["answer"]["energy"].values()
        for row in (*answers, *(row for entry in model["targets"] for row in entry["energy"])):
            if id(row) not in seen:
                seen.add(id(row))
                yield row


def said(facts: dict) -> str:
    """What static energy is for, in words."""
    if facts.get("rate_hz") is None:
        return "static energy is for one inference after the other, without a pause"
    return f"static energy is for {facts['rate_hz']:g} inferences in a second"
