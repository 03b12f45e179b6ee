"""What the tables of a report share: rows of a model and a target, and columns that name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from toolchain.pages.table import Column, Interval
from toolchain.report import battery
from toolchain.report.facts import Analysis, Energy, ReportedModel, ReportedTarget


class Row(NamedTuple):
    """One row of a table; ``item``: what it is about besides the model and the target."""

    model: ReportedModel
    entry: ReportedTarget
    item: Any = None


MODEL = Column("model", "model", get=lambda row: row.model.name)
TARGET = Column("target", "target", get=lambda row: row.entry.target)
RADIUS = Column("epsilon", "radius", "number", get=lambda row: row.item.epsilon)
BATTERY = Column("battery", "battery", get=lambda row: battery.mark(row.item.battery))
"""How strong the attacks were that a worst case rests on, see ``battery``."""


MASKING = (
    "The worst case of each kind of attack alone. Where attacks with another gradient, samples of "
    "another network, or attacks without a gradient leave less, beyond the intervals, than "
    "white-box attacks with the surrogate of the training do, that surrogate does not see all "
    "there is: the gradient is masked. Knows the seed: of a network whose noise stays on, an "
    "adversary to whom it is not random."
)
"""Caption of tables of the kinds of attack."""

ZERO = Column(
    "zero_gradient",
    "gradient exactly zero",
    "plain share",
    get=lambda row: row.item.zero_gradient,
)
"""With the training surrogate: what an attack has nothing to follow on."""


def item(key: str, label: str, kind: str = "text", name: str | None = None) -> Column:
    """A column that shows a field (``name``; default: its key) of the row's item."""
    return Column(key, label, kind, get=lambda row: getattr(row.item, name or key))


def every(facts: Analysis) -> Iterator[tuple[ReportedModel, ReportedTarget]]:
    """Every model and target."""
    for model in facts.models:
        for entry in model.targets:
            yield model, entry


def measured(facts: Analysis) -> Iterator[tuple[ReportedModel, ReportedTarget]]:
    """The same without targets that only repeat another (``Model.repeats``): their accuracy, of a
    few samples, says nothing."""
    for model in facts.models:
        for entry in model.measured:
            yield model, entry


def rows(
    pairs: Iterable[tuple[ReportedModel, ReportedTarget]],
    items: Callable[[ReportedTarget], Iterable[object]],
) -> list[Row]:
    """A row for each item of each target."""
    return [Row(model, entry, item) for model, entry in pairs for item in items(entry)]


def band(row: Energy | None) -> Interval | None:
    """Dynamic energy with the band over all device tables."""
    if row is None:
        return None
    return Interval(row.dynamic_j.value, row.band_low_j, row.band_high_j)


def static(row: Energy) -> Interval | None:
    """Static energy with its band."""
    if row.static_j is None:
        return None
    return Interval(row.static_j, row.static_low_j, row.static_high_j)


def difference(row: Any) -> Interval | None:
    """Of two accuracies on the same samples, see ``facts.Compared``."""
    return row and Interval(row.difference, row.low, row.high)


def bare(value: float | None) -> Interval | None:
    """A number without ends."""
    return None if value is None else Interval(value)


def agreement(samples: int | None) -> str | None:
    """What a table says of a target that computes the same in all its samples."""
    return None if samples is None else f"{samples:,} of {samples:,} identical"
