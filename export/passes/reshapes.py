"""Flatten nodes absorbed: a matrix works on flattened arrays anyway."""

from __future__ import annotations

from dataclasses import replace

from export.operators import Matrix, Operator, Reshape


def fold(chain: list[Operator]) -> list[Operator]:
    """The chain without Reshapes beside matrices, without Reshapes in a row, and without those that
    change nothing."""
    result: list[Operator] = []
    for operator in chain:
        if isinstance(operator, Reshape) and operator.in_shape == operator.out_shape:
            continue
        last = result[-1] if result else None
        if isinstance(last, Reshape) and isinstance(operator, (Matrix, Reshape)):
            result[-1] = replace(operator, in_shape=last.in_shape)
        elif isinstance(last, Matrix) and isinstance(operator, Reshape):
            result[-1] = replace(last, out_shape=operator.out_shape)
        else:
            result.append(operator)
    if len(result) > 1:
        result = [o for o in result if not (isinstance(o, Reshape) and o.in_shape == o.out_shape)]
    return result
