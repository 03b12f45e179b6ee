"""What NIR has no field for, kept as one JSON text in the graph's metadata:
``metadata={"spikeport": "<json>"}``.

One text for the whole graph, because nir drops the metadata of some nodes. Its form:

    {"format": 1,
     "dt_s": seconds or null,
     "nodes": {NAME: entry},
     "data": {...}, "origin": {...}}            free: name, encoding, steps; framework, version;
     "notes" in "origin": texts

Entries by kind of node:

    neurons   "reset": "zero" | "subtract" | "none" | "unknown" (the file that it was read from does
              not say it); "reset_amount_v": volts, with "subtract"; "threshold_comparison": ">";
              "r_per": "second" | "step", of IF and I: r counts an input r * dt times, or r times,
              in a step; "caveats": texts, in what the model that it comes from may differ from this
              node; "refractory": steps; "grid": {"fraction_bits": F, "current_decay": int or list,
              "voltage_decay": int or list, "threshold": int or list, "overflow": "error" | "wrap",
              "noise": {"seed": int, "sigma": int}}; "pooling": "maximum": of a Threshold that
              fires where any spike of its window arrives (the source must send spikes)
    weights   "grid": {"weight_bits": 1..16, "fraction_bits": F, "exponent": int or one for each
              output channel, "source_fraction_bits": k}; from 9 bits on two synapses carry each
              weight (export.quantize.Weights.parts)
              "moves": text, of a linear node of a row that moves or averages elements
              (export.rearranging)
    Input     "message_bits": 0..24, "fraction_bits": k
    Output    "decode": one of hardware.program.DECODINGS

"origin" may hold "nir_version" (of the file that the graph was read from), "reading" and "warnings"
(texts: how an open question of that file was settled, and by whom), "placeholders" (see
export.node_values.Found), and "discretization": "euler" where a dialect has brought the time
constants into the form that a forward Euler step needs.

"dt_s" null with "time_unit": "step" in "origin": time constants are in steps, which is enough for a
Program but not for a NIR file.

A "grid" is present only where training was quantisation-aware: the numbers in the nodes then lie on
that grid and come out of the lowering as exactly these integers. Without it the lowering chooses
the integers itself. Lists are flat, in C order. "overflow": "wrap" says that the neuron was trained
with synaptic input that may leave its 24 bits. "noise": hardware.noise.Noise, sigma in units of the
state (2**-(F + 6) volts); absent: none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from export.errors import GraphError
from hardware._text import shown
from hardware.noise import MAX_SEED, MAX_SIGMA
from hardware.program import DECODINGS, RESETS

KEY = "spikeport"
FORMAT = 1
UNKNOWN = "unknown"
"""Entry "reset" of a neuron whose file does not say how it is reset."""
MAX_TEXT = 1 << 26
"""Characters of the longest text that is read."""


def _is_int(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


Rule: TypeAlias = tuple[Callable[[Any], bool], str]
"""A check of a value, and what it must be."""


def _ints(low: int, high: int) -> Rule:
    """A check: an integer, or a list of integers."""
    return (
        lambda v: (
            _is_int(v, low, high)
            or (isinstance(v, list) and bool(v) and all(_is_int(x, low, high) for x in v))
        ),
        f"an integer from {low} to {high}, or a list of them",
    )


def _int(low: int, high: int) -> Rule:
    return lambda v: _is_int(v, low, high), f"an integer from {low} to {high}"


def _one_of(*words: str) -> Rule:
    return lambda v: v in words, "one of " + ", ".join(words)


def _number(v: Any) -> bool:
    return isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)


def _is_noise(v: Any) -> bool:
    limits = {"seed": (0, MAX_SEED), "sigma": (1, MAX_SIGMA)}
    return (
        isinstance(v, Mapping)
        and set(v) == set(limits)
        and all(_is_int(v[key], *limits[key]) for key in limits)
    )


def _is_texts(v: Any) -> bool:
    return isinstance(v, list) and all(isinstance(x, str) for x in v)


_GRID = {
    "fraction_bits": _int(-32, 32),
    "current_decay": _ints(0, 4096),
    "voltage_decay": _ints(0, 4096),
    "threshold": _ints(0, (1 << 17) - 1),
    "overflow": _one_of("error", "wrap"),
    "noise": (
        _is_noise,
        f"an object with a seed from 0 to {MAX_SEED} and a sigma from 1 to {MAX_SIGMA}",
    ),
    "weight_bits": _int(1, 16),
    "exponent": _ints(-8, 7),
    "source_fraction_bits": _int(-32, 32),
}
_ENTRY = {
    "reset": _one_of(*RESETS, UNKNOWN),
    "r_per": _one_of("second", "step"),
    "reset_amount_v": (
        lambda v: _number(v) or (isinstance(v, list) and bool(v) and all(_number(x) for x in v)),
        "a number of volts, or a list of them (one for each neuron, in C order)",
    ),
    "threshold_comparison": _one_of(">"),
    "refractory": _int(0, 1 << 15),
    "pooling": _one_of("maximum"),
    "moves": (lambda v: isinstance(v, str) and 0 < len(v) <= 200, "a text of up to 200 characters"),
    "caveats": (_is_texts, "a list of texts"),
    "message_bits": _int(0, 24),
    "fraction_bits": _int(-32, 32),
    "decode": _one_of(*DECODINGS),
}


def _check(where: str, entry: Any, rules: Mapping[str, tuple[Any, ...]]) -> None:
    if not isinstance(entry, Mapping):
        raise GraphError(f"{where} must be a JSON object, not {type(entry).__name__}")
    for key, value in entry.items():
        if key not in rules:
            raise GraphError(f"{where}: unknown entry {shown(key)}; known are {', '.join(rules)}")
        holds, wanted = rules[key]
        if not holds(value):
            raise GraphError(f"{where}: {key} is {shown(value)}; it must be {wanted}")


def check(metadata: Any) -> dict[str, Any]:
    """The metadata with all its parts present, as plain values. Raises GraphError naming the entry
    that is wrong."""
    where = "graph metadata 'spikeport'"
    if not isinstance(metadata, Mapping):
        raise GraphError(f"{where} must be a JSON object, not {type(metadata).__name__}")
    unknown = set(metadata) - {"format", "dt_s", "nodes", "data", "origin"}
    if unknown:
        raise GraphError(
            f"{where}: unknown entry {shown(sorted(map(str, unknown))[0])}; known are format, "
            f"dt_s, nodes, data, origin"
        )
    if metadata.get("format", FORMAT) != FORMAT:
        raise GraphError(
            f"{where}: format is {shown(metadata.get('format'))}; this version reads format "
            f"{FORMAT}"
        )
    dt_s = metadata.get("dt_s")
    if dt_s is not None and not (_number(dt_s) and dt_s > 0):
        raise GraphError(
            f"{where}: dt_s is {shown(dt_s)}; it must be a positive number of seconds, or null"
        )

    for part in ("nodes", "data", "origin"):
        if not isinstance(metadata.get(part, {}), Mapping):
            raise GraphError(f"{where}: {part} must be a JSON object")
    for part in ("notes", "reading", "warnings", "placeholders"):
        texts = metadata.get("origin", {}).get(part, [])
        if not _is_texts(texts):
            raise GraphError(
                f"{where}: origin, {part} is {shown(texts)}; it must be a list of texts"
            )

    nodes = {}
    for name, entry in metadata.get("nodes", {}).items():
        place = f"{where}, node {shown(name)}"
        _check(place, entry, {**_ENTRY, "grid": (lambda v: True, "")})
        if "grid" in entry:
            _check(place + ", grid", entry["grid"], _GRID)
        nodes[str(name)] = dict(entry)

    return {
        "format": FORMAT,
        "dt_s": None if dt_s is None else float(dt_s),
        "nodes": nodes,
        "data": dict(metadata.get("data", {})),
        "origin": dict(metadata.get("origin", {})),
    }


def in_steps(metadata: Mapping[str, Any]) -> bool:
    """Whether the graph's time constants are in steps instead of seconds: a model that knows no
    time step was exported without one."""
    return metadata["dt_s"] is None and metadata["origin"].get("time_unit") == "step"


def empty() -> dict[str, Any]:
    """Metadata that states nothing."""
    return check({})


def dumps(metadata: Mapping[str, Any]) -> str:
    """The checked metadata as the JSON text that goes into a graph: ``metadata={"spikeport":
    dumps(...)}``."""
    try:
        return json.dumps(check(metadata), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise GraphError(f"graph metadata 'spikeport' must be plain JSON values: {error}") from None


def of(graph: Any) -> dict[str, Any]:
    """The checked metadata of a NIR graph; ``empty()`` where it carries none."""
    raw = graph.metadata if isinstance(graph.metadata, Mapping) else {}
    text = raw.get(KEY)
    if text is None:
        return empty()
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise GraphError(
            f"graph metadata 'spikeport' must be a text of at most {MAX_TEXT} characters, not "
            f"{type(text).__name__}"
        )
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise GraphError(f"graph metadata 'spikeport' is not JSON: {error}") from None
    except RecursionError:
        raise GraphError("graph metadata 'spikeport' is nested too deeply") from None
    return check(parsed)
