"""What a model is given, the same in every command.

    images     in [0, 1], full intensity is 1. A data set's grey levels are whole multiples of 2**-k
               (digits k = 4, 8-bit images k = 8; fewer with ``bits``), so an input integer x of the
               Program means x * 2**-k. That is what the PyTorch model is given, too
    integers   of a file: used as they are; ``fraction_bits`` k says that x means x * 2**-k
    events     0 and 1

A model that states its input (trained with ``toolchain.layers``, a graph with metadata, a Program)
is taken at its word. For every other model the data set and its encoding say what the integers
mean, and two options change it: ``fraction_bits`` says k outright; ``input_scale`` is what the
model takes for full intensity, where that is another power of two than 1 (256 for a model that was
trained on grey levels 0 to 255).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hardware.parameters import parameter
from toolchain.data import DATASETS, Encoding
from toolchain.errors import ModelError

if TYPE_CHECKING:
    import nir

    from hardware.program import Program
    from toolchain.deploy.stage import Stage
    from toolchain.deploy.ways import Ways


def told(
    stage: Stage,
    ways: Ways,
    name: str | None,
    encoding: str | None = None,
    steps: int | None = None,
    **more: float | None,
) -> Ways:
    """The ways on with what was said of the data, for a model that states nothing of it.

    Args:
        stage: the model.
        ways: the options so far.
        name: a data set; a file, or None, says nothing of the encoding.
        encoding: see ``toolchain.data.Encoding``; without it and ``steps`` nothing is said.
        steps: time steps of a sample.
        more: further fields of the encoding; None: its default.

    Raises:
        DataError: for what is no encoding.
    """
    if name not in DATASETS or encoding is None or steps is None or ways.data is not None:
        return ways
    if stage.kind not in ("factory", "pickle", "module", "graph") or stage.data:
        return ways
    own: dict[str, Any] = {key: value for key, value in more.items() if value is not None}
    return replace(ways, data={"name": name, **Encoding(encoding, steps, **own).describe()})


def of_data(data: Mapping[str, Any], ways: Ways, where: str) -> tuple[int, int]:
    """(message bits, fraction bits) of the integers that a model is given of a data set.

    Args:
        data: ``{"name", "encoding", "steps", ...}``.
        ways: may hold ``message_bits``, ``fraction_bits`` and ``input_scale``.
        where: the model, for errors.

    Raises:
        ModelError: for a scale that is no power of two, or that goes with no grey levels.
        DataError: for an encoding that the data set does not have.
    """
    encoding = Encoding.from_description(data)
    bits, own = encoding.input_format(data["name"])
    if ways.input_scale is not None:
        fraction = own - _exponent(ways, encoding, where)
    else:
        fraction = own if ways.fraction_bits is None else ways.fraction_bits
    return bits if ways.message_bits is None else ways.message_bits, fraction


def scale(data: Mapping[str, Any], ways: Ways, where: str) -> float:
    """What the model takes for full intensity: 1 unless ``input_scale`` or ``fraction_bits`` say
    otherwise. Raises as ``of_data``."""
    own = Encoding.from_description(data).input_format(data["name"])[1]
    return 2.0 ** (own - of_data(data, ways, where)[1])


def _exponent(ways: Ways, encoding: Encoding, where: str) -> int:
    """log2 of the scale."""
    if ways.fraction_bits is not None:
        raise ModelError(
            f"{where}: {parameter('input_scale')} and {parameter('fraction_bits')} say the same "
            "thing twice; give one of them"
        )
    if not encoding.constant:
        raise ModelError(
            f"{where}: {parameter('input_scale')} is of grey levels, encoding direct or "
            f"direct_signed; with {encoding.kind!r} the model is given spikes: leave it out"
        )
    value = float(ways.input_scale or 0)
    if not (math.isfinite(value) and value > 0 and math.frexp(value)[0] == 0.5):
        raise ModelError(
            f"{where}: {parameter('input_scale')} is {ways.input_scale!r}; it must be a power of "
            "two, such as 256 for a model that was trained on grey levels from 0 to 255 (weights "
            "trained on x / 255 read x / 256, a difference of 0.4 %)"
        )
    return math.frexp(value)[1] - 1


def formats(graph: nir.NIRGraph, ways: Ways, where: str) -> dict[str, Any]:
    """Arguments ``message_bits`` and ``input_fraction_bits`` of ``export.lower`` for a graph.

    Args:
        graph: read, or traced.
        ways: what was said of the data and of the input.
        where: the model, for errors.

    Raises:
        ModelError: for options that contradict what the model states, or each other.
    """
    from export import metadata

    entries = metadata.of(graph)["nodes"].values()
    stated = [
        (e["message_bits"], e.get("fraction_bits", 0)) for e in entries if "message_bits" in e
    ]
    if ways.data is not None:
        own = of_data(ways.data, ways, where)
        if not stated or stated == [own]:
            return dict(zip(("message_bits", "input_fraction_bits"), own))
    if ways.input_scale is not None and stated:
        raise ModelError(
            f"{where}: {parameter('input_scale')} changes nothing in a model that states what its "
            "input means; leave it out"
        )
    if ways.input_scale is not None:
        raise ModelError(
            f"{where}: {parameter('input_scale')} goes with a data set of images and its "
            f"{parameter('encoding')}; for integers of a file {parameter('fraction_bits')} K says "
            f"that x means x * 2**-K"
        )
    chosen = {"message_bits": ways.message_bits, "input_fraction_bits": ways.fraction_bits}
    return {name: value for name, value in chosen.items() if value is not None}


def with_data(program: Program, ways: Ways) -> Program:
    """The Program with the data that was said of it in its metadata, where it says nothing itself:
    they decide what its integers mean, and so are part of its fingerprint."""
    if ways.data is None or program.metadata.get("data"):
        return program
    return replace(program, metadata={**program.metadata, "data": dict(ways.data)})


def stated(graph: nir.NIRGraph, ways: Ways, where: str) -> nir.NIRGraph:
    """The graph with what the integers of its only input mean, and with its data, written into its
    metadata, so that a file says them; as it is where nothing was said. Raises as ``formats``."""
    import nir

    from export import metadata

    chosen = formats(graph, ways, where)
    names = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if not chosen or len(names) != 1:
        return graph
    entries = metadata.of(graph)
    entry = {
        "message_bits": chosen.get("message_bits"),
        "fraction_bits": chosen.get("input_fraction_bits"),
    }
    known = {key: value for key, value in entry.items() if value is not None}
    entries["nodes"][names[0]] = known | entries["nodes"].get(names[0], {})
    if ways.data is not None and not entries["data"]:
        entries["data"] = dict(ways.data)
    graph.metadata = {**graph.metadata, metadata.KEY: metadata.dumps(entries)}
    return graph
