"""lava-dl's .net files (HDF5) → Program, with the meaning that lava-dl's netx gives them on Lava's
fixed-point models.

Read: layers input, conv, flatten, dense, dense_rec; neurons CUBA (LOIHI is an older name for it).
Everything else is refused by name, also where netx 0.6.0 passes over it in silence (unknown layer
types, weight exponents, refractory delays, delays of convolutions).

Numbers in the file are integers already: weights and thresholds in steps of 1/64 volt (fraction
bits 6), decays of 1/4096, biases that netx shifts left by 6 bits. A dense layer without neuron
accumulates its input and never fires. An input layer with neuron gets its image as a bias in every
step: here as a graded input into those neurons, which adds the same number.

In a Program every layer's bias acts from the first step that the layer sees; netx does so where it
is given reset_interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.audit import APPROXIMATE, FAITHFUL, Audit, LayerAudit, Parameter
from export.errors import GraphError, GraphFileError, QuantizationError, UnsupportedError
from export.hdf5 import Tree, read_tree
from export.lower import Lowered
from export.operators import Kernel, Triples
from export.passes.products import identity
from export.quantize import Weights, on_grid
from hardware._text import shortened, shown
from hardware.errors import HardwareError
from hardware.parameters import parameter
from hardware.program import (
    MAX_NEURONS,
    Convolution,
    Dense,
    Input,
    Output,
    Population,
    Program,
    Projection,
    Sparse,
)

FRACTION_BITS = 6
"""lava-dl's slayer scales weights and thresholds by 64."""

INPUT_BITS = 13
"""An image is a bias: 13 bits with sign."""

SLAYER_FIRES = (
    "a neuron fires strictly above its threshold (>), as netx on Lava and the chip have it. The "
    "other "
    "reading: slayer, in which such networks are trained, fires at the threshold, too (>=)"
)
"""Said of every network that spikes: slayer compares a potential with the threshold less a rounding
error of floating point."""

_LAYER_KEYS = {
    "input": {"shape", "neuron", "weight", "bias"},
    "conv": {
        "shape",
        "neuron",
        "weight",
        "bias",
        "stride",
        "padding",
        "dilation",
        "groups",
        "inChannels",
        "outChannels",
        "kernelSize",
    },
    "flatten": {"shape"},
    "dense": {"shape", "neuron", "weight", "bias", "delay", "inFeatures", "outFeatures"},
    "dense_rec": {"shape", "neuron", "weight", "weight_rec", "bias", "inFeatures", "outFeatures"},
}
_NEURON_KEYS = {
    "type",
    "iDecay",
    "vDecay",
    "vThMant",
    "refDelay",
    "gradedSpike",
    "messageBits",
    "wgtExp",
    "theta",
    "tauRho",
    "scaleRho",
}
"""theta, tauRho and scaleRho belong to training; the others are read or must have the value that
changes nothing."""

_MUST_BE = {"refDelay": (0, 1), "gradedSpike": (0,), "messageBits": (0,), "wgtExp": (0,)}
_NEVER = (1 << 17) - 1
"""Largest threshold that the saturated potential can still exceed."""


def load(path: str | Path, *, input_shape: tuple[int, ...] | None = None) -> Lowered:
    """Read a .net file. ``input_shape``: (channels, height, width), for a file that starts with a
    convolution.

    Raises GraphFileError where the file is no .net file or damaged, UnsupportedError for what has
    no counterpart here (by name), GraphError where the file contradicts itself, QuantizationError
    for numbers that do not fit the chip.
    """
    tree = read_tree(path)
    layers = tree.get("layer")
    if (
        not isinstance(layers, dict)
        or not layers
        or not all(isinstance(layer, dict) for layer in layers.values())
    ):
        raise GraphFileError(
            f"{path}: an HDF5 file, but not .net: there is no group 'layer' with layers"
        )

    strange = set(tree) - {"layer", "simulation"}
    if strange:
        raise UnsupportedError(
            f"{path}: unknown group {shown(sorted(strange)[0])}; known are layer and simulation"
        )
    if set(layers) != {str(i) for i in range(len(layers))}:
        called = ", ".join(shortened(name, 40) for name in sorted(layers)[:8])
        raise GraphFileError(
            f"{path}: layers are called {called}; they must be called 0 to {len(layers) - 1}"
        )

    builder = _Builder(Path(path).name, input_shape)
    try:
        for number in range(len(layers)):
            builder.add(number, layers[str(number)])
        return builder.finish()
    except (GraphError, GraphFileError, UnsupportedError, QuantizationError) as error:
        raise type(error)(f"{path}: {error}") from error
    except HardwareError as error:
        raise QuantizationError(f"{path}: {error}") from error


def _text(value: object) -> str | None:
    """A text, stored as such or as an array of one."""
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.reshape(-1)[0]
    return value if isinstance(value, str) else None


def _whole(where: str, key: str, value: Any, low: int, high: int) -> np.ndarray:
    """Whole numbers as int64, however they are stored."""
    if (
        isinstance(value, (dict, str))
        or getattr(value, "dtype", np.dtype(object)).kind not in "biuf"
    ):
        raise GraphFileError(f"{where}: {key} is no number")
    with np.errstate(
        invalid="ignore"
    ):  # a damaged file may hold signalling NaNs, which are refused below
        array = np.asarray(value, np.float64)
    if not np.all(np.isfinite(array)) or np.any(array != np.rint(array)):
        raise GraphError(
            f"{where}: {key} holds numbers that are not whole; they must be integers, as lava-dl "
            f"exports them"
        )
    if array.size and not (low <= array.min() and array.max() <= high):
        raise QuantizationError(
            f"{where}: {key} is {array.min():g} to {array.max():g}; it must be from {low} to {high}"
        )
    return array.astype(np.int64)


class _Builder:
    """Puts a Program together, layer by layer."""

    def __init__(self, source: str, input_shape: tuple[int, ...] | None) -> None:
        self.source = source
        self.shape = None if input_shape is None else tuple(int(n) for n in input_shape)
        self.last: str | None = None
        self.inputs: list[Input] = []
        self.populations: list[Population] = []
        self.projections: list[Projection] = []
        self.audits: list[LayerAudit] = []
        self.notes: list[str] = []
        self.origin: dict[str, Any] = {"framework": "lava-dl", "file": source}

    def add(self, number: int, layer: Tree) -> None:
        """One layer. ``self.shape`` and ``self.last`` are those of what came before."""
        kind = _text(layer.get("type"))
        if kind is None:
            raise GraphFileError(f"layer {number}: no text 'type'")
        if kind not in _LAYER_KEYS:
            raise UnsupportedError(
                f"layer {number}: unknown type {shown(kind)}; it must be one of "
                f"{', '.join(_LAYER_KEYS)}"
            )

        where = f"layer {number} ({kind})"
        strange = set(layer) - _LAYER_KEYS[kind] - {"type"}
        if strange:
            raise UnsupportedError(
                f"{where}: {shown(sorted(strange)[0])} is not understood; it must be one of "
                f"{', '.join(sorted(_LAYER_KEYS[kind]))}"
            )
        if not isinstance(layer.get("neuron", {}), dict):
            raise GraphFileError(f"{where}: neuron is no group")

        shape = None
        if "shape" in layer:
            shape = tuple(_whole(where, "shape", layer["shape"], 1, MAX_NEURONS).ravel().tolist())
            if not 1 <= len(shape) <= 3 or math.prod(shape) > MAX_NEURONS:
                raise GraphError(
                    f"{where}: shape is {shown(shape)}; it must be 1 to 3 numbers, at most "
                    f"{MAX_NEURONS} neurons"
                )

        name = f"{kind}_{number}"
        if kind == "input":
            self.input_layer(where, name, shape, layer)
        elif kind == "flatten":
            pass  # a dense layer reads its source flattened in C order anyway
        elif kind == "conv":
            self.convolution(where, name, shape, layer)
        else:
            self.dense(where, name, shape, layer)

    def source_of(self, where: str, shape: tuple[int, ...]) -> str:
        """Name of what feeds a layer; the first one makes the Input, binary spikes of this
        shape."""
        if self.last is None:
            self.inputs.append(Input("input", shape))
            self.audits.append(
                LayerAudit("input", "input", FAITHFUL, ("binary spikes into the first layer",))
            )
            self.last, self.shape = "input", shape
        return self.last

    def input_layer(
        self, where: str, name: str, shape: tuple[int, ...] | None, layer: Tree
    ) -> None:
        if self.last is not None:
            raise UnsupportedError(f"{where}: an input layer that is not the first")
        if shape is None:
            raise GraphFileError(f"{where}: shape is missing")
        self.shape = shape

        if "neuron" not in layer:
            return
        transform = {
            key: _whole(where, key, layer[key], -(1 << 15), 1 << 15).ravel().tolist()
            for key in ("weight", "bias")
            if key in layer
        }
        if transform:
            self.origin["input_transform"] = transform
            self.notes.append(
                f"{where}: weight and bias describe how images become input numbers; they are not "
                f"applied here, nor by netx"
            )

        self.inputs.append(Input("input", shape, message_bits=INPUT_BITS))
        reason = (
            f"images as graded input of {INPUT_BITS} bits, the same in every step: what netx "
            "writes into the neurons' bias"
        )
        self.audits.append(LayerAudit("input", "input", FAITHFUL, (reason,)))

        # netx leaves the synapse of these neurons unconnected: whatever iDecay is, no current
        # builds up
        self.population(where, name, shape, {**layer["neuron"], "iDecay": np.asarray(4096)}, None)

        operator = identity(shape)
        if isinstance(operator, Kernel):
            self.projections.append(
                Convolution(
                    f"into {name}",
                    "input",
                    name,
                    operator.weight.astype(np.int64),
                    groups=operator.groups,
                )
            )
        else:
            assert isinstance(operator, Triples)
            self.projections.append(
                Sparse(
                    f"into {name}",
                    "input",
                    name,
                    operator.values.astype(np.int64),
                    rows=operator.rows,
                    columns=operator.columns,
                )
            )

        self.last = name

    def convolution(
        self, where: str, name: str, shape: tuple[int, ...] | None, layer: Tree
    ) -> None:
        weight = self.required(where, layer, "weight", -(1 << 15), 1 << 15)
        weight = (
            weight.reshape(weight.shape[:4])
            if weight.ndim == 5 and weight.shape[4] == 1
            else weight
        )
        if weight.ndim != 4 or shape is None or len(shape) != 3:
            raise GraphError(
                f"{where}: weight {weight.shape} and shape {shape}; they must be [out, in, height, "
                f"width] and (channels, height, width)"
            )
        if self.last is None and (self.shape is None or len(self.shape) != 3):
            raise UnsupportedError(
                f"{where}: the file does not say the shape of its input; say "
                f"{parameter('input_shape')} (channels, height, width)"
            )
        assert self.shape is not None, "refused above"

        source = self.source_of(where, self.shape)
        options: dict[str, Any] = {
            key: self.pair(where, layer, key, default)
            for key, default in (("stride", 1), ("padding", 0), ("dilation", 1))
        }
        groups = int(
            _whole(where, "groups", layer.get("groups", np.asarray(1)), 1, 1 << 20).reshape(-1)[0]
        )

        self.population(where, name, shape, layer.get("neuron"), layer.get("bias"))
        integers = self.weights(where, f"into {name}", weight, Convolution.lowest_exponent, name)
        self.projections.append(
            Convolution(
                f"into {name}",
                source,
                name,
                integers.mantissas,
                exponent=integers.exponent,
                groups=groups,
                **options,
            )
        )

        self.last, self.shape = name, shape

    def dense(self, where: str, name: str, shape: tuple[int, ...] | None, layer: Tree) -> None:
        weight = self.required(where, layer, "weight", -(1 << 15), 1 << 15)
        outputs = (
            int(np.prod(shape)) if shape is not None else weight.shape[0] if weight.ndim > 1 else 1
        )
        if weight.size % outputs or (weight.ndim > 1 and weight.shape[0] != outputs):
            raise GraphError(
                f"{where}: weight has shape {weight.shape}; it must be [{outputs}, in]"
            )
        weight = weight.reshape(outputs, -1)
        if self.last is None:
            self.shape = (weight.shape[1],) if self.shape is None else self.shape
        assert self.shape is not None, "every layer leaves one"
        source = self.source_of(where, self.shape)
        if int(np.prod(self.shape)) != weight.shape[1]:
            raise GraphError(
                f"{where}: weight has {weight.shape[1]} inputs; {source!r} has shape {self.shape}"
            )

        delay = self.delay(where, layer.get("delay"), weight.shape)
        self.population(where, name, (outputs,), layer.get("neuron"), layer.get("bias"))
        integers = self.weights(where, f"into {name}", weight, Dense.lowest_exponent, name)
        self.projections.append(
            Dense(
                f"into {name}",
                source,
                name,
                integers.mantissas,
                exponent=integers.exponent,
                delay=delay,
            )
        )

        if "weight_rec" in layer:
            recurrent = self.required(where, layer, "weight_rec", -(1 << 15), 1 << 15)
            if recurrent.size != outputs * outputs:
                raise GraphError(
                    f"{where}: weight_rec has shape {recurrent.shape}; it must be "
                    f"{(outputs, outputs)}"
                )
            integers = self.weights(
                where,
                f"recurrent {name}",
                recurrent.reshape(outputs, outputs),
                Dense.lowest_exponent,
                name,
            )
            self.projections.append(
                Dense(
                    f"recurrent {name}", name, name, integers.mantissas, exponent=integers.exponent
                )
            )

        self.last, self.shape = name, (outputs,)

    def required(self, where: str, layer: Tree, key: str, low: int, high: int) -> np.ndarray:
        if key not in layer:
            raise GraphFileError(f"{where}: {key} is missing")
        if isinstance(layer[key], dict):
            raise UnsupportedError(f"{where}: {key} is complex (real and imag); it must be real")
        array = _whole(where, key, layer[key], low, high)
        if not array.size:
            raise GraphError(f"{where}: {key} is empty")
        return array

    def pair(self, where: str, layer: Tree, key: str, default: int) -> tuple[int, int]:
        value = _whole(where, key, layer.get(key, np.asarray(default)), 0, 1 << 15).reshape(-1)
        if value.size not in (1, 2):
            raise GraphError(
                f"{where}: {key} has {value.size} numbers; there must be one or two (height, width)"
            )
        return int(value[0]), int(value[-1])

    def delay(self, where: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
        """Delay of each synapse: one number, one for each output neuron, for each input, or for
        each synapse; as netx reads it."""
        if value is None:
            return np.zeros((), np.int64)
        delay = _whole(where, "delay", value, 0, Projection.MAX_DELAY)
        if delay.size == 1:
            return delay.reshape(())
        if delay.ndim == 1 and delay.size == shape[0]:
            return np.repeat(delay[:, None], shape[1], axis=1)
        if delay.ndim == 1 and delay.size == shape[1]:
            return np.repeat(delay[None, :], shape[0], axis=0)
        if delay.shape == shape:
            return delay
        raise GraphError(
            f"{where}: delay has shape {delay.shape}; it must be one number, {shape[0]}, "
            f"{shape[1]} or {shape}"
        )

    def weights(
        self, where: str, name: str, weight: np.ndarray, lowest: int, target: str
    ) -> Weights:
        integers = on_grid(where, weight.astype(np.float64), 8, lowest, np.asarray(0))
        step = 2.0 ** (int(integers.exponent) - FRACTION_BITS)
        parameter = Parameter("weight", "V", weight * 2.0**-FRACTION_BITS, integers.mantissas, step)
        self.audits.append(
            LayerAudit(name, "projection", FAITHFUL, (), (parameter,), {}, (target,))
        )
        return integers

    def population(
        self, where: str, name: str, shape: tuple[int, ...], neuron: Tree | None, bias: Any
    ) -> None:
        """One population with its audit; ``neuron`` None: an accumulator that never fires."""
        values: dict[str, Any]
        parameters: list[Parameter] = []
        if neuron is None:
            values = {"current_decay": 0, "voltage_decay": 4096, "threshold": None}
            reasons = ["no neuron: accumulates its input, never fires, as netx runs it"]
        else:
            values, reasons = self.neuron(where, shape, neuron)

        for key in ("current_decay", "voltage_decay"):
            parameters.append(
                Parameter(
                    key,
                    "1/step",
                    values[key] / 4096 * np.ones(()),
                    np.asarray(values[key]),
                    1 / 4096,
                )
            )
        if values["threshold"] is not None:
            step = 2.0**-FRACTION_BITS
            parameters.append(
                Parameter(
                    "threshold",
                    "V",
                    values["threshold"] * step * np.ones(()),
                    np.asarray(values["threshold"]),
                    step,
                )
            )
        if bias is not None:
            mantissa, exponent = self.bias(where, bias, shape)
            values |= {"bias": mantissa, "bias_exponent": exponent}
            step = 2.0 ** (exponent - 6 - FRACTION_BITS)
            parameters.append(Parameter("bias", "V/step", mantissa * step, mantissa, step))
            reasons.append(
                "the bias acts from the first step that the layer sees, as under netx with "
                "reset_interval"
            )

        self.populations.append(Population(name, shape, **values))
        statements = (
            {}
            if values["threshold"] is None
            else {
                "reset": ("zero", "lava-dl: CUBA"),
                "threshold_comparison": (">", "lava-dl: CUBA"),
            }
        )
        verdict = FAITHFUL if all(p.exact for p in parameters) else APPROXIMATE
        self.audits.append(
            LayerAudit(
                name, "population", verdict, tuple(reasons), tuple(parameters), statements, (name,)
            )
        )

    def neuron(
        self, where: str, shape: tuple[int, ...], neuron: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[str]]:
        """Parameters of a CUBA neuron, and what is to be said about them."""
        kind = _text(neuron.get("type"))
        if kind not in ("CUBA", "LOIHI"):
            raise UnsupportedError(
                f"{where}: neuron type {shown(kind)}; it must be CUBA (or LOIHI, its older name)"
            )

        strange = set(neuron) - _NEURON_KEYS
        if strange:
            raise UnsupportedError(
                f"{where}: neuron {shown(sorted(strange)[0])} is not understood; it must be one of "
                f"{', '.join(sorted(_NEURON_KEYS))}"
            )
        for key, known in _MUST_BE.items():
            if key in neuron and not np.all(
                np.isin(_whole(where, key, neuron[key], -(1 << 31), 1 << 31), known)
            ):
                raise UnsupportedError(
                    f"{where}: neuron {key} is {shown(np.asarray(neuron[key]).tolist())}; it "
                    f"must be {' or '.join(map(str, known))}"
                )

        values = {}
        for key, target, high in (
            ("iDecay", "current_decay", 4096),
            ("vDecay", "voltage_decay", 4096),
            ("vThMant", "threshold", 1 << 30),
        ):
            if key not in neuron:
                raise GraphFileError(f"{where}: neuron {key} is missing")
            values[target] = self.per_neuron(
                where, key, _whole(where, key, neuron[key], 0, high), shape
            )

        never = values["threshold"] > _NEVER
        if np.all(never):
            return values | {"threshold": None}, [
                f"threshold {int(np.max(values['threshold']))} is out of reach: a non-spiking "
                f"integrator"
            ]
        if np.any(never):
            raise UnsupportedError(
                f"{where}: some thresholds are out of reach and some are not; they "
                f"must all be in reach, or none"
            )
        return values, []

    def per_neuron(
        self, where: str, key: str, value: np.ndarray, shape: tuple[int, ...]
    ) -> np.ndarray:
        """One number, or one for each channel or neuron spread over the population."""
        if value.size == 1:
            return value.reshape(())
        if value.size == shape[0]:
            return np.array(np.broadcast_to(value.reshape(-1, *(1,) * (len(shape) - 1)), shape))
        if value.size == np.prod(shape):
            return value.reshape(shape)
        raise GraphError(
            f"{where}: {key} has {value.size} values; there must be one, {shape[0]} or "
            f"{int(np.prod(shape))}"
        )

    def bias(self, where: str, bias: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, int]:
        mantissa = self.per_neuron(
            where, "bias", _whole(where, "bias", bias, -(1 << 15), 1 << 15), shape
        )
        if mantissa.min() >= -4096 and mantissa.max() <= 4095:
            return mantissa, 6
        if not np.any(mantissa % 2) and mantissa.min() >= -8192 and mantissa.max() <= 8190:
            return mantissa // 2, 7
        raise QuantizationError(
            f"{where}: bias is {mantissa.min()} to {mantissa.max()}; it must have 13 bits with "
            f"sign, or be even and have 14 bits"
        )

    def finish(self) -> Lowered:
        """The Program, its last layer as output."""
        if not self.populations:
            raise GraphError("there is no layer with neurons")

        last = self.populations[-1]
        # a threshold that only saturation exceeds marks a read-out
        decode = (
            "spike_count"
            if last.threshold is not None and int(np.min(last.threshold)) < _NEVER
            else "last_potential"
        )
        self.audits.append(
            LayerAudit(
                "output",
                "output",
                FAITHFUL,
                (f"reads {last.name!r}",),
                (),
                {"decode": (decode, "assumed")},
            )
        )

        bits = {p.name: FRACTION_BITS for p in self.populations}
        metadata = {
            "source": self.source,
            "origin": self.origin,
            "dt_s": None,
            "fraction_bits": bits,
            "input_fraction_bits": {"input": 0},
            "data": {},
        }
        spiking = any(p.spiking for p in self.populations)
        reading = (SLAYER_FIRES,) if spiking else ()
        program = Program(
            tuple(self.inputs),
            tuple(self.populations),
            tuple(self.projections),
            (Output(last.name, decode),),
            metadata,
        )

        texts = (tuple(self.audits), tuple(self.notes), reading)
        return Lowered(
            program, Audit(self.source, None, "not needed: decays are stated in steps", *texts)
        )
