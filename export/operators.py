"""Linear maps between the nodes of a graph, in float64: what stands between two populations before
it becomes synapses.

A way from a source to a population is a chain of operators (see export.trace); the passes shorten
it to one that a chip has. Signals are arrays [..., *shape]; flattening is always in C order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import nir
import numpy as np

from export.errors import UnsupportedError
from export.shapes import Shape, padding_of, tuple_of, window_output

MAX_SYNAPSES = 1 << 27
"""Most single synapses that one way may unfold into."""


@dataclass(frozen=True, eq=False)
class Operator:
    """A linear map from arrays of ``in_shape`` to arrays of ``out_shape``."""

    in_shape: Shape
    out_shape: Shape

    def apply(self, x: np.ndarray) -> np.ndarray:
        """The image of signals [..., *in_shape], delays left out."""
        raise NotImplementedError

    def triples(self) -> Triples:
        """The same map as single synapses; weights of zero are left out."""
        raise NotImplementedError

    def absolute_sums(self) -> np.ndarray:
        """Sum of |weight| into each output, shape ``out_shape``: the largest response to inputs
        within ±1."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Kernel(Operator):
    """A cross-correlation: weight [out, in / groups, *kernel]; padding: zeros (before, after) in
    each spatial dimension."""

    weight: np.ndarray
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int

    def apply(self, x: np.ndarray) -> np.ndarray:
        lead, channels = x.shape[: x.ndim - len(self.in_shape)], self.in_shape[0]
        x = x.reshape(-1, *self.in_shape)
        padded = np.pad(x, [(0, 0), (0, 0), *self.padding])
        total = np.zeros((len(x), *self.out_shape))
        outputs, inputs = self.out_shape[0] // self.groups, channels // self.groups

        for tap in np.ndindex(self.weight.shape[2:]):
            window = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, s, n in zip(tap, self.dilation, self.stride, self.out_shape[1:])
            )
            part = padded[(slice(None), slice(None), *window)]
            for group in range(self.groups):
                out = slice(group * outputs, (group + 1) * outputs)
                weight = self.weight[(out, slice(None), *tap)]
                total[:, out] += np.moveaxis(
                    np.tensordot(
                        weight, part[:, group * inputs : (group + 1) * inputs], axes=(1, 1)
                    ),
                    0,
                    1,
                )

        return total.reshape(*lead, *self.out_shape)

    def triples(self) -> Triples:
        places = {tap: _positions(self, tap) for tap in np.ndindex(self.weight.shape[2:])}
        room(
            sum(
                int(np.count_nonzero(self.weight[(slice(None), slice(None), *tap)])) * at[0].size
                for tap, at in places.items()
            )
        )

        rows, columns, values = [], [], []
        outputs, inputs = self.out_shape[0] // self.groups, self.in_shape[0] // self.groups
        out_index = np.arange(math.prod(self.out_shape)).reshape(self.out_shape[0], -1)
        in_index = np.arange(math.prod(self.in_shape)).reshape(self.in_shape[0], -1)
        first_input = (np.arange(self.out_shape[0]) // outputs)[:, None] * inputs + np.arange(
            inputs
        )[None, :]

        for tap, (out_at, in_at) in places.items():
            weight = self.weight[(slice(None), slice(None), *tap)]
            o, i = np.nonzero(weight)
            rows.append(out_index[o][:, out_at].ravel())
            columns.append(in_index[first_input[o, i]][:, in_at].ravel())
            values.append(np.repeat(weight[o, i], out_at.size))

        return Triples(
            self.in_shape,
            self.out_shape,
            np.concatenate(rows),
            np.concatenate(columns),
            np.concatenate(values),
        )

    def absolute_sums(self) -> np.ndarray:
        sums = np.abs(self.weight).reshape(self.out_shape[0], -1).sum(axis=1)
        return np.broadcast_to(sums.reshape(-1, *(1,) * (len(self.out_shape) - 1)), self.out_shape)


def _positions(kernel: Kernel, tap: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Flat spatial indices (output, input) that one kernel tap joins, those in the padding left
    out."""
    out_at, in_at = np.zeros(1, np.int64), np.zeros(1, np.int64)
    for n_in, n_out, t, s, (before, _), d in zip(
        kernel.in_shape[1:],
        kernel.out_shape[1:],
        tap,
        kernel.stride,
        kernel.padding,
        kernel.dilation,
    ):
        o = np.arange(n_out)
        i = o * s - before + t * d
        inside = (i >= 0) & (i < n_in)
        out_at = np.add.outer(out_at * n_out, o[inside]).ravel()
        in_at = np.add.outer(in_at * n_in, i[inside]).ravel()
    return out_at, in_at


@dataclass(frozen=True, eq=False)
class Matrix(Operator):
    """Weight [out, in] over flattened arrays; ``delay`` in steps, one number or one for each
    weight."""

    weight: np.ndarray
    delay: np.ndarray | int = 0

    def apply(self, x: np.ndarray) -> np.ndarray:
        lead = x.shape[: x.ndim - len(self.in_shape)]
        image: np.ndarray = x.reshape(*lead, -1) @ self.weight.T
        return image.reshape(*lead, *self.out_shape)

    def triples(self) -> Triples:
        rows, columns = np.nonzero(self.weight)
        delay = np.asarray(self.delay)
        return Triples(
            self.in_shape,
            self.out_shape,
            rows,
            columns,
            self.weight[rows, columns],
            delay[rows, columns] if delay.ndim else int(delay),
        )

    def absolute_sums(self) -> np.ndarray:
        sums: np.ndarray = np.abs(self.weight).sum(axis=1)
        return sums.reshape(self.out_shape)


@dataclass(frozen=True, eq=False)
class Triples(Operator):
    """Single synapses: ``values[n]`` from input ``columns[n]`` to output ``rows[n]`` after
    ``delay[n]`` steps (or one delay)."""

    rows: np.ndarray
    columns: np.ndarray
    values: np.ndarray
    delay: np.ndarray | int = 0

    def apply(self, x: np.ndarray) -> np.ndarray:
        lead = x.shape[: x.ndim - len(self.in_shape)]
        flat = x.reshape(math.prod(lead), -1)
        total = np.zeros((len(flat), math.prod(self.out_shape)))
        for n, row in enumerate(flat):
            total[n] = np.bincount(
                self.rows, self.values * row[self.columns], minlength=total.shape[1]
            )
        return total.reshape(*lead, *self.out_shape)

    def triples(self) -> Triples:
        return self

    def absolute_sums(self) -> np.ndarray:
        return np.bincount(
            self.rows, np.abs(self.values), minlength=math.prod(self.out_shape)
        ).reshape(self.out_shape)


@dataclass(frozen=True, eq=False)
class Reshape(Operator):
    """The same elements in another shape."""

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(*x.shape[: x.ndim - len(self.in_shape)], *self.out_shape)

    def triples(self) -> Triples:
        index = np.arange(math.prod(self.in_shape))
        return Triples(self.in_shape, self.out_shape, index, index, np.ones(len(index)))

    def absolute_sums(self) -> np.ndarray:
        return np.ones(self.out_shape)


@dataclass(frozen=True, eq=False)
class Gain(Operator):
    """Each element times its own factor: ``factor`` has the shape of the signal."""

    factor: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(x * self.factor)

    def triples(self) -> Triples:
        index = np.flatnonzero(self.factor)
        return Triples(self.in_shape, self.out_shape, index, index, self.factor.ravel()[index])

    def absolute_sums(self) -> np.ndarray:
        return np.asarray(np.abs(self.factor))


@dataclass(frozen=True, eq=False)
class Wait(Operator):
    """Each element delayed by its own number of steps: ``steps`` has the shape of the signal."""

    steps: np.ndarray

    def apply(self, x: np.ndarray) -> np.ndarray:
        return x

    def triples(self) -> Triples:
        index = np.arange(self.steps.size)
        return Triples(
            self.in_shape, self.out_shape, index, index, np.ones(len(index)), self.steps.ravel()
        )

    def absolute_sums(self) -> np.ndarray:
        return np.ones(self.out_shape)


def room(size: int) -> None:
    if size > MAX_SYNAPSES:
        raise UnsupportedError(
            f"unfolds into {size} single synapses; there must be at most {MAX_SYNAPSES}"
        )


def of_node(node: nir.NIRNode, in_shape: Shape, out_shape: Shape) -> Operator:
    """The linear part of a node (without bias; a Delay is none of these). Values in float64."""
    if isinstance(node, (nir.Linear, nir.Affine)):
        return Matrix(in_shape, out_shape, np.asarray(node.weight, np.float64))
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        dims = node.weight.ndim - 2
        weight = np.asarray(node.weight, np.float64)
        return Kernel(
            in_shape,
            out_shape,
            weight,
            tuple_of(node.stride, dims),
            padding_of(node),
            tuple_of(node.dilation, dims),
            int(node.groups),
        )

    if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
        size = tuple_of(node.kernel_size, 2)
        value = 1.0 if isinstance(node, nir.SumPool2d) else 1.0 / math.prod(size)
        padding = tuple((p, p) for p in tuple_of(node.padding, 2))
        return Kernel(
            in_shape,
            out_shape,
            np.full((in_shape[0], 1, *size), value),
            tuple_of(node.stride, 2),
            padding,
            (1, 1),
            in_shape[0],
        )

    if isinstance(node, nir.Scale):
        return Gain(in_shape, out_shape, np.asarray(node.scale, np.float64))
    if isinstance(node, nir.Flatten):
        return Reshape(in_shape, out_shape)
    raise UnsupportedError(f"a {type(node).__name__} is no linear map")


def symmetric(kernel: Kernel) -> Kernel | None:
    """The same map with as much padding before as after, as a Convolution needs it; None where
    there is none.

    Unequal padding is made equal with kernel taps of zero in front or behind; more padding behind
    than the last window reaches changes nothing.
    """
    weight, padding = kernel.weight, list(kernel.padding)
    for axis, (before, after) in enumerate(padding):
        gap, dilation = abs(after - before), kernel.dilation[axis]
        if not gap:
            continue
        if gap % dilation:
            return None
        zeros = [(0, 0)] * weight.ndim
        zeros[axis + 2] = (gap // dilation, 0) if after > before else (0, gap // dilation)
        weight = np.pad(weight, zeros)
        padding[axis] = (max(before, after),) * 2

    padded = Kernel(
        kernel.in_shape,
        kernel.out_shape,
        weight,
        kernel.stride,
        tuple(padding),
        kernel.dilation,
        kernel.groups,
    )
    spatial = tuple(
        window_output(*item)
        for item in zip(
            padded.in_shape[1:], weight.shape[2:], padded.stride, padded.padding, padded.dilation
        )
    )

    return padded if spatial == padded.out_shape[1:] else None
