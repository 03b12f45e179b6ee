"""One node with checked values: arrays of finite numbers in their shapes, whole numbers where NIR
has them.

What a file leaves out is noted, not decided: see ``Found``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any

import nir
import numpy as np

from export.errors import GraphError, UnsupportedError
from export.shapes import ENDS, LINEAR, NEURONS, PARAMETERS, tuple_of
from hardware._text import shown

KNOWN = (*ENDS, *NEURONS, *LINEAR, nir.NIRGraph)

_POSITIVE = ("tau", "tau_syn", "tau_mem")
_ABSENT = {"v_reset": 0.0, "w_in": 1.0}
"""What parameters are that older files leave out: w_in by NIR's definition, v_reset until the reset
is known."""


@dataclass
class Found:
    """What is found on the way through a graph.

    notes          what was completed, for the audit
    unstated       neurons whose file has no v_reset
    placeholders   Flatten nodes whose input_type is all zeros
    """

    notes: list[str] = default(default_factory=list)
    unstated: list[str] = default(default_factory=list)
    placeholders: list[str] = default(default_factory=list)
    count: int = 0


def label(name: str, node: nir.NIRNode) -> str:
    return f"node {name!r} ({type(node).__name__})"


def _array(where: str, field: str, value: Any) -> np.ndarray:
    """A finite floating-point array."""
    try:
        array = np.asarray(value)
    except Exception:
        raise GraphError(
            f"{where}: {field} is {type(value).__name__}; it must be an array of numbers"
        ) from None
    if array.dtype.kind not in "fiu":
        raise GraphError(f"{where}: {field} has type {array.dtype}; it must hold real numbers")
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        first = np.argwhere(~np.isfinite(array))[0].tolist()
        raise GraphError(f"{where}: {field} holds NaN or infinite values, the first at {first}")
    return array


def _whole(where: str, field: str, value: Any, low: int, dimensions: int) -> tuple[int, ...]:
    """Whole numbers of at least ``low``, one for each dimension."""
    array = np.asarray(value)
    if (
        array.dtype.kind not in "iuf"
        or array.size not in (1, dimensions)
        or not np.all(array == np.round(array.astype(np.float64)))
    ):
        raise GraphError(
            f"{where}: {field} is {shown(value)}; it must be whole numbers, one or {dimensions}"
        )
    if array.size and not (low <= array.min() and array.max() <= 1 << 15):
        raise GraphError(
            f"{where}: {field} is {shown(value)}; it must be whole numbers from {low} to {1 << 15}"
        )
    return tuple_of(array, dimensions)


def _dimension(where: str, field: str, value: Any) -> int:
    """One whole number, which may be negative."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" or array.size != 1:
        raise GraphError(f"{where}: {field} is {shown(value)}; it must be one whole number")
    return int(array.reshape(-1)[0])


def _shape(where: str, value: Any, field: str = "shape") -> np.ndarray:
    array = np.asarray(value)
    if (
        array.dtype.kind not in "iu"
        or array.ndim > 1
        or array.size < 1
        or array.min() < 1
        or array.size > 8
    ):
        raise GraphError(
            f"{where}: {field} is {shown(array.tolist())}; it must be positive whole numbers, "
            f"one "
            "for each dimension"
        )
    return array.reshape(-1).astype(np.int64)


def _elementwise(name: str, node: nir.NIRNode, findings: Found) -> dict[str, np.ndarray]:
    """The parameters of a node with one value for each element; scalars among arrays are spread."""
    where = label(name, node)
    given = {field: getattr(node, field) for field in PARAMETERS[type(node)]}
    absent = [field for field, value in given.items() if value is None and field in _ABSENT]
    if "v_reset" in absent:
        findings.unstated.append(name)
    if "w_in" in absent:
        findings.notes.append(f"{where}: w_in is absent; {_ABSENT['w_in']:g} by NIR's definition")

    values = {
        field: _array(where, field, _ABSENT[field] if field in absent else value)
        for field, value in given.items()
    }

    shapes = {a.shape for a in values.values() if a.shape}
    if len(shapes) > 1:
        listed = ", ".join(f"{field} {a.shape}" for field, a in values.items())
        raise GraphError(f"{where}: parameters of different shapes: {listed}")
    if shapes:
        spread = [field for field, a in values.items() if not a.shape and field not in absent]
        if spread:
            shape = next(iter(shapes))
            findings.notes.append(
                f"{where}: {', '.join(spread)} given once, used for all of shape {shape}"
            )
        values = {
            field: np.array(np.broadcast_to(a, next(iter(shapes)))) for field, a in values.items()
        }

    for field, array in values.items():
        if not array.size:
            raise GraphError(f"{where}: {field} is empty; it must have one value for each element")
    for field in _POSITIVE:
        if field in values and values[field].min() <= 0:
            raise GraphError(f"{where}: {field} is {values[field].min():g} s; it must be above 0")
    if isinstance(node, nir.Delay) and values["delay"].min() < 0:
        raise GraphError(f"{where}: delay is {values['delay'].min():g} s; it must be 0 or more")
    return values


def _convolution(where: str, node: nir.NIRNode) -> dict[str, Any]:
    dimensions = 1 if isinstance(node, nir.Conv1d) else 2
    weight = _array(where, "weight", node.weight)
    if weight.ndim != dimensions + 2 or 0 in weight.shape:
        form = (
            "[out, in / groups, length]" if dimensions == 1 else "[out, in / groups, height, width]"
        )
        raise GraphError(f"{where}: weight has shape {weight.shape}; it must be {form}")

    bias = _array(
        where,
        "bias",
        node.bias if node.bias is not None else np.zeros(weight.shape[0], weight.dtype),
    )
    if bias.shape != weight.shape[:1]:
        raise GraphError(
            f"{where}: bias has shape {bias.shape}; there must be one for each output channel, "
            f"{weight.shape[:1]}"
        )

    (groups,) = _whole(where, "groups", node.groups, 1, 1)
    if weight.shape[0] % groups:
        raise GraphError(
            f"{where}: {weight.shape[0]} output channels cannot be divided into {groups} groups"
        )
    stride = _whole(where, "stride", node.stride, 1, dimensions)

    padding = node.padding
    if isinstance(padding, bytes):
        padding = padding.decode("ascii", "replace")
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise GraphError(
                f"{where}: padding is {shown(padding)}; it must be 'same', 'valid' or whole numbers"
            )
        if padding == "same" and set(stride) != {1}:
            raise GraphError(f"{where}: padding 'same' goes with stride 1, not {stride}")
    else:
        padding = _whole(where, "padding", padding, 0, dimensions)

    values = {
        "stride": stride,
        "padding": padding,
        "dilation": _whole(where, "dilation", node.dilation, 1, dimensions),
    }
    if dimensions == 1:
        values = {k: v if isinstance(v, str) else v[0] for k, v in values.items()}
    stated = (
        None
        if node.input_shape is None
        else _whole(where, "input_shape", node.input_shape, 1, dimensions)
    )

    return {
        "input_shape": stated if stated is None or dimensions == 2 else stated[0],
        "weight": weight,
        "groups": groups,
        "bias": bias,
        **values,
    }


def checked_node(name: str, node: nir.NIRNode, findings: Found) -> nir.NIRNode:
    """A copy of a node with checked values. Raises GraphError or UnsupportedError."""
    where, kind = label(name, node), type(node)
    if kind not in KNOWN:
        raise UnsupportedError(
            f"{where}: an unknown kind of node; known are "
            f"{', '.join(sorted(k.__name__ for k in KNOWN))}"
        )
    extra = {"metadata": dict(node.metadata) if isinstance(node.metadata, Mapping) else {}}

    if kind is nir.Input:
        return nir.Input(input_type={"input": _shape(where, node.input_type["input"])}, **extra)
    if kind is nir.Output:
        return nir.Output(
            output_type={"output": _shape(where, node.output_type["output"])}, **extra
        )
    if kind in PARAMETERS:
        return kind(**_elementwise(name, node, findings), **extra)

    if kind in (nir.Linear, nir.Affine):
        values = {"weight": _array(where, "weight", node.weight)}
        if values["weight"].ndim != 2 or 0 in values["weight"].shape:
            raise GraphError(
                f"{where}: weight has shape {values['weight'].shape}; it must be [out, in]"
            )
        if kind is nir.Affine:
            values["bias"] = _array(where, "bias", node.bias)
            if values["bias"].shape != values["weight"].shape[:1]:
                raise GraphError(
                    f"{where}: bias has shape {values['bias'].shape}; there must be one for each "
                    f"output, {values['weight'].shape[:1]}"
                )
        return kind(**values, **extra)

    if kind in (nir.Conv1d, nir.Conv2d):
        return kind(**_convolution(where, node), **extra)
    if kind in (nir.SumPool2d, nir.AvgPool2d):
        low = {"kernel_size": 1, "stride": 1, "padding": 0}
        values = {
            field: np.array(_whole(where, field, getattr(node, field), least, 2))
            for field, least in low.items()
        }
        if np.any(values["padding"] >= values["kernel_size"]):
            raise GraphError(
                f"{where}: padding {shown(values['padding'].tolist())} is not smaller than the "
                f"window "
                f"{shown(values['kernel_size'].tolist())}"
            )
        return kind(**values, **extra)

    stated = (node.input_type or {}).get("input")
    if stated is not None and np.size(stated) and not np.any(stated):
        findings.placeholders.append(name)
        findings.notes.append(f"{where}: input_type is zeros, a placeholder; the shape is inferred")
        stated = None
    dims = {
        field: _dimension(where, field, getattr(node, field)) for field in ("start_dim", "end_dim")
    }
    copy = nir.Flatten(input_type=None, **dims, **extra)
    copy.input_type = {"input": None if stated is None else _shape(where, stated, "input_type")}
    return copy
