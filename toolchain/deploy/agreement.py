"""Run one model on several targets and compare everything they did, within bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hardware import _tabular
from hardware.comparison import Comparison, FirstDifference, LayerAgreement, compare
from hardware.program import Program
from hardware.recording import Record, Recording
from toolchain.deploy.paired import Paired
from toolchain.deploy.summary import accuracy
from toolchain.errors import ToolchainError
from toolchain.remarks import Remark, chance, silence

if TYPE_CHECKING:
    import pandas

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
    paired        predictions of the first target beside those of each further one
    """

    samples: int
    steps: int
    comparisons: tuple[Comparison, ...]
    runs: Mapping[str, Mapping[str, Any]]
    spikes: Mapping[str, int | None] = field(default_factory=dict)
    paired: tuple[Paired, ...] = ()

    def __repr__(self) -> str:
        differ = sum(
            (entry.spike_differences or 0) + (entry.potential_differences or 0)
            for c in self.comparisons
            for entry in c.layers
        )
        result = "identical" if self.identical else f"{differ:,} spikes and potentials differ"
        return f"Agreement({', '.join(self.runs)} on {self.samples} samples: {result})"

    def _repr_html_(self) -> str:
        rows = self._rows()
        names = list(rows[0])
        notes = "; ".join(line for pair in self.paired for line in pair.lines())
        title = f"{self.samples} samples x {self.steps} steps on {', '.join(self.runs)}"
        result = "identical" if self.identical else "different"
        cells = [[row[name] for name in names] for row in rows]
        return _tabular.html(
            f"{title}: {result}", [name.replace("_", " ") for name in names], cells, notes
        )

    def _rows(self) -> list[dict[str, object]]:
        """A row for each further target and layer."""
        return [
            {
                "targets": " and ".join(c.targets),
                "layer": entry.layer,
                "spikes": entry.spikes,
                "spikes_differ": entry.spike_differences,
                "spike_share": entry.spike_share,
                "potentials": entry.potentials,
                "potentials_differ": entry.potential_differences,
                "largest_difference": None if entry.relative is None else entry.relative[0],
                "mean_difference": None if entry.relative is None else entry.relative[1],
                "unit": entry.unit,
            }
            for c in self.comparisons
            for entry in c.layers
        ]

    def to_frame(self) -> pandas.DataFrame:
        """A data frame with a row for each further target and layer: values compared, how many
        differ, and how large differences of potentials are.

        Raises:
            MissingPackageError: where pandas is not installed.
        """
        return _tabular.frame(self._rows())

    def warnings(self, program: Program) -> list[Remark]:
        """What looks like a mistake: layers that never spike, an accuracy on the first target that
        guessing would give."""
        over = f"{self.samples} samples of {self.steps} steps"
        remarks = silence(self.spikes, [part.name for part in program.inputs], over)
        read = next(iter(self.runs.values()))["accuracy"]
        if read is not None:
            remarks += chance(
                read["correct"], read["samples"], program.nodes[program.outputs[0].population].size
            )
        return remarks

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

    def agrees(self, share: float) -> bool:
        """Integer targets are identical, and of a floating-point model at least ``share`` of the
        predictions are the same as on the first target."""
        return all(
            c.identical or (c.floating and pair.share >= share)
            for c, pair in zip(self.comparisons, self.paired)
        )

    def to_dict(self) -> dict[str, Any]:
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
            "paired": [pair.to_dict() for pair in self.paired],
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
            f"targets are {', '.join(targets) or 'none'}; there must be two or more different ones"
        )
    samples, steps = next(iter(inputs.values())).shape[:2]
    size = samples_at_once(program, steps, memory)
    comparisons: dict[str, list[Comparison]] = {target: [] for target in targets[1:]}
    spikes: dict[str, int | None] = dict.fromkeys(program.nodes)
    times = dict.fromkeys(targets, 0.0)
    predicted: dict[str, list[np.ndarray]] = {target: [] for target in targets}
    for start in range(0, samples, size):
        part = {name: array[start : start + size] for name, array in inputs.items()}
        baseline: Recording | None = None
        for target in targets:
            recording = run(target, part, Record(spikes=True, potentials=True))
            times[target] += recording.wall_time_s
            predicted[target].append(recording.predictions())
            if baseline is None:
                baseline = recording
                for name, array in recording.spikes.items():
                    spikes[name] = (spikes[name] or 0) + int(np.count_nonzero(array))
            else:
                comparisons[target].append(_moved(compare(baseline, recording, program), start))

    classes = {target: np.concatenate(parts) for target, parts in predicted.items()}
    read = {
        target: None
        if labels is None
        else accuracy(int(np.count_nonzero(classes[target] == labels)), samples)
        for target in targets
    }
    return Agreement(
        samples,
        steps,
        tuple(_joined(parts) for parts in comparisons.values()),
        {t: {"wall_time_s": times[t], "accuracy": read[t]} for t in targets},
        spikes,
        tuple(
            Paired.of((targets[0], target), classes[targets[0]], classes[target], labels)
            for target in targets[1:]
        ),
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
