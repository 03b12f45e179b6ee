"""What a Recording says in numbers: accuracy, and activity for each layer and inference."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np

from hardware.counters import COUNTERS
from hardware.program import Program
from hardware.recording import Recording
from toolchain.errors import DataError
from toolchain.remarks import Remark, chance, silence
from toolchain.statistics import wilson


def check_labels(program: Program, labels: np.ndarray) -> np.ndarray:
    """Labels as int64; raises DataError where one is no class of the Program's first output."""
    labels = np.asarray(labels)
    classes = program.nodes[program.outputs[0].population].size
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"labels have shape {labels.shape} and type {labels.dtype}; there must be one integer "
            f"for each sample"
        )
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        output = program.outputs[0].population
        raise DataError(
            f"labels range from {labels.min()} to {labels.max()}; the output {output!r} has "
            f"classes 0 to {classes - 1}"
        )
    return labels.astype(np.int64)


class Accuracy(TypedDict):
    """``share`` of ``samples`` that are ``correct``, 0 to 1, with Wilson's 95 % interval; plain
    JSON values."""

    correct: int
    samples: int
    share: float
    interval: list[float]


def accuracy(correct: int, samples: int) -> Accuracy:
    """``{"correct", "samples", "share", "interval"}``; the interval is Wilson's, 95 %."""
    return {
        "correct": correct,
        "samples": samples,
        "share": correct / samples,
        "interval": list(wilson(correct, samples)),
    }


def accuracy_text(found: Accuracy) -> str:
    """What ``accuracy`` gives, for reading."""
    low, high = (100 * end for end in found["interval"])
    counts = f"{found['correct']} of {found['samples']}"
    return f"{100 * found['share']:.2f} % ({counts}; 95 % interval {low:.2f} to {high:.2f} %)"


def correct(recording: Recording, labels: np.ndarray) -> int:
    """Number of samples whose prediction is their label."""
    return round(recording.accuracy(labels) * recording.samples)


def spikes_sent(program: Program, recording: Recording, layer: str) -> float | None:
    """Spikes that a layer sends in one inference (mean); None for a non-spiking integrator."""
    node = program.nodes[layer]
    if layer in program.order and not node.spiking:
        return None
    if layer in recording.spikes:
        return np.count_nonzero(recording.spikes[layer]) / recording.samples
    # Not recorded, so no output; axon_out counts each spike once for every projection that it
    # enters.
    fan_out = len(program.out_of(layer))
    return float(recording.counts["axon_out"][layer].mean() / fan_out) if fan_out else None


def layers(program: Program, recording: Recording) -> list[dict[str, Any]]:
    """One entry for each input and population, sources first; counts are means over the samples,
    for one inference."""
    table = []
    for name in recording.layers:
        node = program.nodes[name]
        spikes = spikes_sent(program, recording, name)
        entry: dict[str, Any] = {
            "name": name,
            "input": name not in program.order,
            "shape": list(node.shape),
            "neurons": node.size,
            "spikes": spikes,
        }
        entry["spikes_per_neuron_and_step"] = (
            None if spikes is None else spikes / (node.size * recording.steps)
        )
        entry |= {counter: float(recording.counts[counter][name].mean()) for counter in COUNTERS}
        table.append(entry)
    return table


def warnings(
    program: Program, recording: Recording, labels: np.ndarray | None = None
) -> list[Remark]:
    """What looks like a mistake in a run: layers that never spike, an accuracy that guessing would
    give."""
    spikes = {name: spikes_sent(program, recording, name) for name in recording.layers}
    over = f"{recording.samples} samples of {recording.steps} steps"
    remarks = silence(spikes, [part.name for part in program.inputs], over)
    if labels is not None:
        classes = next(iter(recording.scores.values())).shape[1]
        remarks += chance(correct(recording, labels), recording.samples, classes)
    return remarks


def summarise(
    program: Program, recording: Recording, labels: np.ndarray | None = None
) -> dict[str, Any]:
    """Everything that ``spikeport run`` prints, as plain JSON values."""
    return {
        "program": recording.program,
        "target": recording.target,
        "samples": recording.samples,
        "steps": recording.steps,
        "accuracy": None
        if labels is None
        else accuracy(correct(recording, labels), recording.samples),
        "layers": layers(program, recording),
        "wall_time_s": recording.wall_time_s,
        "details": dict(recording.details),
    }
