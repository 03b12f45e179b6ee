"""Which layers a model's outputs read, and how: the decode of the Program's outputs.

Every tensor that the model returns must be a reading that a Program has: the spikes of every step,
or their sum or mean over time, are counted; a membrane potential (or a weighted sum without a
neuron) is read as its last value, its mean or its maximum. ``decode`` says how a layer is read
whose every step the model returns; it stands for no operation of the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from export.errors import MissingInformationError, UnsupportedError
from export.frameworks.leaves import Leaf
from export.frameworks.returned import Returned, is_input
from export.frameworks.tracker import Tracker
from export.frameworks.values import (
    CURRENT,
    INPUT,
    SPIKES,
    LayerReading,
    Opaque,
    Stack,
    Value,
    sources_of,
    terms_of,
)
from hardware.parameters import parameter
from hardware.program import DECODINGS

_REDUCED = {
    (True, "sum"): "spike_count",
    (True, "mean"): "spike_count",
    (False, "last"): "last_potential",
    (False, "sum"): "mean_potential",
    (False, "mean"): "mean_potential",
    (False, "max"): "max_potential",
}
"""(spikes, how) → the decode that it is."""


@dataclass(frozen=True)
class Readout:
    """One output: the node (its name in the trace), the decode, and what the audit should say."""

    node: str
    decode: str
    notes: tuple[str, ...] = ()


@dataclass
class _Read:
    """What the model returns of one node: reductions over time by decode, and traces of every step
    by port."""

    reduced: dict[str, LayerReading] = field(default_factory=dict)
    traces: dict[str, LayerReading] = field(default_factory=dict)
    last_spikes: bool = False


def find(
    tracker: Tracker,
    returned: list[Returned],
    steps: int,
    feeds_others: Callable[[str], bool],
    decode: str | None,
) -> list[Readout]:
    """The outputs of the graph; what is no output is noted in ``tracker.notes``.

    ``feeds_others(node)``: whether a node is an input of another layer. Raises UnsupportedError for
    a returned tensor that a Program cannot give, MissingInformationError where ``decode`` must be
    given.
    """
    if decode is not None and decode not in DECODINGS:
        raise UnsupportedError(
            f"{parameter('decode')} is {decode!r}; it must be one of {', '.join(DECODINGS)}"
        )

    names = {node.leaf.output_name: name for name, node in tracker.nodes.items()}
    read: dict[str, _Read] = {}
    for item in [i for i in returned if not _aside(tracker, i, returned)]:
        reading = item.reading
        if (
            reading is None
            or reading.steps != steps
            or reading.port in (INPUT, CURRENT)
            or tracker.chooses(reading.node)
            or (reading.port, reading.how) == (SPIKES, "max")
        ):
            _refuse(tracker, item, steps)
        _keep(read.setdefault(names[reading.node], _Read()), reading)
    if not read:
        raise UnsupportedError(
            "the model's output does not come from any of its layers, as far as operations on "
            "tensors show"
        )

    chosen = [name for name in read if not feeds_others(name)] or list(read)
    tracker.notes += [
        f"{name}: returned by the model as well, and an input of other layers; no output of the "
        f"Program, but recorded as a layer"
        for name in read
        if name not in chosen
    ]
    return [_decoded(tracker.nodes[name].leaf, name, read[name], decode) for name in chosen]


def _keep(read: _Read, reading: LayerReading) -> None:
    spikes = reading.port == SPIKES
    if reading.how == "trace":
        read.traces.setdefault(reading.port, reading)
    elif (spikes, reading.how) in _REDUCED:
        read.reduced.setdefault(_REDUCED[spikes, reading.how], reading)
    else:
        read.last_spikes = True


def _aside(tracker: Tracker, item: Returned, returned: list[Returned]) -> bool:
    """Whether a returned tensor is no output of a sample; then it is noted, unless there is no
    other."""
    if item.value is None:
        reason = "holds a constant that does not depend on the input"
    elif isinstance(item.value, (Value, Stack)) and not terms_of(item.value):
        reason = "holds zeros, whatever the input"
    elif is_input(item.value):
        reason = "is the model's input"
    elif isinstance(item.value, Opaque) and item.single and len(returned) > 1 and tracker.batch > 1:
        reason = f"is one number for the whole batch, made by {tracker.unfollowed(item.value)}"
    else:
        return False
    tracker.notes.append(f"{item.place} {reason}; no output of the Program")
    return True


def _refuse(tracker: Tracker, item: Returned, steps: int) -> NoReturn:
    """Raises UnsupportedError that says what was not followed, or what a Program does not read."""
    value, reading = item.value, item.reading
    if isinstance(value, Opaque) and reading is None:
        raise UnsupportedError(
            f"{item.place} passed through {tracker.unfollowed(value)}, which a Program does not "
            f"have and no decode stands for; "
            f"let the model return the spikes or potentials of its last "
            f"neurons{tracker.advice(value)}"
        )

    nodes = sorted({node for node, _ in sources_of(value)})
    labels = ", ".join(map(repr, nodes))
    if any(map(tracker.chooses, nodes)):
        chosen = ", ".join(map(repr, sorted(tracker.behind(nodes))))
        returned = f"some elements of {chosen}, or all in another order"
    elif reading is not None and reading.port == CURRENT:
        returned = f"the synaptic current of {labels}, which a Program keeps to itself"
    elif reading is not None and reading.steps == steps:
        returned = (
            f"the maximum over time of the spikes of {labels}, which says whether it fired at all"
        )
    elif reading is not None:
        returned = f"{labels} over {reading.steps} of {steps} steps"
    elif len(nodes) > 1:
        returned = (
            f"a sum of {labels}; a Program's outputs are layers: put weights and neurons behind it"
        )
    else:
        returned = (
            f"a sum of {labels} over some steps, or with factors that differ between steps or are "
            "negative"
        )

    kept = tracker.keepers(sources_of(value))
    raise UnsupportedError(
        f"{item.place} is {returned}{f' ({kept})' if kept else ''}. No decode stands for that; let "
        "the model return every step, or the sum, mean, maximum or last value over all steps"
    )


def _decoded(leaf: Leaf, name: str, read: _Read, decode: str | None) -> Readout:
    spiking = leaf.ports(1)[0] == SPIKES
    if decode == "spike_count" and not spiking:
        raise UnsupportedError(
            f"{leaf.label}: decode is 'spike_count', and it has no spikes to count"
        )
    chosen = _chosen(leaf, read, decode)
    potential = chosen != "spike_count"
    if potential and not _readable(leaf) and decode is None:
        raise MissingInformationError(
            f"{_before_reset(name)}; it must have reset_mechanism='none', reset_delay=False, "
            f"spikes as output, "
            f"or decode={chosen!r}, which takes the potential after the reset all the same"
        )
    notes = _notes(name, read, chosen)
    if potential and not _readable(leaf):
        notes.append(_before_reset(name))
    return Readout(name, chosen, tuple(notes))


def _chosen(leaf: Leaf, read: _Read, decode: str | None) -> str:
    """The decode of a node. Raises where the model returns several readings, another than stated,
    or leaves it open."""
    if len(read.reduced) > 1:
        raise UnsupportedError(
            f"{leaf.label}: the model reads it in several ways, {' and '.join(read.reduced)}; "
            "a Program reads a layer in one: return one of them"
        )

    if read.reduced:
        (reduced,) = read.reduced
        if decode not in (None, reduced):
            raise UnsupportedError(
                f"{leaf.label}: decode is {decode!r}, but the model reads it as {reduced}; "
                "leave decode out, or change the model"
            )
        return reduced

    if not read.traces:
        raise UnsupportedError(
            f"{leaf.label}: the model returns its spikes of the last step alone, and no decode "
            f"stands for that; "
            "let it return the spikes of every step, or their sum"
        )

    wanted = "spike_count" if decode is None and SPIKES in read.traces else decode
    if wanted is None:
        raise MissingInformationError(
            f"{leaf.label}: the model returns its potential of every step, which does not say how "
            f"to decode it; state {parameter('decode')} as "
            + " | ".join(repr(d) for d in DECODINGS if d != "spike_count")
        )
    if (wanted == "spike_count") != (SPIKES in read.traces) and (
        wanted == "spike_count" or set(read.traces) == {SPIKES}
    ):
        has, lacks = ("potential", "spikes") if wanted == "spike_count" else ("spikes", "potential")
        raise UnsupportedError(
            f"{leaf.label}: decode is {decode!r}, but the model returns its {has}, not its "
            f"{lacks}; let it return those"
        )
    return wanted


def _notes(name: str, read: _Read, chosen: str) -> list[str]:
    """What was made of everything that the model returns of one node."""
    notes = []
    source = read.reduced.get(chosen) or next(
        r for p, r in read.traces.items() if (p == SPIKES) == (chosen == "spike_count")
    )

    if source.how == "trace" and chosen == "spike_count":
        notes.append(
            f"{name}: the model returns its spikes of every step; decoded by counting them"
        )
    elif source.how == "trace":
        notes.append(
            f"{name}: the model returns its potential of every step; decoded as stated, {chosen}"
        )
    elif source.how == "mean" and source.port == SPIKES:
        notes.append(f"{name}: the model returns the mean of its spikes; scores are counts")
    elif source.how == "sum" and source.port != SPIKES:
        notes.append(
            f"{name}: the model returns a sum over time; scores are means, the sum divided by the "
            f"number of steps"
        )

    if source.factor != 1.0:
        notes.append(
            f"{name}: the model returns it times {source.factor:g}; scores are without that factor"
        )
    if source.after:
        done = ", ".join(source.after)
        notes.append(
            f"{name}: behind it the model applies {done}, which keeps the largest score; scores "
            f"are those before"
        )

    others = [
        f"its {'spikes' if port == SPIKES else 'potential'} of every step"
        for port, r in read.traces.items()
        if r is not source
    ]
    others += ["its spikes of the last step"] if read.last_spikes else []
    if others:
        notes.append(
            f"{name}: the model also returns {' and '.join(others)}; no output of its own, but "
            f"recorded with the layer"
        )
    return notes


def _readable(leaf: Leaf) -> bool:
    return leaf.potential_readable() if hasattr(leaf, "potential_readable") else True


def _before_reset(name: str) -> str:
    return (
        f"{name}: in the step of a spike the model returns the potential before the reset; a "
        "Program's potential is that after it"
    )
