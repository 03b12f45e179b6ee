"""What a model returned, tensor by tensor: none is left without an answer."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from export.errors import UnsupportedError
from export.frameworks import readings
from export.frameworks.tracker import Tracker
from export.frameworks.values import (
    INPUT,
    LayerReading,
    Opaque,
    Stack,
    Traced,
    Value,
    sources_of,
    terms_of,
)


@dataclass(frozen=True)
class Returned:
    """One returned tensor and what it stands for; ``place``: which one, for messages."""

    place: str
    value: Traced | None
    single: bool

    @property
    def reading(self) -> LayerReading | None:
        """How it reads one node; None where it does not."""
        return readings.of(self.value)


def collect(tracker: Tracker, outputs: list[Any]) -> list[Returned]:
    """What each call returned; several calls are the steps.

    Numbers, texts and zeros are left aside with a note of the tracker. Raises UnsupportedError for
    other objects, and where the numbers of a tensor are not those that were followed.
    """
    calls = [_flat(tracker, output) for output in outputs]
    if len({len(call) for call in calls}) != 1:
        counts = ", ".join(str(len(call)) for call in calls)
        raise UnsupportedError(
            f"the model returns {counts} tensors in its steps; it must be the same number"
        )
    returned: list[Returned] = []
    for number, tensors in enumerate(zip(*calls)):
        place = "the model's output" + (
            f" {number + 1} of {len(calls[0])}" if len(calls[0]) > 1 else ""
        )
        values = [tracker.value_of(tensor) for tensor in tensors]
        for tensor, value in zip(tensors, values):
            if isinstance(value, (Value, Stack)):
                tracker.check_numbers(place, value, tensor)
        value = values[0] if len(values) == 1 else _joined(values)
        returned.append(Returned(place, value, tensors[0].numel() == 1))
    return returned


def _flat(tracker: Tracker, output: Any) -> list[torch.Tensor]:
    """All tensors in what a model returned, in order."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        output = [getattr(output, field.name) for field in dataclasses.fields(output)]
    if isinstance(output, (tuple, list)):
        return [t for item in output for t in _flat(tracker, item)]
    if output is not None and not isinstance(output, (numbers.Number, str)):
        raise UnsupportedError(
            f"the model returns a {type(output).__name__}, in which tensors are not seen; it must "
            "return tensors, in a tuple, list, mapping or dataclass if there are several"
        )
    if output is not None:
        note = f"the model also returns {output!r}, no tensor; no output of the Program"
        if note not in tracker.notes:
            tracker.notes.append(note)
    return []


def _joined(values: list[Traced | None]) -> Traced | None:
    """The value of one output over all steps, one call each."""
    items = [v for v in values if isinstance(v, Value)]
    if len(items) == len(values):
        return Stack(tuple(items))
    read = [readings.of(v) for v in values]
    whole = _whole([r for r in read if r is not None]) if None not in read else None
    if whole is not None and isinstance(values[-1], Opaque):
        return replace(values[-1], reading=whole)
    unread = next((v for v, r in zip(values, read) if isinstance(v, Opaque) and r is None), None)
    if unread is not None:
        return unread
    known = [v for v in values if isinstance(v, Opaque)]
    return replace(known[0], reading=None) if known else None if None in values else values[-1]


def _whole(read: list[LayerReading]) -> LayerReading | None:
    """The trace that the last steps of calls are together; None where they are no such thing."""
    each = len({replace(r, steps=0) for r in read}) == 1 and read[0].how == "last"
    if not each or [r.steps for r in read] != list(range(1, len(read) + 1)):
        return None
    return replace(read[-1], how="trace")


def is_input(value: Traced | None) -> bool:
    """Whether it is the model's input and nothing else, unchanged but for a factor."""
    followed = isinstance(value, (Value, Stack)) and bool(terms_of(value))
    return followed and all(port == INPUT for _, port in sources_of(value))
