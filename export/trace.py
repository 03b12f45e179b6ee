"""Which ways lead from sources to populations: the graph seen as a chip sees it.

A way is a chain of linear operators from an Input or a spiking population to a population. A
population is a neuron node, or an Output that reads something else than a neuron: then it is a
read-out without memory, whose potential is the signal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from export.errors import ExportError, GraphError, MissingInformationError, UnsupportedError
from export.operators import Operator, Wait, of_node
from export.passes import delays, pooling, products, reshapes, scales
from export.passes.subgraphs import Flat
from export.shapes import NEURONS, SPIKING, Shape, tuple_of

MAX_WAYS = 10_000
"""Most ways into one population."""

MAX_PASSED = 100_000
"""Most nodes that are passed on the ways into one population: branches multiply, also where they
lead nowhere."""

MAX_CHAIN = 200
"""Most nodes in a row between a source and a population."""


@dataclass(frozen=True, eq=False)
class Way:
    """One way from a source to a population.

    nodes      names of the nodes on it, in order
    operator   what they amount to, one Kernel, Matrix or Triples
    delay      steps, the same for all synapses (others are in the operator)
    notes      what was done to the nodes
    moving     those of the nodes that only move or average elements
    added      whether weights of one node may have been added up: by windows that overlap, or by
               what moves elements
    """

    source: str
    target: str
    nodes: tuple[str, ...]
    operator: Operator
    delay: int
    notes: tuple[str, ...] = ()
    moving: frozenset[str] = frozenset()
    added: bool = False

    @property
    def recurrent(self) -> bool:
        """From a population to itself."""
        return self.source == self.target


@dataclass(frozen=True, eq=False)
class ConstantInput:
    """A bias as it arrives at a population: ``value`` has its shape; it sets in after ``delay``
    steps."""

    target: str
    node: str
    value: np.ndarray
    delay: int


@dataclass
class Traced:
    """What was found: per population the ways and constants into it; Output → population that it
    reads; refusals by node. ``moves``: what the nodes do that only move elements, by name."""

    flat: Flat
    shapes: dict[str, tuple[Shape, Shape]]
    moves: Mapping[str, str] = field(default_factory=dict)
    ways: dict[str, list[Way]] = field(default_factory=dict)
    constants: dict[str, list[ConstantInput]] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    refused: dict[str, ExportError] = field(default_factory=dict)

    @property
    def readouts(self) -> list[str]:
        """Outputs that are populations themselves."""
        return [output for output, population in self.outputs.items() if output == population]


_WEIGHTED = (nir.Linear, nir.Affine, nir.Conv1d, nir.Conv2d)


def trace(
    flat: Flat,
    shapes: dict[str, tuple[Shape, Shape]],
    dt_s: float | None,
    entries: Mapping[str, Mapping[str, Any]] | None = None,
) -> Traced:
    """Find all ways of a flat graph without virtual nodes. What cannot be lowered is collected in
    ``refused``. ``entries``: metadata of the nodes."""
    moves = {name: str(e["moves"]) for name, e in (entries or {}).items() if "moves" in e}
    traced = Traced(flat, shapes, moves)
    used: set[str] = set()

    for name, node in flat.nodes.items():
        if isinstance(node, nir.Output):
            population = _read_directly(flat, name, used)
            if population is None or population in traced.outputs.values():
                traced.outputs[name] = name
            else:
                traced.outputs[name] = population

    for name, node in flat.nodes.items():
        if isinstance(node, NEURONS) or name in traced.readouts:
            _Walk(traced, name, dt_s, used).run()
    if traced.refused:
        return traced  # what leads to a refused node would look as if it led nowhere

    for name, node in flat.nodes.items():
        if isinstance(node, (nir.Input, nir.Output, *NEURONS)):
            if isinstance(node, nir.Output) and not flat.sources(name):
                traced.refused[name] = GraphError(f"output {name!r}: nothing is connected to it")
            continue
        if not flat.sources(name):
            traced.refused[name] = GraphError(
                f"node {name!r} ({type(node).__name__}): nothing is connected to it"
            )
        elif name not in used:
            traced.refused[name] = GraphError(
                f"node {name!r} ({type(node).__name__}) leads to no neuron and no output"
            )
    return traced


def _read_directly(flat: Flat, output: str, used: set[str]) -> str | None:
    """The population that an Output reads through nothing but Flatten nodes; None where it reads
    something else."""
    name = output
    passed: list[str] = []
    while True:
        sources = flat.sources(name)
        if len(sources) != 1:
            return None
        name = sources[0]
        if isinstance(flat.nodes[name], NEURONS):
            used.update(passed)
            return name
        if not isinstance(flat.nodes[name], nir.Flatten):
            return None
        passed.append(name)


class _Walk:
    """Backward from one population to its sources."""

    def __init__(self, traced: Traced, target: str, dt_s: float | None, used: set[str]) -> None:
        self.traced, self.target, self.dt_s, self.used = traced, target, dt_s, used
        self.ways: list[Way] = []
        self.constants: list[ConstantInput] = []
        self.passed = 0

    def run(self) -> None:
        for source in self.traced.flat.sources(self.target):
            self.step(source, (), ())
        self.traced.ways[self.target] = self.ways
        self.traced.constants[self.target] = self.constants

    def step(self, name: str, chain: tuple[Operator, ...], names: tuple[str, ...]) -> None:
        """``chain`` leads from the output of ``name`` to the population."""
        flat = self.traced.flat
        node = flat.nodes[name]

        if isinstance(node, (nir.Input, *NEURONS)):
            if isinstance(node, NEURONS) and not isinstance(node, SPIKING):
                self.refuse(
                    name,
                    UnsupportedError(
                        f"node {name!r} ({type(node).__name__}) sends its potential to "
                        f"{self.target!r}; behind it must be spiking neurons, "
                        "or a Threshold directly behind it"
                    ),
                )
                return
            self.attempt(
                names[0] if names else name,
                lambda: self.ways.append(self.way(name, list(chain), names)),
            )
            return

        if name in names:
            self.refuse(
                name,
                GraphError(
                    f"a loop through {', '.join(map(repr, names))} passes through no neuron"
                ),
            )
            return

        self.passed += 1
        if len(self.ways) > MAX_WAYS or self.passed > MAX_PASSED:
            what = (
                f"{MAX_WAYS} ways lead to"
                if self.passed <= MAX_PASSED
                else f"{MAX_PASSED} nodes are passed on the ways to"
            )
            self.refuse(self.target, UnsupportedError(f"more than {what} {self.target!r}"))
            return
        if len(names) >= MAX_CHAIN:
            self.refuse(
                name,
                UnsupportedError(
                    f"more than {MAX_CHAIN} nodes in a row lead from {name!r} to {self.target!r}"
                ),
            )
            return

        self.used.add(name)
        takes, gives = self.traced.shapes[name]
        try:
            operator = (
                delays.of_node(name, node, takes, self.dt_s)
                if isinstance(node, nir.Delay)
                else of_node(node, takes, gives)
            )
        except (UnsupportedError, MissingInformationError) as error:
            self.refuse(name, error)
            return

        bias = getattr(node, "bias", None)
        if bias is not None and np.any(bias):
            self.attempt(
                name, lambda: self.constants.append(self.constant(name, bias, list(chain)))
            )

        for source in flat.sources(name):
            self.step(source, (operator, *chain), (name, *names))

    def attempt(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except UnsupportedError as error:
            self.refuse(name, UnsupportedError(f"between {name!r} and {self.target!r}: {error}"))

    def refuse(self, name: str, error: ExportError) -> None:
        self.traced.refused.setdefault(name, error)

    def way(self, source: str, chain: list[Operator], names: tuple[str, ...]) -> Way:
        """The chain shortened to one operator by the passes, in their order."""
        nodes = self.traced.flat.nodes
        chain, delay = delays.take_out(chain)
        chain = reshapes.fold(scales.fold(chain))
        before = len(chain)
        chain = scales.fold(pooling.fuse(chain))

        pools = [n for n in names if isinstance(nodes[n], (nir.SumPool2d, nir.AvgPool2d))]
        moves = self.traced.moves
        notes = list(
            dict.fromkeys(f"{n.rpartition('.')[0] or n}: {moves[n]}" for n in names if n in moves)
        )

        kept = [n for n in names if n not in moves]
        if len(kept) > 1 and len(chain) < before:
            notes.append(
                "windows of "
                + ", ".join(n for n in kept if not isinstance(nodes[n], nir.Flatten))
                + " fused into one kernel"
            )
        elif len(kept) > 1 and len(chain) > 1:
            notes.append("multiplied out: " + ", ".join(kept))
        elif pools and len(names) == 1:
            notes.append("pooling directly into neurons: a grouped convolution")
        if any(isinstance(nodes[n], nir.AvgPool2d) and np.any(nodes[n].padding) for n in names):
            notes.append("average pooling counts the padding, as PyTorch does by default")

        shape = self.traced.shapes[self.target][0]
        operator = products.multiply(chain) if chain else products.identity(shape)
        moving = frozenset(n for n in names if n in moves)
        added = bool(moving) or any(_overlaps(nodes[n]) for n in pools)
        return Way(source, self.target, names, operator, delay, tuple(notes), moving, added)

    def constant(self, name: str, bias: np.ndarray, chain: list[Operator]) -> ConstantInput:
        """A bias carried through what stands between its node and the population."""
        shape = self.traced.shapes[name][1]
        chain, delay = delays.take_out(chain)
        if any(isinstance(o, Wait) for o in chain):
            raise UnsupportedError(
                f"the bias of {name!r} is delayed differently for different neurons; it must have "
                f"one delay"
            )
        value = np.broadcast_to(
            np.asarray(bias, np.float64).reshape(-1, *(1,) * (len(shape) - 1)), shape
        )
        for operator in chain:
            value = operator.apply(value)
        return ConstantInput(self.target, name, np.array(value), delay)


def _overlaps(pool: nir.NIRNode) -> bool:
    sizes = zip(tuple_of(pool.kernel_size, 2), tuple_of(pool.stride, 2))
    return any(kernel > stride for kernel, stride in sizes)


def projection_name(way: Way, nodes: Mapping[str, nir.NIRNode], taken: set[str]) -> str:
    """Name of the projection that a way becomes: its weight nodes, else its other nodes, else its
    ends. Nodes that only move elements give no name."""
    own = [n for n in way.nodes if n not in way.moving]
    weighted = [n for n in own if isinstance(nodes[n], _WEIGHTED)]
    name = "+".join(weighted or own) or f"{way.source}>{way.target}"
    if name in taken or len(name) > 200:
        name = f"{way.source}>{way.target}"
    number, base = 2, name
    while name in taken:
        name, number = f"{base} ({number})", number + 1
    taken.add(name)
    return name
