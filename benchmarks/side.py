"""One side of a measurement, in a process of its own: ``python -m benchmarks.side SIDE NETWORK
SAMPLES REPEAT OUTPUTS.npy``.

Prints one line of JSON. SIDE is fast, lava or snntorch.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable

import numpy as np

from benchmarks.networks import NETWORKS
from hardware.targets import run

Measured = tuple[float, np.ndarray]
"""Seconds, and output spikes uint8 [sample, step, neuron]."""


def _fast(program, inputs) -> Callable[[], Measured]:
    def once():
        started = time.perf_counter()
        recording = run(program, inputs, "fast")
        return time.perf_counter() - started, recording.spikes[program.outputs[0].population]

    return once


def _lava(program, inputs) -> Callable[[], Measured]:
    def once():
        recording = run(program, inputs, "lava")
        # Without starting Python, importing Lava and compiling the processes: what a longer run
        # would cost.
        return recording.details[
            "ms_per_step"
        ] / 1e3 * recording.samples * recording.steps, recording.spikes[
            program.outputs[0].population
        ]

    return once


def _snntorch(program, inputs) -> Callable[[], Measured]:
    from benchmarks import floating

    layers = floating.model(program)

    def once():
        started = time.perf_counter()
        outputs = np.concatenate(list(floating.forward(layers, inputs)))
        return time.perf_counter() - started, outputs

    return once


SIDES = {"fast": _fast, "lava": _lava, "snntorch": _snntorch}


class _Memory:
    """Peak memory of this process and its children, in MiB: its own high-water mark, and the
    children's, seen every 50 ms.

    Proportional set size, so that pages shared between Lava's processes count once. Linux only;
    None elsewhere.
    """

    def __init__(self):
        self._children, self._stop = 0.0, threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def peak_mib(self) -> float | None:
        self._stop.set()
        self._watcher.join()
        own = _from_proc(os.getpid(), "status", "VmHWM:")
        return None if own is None else own + self._children

    def _watch(self):
        while not self._stop.wait(0.05):
            sizes = [
                _from_proc(child, "smaps_rollup", "Pss:") or 0.0
                for child in _descendants(os.getpid())
            ]
            self._children = max(self._children, sum(sizes))


def _from_proc(process: int, file: str, field: str) -> float | None:
    """A size in MiB; None where the process or the file is not there."""
    try:
        with open(f"/proc/{process}/{file}") as lines:
            return next(
                (int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), None
            )
    except OSError:
        return None


def _descendants(process: int) -> list[int]:
    found = []
    try:
        for thread in os.listdir(f"/proc/{process}/task"):
            with open(f"/proc/{process}/task/{thread}/children") as children:
                found += [int(child) for child in children.read().split()]
    except OSError:
        return []
    return found + [deeper for child in found for deeper in _descendants(child)]


def main(side: str, network: str, samples: int, repeat: int, outputs_file: str) -> dict:
    """Measure one side; the first run, which compiles and warms up, is reported apart."""
    program = NETWORKS[network].program()
    inputs, origin = NETWORKS[network].inputs(samples)
    once = SIDES[side](program, inputs)
    memory = _Memory()
    started = time.perf_counter()
    once()
    first_s = time.perf_counter() - started
    measured = [once() for _ in range(repeat)]
    np.save(outputs_file, measured[0][1])
    steps = inputs.shape[1]
    return {
        "side": side,
        "network": network,
        "inputs": origin,
        "samples": samples,
        "steps": steps,
        "first_run_s": first_s,
        "seconds": [seconds for seconds, _ in measured],
        "sample_steps_per_s": float(
            np.median([samples * steps / seconds for seconds, _ in measured])
        ),
        "peak_memory_mib": memory.peak_mib(),
    }


if __name__ == "__main__":
    side, network, samples, repeat, outputs_file = sys.argv[1:]
    print(json.dumps(main(side, network, int(samples), int(repeat), outputs_file)))
