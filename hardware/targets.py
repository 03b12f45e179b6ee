"""The registry of targets, and the one call that runs a Program on any of them.

A target is a function (program, inputs, options) that yields, chunk of samples by chunk, the spikes
and potentials of every layer it was asked for, and a few words about it (``hardware.chunks``).
Everything else (checking inputs, counting, decoding, progress, putting chunks together) is done
here once, so all targets return the same Recording. Other distributions add targets by entry points
of the group "spikeport.targets".
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import numpy as np

from hardware import counters
from hardware.chunks import Chunk, Options, Progress, RunChunks, Target
from hardware.errors import TargetError, UnsupportedError
from hardware.program import Program
from hardware.recording import Record, Recording, check_inputs, decode
from hardware.registry import Registry

CHIP_NEEDS = (
    "Intel's closed package lava-loihi (for members of the Intel Neuromorphic Research Community) "
    "and a Loihi 2 system"
)


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


def lacking(*packages: str) -> str | None:
    """Which of our own dependencies are not installed, and what brings them; None where all are."""

    def absent(package: str) -> bool:
        try:
            return not metadata.version(package)
        except metadata.PackageNotFoundError:
            return True

    names = [package for package in packages if absent(package)]
    return f"{', '.join(names)}: pip install --upgrade spikeport" if names else None


def _no_lava() -> str | None:
    from hardware.lava import environment

    return environment.missing()


def _no_chip() -> str | None:
    from hardware.lava import environment

    if (no_lava := environment.missing()) is not None:
        return no_lava
    absent = environment.missing_back_end()
    return f"{CHIP_NEEDS}; the Lava environment lacks {', '.join(absent)}" if absent else None


OWN = (
    Target(
        "reference",
        "reference (integers)",
        _reference,
        needs="numpy",
        missing=lambda: lacking("numpy"),
        mark="m-4.5-4.5 9 9m0-9-9 9",
        kinds=None,
        rank=1,
    ),
    Target(
        "fast",
        "fast (integers)",
        _fast,
        needs="numpy, numba",
        missing=lambda: lacking("numpy", "numba"),
        mark="m-3-3h6v6h-6z",
        filled=True,
        rank=2,
    ),
    Target(
        "lava",
        "Lava",
        _lava,
        needs="Python 3.10 with lava-nc 0.10.0, in an environment of its own",
        missing=_no_lava,
        phrase="In Lava",
        mark="m0-10.5 10.5 10.5-10.5 10.5-10.5-10.5z",
        rank=3,
    ),
    Target(
        "loihi2",
        "Loihi 2",
        _loihi2,
        needs="the same with lava-loihi, and a chip",
        missing=_no_chip,
        phrase="On Loihi 2",
        mark="m0-8 7 12h-14z",
        filled=True,
        rank=4,
    ),
)

GROUP = "spikeport.targets"

TARGETS: Registry[Target] = Registry(
    "target", GROUP, Target, {target.name: target for target in OWN}, TargetError
)
"""Targets that run a Program."""


def check_kinds(program: Program, target: Target) -> None:
    """Refuse a Program whose neurons the target does not know. Raises UnsupportedError."""
    for population in program.populations:
        if target.kinds is not None and population.kind not in target.kinds:
            raise UnsupportedError(
                f"target {target.name!r} does not know the neuron kind {population.kind!r} of "
                f"population {population.name!r}; it knows {', '.join(target.kinds)}. Target "
                f"'reference' knows every kind"
            )


def run(
    program: Program,
    inputs: Any,
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
    here, UnsupportedError for neurons that it does not know.
    """
    chosen = TARGETS[target]
    if chosen.run is None:
        raise TargetError(f"target {target!r} runs no Program")
    if batch is not None and (not isinstance(batch, int) or batch < 1):
        raise TargetError(f"batch is {batch!r}; it must be a positive number of samples")
    check_kinds(program, chosen)
    arrays = check_inputs(program, inputs)
    return collect(
        program,
        arrays,
        target,
        chosen.run,
        record=record,
        batch=batch,
        timeout_s=timeout_s,
        progress=progress,
    )


def collect(
    program: Program,
    arrays: dict[str, np.ndarray],
    name: str,
    target: RunChunks,
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
    counts: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
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
