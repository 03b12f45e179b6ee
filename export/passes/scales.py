"""Scale nodes multiplied into the weights beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from export.operators import Gain, Kernel, Matrix, Operator, Reshape


def per_channel(factor: np.ndarray) -> np.ndarray | None:
    """One factor for each channel, where all elements of a channel share it; None where they do
    not."""
    flat = factor.reshape(factor.shape[0], -1)
    return flat[:, 0] if np.all(flat == flat[:, :1]) else None


def before(gain: Gain, operator: Operator) -> Operator | None:
    """``operator(gain(x))`` as one operator of the same kind, or None."""
    if isinstance(operator, Matrix):
        return replace(operator, weight=operator.weight * gain.factor.ravel()[None, :])
    if isinstance(operator, Kernel) and (factor := per_channel(gain.factor)) is not None:
        inner = operator.weight.shape[1]
        group = np.arange(operator.weight.shape[0]) // (operator.weight.shape[0] // operator.groups)
        chosen = factor[group[:, None] * inner + np.arange(inner)[None, :]]
        return replace(
            operator,
            weight=operator.weight
            * chosen.reshape(*chosen.shape, *(1,) * (operator.weight.ndim - 2)),
        )
    if isinstance(operator, Gain):
        return replace(operator, factor=operator.factor * gain.factor)
    return None


def after(operator: Operator, gain: Gain) -> Operator | None:
    """``gain(operator(x))`` as one operator of the same kind, or None."""
    if isinstance(operator, Matrix):
        return replace(operator, weight=operator.weight * gain.factor.ravel()[:, None])
    if isinstance(operator, Kernel) and (factor := per_channel(gain.factor)) is not None:
        return replace(
            operator,
            weight=operator.weight * factor.reshape(-1, *(1,) * (operator.weight.ndim - 1)),
        )
    if isinstance(operator, Gain):
        return replace(operator, factor=operator.factor * gain.factor)
    return None


def fold(chain: list[Operator]) -> list[Operator]:
    """The chain with every Gain folded into a neighbour where that keeps the neighbour's kind."""
    result: list[Operator] = []
    for operator in chain:
        if result and isinstance(result[-1], Gain) and isinstance(operator, Reshape):
            moved = Gain(
                operator.out_shape,
                operator.out_shape,
                result[-1].factor.reshape(operator.out_shape),
            )
            result[-1:] = [operator, moved]
            continue

        folded = None
        if result and isinstance(result[-1], Gain):
            folded = before(result[-1], operator)
        if folded is None and result and isinstance(operator, Gain):
            folded = after(result[-1], operator)
        if folded is not None:
            result[-1] = folded
        else:
            result.append(operator)

    return result
