"""Run one model on several targets and compare everything they did, within bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hardware.comparison import Comparison, FirstDifference, LayerAgreement, compare
from hardware.program import Program
from hardware.recording import Record, Recording
from toolchain.deploy.summary import accuracy, correct
from toolchain.errors import ToolchainError
from toolchain.remarks import Remark, chance, silence

Run = Callable[[str, dict[str, np.ndarray], Record], Recording]
"""Runs the model on a named target with some samples of the inputs."""

MEMORY = 1 << 30
"""Bytes that the recordings of the two runs under comparison may take together."""


@dataclass(frozen=True)
class Agreement:
    """Several targets against the first of them.

    comparisons   one for each further target
    runs          target → {"wall_time_s", "accuracy"}; accuracy None without labels
    spikes        layer → spikes on the first target, of all samples; None for layers that do not
                  spike by design
    """

    samples: int
    steps: int
    comparisons: tuple[Comparison, ...]
    runs: Mapping[str, Mapping]
    spikes: Mapping[str, int | None] = field(default_factory=dict)

    def warnings(self, program: Program) -> list[Remark]:
        """What looks like a mistake: layers that never spike, an accuracy on the first target that
        guessing would give."""
        over = f"{self.samples} samples of {self.steps} steps"
        found = silence(self.spikes, [part.name for part in program.inputs], over)
        read = next(iter(self.runs.values()))["accuracy"]
        if read is not None:
            found += chance(
                read["correct"], read["samples"], program.nodes[program.outputs[0].population].size
            )
        return found

    @property
    def identical(self) -> bool:
        """No difference anywhere."""
        return all(c.identical for c in self.comparisons)

    @property
    def spikes_identical(self) -> bool:
        """No difference in any spike."""
        return all(c.spikes_identical for c in self.comparisons)

    @property
    def floating(self) -> bool:
        """Some comparison is of floating-point software with integers."""
        return any(c.floating for c in self.comparisons)

    def within(self, tolerance: float) -> bool:
        """Every spike is the same, and so are the potentials of integer targets; those of
        floating-point software differ by at most ``tolerance``, in thresholds (of a layer without:
        in its largest potential)."""
        return all(
            c.identical or (c.floating and c.spikes_identical and c.largest_difference <= tolerance)
            for c in self.comparisons
        )

    def to_dict(self) -> dict:
        """Plain JSON values."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "identical": self.identical,
            "spikes_identical": self.spikes_identical,
            "floating": self.floating,
            "comparisons": [c.to_dict() for c in self.comparisons],
            "runs": {name: dict(run) for name, run in self.runs.items()},
            "spikes": dict(self.spikes),
        }


def samples_at_once(program: Program, steps: int, memory: int = MEMORY) -> int:
    """Samples whose spikes (1 byte, graded 4) and potentials (4 bytes) of two runs fit into
    ``memory``; at least 1."""
    each = sum(
        node.size * (4 if name in program.order else 0)
        + node.size * (4 if node.message_bits else 1)
        for name, node in program.nodes.items()
    )
    return max(1, memory // (2 * steps * each))


def agree(
    program: Program,
    inputs: Mapping[str, np.ndarray],
    targets: Sequence[str],
    run: Run,
    labels: np.ndarray | None = None,
    memory: int = MEMORY,
) -> Agreement:
    """Run every target on every sample and compare it with the first target, spike by spike and
    potential by potential.

    ``inputs``: name → array [sample, step, *shape], as checked by
    ``hardware.recording.check_inputs``.
    """
    if len(targets) < 2 or len(set(targets)) != len(targets):
        raise ToolchainError(
            f"targets are {', '.join(targets) or 'none'}; accepted are two or more different ones"
        )
    samples, steps = next(iter(inputs.values())).shape[:2]
    size = samples_at_once(program, steps, memory)
    found: dict[str, list[Comparison]] = {target: [] for target in targets[1:]}
    spikes: dict[str, int | None] = dict.fromkeys(program.nodes)
    times, hits = dict.fromkeys(targets, 0.0), dict.fromkeys(targets, 0)
    for start in range(0, samples, size):
        part = {name: array[start : start + size] for name, array in inputs.items()}
        baseline: Recording | None = None
        for target in targets:
            recording = run(target, part, Record(spikes=True, potentials=True))
            times[target] += recording.wall_time_s
            if labels is not None:
                hits[target] += correct(recording, labels[start : start + size])
            if baseline is None:
                baseline = recording
                for name, array in recording.spikes.items():
                    spikes[name] = (spikes[name] or 0) + int(np.count_nonzero(array))
            else:
                found[target].append(_moved(compare(baseline, recording, program), start))
    return Agreement(
        samples,
        steps,
        tuple(_joined(parts) for parts in found.values()),
        {
            t: {
                "wall_time_s": times[t],
                "accuracy": None if labels is None else accuracy(hits[t], samples),
            }
            for t in targets
        },
        spikes,
    )


def _moved(comparison: Comparison, start: int) -> Comparison:
    """The same with the first differences counted from the first sample of all."""

    def moved(first: FirstDifference | None) -> FirstDifference | None:
        return None if first is None else replace(first, sample=first.sample + start)

    return replace(
        comparison, first=moved(comparison.first), first_spike=moved(comparison.first_spike)
    )


def _joined(parts: Sequence[Comparison]) -> Comparison:
    """Comparisons of consecutive samples as one."""
    layers = tuple(LayerAgreement.joined(same) for same in zip(*(part.layers for part in parts)))
    first, spike = (
        next(filter(None, (getattr(part, name) for part in parts)), None)
        for name in ("first", "first_spike")
    )
    return Comparison(parts[0].targets, layers, first, spike, any(part.floating for part in parts))
