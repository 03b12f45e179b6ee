"""One training step, forward and backward, of the same network in spikeport, snnTorch and
SpikingJelly, side by side in one run.

    python -m benchmarks.training                          all rows
    python -m benchmarks.training --network vgg --steps 4  some of them
    python -m benchmarks.training --json FILE              the numbers, too

Each side runs in a process of its own and waits while the other one works, so memory is its own and
the cores are shared with nobody. The sides take turns (A B A B ...); a row's ratio is the median
over the turns of their ratios, with the smallest and largest. spikeport trains on the chip's grid
(quantised folded weights, integer neurons), the others in floating point; batch normalisation,
neurons (leaky, reset by subtraction, triangular or arctangent surrogate), loss and data are the
same. Needs ``pip install snntorch spikingjelly``; a side that is not there is left out, and said.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

ROWS = [
    ("mlp", 16, 128),
    ("mlp", 64, 64),
    ("vgg", 4, 64),
    ("vgg", 16, 16),
    ("residual", 4, 64),
    ("residual", 16, 16),
]
"""(network, time steps, batch)."""

SIDES = ("spikeport", "snntorch", "spikingjelly")
BETA = 0.875
CHANNELS = {
    "vgg": (32, 32, "pool", 64, 64, "pool", 128, 128, "pool"),
    "residual": (32, 48, 96, 160),
}
FEATURES = (784, 512, 512, 10)


def shape_of(network: str) -> tuple[int, ...]:
    """Of one step of one sample."""
    return (784,) if network == "mlp" else (3, 32, 32)


# the sides: each gives a function that runs one step


def _spikeport(network: str) -> Any:
    import toolchain.layers as snn
    from toolchain.layers.surrogate import atan
    from toolchain.models.building import initialise

    bits = 12

    def conv(a: int, b: int, kernel: int = 3, stride: int = 1, k: int = 0) -> Any:
        made = snn.Conv2d(
            a,
            b,
            kernel,
            stride=stride,
            padding=kernel // 2,
            fraction_bits=bits,
            source_fraction_bits=k,
            norm=True,
        )
        initialise(made, 1.0)
        return made

    def dense(a: int, b: int, k: int = 0, norm: bool = True) -> Any:
        made = snn.Linear(a, b, fraction_bits=bits, source_fraction_bits=k, norm=norm)
        initialise(made, 1.0)
        return made

    def lif() -> Any:
        return snn.LIF(beta=BETA, reset="subtract", fraction_bits=bits, spike_grad=atan(2.0))

    layers: dict[str, Any] = {}
    inputs: dict[str, tuple[str, ...]] = {}
    if network == "mlp":
        for n, (a, b) in enumerate(itertools.pairwise(FEATURES)):
            last = n == len(FEATURES) - 2
            layers[f"fc{n}"] = dense(a, b, 8 if n == 0 else 0, not last)
            layers[f"lif{n}"] = snn.LI(beta=BETA, fraction_bits=bits) if last else lif()
    elif network == "vgg":
        before, k = 3, 8
        for n, channels in enumerate(CHANNELS["vgg"]):
            if channels == "pool":
                layers[f"pool{n}"], k = snn.AvgPool2d(2), 2
            else:
                layers[f"conv{n}"] = conv(before, channels, k=k)
                layers[f"lif{n}"] = lif()
                before, k = channels, 0
        layers |= {"flat": snn.Flatten(), "fc": dense(2048, 10, 2, False)}
        layers["out"] = snn.LI(beta=BETA, fraction_bits=bits)
    else:
        stem, *stages = CHANNELS["residual"]
        layers |= {"conv": conv(3, stem, k=8), "lif": lif()}
        before, source = stem, "lif"
        for n, channels in enumerate(stages):
            layers |= {
                f"a{n}": conv(before, channels, stride=2),
                f"la{n}": lif(),
                f"b{n}": conv(channels, channels),
                f"s{n}": conv(before, channels, 1, 2),
                f"lb{n}": lif(),
            }
            inputs |= {f"s{n}": (source,), f"lb{n}": (f"b{n}", f"s{n}")}
            before, source = channels, f"lb{n}"
        layers |= {"flat": snn.Flatten(), "fc": dense(before * 16, 10, 0, False)}
        layers["out"] = snn.LI(beta=BETA, fraction_bits=bits)
    net = snn.Network(
        layers,
        inputs=inputs,
        input_shape=shape_of(network),
        message_bits=9,
        fraction_bits=8,
        decode="mean_potential",
    )
    return net, net.scores


def _snntorch(network: str) -> Any:
    import snntorch
    import torch
    from torch import nn

    grad = snntorch.surrogate.atan(2.0)

    def lif() -> Any:
        return snntorch.Leaky(beta=BETA, spike_grad=grad, init_hidden=True, reset_delay=False)

    net = _floating(network, lif, nn)

    def scores(x: torch.Tensor) -> torch.Tensor:
        for module in net.modules():
            if isinstance(module, snntorch.Leaky):
                module.reset_mem()
        return torch.stack([net(step) for step in x]).mean(0)

    return net, scores


def _spikingjelly(network: str) -> Any:
    import torch
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def lif() -> Any:
        # v = v + (x - v) / tau, hard to scale alike; speed is what counts here
        return neuron.LIFNode(
            tau=8.0, decay_input=False, v_reset=None, surrogate_function=surrogate.ATan()
        )

    net = _floating(network, lif, layer)
    functional.set_step_mode(net, "m")

    def scores(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(net)
        return net(x).mean(0)

    return net, scores


def _floating(network: str, lif: Callable[[], Any], kit: Any) -> Any:
    """The network of floating-point layers of ``kit`` (torch.nn or SpikingJelly's)."""
    from torch import nn

    def conv(a: int, b: int, kernel: int = 3, stride: int = 1) -> list[Any]:
        made = kit.Conv2d(a, b, kernel, stride, kernel // 2, bias=False)
        return [made, kit.BatchNorm2d(b)]

    if network == "mlp":
        rows: list[Any] = []
        for n, (a, b) in enumerate(itertools.pairwise(FEATURES)):
            last = n == len(FEATURES) - 2
            rows += [kit.Linear(a, b)] if last else [kit.Linear(a, b), kit.BatchNorm1d(b), lif()]
        return nn.Sequential(*rows)
    if network == "vgg":
        rows, before = [], 3
        for channels in CHANNELS["vgg"]:
            if channels == "pool":
                rows.append(kit.AvgPool2d(2))
            else:
                rows += [*conv(before, channels), lif()]
                before = channels
        return nn.Sequential(*rows, kit.Flatten(), kit.Linear(2048, 10))

    class Block(nn.Module):
        def __init__(self, a: int, b: int) -> None:
            super().__init__()
            self.one = nn.Sequential(*conv(a, b, 3, 2), lif())
            self.two = nn.Sequential(*conv(b, b))
            self.aside = nn.Sequential(*conv(a, b, 1, 2))
            self.lif = lif()

        def forward(self, x: Any) -> Any:
            return self.lif(self.two(self.one(x)) + self.aside(x))

    stem, *stages = CHANNELS["residual"]
    rows, before = [*conv(3, stem), lif()], stem
    for channels in stages:
        rows.append(Block(before, channels))
        before = channels
    return nn.Sequential(*rows, kit.Flatten(), kit.Linear(before * 16, 10))


MAKERS = {"spikeport": _spikeport, "snntorch": _snntorch, "spikingjelly": _spikingjelly}


def serve(side: str, network: str, steps: int, batch: int) -> None:
    """One step of one side for each line on standard input; its time and the peak of memory."""
    import torch
    from torch.nn import functional

    from toolchain import heap

    torch.manual_seed(0)
    net, scores = MAKERS[side](network)
    net.train()
    frame = torch.randint(0, 256, (batch, *shape_of(network))) / 256
    x = frame.expand(steps, *frame.shape)
    labels = torch.randint(0, 10, (batch,))

    def step() -> float:
        started = time.perf_counter()
        loss = functional.cross_entropy(scores(x), labels)
        net.zero_grad(set_to_none=True)
        loss.backward()
        return time.perf_counter() - started

    with heap.kept() if side == "spikeport" else nullcontext():
        step()
        print("ready", flush=True)
        for _ in sys.stdin:
            seconds = step()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps([seconds, peak]), flush=True)


class _Side:
    """A process that waits for its turn."""

    def __init__(self, name: str, row: tuple[str, int, int]) -> None:
        command = [sys.executable, "-m", "benchmarks.training", "--serve", name, *map(str, row)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
        self.error = ""
        if self._line() != "ready":
            self.error = (self.process.stderr.read().strip().splitlines() or ["ended"])[-1]

    def _line(self) -> str:
        return self.process.stdout.readline().strip()

    def turn(self) -> tuple[float, float]:
        """(seconds, peak MiB)."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, peak = json.loads(self._line())
        return seconds, peak

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(row: tuple[str, int, int], turns: int) -> dict[str, Any]:
    """One row: milliseconds and MiB of each side, and the ratios to spikeport."""
    sides = {name: _Side(name, row) for name in SIDES}
    missing = {name: side.error for name, side in sides.items() if side.error}
    there = {name: side for name, side in sides.items() if not side.error}
    times: dict[str, list[float]] = {name: [] for name in there}
    peaks: dict[str, float] = {}
    for _ in range(turns):
        for name, side in there.items():
            seconds, peaks[name] = side.turn()
            times[name].append(seconds)
    for side in there.values():
        side.close()
    found: dict[str, Any] = dict(zip(("network", "steps", "batch"), row)) | {"missing": missing}
    found["ms"] = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    found["mib"] = peaks
    if "spikeport" in there:
        found["ratio"] = {
            name: _spread([b / a for a, b in zip(times["spikeport"], values)])
            for name, values in times.items()
            if name != "spikeport"
        }
    return found


def _spread(ratios: list[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def table(rows: list[dict[str, Any]]) -> str:
    """As Markdown: how many times longer the others take, and memory."""
    lines = [
        "| network | steps | batch | spikeport, ms | snnTorch takes | SpikingJelly takes | "
        "MiB: spikeport, snnTorch, SpikingJelly |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        ratios = [
            f"{r['median']:.2f} times ({r['least']:.2f} to {r['most']:.2f})"
            if (r := row.get("ratio", {}).get(name))
            else "-"
            for name in SIDES[1:]
        ]
        memory = ", ".join(f"{row['mib'][n]:.0f}" if n in row["mib"] else "-" for n in SIDES)
        ours = f"{row['ms']['spikeport']:.0f}" if "spikeport" in row["ms"] else "-"
        cells = [row["network"], str(row["steps"]), str(row["batch"]), ours, *ratios, memory]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        side, network, steps, batch = sys.argv[2:6]
        serve(side, network, int(steps), int(batch))
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=sorted({row[0] for row in ROWS}))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [
        measure(row, given.turns)
        for row in ROWS
        if given.network in (None, row[0]) and given.steps in (None, row[1])
    ]
    print(table(rows))
    for row in rows:
        for side, error in row["missing"].items():
            print(f"{row['network']}, {side}: {error}", file=sys.stderr)
    machine = {"cores": os.cpu_count(), "machine": platform.machine()}
    if given.json:
        given.json.write_text(json.dumps({"rows": rows, **machine}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
