"""Runs in Lava's interpreter: the chip's graph with stand-ins for the closed adapters, on Lava's
simulator models."""

import importlib.machinery
import json
import sys
import tempfile
import types
from pathlib import Path

import numpy as np

from hardware.lava import chip
from hardware.lava.direct import DirectRuntime
from hardware.lava.graph import Stream
from hardware.lava.processes.delay import DelayLine
from hardware.noise import Noise
from hardware.program import Convolution, Dense, Input, Output, Population, Program
from hardware.reference import run_sample


def refusal(action):
    try:
        action()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def adapter(shape, **parameters):
    """Passes spikes on at once, through ports with the names of the closed adapters."""
    line = DelayLine(shape=shape, delay=0, first_step=0, interval=1, open_steps=1)
    line.inp, line.out = line.s_in, line.s_out
    return line


def program(**population):
    rng = np.random.default_rng(0)
    layer = Population("map", (2, 4, 5), voltage_decay=50, threshold=300, bias=7, **population)
    return Program(
        (Input("in", (3, 4, 5)),),
        (layer, Population("out", (6,), threshold=100, current_decay=500)),
        (
            Convolution(
                "convolution",
                "in",
                "map",
                rng.integers(-128, 128, (2, 3, 3, 3)) * 2,
                padding=(1, 1),
            ),
            Dense(
                "dense",
                "map",
                "out",
                rng.integers(-128, 128, (6, 40)) * 2,
                delay=1 if population.get("bias_exponent") else 0,
            ),
        ),
        (Output("out"),),
    )


answers = {"without": refusal(chip.require_back_end)}
sys.modules["lava.proc.embedded_io"] = types.ModuleType("lava.proc.embedded_io")
import lava.proc  # noqa: E402

lava.proc.embedded_io = sys.modules["lava.proc.embedded_io"]
lava.proc.embedded_io.spike = types.SimpleNamespace(
    PyToNxAdapter=adapter, PyToN3ConvAdapter=adapter, NxToPyAdapter=adapter
)
for name in chip.CLOSED_MODULES:
    sys.modules[name] = sys.modules.get(name) or types.ModuleType(name)
    sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
answers["with"] = refusal(chip.require_back_end)

folder, samples, steps = Path(tempfile.mkdtemp()), 3, 11
inputs = np.random.default_rng(1).integers(0, 2, (samples, steps, 3, 4, 5)).astype(np.uint8)
stream = Stream(steps, samples, samples, folder, frozenset())


def compared(one, stream, inputs):
    """(interval, spikes, differences) of a Program on the chip's graph, beside the reference."""
    inputs.tofile(stream.folder / "input-0.0")
    graph = chip.ChipGraph(one, stream)
    DirectRuntime(graph.processes).advance(graph.last_step(stream.samples), lambda step: None)
    spikes = differences = 0
    for number, name in enumerate(one.order):
        found = np.fromfile(stream.folder / f"spikes-{number}.0", np.uint8)
        expected = np.concatenate(
            [run_sample(one, {"in": sample})[0][name].ravel() for sample in inputs]
        )
        spikes += int(expected.sum())
        differences += int(np.count_nonzero(found != expected))
    return graph.interval, spikes, differences


def delayed():
    """Synapses with delays of their own, which hold spikes beyond the end of a sample."""
    rng = np.random.default_rng(2)
    synapses = Dense(
        "dense", "in", "out", rng.integers(0, 255, (6, 60)), delay=rng.integers(0, 6, (6, 60))
    )
    return Program(
        (Input("in", (60,)),),
        (Population("out", (6,), threshold=2000),),
        (synapses,),
        (Output("out"),),
    )


answers["interval"], answers["spikes"], answers["differences"] = compared(program(), stream, inputs)
eight = Stream(8, samples, samples, Path(tempfile.mkdtemp()), frozenset())
answers["delayed"] = compared(
    delayed(), eight, np.ascontiguousarray(inputs[:, :8].reshape(samples, 8, 60))
)
answers["custom_reset"] = refusal(lambda: chip.ChipGraph(program(reset="subtract"), stream))
answers["noise"] = refusal(lambda: chip.ChipGraph(program(noise=Noise(1, 50)), stream))
answers["delay"] = refusal(lambda: chip.ChipGraph(program(bias_exponent=1), stream))
print(json.dumps(answers))
