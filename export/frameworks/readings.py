"""What a value or an operation reads of one layer: its trace, a sum, a mean, the last step, a
maximum.

Operations behind such a reading are followed as long as the largest score stays the largest; each
is kept by name in the reading, so that it can be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from export.frameworks.values import LayerReading, Opaque, Stack, Traced, Value, terms_of

ELEMENTWISE = {"sigmoid", "tanh", "exp"}
"""Rising functions of each score."""

OVER_FEATURES = {"softmax", "log_softmax", "argmax", "argsort", "sort", "topk", "max", "amax"}
"""Operations that keep the largest score the largest if they run over one axis of features."""

_LAST_AXIS = {"argsort", "sort", "topk"}
"""Those whose axis is the last where it is not given."""

_AXIS_AT = {"topk": 2}
"""Place of the axis among the arguments where it is not the second."""


def reading(value: Value | Stack) -> LayerReading | None:
    """How a value reads one node: its whole trace, the sum or mean over the steps, or the last step
    so far; None for other values.

    A positive factor changes no decision, so it only tells a mean from a sum; both need every step
    from the first.
    """
    terms = terms_of(value)
    steps = [t.step for t in terms if t.step is not None]
    if len({(t.node, t.port) for t in terms}) != 1 or len(steps) != len(terms):
        return None

    node, port = terms[0].node, terms[0].port
    scales = {t.scale for t in terms}
    if len(scales) != 1 or min(scales) <= 0:
        return None
    factor = scales.pop()

    if isinstance(value, Stack):
        whole = all(len(item.terms) == 1 for item in value.items) and steps == list(
            range(len(steps))
        )
        lead = 1 if "*" in value.layout else 2
        return LayerReading(node, port, "trace", len(steps), factor, lead) if whole else None

    if len(steps) == 1:
        return LayerReading(node, port, "last", steps[0] + 1, factor)
    if sorted(steps) != list(range(len(steps))):
        return None
    mean = abs(factor * len(steps) - 1.0) < 1e-6
    return LayerReading(node, port, "mean" if mean else "sum", len(steps), 1.0 if mean else factor)


def of(value: Traced | None) -> LayerReading | None:
    """The reading that a value of any kind is."""
    return (
        value.reading
        if isinstance(value, Opaque)
        else reading(value)
        if value is not None
        else None
    )


def _axis(name: str, args: Sequence[Any], kwargs: dict[str, Any], dims: int) -> int | None:
    """The one axis that an operation runs over; None where it is not one."""
    place = _AXIS_AT.get(name, 1)
    axis = args[place] if len(args) > place else kwargs.get("dim", kwargs.get("axis"))
    if axis is None and name in _LAST_AXIS:
        axis = -1
    if isinstance(axis, (tuple, list)) and len(axis) == 1:
        axis = axis[0]
    return axis % dims if isinstance(axis, int) and not isinstance(axis, bool) and dims else None


def after(
    name: str,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    source: torch.Tensor,
    value: Traced | None,
) -> LayerReading | None:
    """The reading that is left after an operation on a tensor; None where the largest score may
    become another."""
    read = of(value)
    if read is None:
        return None
    if name in ELEMENTWISE:
        return replace(read, after=(*read.after, name))
    axis = _axis(name, args, kwargs, source.dim()) if name in OVER_FEATURES else None
    if axis is None or axis < read.lead or kwargs.get("largest") is False:
        return None
    return replace(read, after=(*read.after, name))


def over_time(value: Stack) -> LayerReading | None:
    """The reading that the maximum over the steps of a stack is."""
    read = reading(value)
    return replace(read, how="max", lead=1) if read is not None and read.how == "trace" else None


def moved(
    read: LayerReading | None, source: torch.Tensor, result: torch.Tensor, order: torch.Tensor
) -> LayerReading | None:
    """A reading after its elements were moved: the same where all are there, in the same order,
    behind the same leading axes."""
    kept = order.numel() == source.numel() and bool(
        (order.reshape(-1) == torch.arange(order.numel(), device=order.device)).all()
    )
    return (
        read
        if kept
        and result.shape[: read.lead if read else 0] == source.shape[: read.lead if read else 0]
        else None
    )
