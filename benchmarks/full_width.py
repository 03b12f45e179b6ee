"""Every named network at its full width, exported and compared on every target: what it costs, and
that nothing differs.

    python -m benchmarks.full_width --data-root FOLDER            all networks, a Markdown table
    python -m benchmarks.full_width --data-root FOLDER resnet18   some of them
    ... --json FILE --lava                                        the numbers; Lava, layer by layer

Weights are random and batch normalisations are measured on 64 images of the data, so that neurons
fire as in a trained network. Software and fast run 32 images, the reference 1 of them in full, Lava
1 of them layer by layer: each population alone, fed with the spikes that fast recorded
(hardware.layerwise). Each network has a process of its own, whose peak of memory is reported.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NETWORKS = {
    "conv_digits": ("digits", "direct", 8),
    "conv_mnist": ("mnist", "direct", 8),
    "mlp": ("mnist", "direct", 8),
    "conv_nmnist": ("nmnist", "events", 16),
    "vgg5": ("cifar10", "direct", 4),
    "vgg9": ("cifar10", "direct", 4),
    "vgg11": ("cifar10", "direct", 4),
    "vgg16": ("cifar10", "direct", 4),
    "resnet18": ("cifar10", "direct", 4),
    "resnet20": ("cifar10", "direct", 4),
    "sew_resnet19": ("cifar10", "direct", 4),
    "wrn16_4": ("cifar10", "direct", 4),
}
"""Network → data, encoding, time steps."""

IMAGES, MEASURED_ON, BATCH = 32, 64, 16


def measure(name: str, root: str | None, lava: bool) -> dict[str, Any]:
    """One network."""
    import numpy as np
    import torch

    import export
    import hardware
    import toolchain.layers as snn
    from export.frameworks import trace
    from hardware.chip import Chip
    from hardware.comparison import compare
    from hardware.layerwise import EVERYTHING, compare_alone
    from toolchain.data import Encoding, load
    from toolchain.deploy import software
    from toolchain.models import Grid, Model, Neuron, Norm, build

    found: dict[str, Any] = {"network": name, "seconds": {}}
    began = time.perf_counter()

    def lap(what: str) -> None:
        nonlocal began
        now = time.perf_counter()
        found["seconds"][what], began = now - began, now

    dataset, kind, steps = NETWORKS[name]
    encoding = Encoding(kind, steps)
    torch.manual_seed(0)
    net = build(
        Model(name, norm=Norm(), readout="mean_potential"),
        Neuron(beta=0.5, reset="subtract"),
        Grid(fraction_bits=11),
        None,
        dataset=dataset,
        encoding=encoding,
    )
    data = load(dataset, "train", root=root, samples=MEASURED_ON)
    arrays = encoding.encode(data, np.arange(MEASURED_ON))
    x = torch.from_numpy(np.moveaxis(arrays, 0, 1).astype(np.float32)) * 2.0**-net.fraction_bits
    snn.measure_norms(net, x.split(BATCH, dim=1))
    net.eval()
    lap("statistics")
    graph = trace(net)
    lap("trace")
    program, audit = export.lower(graph)
    lap("lower")
    inputs = {program.inputs[0].name: arrays[:IMAGES].astype(np.int64)}
    ours = software.record(net, program, inputs, record=EVERYTHING)
    lap("software")
    fast = hardware.run(program, inputs, "fast", record=EVERYTHING)
    lap("fast")
    first = {part: values[:1] for part, values in inputs.items()}
    one = hardware.run(program, first, "fast", record=EVERYTHING)
    reference = hardware.run(program, first, "reference", record=EVERYTHING)
    lap("reference")
    report = hardware.check(program, Chip.load("loihi2"))
    lap("check")
    spikes = sum(int(values.sum()) for values in fast.spikes.values() if values.dtype == np.uint8)
    found |= {
        "verdict": audit.verdict,
        "weights": sum(p.numel() for p in net.parameters()),
        "neurons": sum(population.size for population in program.populations),
        "spikes_per_neuron_and_step": spikes
        / (sum(p.size for p in program.populations) * steps * IMAGES),
        "chips": report.chips,
        "cores": report.cores,
        "software_equals_fast": compare(ours, fast).identical,
        "fast_equals_reference": compare(one, reference).identical,
        "values": sum(v.size for v in (*fast.spikes.values(), *fast.potentials.values())),
    }
    if lava:
        layers = list(compare_alone(program, one, "lava", timeout_s=1800.0))
        found["lava_layers"] = len(layers)
        found["lava_values"] = sum(layer.compared for layer in layers)
        found["lava_differences"] = sum(layer.differences for layer in layers)
        lap("lava")
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "| network | weights | neurons | chips | export | peak | software = fast, 32 samples "
        "| fast = reference, 1 | fast = Lava, layer by layer, 1 |",
        "|---|---:|---:|---:|---:|---:|---|---|---|",
    ]
    for row in rows:
        seconds = row["seconds"]
        lava = "not run"
        if "lava" in seconds:
            lava = (
                f"{_said(not row['lava_differences'])}, {row['lava_layers']} layers, "
                f"{seconds['lava']:.0f} s"
            )
        cells = [
            row["network"],
            f"{row['weights']:,}",
            f"{row['neurons']:,}",
            str(row["chips"]),
            f"{seconds['trace'] + seconds['lower']:.1f} s",
            f"{row['peak_mib'] / 1024:.1f} GiB",
            f"{_said(row['software_equals_fast'])}, {seconds['software']:.1f} and "
            f"{seconds['fast']:.1f} s",
            f"{_said(row['fast_equals_reference'])}, {seconds['reference']:.1f} s",
            lava,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _said(identical: bool) -> str:
    return "identical" if identical else "DIFFERENT"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(NETWORKS))
    parser.add_argument("--data-root")
    parser.add_argument("--lava", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.networks[0], given.data_root, given.lava)))
        return 0
    rows = []
    for name in given.networks:
        command = [sys.executable, "-m", "benchmarks.full_width", name, "--one"]
        command += ["--data-root", given.data_root] if given.data_root else []
        command += ["--lava"] if given.lava else []
        finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(finished.stdout.splitlines()[-1]))
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1) + "\n")
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(table(rows))
    wrong = [
        row["network"]
        for row in rows
        if not (row["software_equals_fast"] and row["fast_equals_reference"])
        or row.get("lava_differences")
        or row["verdict"] != "faithful"
    ]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
