"""What a neuron kind is: a description from which the reference executor, the checks, the file
format and the design rules follow.

A kind has states (integers of every neuron, which start at the same value in every sample),
parameters (integers with a range) and one function, its step. Each step, every neuron gets what its
synapses bring, and sends a spike or none. ``hardware.lif`` is the kind of the chip's own neuron;
other distributions add kinds by entry points of the group "spikeport.neurons"
(docs/extending.md). Executors that are written by hand for one kind (target "fast", the Lava
processes, the layers) refuse the others by name, and are held to the description by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from hardware.errors import ProgramError

RESERVED = ("name", "shape", "kind", "size", "parameters", "spiking", "message_bits", "description")
"""Names that every population has, and no parameter may have."""

States = Mapping[str, np.ndarray]
"""Name of a state → int64 [*shape of the population]."""

Step = Callable[[SimpleNamespace, States, np.ndarray, int], "tuple[States, np.ndarray]"]
"""(parameters as attributes, int64; states before the step; what the synapses bring, int64 within
32 bits [*shape]; number of the step, from 0) → (states after it, spikes: true or 1 where a neuron
fires [*shape]). It must not change the arrays that it is given."""


@dataclass(frozen=True)
class State:
    """An integer of every neuron that lives from step to step."""

    name: str
    meaning: str
    initial: int = 0


@dataclass(frozen=True)
class Parameter:
    """An integer that a population is given.

    Attributes:
        name: What it is called in Python and in files.
        low, high: Smallest and largest value.
        meaning: What it does, with its unit.
        default: Its value where none is given; None: it must be given.
        each: It may also have one value for each neuron (shape of the population).
        register: Entry of a chip's table (``chips/*.toml``) that says how many bits hold it, with
            the sign where ``low`` is negative; None: it needs no register of the chip's.
    """

    name: str
    low: int
    high: int
    meaning: str
    default: int | None = None
    each: bool = True
    register: str | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name in RESERVED:
            raise ProgramError(
                f"a parameter of a neuron kind is called {self.name!r}; it must be a Python "
                f"identifier, and none of {', '.join(RESERVED)}"
            )
        if not -(1 << 31) <= self.low <= self.high < 1 << 31:
            raise ProgramError(
                f"parameter {self.name!r} has the range {self.low} to {self.high}; it must rise, "
                f"and lie within 32 bits"
            )


@dataclass(frozen=True)
class NeuronKind:
    """A neuron kind.

    Attributes:
        name: What Programs, files and messages call it.
        title: What it is, in a few words.
        states: In any order; ``potential`` names the one that a Recording shows.
        parameters: What a population is given.
        step: How a population moves on by one step; see ``Step``. Its arithmetic should be that of
            ``hardware.arithmetic``, which is the chip's.
        microcode: What of it the chip's own neuron cannot do, as the subject of "... needs a
            neuron program of one's own"; empty where rules of their own say it.
        nir: Names of the NIR nodes that stand for it.
        lava: Names of its Lava processes in ``hardware.lava.processes.neurons``.
        spiking: False for a kind that never fires, whose potential is read.
    """

    name: str
    title: str
    states: tuple[State, ...]
    parameters: tuple[Parameter, ...]
    step: Step
    microcode: str
    potential: str = "potential"
    nir: tuple[str, ...] = ()
    lava: tuple[str, ...] = ()
    spiking: bool = True

    def __post_init__(self) -> None:
        for what, names in (
            ("states", [state.name for state in self.states]),
            ("parameters", [parameter.name for parameter in self.parameters]),
        ):
            if len(set(names)) != len(names):
                raise ProgramError(f"neuron kind {self.name!r}: two {what} have the same name")
        if self.potential not in {state.name for state in self.states}:
            raise ProgramError(
                f"neuron kind {self.name!r}: potential is {self.potential!r}; it must be one of "
                f"its states: {', '.join(state.name for state in self.states)}"
            )

    def __getitem__(self, name: str) -> Parameter:
        """A parameter by name."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise ProgramError(
            f"neuron kind {self.name!r} has no parameter {name!r}; it has "
            f"{', '.join(p.name for p in self.parameters) or 'none'}"
        )
