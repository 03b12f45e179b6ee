"""What the margin study computes: networks in floating point and on the grid, and their spikes as
integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import export
import hardware
from export.frameworks import trace
from toolchain import data
from toolchain.deploy import software
from toolchain.layers.floating import floating
from toolchain.studies import flips
from toolchain.training import Config, load_checkpoint, save_checkpoint
from toolchain.training import train as fit


def train(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train one floating-point network; its weights are kept in a checkpoint, which says nothing of
    its arithmetic."""
    config = Config.from_table(job["config"])
    result = fit(config, prepare=floating)
    path = folder / job["checkpoint"]
    path.parent.mkdir(exist_ok=True)
    save_checkpoint(path, result.model, config, force=True)
    return {"accuracy": result.accuracy, "test_samples": result.test_samples}


def measure(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """{"accuracy" (floating point), "samples", "near" (layer → share of potentials within ``near``
    of the threshold, and within delta), "size" (layer → root mean square distance from the
    threshold, volts), "bits": {number of bits: {"accuracy", "changed" (share of predictions),
    "flips" (see flips.flips)}}}."""
    model = floating(load_checkpoint(folder / job["network"])[0])
    inputs, labels = data.inputs(model.data)
    graph = trace(model)
    run = flips.run_floating(model, inputs)
    predicted = run.scores.argmax(axis=1)

    by_bits = {}
    for bits in job["weight_bits"]:
        # one scale for each layer: what is asked is what bits cost, and kept results have it
        program = export.lower(graph, weight_bits=bits, per_channel=False).program
        scores = hardware.run(program, inputs, "fast", record=hardware.Record(spikes=False)).scores[
            program.outputs[0].population
        ]
        by_bits[str(bits)] = {
            "accuracy": float(np.mean(scores.argmax(axis=1) == labels)),
            "changed": float(np.mean(scores.argmax(axis=1) != predicted)),
            "flips": flips.flips(program, run),
        }

    distance = {
        name: np.sqrt(np.mean((v - run.thresholds[name]) ** 2))
        for name, v in run.potentials.items()
    }

    return {
        "accuracy": float(np.mean(predicted == labels)),
        "samples": len(labels),
        "near": flips.near(run, job["near"]),
        "within": flips.near(run, job["delta"]),
        "size": {name: float(value) for name, value in distance.items()},
        "bits": by_bits,
    }


def measure_aware(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """{"accuracy", "flips", "comparisons"} of a network trained on the grid, beside its Program."""
    model, _ = load_checkpoint(folder / job["network"])
    inputs, labels = data.inputs(model.data)
    program = export.lower(trace(model)).program
    arrays = {program.inputs[0].name: inputs}
    ours = software.record(model, program, arrays, record=hardware.Record(spikes=True))
    theirs = hardware.run(program, arrays, "fast", record=hardware.Record(spikes=True))
    spiking = [p.name for p in program.populations if p.spiking]
    return {
        "accuracy": float(
            np.mean(theirs.scores[program.outputs[0].population].argmax(axis=1) == labels)
        ),
        "flips": sum(
            int(np.count_nonzero(ours.spikes[name] != theirs.spikes[name])) for name in spiking
        ),
        "comparisons": sum(int(theirs.spikes[name].size) for name in spiking),
    }
