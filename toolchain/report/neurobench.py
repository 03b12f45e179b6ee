"""A run in the names and structure of NeuroBench (package neurobench 2.3), so that its figures line
up with that benchmark's.

``results`` of each entry is what NeuroBench's ``Benchmark.run()`` returns: class name of a metric →
value. One entry for each model, target and kind of input: clean, and at each radius the attack that
leaves least accuracy (NeuroBench knows no attacks; those entries use its metrics on other inputs).

    Footprint                   bytes
    ParameterCount              weights and biases
    ConnectionSparsity          share of weights that are zero, rounded to 4 digits
    ClassificationAccuracy      share, 0 to 1
    ActivationSparsity          share of neurons and steps without a spike; and
                                ActivationSparsityByLayer
    SynapticOperations          Effective_MACs, Effective_ACs and Dense, of one sample

Where our convention differs from NeuroBench's (``CONVENTIONS`` says it in the file, too):

- NeuroBench counts an effective operation where input *and weight* are not zero. The chip stores
  and reads zero weights of dense and convolution kernels, and ``syn_ops`` counts them: ours is an
  upper bound, and equal where ConnectionSparsity is 0.
- NeuroBench calls a layer's operations ACs where its inputs happen to be all -1, 0 or 1. Ours are
  MACs where the input is graded and ACs where it is binary, whatever its values are. A layer that
  both enter has its operations divided by spikes times mean fan-out.
- Footprint: NeuroBench sums the tensors of the PyTorch model as they lie in memory (buffers, and so
  states, among them). Ours is of the integer Program: weights at their weight_bits, neuron
  parameters at the chip's widths, no states, no tables of connections.
- A sparse projection is what it stores: absent synapses are neither weights that are zero nor dense
  operations.
- ActivationSparsity covers spiking populations; integrators that only hold a potential send nothing
  and are left out, as are inputs.
- MembraneUpdates is left out: NeuroBench counts potentials that changed, the chip updates every
  neuron in every step.

Source: neurobench 2.3.0, ``neurobench/metrics`` (static, workload, utils/layers/macs.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hardware import counters
from hardware.program import Input, Program
from toolchain.report import battery
from toolchain.report.counts import attacks, strongest
from toolchain.report.run import StoredRun
from toolchain.robustness.records import Scored
from toolchain.robustness.strength import of_records

NAMES = "neurobench 2.3.0"

CONVENTIONS = (
    "Effective operations count zero weights that a spike touches in dense and convolution "
    "kernels, as the chip does; NeuroBench does not.",
    "Operations of graded inputs are MACs and of binary spikes ACs; NeuroBench decides by the "
    "values that occur.",
    "Footprint is of the integer Program at the chip's widths, without states; NeuroBench takes "
    "the PyTorch model's tensors and buffers.",
    "Absent synapses of a sparse projection are neither zero weights nor dense operations.",
    "ActivationSparsity covers spiking populations; inputs and non-spiking integrators are left "
    "out.",
    "MembraneUpdates is left out: the chip updates every neuron in every step.",
    "Models without an integer Program have no entry; what stands before a network is not counted.",
)
"""Differences from NeuroBench's own conventions."""

_BITS = {"current_decay": 12, "voltage_decay": 12, "threshold": 17, "bias": 13, "reset_amount": 23}
_DELAY_BITS, _EXPONENT_BITS = 6, 4


def result(run: StoredRun) -> dict[str, Any]:
    """The whole file: {"names", "conventions", "entries": [{"model", "target", "inputs", "attack",
    "epsilon", "battery", "samples", "results"}]}."""
    run = replace(run, records=[r for r in run.records if r.description["program"] is not None])
    pairs = sorted({(r.description["model"], r.description["target"]) for r in run.records})
    entries = []
    for pair in pairs:
        mine = [r for r in run.records if (r.description["model"], r.description["target"]) == pair]
        entries += [_entry(run, record, _battery(mine, record)) for record in _shown(mine)]
    return {"names": NAMES, "conventions": list(CONVENTIONS), "entries": entries}


def _shown(records: Sequence[Scored]) -> list[Scored]:
    """The clean record of the first seed, and at each radius the strongest attack."""
    shown = sorted(
        (r for r in records if r.description["family"] == "clean"),
        key=lambda r: r.description["seed"],
    )[:1]
    for epsilon in sorted({r.description["epsilon"] for r in records if attacks(r)}):
        shown.append(
            strongest([r for r in records if attacks(r) and r.description["epsilon"] == epsilon])
        )
    return shown


def _battery(records: Sequence[Scored], record: Scored) -> str | None:
    """How strong all attacks at a record's radius were together; None for clean inputs."""
    here = [
        r
        for r in records
        if attacks(r) and r.description["epsilon"] == record.description["epsilon"]
    ]
    return battery.mark(of_records(here)) if here else None


def _entry(run: StoredRun, record: Scored, tried: str | None) -> dict[str, Any]:
    description, program = record.description, run.programs[record.description["program"]]
    clean = description["family"] == "clean"
    return {
        "model": description["model"],
        "target": description["target"],
        "inputs": "clean" if clean else "attacked",
        "attack": None if clean else description["name"],
        "epsilon": None if clean else description["epsilon"],
        "battery": tried,
        "samples": len(record.index),
        "results": {**static(program), **workload(program, record)},
    }


def static(program: Program) -> dict[str, Any]:
    """Metrics of the Program alone."""
    weights = sum(p.weights.size for p in program.projections)
    zeros = sum(int(np.count_nonzero(p.weights == 0)) for p in program.projections)
    biases = sum(
        population.bias.size for population in program.populations if population.bias.any()
    )
    return {
        "Footprint": footprint(program),
        "ParameterCount": weights + biases,
        "ConnectionSparsity": round(zeros / weights, 4) if weights else 0.0,
    }


def footprint(program: Program) -> int:
    """Bytes of all weights and parameters at the chip's widths, each as often as it is stored
    (once, or for every neuron)."""
    bits = 0
    for projection in program.projections:
        bits += (
            projection.weights.size * projection.weight_bits
            + projection.exponent.size * _EXPONENT_BITS
        )
        bits += projection.delay.size * _DELAY_BITS if projection.max_delay else 0
    for population in program.populations:
        values = {name: getattr(population, name) for name in _BITS}
        bits += sum(
            values[name].size * width for name, width in _BITS.items() if values[name] is not None
        )
    return -(-bits // 8)


def workload(program: Program, record: Scored) -> dict[str, Any]:
    """Metrics of one record."""
    description = record.description
    spikes, steps = description["spikes_per_inference"], description["steps"]
    spiking = [p for p in program.populations if p.spiking and spikes[p.name] is not None]
    by_layer = {p.name: 1.0 - spikes[p.name] / (p.size * steps) for p in spiking}
    neurons = sum(p.size for p in spiking)
    sent = sum(spikes[p.name] for p in spiking)
    macs, acs = operations(program, record)
    return {
        "ClassificationAccuracy": record.accuracy,
        "ActivationSparsity": 1.0 - sent / (neurons * steps) if neurons else 0.0,
        "ActivationSparsityByLayer": by_layer,
        "SynapticOperations": {
            "Effective_MACs": macs,
            "Effective_ACs": acs,
            "Dense": float(dense(program) * steps),
        },
    }


def dense(program: Program) -> int:
    """Operations of one step where every input is active; edges of images are exact."""
    return sum(
        int(counters.fan_out(p, program.nodes[p.source].shape, program.nodes[p.target].shape).sum())
        for p in program.projections
    )


def operations(program: Program, record: Scored) -> tuple[float, float]:
    """(multiply-accumulate, accumulate) operations of one sample: synaptic operations of graded
    inputs, and of spikes."""
    mean = _means(record)
    macs = acs = 0.0
    for name in program.order:
        shares: dict[bool, float] = {}
        for projection in program.into(name):
            source = program.nodes[projection.source]
            fan_out = float(
                counters.fan_out(projection, source.shape, program.nodes[name].shape).mean()
            )
            graded = isinstance(source, Input) and source.message_bits > 0
            sent = mean["axon_out"][projection.source] / len(program.out_of(projection.source))
            shares[graded] = shares.get(graded, 0.0) + sent * fan_out
        whole = sum(shares.values())
        total = mean["syn_ops"][name]
        macs += total * shares.get(True, 0.0) / whole if whole else 0.0
        acs += total * shares.get(False, 0.0) / whole if whole else 0.0
    return macs, acs


def _means(record: Scored) -> dict[str, Mapping[str, float]]:
    """Counter → layer → mean over the samples."""
    return {
        counter: dict(zip(record.layers, values.mean(axis=0).tolist()))
        for counter, values in record.activity.items()
    }
