"""One layer of a Program at a time: what large networks are checked with on a slow target.

A population's spikes and potentials follow from what its sources send. So each population alone,
fed with the spikes that another run recorded of its sources, must give what that run recorded of
it; if all of them do, the whole network would.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hardware.errors import InputError
from hardware.program import Input, Output, Program
from hardware.recording import Record, Recording
from hardware.targets import run

EVERYTHING = Record(spikes=True, potentials=True)


@dataclass(frozen=True)
class LayerAlone:
    """One population on a target, fed with recorded spikes.

    compared      spikes and potentials that were compared
    differences   how many of them differ
    """

    layer: str
    compared: int
    differences: int


def alone(
    program: Program, recorded: Recording, layer: str
) -> tuple[Program, dict[str, np.ndarray]]:
    """A population with the projections into it, and the recorded spikes of its sources as inputs.

    Args:
        program: The whole network.
        recorded: A run of it that recorded the spikes of every layer.
        layer: Name of a population that something projects to.

    Raises:
        InputError: There is no such population, nothing projects to it, or spikes are missing.
    """
    population, projections = program.nodes.get(layer), program.into(layer)
    sources = list(dict.fromkeys(p.source for p in projections if p.source != layer))
    if population is None or isinstance(population, Input) or not sources:
        raise InputError(f"layer {layer!r}: it must be a population that others project to")

    missing = [name for name in sources if name not in recorded.spikes]
    if missing:
        raise InputError(
            f"layer {layer!r}: the spikes of {missing[0]!r} are not recorded; record spikes=True"
        )

    inputs = tuple(
        part if isinstance(part := program.nodes[name], Input) else Input(name, part.shape)
        for name in sources
    )
    read = Output(layer, "spike_count" if population.spiking else "last_potential")
    return (
        Program(inputs=inputs, populations=(population,), projections=projections, outputs=(read,)),
        {name: np.asarray(recorded.spikes[name]) for name in sources},
    )


def compare_alone(
    program: Program, recorded: Recording, target: str, *, timeout_s: float = 300.0
) -> Iterator[LayerAlone]:
    """Every population that something projects to, alone on a target, against the recorded run.

    Args:
        program: The whole network.
        recorded: A run of it with spikes and potentials of every layer.
        target: Name of the target that is checked.
        timeout_s: As in ``hardware.run``, for each layer.

    Raises:
        InputError: The run did not record what is compared.
    """
    fed = {p.target for p in program.projections if p.source != p.target}
    for name in program.order:
        if name not in fed:
            continue
        part, inputs = alone(program, recorded, name)
        rerun = run(part, inputs, target, record=EVERYTHING, timeout_s=timeout_s)
        compared = differences = 0
        for ours, theirs in (
            (recorded.spikes, rerun.spikes),
            (recorded.potentials, rerun.potentials),
        ):
            if name not in theirs:
                continue
            if name not in ours:
                raise InputError(f"layer {name!r}: the run must record spikes and potentials")
            compared += theirs[name].size
            differences += int(np.count_nonzero(ours[name] != theirs[name]))
        yield LayerAlone(name, compared, differences)
