"""Program: the integer network that a Loihi-class chip executes, and its parts.

A Program is step-synchronous: in step t every population, in order, sees the spikes that its
sources send in step t; a bias acts from the first step; every sample starts from zero state. A
projection of delay d brings the spikes of step t - d; a projection from a population to itself
brings those of step t - 1 - d. Targets realise this order, whatever pipeline they have; no caller
ever sees it.

Arrays are read-only, C-ordered integers. Everything is checked when it is made: a Program that
exists can be run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from hardware._parts import MAX_NEURONS, check_name, fail
from hardware.errors import ProgramError
from hardware.populations import RESETS, CustomPopulation, Input, Node, Population
from hardware.projections import Convolution, Dense, Projection, Sparse, sign_mode

__all__ = [
    "DECIDING",
    "DECODINGS",
    "MAX_NEURONS",
    "RESETS",
    "Convolution",
    "CustomPopulation",
    "Dense",
    "Input",
    "Output",
    "Population",
    "Program",
    "Projection",
    "Sparse",
    "sign_mode",
]

DECODINGS = ("spike_count", "last_potential", "mean_potential", "max_potential")


@dataclass(frozen=True)
class Output:
    """A population that is read, and how its activity becomes a score for each neuron.

    decode: "spike_count"; or "last_potential", "mean_potential", "max_potential" over the steps of
    a sample.
    """

    population: str
    decode: str = "spike_count"

    def __post_init__(self) -> None:
        check_name("output", self.population)
        if self.decode not in DECODINGS:
            fail(
                f"output {self.population!r}",
                f"decode is {self.decode!r}; it must be one of {', '.join(DECODINGS)}",
            )


DECIDING = ("data", "input_fraction_bits", "fraction_bits", "potential_offset_v")
"""Entries of a Program's metadata that decide a result: which numbers the data becomes (encoding,
steps, bits, rate, seed), and what the integers of inputs and potentials mean in volts."""


@dataclass(frozen=True, eq=False)
class Program:
    """An integer network; immutable, validated when made.

    ``order`` lists the populations so that every source stands before its targets. ``metadata`` is
    any JSON-able mapping: where the network came from, dt, and the entries of ``DECIDING``, which
    are covered by the fingerprint.
    """

    inputs: tuple[Input, ...]
    populations: tuple[Population | CustomPopulation, ...]
    projections: tuple[Projection, ...]
    outputs: tuple[Output, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (
            ("inputs", Input),
            ("populations", Population),
            ("projections", Projection),
            ("outputs", Output),
        ):
            given = getattr(self, name)
            if not isinstance(given, (tuple, list)):
                fail(name, f"is a {type(given).__name__}; it must be a tuple of {kind.__name__}")
            kinds = (Population, CustomPopulation) if kind is Population else kind
            for part in given:
                if not isinstance(part, kinds) or type(part) is Projection:
                    fail(name, f"holds {type(part).__name__}; each must be a {kind.__name__}")
            object.__setattr__(self, name, tuple(given))

        if not self.inputs or not self.populations or not self.outputs:
            raise ProgramError("a Program needs at least one input, one population and one output")
        try:
            metadata = json.loads(json.dumps(dict(self.metadata), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ProgramError(f"metadata must be plain JSON values: {error}") from None
        object.__setattr__(self, "metadata", MappingProxyType(metadata))

        parts: tuple[Node, ...] = (*self.inputs, *self.populations)
        names = [part.name for part in parts]
        for group in (
            names,
            [p.name for p in self.projections],
            [o.population for o in self.outputs],
        ):
            twice = [name for name, count in Counter(group).items() if count > 1]
            if twice:
                raise ProgramError(f"the name {min(twice)!r} is used twice")

        inputs = {part.name for part in self.inputs}
        for projection in self.projections:
            for end in (projection.source, projection.target):
                if end not in self.nodes:
                    fail(
                        f"projection {projection.name!r}",
                        f"there is no population {end!r}; there are {', '.join(names)}",
                    )
            if projection.target in inputs:
                fail(
                    f"projection {projection.name!r}",
                    f"its target {projection.target!r} is an input",
                )
            source = self.nodes[projection.source]
            if projection.source not in inputs and not source.spiking:
                fail(
                    f"projection {projection.name!r}",
                    f"its source {projection.source!r} is a non-spiking integrator and sends "
                    f"nothing",
                )
            projection._check_ends(source, self.nodes[projection.target])
            self._check_accumulator(projection, source)

        seeds: dict[int, str] = {}
        for part in self.populations:
            if isinstance(part, CustomPopulation):
                continue  # another kind has no noise of ours
            if part.noise is not None and seeds.setdefault(part.noise.seed, part.name) != part.name:
                fail(
                    f"population {part.name!r}",
                    f"its noise has the seed {part.noise.seed} of {seeds[part.noise.seed]!r}: both "
                    f"would have the same noise; "
                    "hardware.noise.derived gives each population its own seed",
                )

        populations = {p.name: p for p in self.populations}
        for output in self.outputs:
            if output.population not in populations:
                fail(
                    f"output {output.population!r}",
                    f"there is no such population; there are {', '.join(populations)}",
                )
            if output.decode == "spike_count" and not populations[output.population].spiking:
                fail(
                    f"output {output.population!r}",
                    "a non-spiking integrator has no spikes to count; decode its potential",
                )

        _ = self.order  # refuses loops

    def _check_accumulator(self, projection: Projection, source: Node) -> None:
        """Lava accumulates in 64 bits for binary and 32 for graded spikes; a sum beyond 32 bits
        before a right shift would differ."""
        largest = max(abs(v) for v in (source.value_range if isinstance(source, Input) else (0, 1)))
        if isinstance(projection, Sparse):
            sums = (
                np.bincount(projection.rows, np.abs(projection.weights).astype(np.float64))
                if projection.weights.size
                else np.zeros(1)
            )
        else:
            sums = (
                np.abs(projection.weights.astype(np.int64))
                .reshape(projection.weights.shape[0], -1)
                .sum(axis=1)
            )

        total = int(sums.max()) * largest if len(sums) else 0
        if total >= 1 << 31:
            fail(
                f"projection {projection.name!r}",
                f"the weighted input may reach {total}; the accumulator holds less than {1 << 31}: "
                f"use fewer message bits, a smaller "
                "fan-in or smaller weights",
            )

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Name → input or population."""
        parts: tuple[Node, ...] = (*self.inputs, *self.populations)
        return MappingProxyType({part.name: part for part in parts})

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Names of the populations, sources first; in the given order where that is free.

        Raises ProgramError on a loop through several synapses.
        """
        waiting = [p.name for p in self.populations]
        done = {part.name for part in self.inputs}
        order: list[str] = []
        while waiting:
            ready = [
                n for n in waiting if all(p.source in done for p in self.into(n) if not p.recurrent)
            ]
            if not ready:
                raise ProgramError(
                    f"a loop through several synapses: {', '.join(waiting)}; a loop must lead "
                    f"from a population to itself"
                )
            order.append(ready[0])
            done.add(ready[0])
            waiting.remove(ready[0])
        return tuple(order)

    @cached_property
    def _populations(self) -> Mapping[str, Population | CustomPopulation]:
        return {part.name: part for part in self.populations}

    def population(self, name: str) -> Population | CustomPopulation:
        """The population of a name. Raises KeyError where there is none, or an input has it."""
        return self._populations[name]

    def into(self, population: str) -> tuple[Projection, ...]:
        """Projections that end in a population."""
        return tuple(p for p in self.projections if p.target == population)

    def out_of(self, population: str) -> tuple[Projection, ...]:
        """Projections that start in an input or population."""
        return tuple(p for p in self.projections if p.source == population)

    @cached_property
    def depth(self) -> Mapping[str, int]:
        """Name → number of synapses on the longest way from an input; a population without input
        has depth 0."""
        depth = {part.name: 0 for part in self.inputs}
        for name in self.order:
            depth[name] = max(
                (depth[p.source] + 1 for p in self.into(name) if not p.recurrent), default=0
            )
        return MappingProxyType(depth)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over everything that decides a result: all parts with their names, and of the
        metadata the entries of ``DECIDING``."""
        digest = hashlib.sha256()
        parts: tuple[Node | Projection | Output, ...] = (
            *self.inputs,
            *self.populations,
            *self.projections,
            *self.outputs,
        )
        for part in parts:
            digest.update(type(part).__name__.encode())
            for item in fields(part):
                value = getattr(part, item.name)
                if item.name == "noise" and value is None:
                    continue  # younger than the first files: theirs stay valid
                if isinstance(value, np.ndarray):
                    value = _digested(value)
                elif isinstance(value, Mapping):
                    value = {key: _digested(value[key]) for key in sorted(value)}
                digest.update(f"|{item.name}={value!r}".encode())

        deciding = {name: self.metadata[name] for name in DECIDING if self.metadata.get(name)}
        if deciding:
            digest.update(b"|metadata=" + json.dumps(deciding, sort_keys=True).encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        sizes = (
            f"{len(self.inputs)} inputs, {len(self.populations)} populations, "
            f"{len(self.projections)} projections"
        )
        return f"Program({sizes}, {self.fingerprint[:12]})"


def _digested(array: np.ndarray) -> tuple[tuple[int, ...], str]:
    """Shape and content of an array of integers."""
    return array.shape, hashlib.sha256(array.astype("<i4").tobytes()).hexdigest()
