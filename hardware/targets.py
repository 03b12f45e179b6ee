"""The registry of targets, and the one call that runs a Program on any of them.

A target is a function (program, inputs, options) that yields, chunk of samples by chunk, the spikes
and potentials of every layer it was asked for. Everything else (checking inputs, counting,
decoding, progress, putting chunks together) is done here once, so all targets return the same
Recording.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from hardware import counters
from hardware.errors import TargetError
from hardware.program import Program
from hardware.recording import Record, Recording, check_inputs, decode

Progress = Callable[[int, int], None]
"""Called with (samples done, samples in all)."""


@dataclass(frozen=True)
class Chunk:
    """Results of some consecutive samples; arrays are [sample, step, *shape].

    spikes       every input and every spiking population; with ``totals``, those of Options.spikes
                 are enough
    potentials   every population that was asked for
    totals       spikes of each neuron, integers [sample, *shape], for every input and spiking
                 population; None: counted here
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
    details: dict = field(default_factory=dict)
    tick: Callable[[int], None] = lambda done: None
    timeout_s: float = 300.0
    spikes: tuple[str, ...] | None = None


Target = Callable[[Program, dict[str, np.ndarray], Options], Iterator[Chunk]]


def _reference(
    program: Program, inputs: dict[str, np.ndarray], options: Options
) -> Iterator[Chunk]:
    from hardware.reference import run_sample

    for sample in range(len(next(iter(inputs.values())))):
        spikes, potentials = run_sample(program, {n: a[sample] for n, a in inputs.items()})
        yield Chunk(
            {n: s[None] for n, s in spikes.items()},
            {n: potentials[n][None] for n in options.potentials},
        )


def _fast(program: Program, inputs: dict[str, np.ndarray], options: Options) -> Iterator[Chunk]:
    from hardware.fast import run_chunks

    return run_chunks(program, inputs, options)


def _lava(program: Program, inputs: dict[str, np.ndarray], options: Options) -> Iterator[Chunk]:
    from hardware.lava.client import run_chunks

    return run_chunks(program, inputs, options, backend="simulator")


def _loihi2(program: Program, inputs: dict[str, np.ndarray], options: Options) -> Iterator[Chunk]:
    from hardware.lava.client import run_chunks

    return run_chunks(program, inputs, options, backend="loihi2")


TARGETS: dict[str, Target] = {
    "reference": _reference,
    "fast": _fast,
    "lava": _lava,
    "loihi2": _loihi2,
}
"""Targets that run a Program."""


def run(
    program: Program,
    inputs,
    target: str = "fast",
    *,
    record: Record = Record(),
    batch: int | None = None,
    timeout_s: float = 300.0,
    progress: Progress | None = None,
) -> Recording:
    """Run a Program on a target.

    inputs      array [sample, step, *shape], or a mapping input name → array for several inputs;
                whole numbers
    batch       samples that are computed at once (bounds memory); None: the target chooses
    timeout_s   a target that can hang is given up after this long without progress
    progress    called with (samples done, samples in all)

    Raises InputError for unusable inputs, TargetError for an unknown target or one that cannot run
    here.
    """
    if target not in TARGETS:
        raise TargetError(f"there is no target {target!r}; there are {', '.join(TARGETS)}")
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise TargetError(f"batch is {batch!r}; accepted is a positive number of samples")
    arrays = check_inputs(program, inputs)
    return collect(
        program,
        arrays,
        target,
        TARGETS[target],
        record=record,
        batch=batch,
        timeout_s=timeout_s,
        progress=progress,
    )


def collect(
    program: Program,
    arrays: dict[str, np.ndarray],
    name: str,
    target: Target,
    *,
    record: Record,
    batch: int | None = None,
    timeout_s: float = 300.0,
    progress: Progress | None = None,
) -> Recording:
    """Run any target function on checked inputs and put its chunks together; ``run`` is the call
    for users."""
    samples, steps = next(iter(arrays.values())).shape[:2]
    read = {o.population for o in program.outputs}
    decoded = {o.population for o in program.outputs if o.decode != "spike_count"}
    wanted = tuple(
        n
        for n in program.order
        if record.potentials or n in decoded or (n in read and not program.nodes[n].spiking)
    )
    kept = tuple(
        n
        for n in (*(p.name for p in program.inputs), *program.order)
        if (record.spikes or n in read) and (n not in program.order or program.nodes[n].spiking)
    )
    options = Options(potentials=wanted, batch=batch, timeout_s=timeout_s, spikes=kept)
    if progress is not None:
        options.tick = lambda done: progress(done, samples)
        progress(0, samples)
    spikes: dict[str, np.ndarray] = {}
    potentials: dict[str, np.ndarray] = {}
    counts: list[dict] = []
    scores: list[dict] = []
    started, done = time.perf_counter(), 0
    for chunk in target(program, arrays, options):
        size = len(next(iter((*chunk.spikes.values(), *chunk.potentials.values()))))
        if done + size > samples:
            raise TargetError(f"target {name!r} returned more than {samples} samples")
        totals = counters.totals(chunk.spikes) if chunk.totals is None else chunk.totals
        counts.append(counters.count(program, totals, steps))
        scores.append(decode(program, chunk.spikes, chunk.potentials))
        for n in kept:
            # Filled in place: a list of chunks, joined at the end, would need twice the memory.
            if n not in spikes:
                spikes[n] = np.empty(
                    (samples, *chunk.spikes[n].shape[1:]),
                    np.uint8 if program.nodes[n].message_bits == 0 else np.int32,
                )
            spikes[n][done : done + size] = chunk.spikes[n]
        for n in wanted:
            if n not in potentials:
                kind = chunk.potentials[n].dtype
                potentials[n] = np.empty(
                    (samples, *chunk.potentials[n].shape[1:]),
                    kind if kind.kind == "f" else np.int32,
                )
            potentials[n][done : done + size] = chunk.potentials[n]
        done += size
        options.tick(done)
    if done != samples:
        raise TargetError(f"target {name!r} returned {done} of {samples} samples")
    return Recording(
        program=program.fingerprint,
        target=name,
        samples=samples,
        steps=steps,
        layers=(*(p.name for p in program.inputs), *program.order),
        spikes=spikes,
        potentials=potentials,
        counts={
            c: {n: np.concatenate([part[c][n] for part in counts]) for n in counts[0][c]}
            for c in counters.COUNTERS
        },
        scores={n: np.concatenate([part[n] for part in scores]) for n in scores[0]},
        wall_time_s=time.perf_counter() - started,
        details=options.details,
    )
