"""Which layers a model's outputs read, and how: the decode of the Program's outputs.

Clear cases are derived: spikes of every step, or their sum or mean over time, are counted; a membrane potential (or a weighted sum
without a neuron) is read as its last value, its mean or its maximum. Everything else must be stated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from export.errors import MissingInformationError, UnsupportedError
from export.frameworks.operations import reading
from export.frameworks.tracker import Tracker
from export.frameworks.values import CURRENT, INPUT, SPIKES, Opaque, Reading, Stack, Traced, Value, terms_of
from hardware.program import DECODINGS

_CLEAR = {
    (True, "trace"): "spike_count",
    (True, "sum"): "spike_count",
    (True, "mean"): "spike_count",
    (False, "last"): "last_potential",
    (False, "sum"): "mean_potential",
    (False, "mean"): "mean_potential",
    (False, "max"): "max_potential",
}
"""(spikes, how) → decode."""


@dataclass(frozen=True)
class Readout:
    """One output: the node (its name in the trace), the decode, and what the audit should say."""

    node: str
    decode: str
    notes: tuple[str, ...] = ()


def tensors(output) -> list[torch.Tensor]:
    """All tensors in what a model returned, in order."""
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return [t for item in output for t in tensors(item)]
    return []


def values_of(tracker: Tracker, outputs: list) -> list[Traced]:
    """The values of a model's outputs; ``outputs`` holds what each call returned, several calls being the steps."""
    calls = [[tracker.value_of(t) for t in tensors(output)] for output in outputs]
    if len(calls) == 1:
        return [v for v in calls[0] if v is not None]
    joined: list[Traced] = []
    for step_values in zip(*calls):
        if all(isinstance(v, Value) for v in step_values):
            joined.append(Stack(tuple(step_values)))
        else:
            joined += [v for v in step_values[-1:] if v is not None]
    return joined


def find(tracker: Tracker, values: list[Traced], steps: int, feeds_others, decode: str | None) -> list[Readout]:
    """The outputs of the graph.

    ``feeds_others(node)``: whether a node is an input of another layer. Raises MissingInformationError where ``decode`` must be given.
    """
    if decode is not None and decode not in DECODINGS:
        raise UnsupportedError(f"decode is {decode!r}; accepted are {', '.join(DECODINGS)}")
    names = {node.leaf.output_name: name for name, node in tracker.nodes.items()}
    read: dict[str, list[Reading]] = {}
    for value in values:
        for term in terms_of(value):
            if term.port != INPUT:
                read.setdefault(names[term.node], [])
        found = value.reading if isinstance(value, Opaque) else reading(value)
        if found is not None and found.port not in (INPUT, CURRENT) and found.steps == steps:
            read[names[found.node]].append(found)
    if not read:
        raise UnsupportedError("the model's output does not come from any of its layers, as far as operations on tensors show")
    chosen = [name for name in read if not feeds_others(name)] or list(read)
    return [_decoded(tracker, name, read[name], decode) for name in chosen]


def _decoded(tracker: Tracker, name: str, readings: list[Reading], decode: str | None) -> Readout:
    leaf = tracker.nodes[name].leaf
    spiking = leaf.ports(1)[0] == SPIKES
    if decode is not None:
        if decode == "spike_count" and not spiking:
            raise UnsupportedError(f"{leaf.label}: decode is 'spike_count', and it has no spikes to count")
        return Readout(name, decode, () if decode == "spike_count" or _readable(leaf) else (_before_reset(name),))
    found = {}
    for item in readings:
        clear = _CLEAR.get((item.port == SPIKES, item.how))
        if clear is not None:
            found.setdefault(clear, item)
    if len(found) != 1:
        what = "in several ways, " + " and ".join(found) if found else "in a way that does not say how to decode it"
        raise MissingInformationError(f"{leaf.label}: the model reads it {what}; state decode={' | '.join(map(repr, DECODINGS))}")
    (clear, item), *_ = found.items()
    if clear != "spike_count" and not _readable(leaf):
        raise MissingInformationError(
            f"{_before_reset(name)}; accepted are reset_mechanism='none', reset_delay=False, or decode='spike_count'"
        )
    notes = []
    if item.port == SPIKES and item.how == "trace":
        notes.append(f"{name}: the model returns its spikes of every step; decoded by counting them")
    if item.how == "mean" and item.port == SPIKES:
        notes.append(f"{name}: the model returns the mean or a multiple of its spikes; scores are counts")
    if item.how == "sum" and item.port != SPIKES:
        notes.append(f"{name}: the model returns a sum over time; scores are means, the sum divided by the number of steps")
    return Readout(name, clear, tuple(notes))


def _readable(leaf) -> bool:
    return leaf.potential_readable() if hasattr(leaf, "potential_readable") else True


def _before_reset(name: str) -> str:
    return f"{name}: in the step of a spike the model returns the potential before the reset; a Program's potential is that after it"
