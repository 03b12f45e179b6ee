"""What targets and their registry share: a target's description, what it is given, and the chunks
of results that it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hardware.program import Program

Progress = Callable[[int, int], None]
"""Called with (samples done, samples in all)."""


@dataclass(frozen=True)
class Chunk:
    """Results of some consecutive samples; arrays are [sample, step, *shape].

    spikes       every input and every spiking population; with ``totals``, those of Options.spikes
                 are enough
    potentials   every population that was asked for
    totals       spikes of each neuron, integers [sample, *shape], for every input and spiking
                 population; None: counted by ``hardware.targets.collect``
    """

    spikes: Mapping[str, np.ndarray]
    potentials: Mapping[str, np.ndarray]
    totals: Mapping[str, np.ndarray] | None = None


@dataclass
class Options:
    """What a target gets besides Program and inputs.

    potentials    names of the populations whose potentials are wanted
    batch         samples in one chunk; None: the target chooses so that memory stays bounded
    details       the target may write plain JSON values into it; they end in the Recording
    tick          a target whose chunks are long calls it with samples done so far
    timeout_s     longest time without any progress before a target that can hang is given up
    spikes        names of the inputs and populations whose spikes are kept, which are enough for a
                  target that gives totals; None: all
    """

    potentials: tuple[str, ...] = ()
    batch: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    tick: Callable[[int], None] = lambda done: None
    timeout_s: float = 300.0
    spikes: tuple[str, ...] | None = None


RunChunks = Callable[[Program, dict[str, np.ndarray], Options], Iterator[Chunk]]
"""(Program, inputs that ``hardware.recording.check_inputs`` gave, Options) → chunks in the order of
the samples."""

CROSS = "m-6-6 12 12m0-12-12 12"
"""The mark of a target that chooses none."""


@dataclass(frozen=True)
class Target:
    """Something that runs Programs.

    Attributes:
        name: What commands and files call it.
        title: What a reader of a report sees.
        run: Runs a Program; see ``RunChunks``. The target "software" has none: it runs a PyTorch
            model, which ``toolchain.deploy.execution`` does.
        needs: What must be installed for it, for people.
        missing: Called without arguments: what of it is missing here, and how to get it; None
            where it can run.
        phrase: How a sentence about a result of this target begins.
        mark: Its mark in plots: the ``d`` of an SVG path around (0, 0), from -11 to 11, that
            starts with a relative move.
        filled: The mark is filled, not drawn as an outline.
        kinds: Neuron kinds that it knows (``hardware.neurons``); None: all of them.
        rank: A report speaks of the target of highest rank: how near it is to the chip.
    """

    name: str
    title: str
    run: RunChunks | None
    needs: str = "nothing further"
    missing: Callable[[], str | None] = lambda: None
    phrase: str = "In the chip’s integer arithmetic"
    mark: str = CROSS
    filled: bool = False
    kinds: tuple[str, ...] | None = ("lif",)
    rank: int = 0
