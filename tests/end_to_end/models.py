"""Models small enough to be computed by the slow reference in no time."""

from __future__ import annotations

import json

import nir
import numpy as np

from hardware import Convolution, Dense, Input, Output, Population, Program


def tiny_program() -> Program:
    """A convolution and a dense layer over 1 x 4 x 4 spikes; three classes."""
    rng = np.random.default_rng(3)
    return Program(
        inputs=(Input("in", (1, 4, 4)),),
        populations=(
            Population("hidden", (2, 4, 4), voltage_decay=400, threshold=90),
            Population("out", (3,), threshold=120),
        ),
        projections=(
            Convolution(
                "a", "in", "hidden", rng.integers(-30, 60, (2, 1, 3, 3)) * 2, padding=(1, 1)
            ),
            Dense("b", "hidden", "out", rng.integers(-30, 60, (3, 32)) * 2),
        ),
        outputs=(Output("out"),),
    )


def tiny_inputs(samples: int = 4, steps: int = 6) -> np.ndarray:
    """Random spikes for ``tiny_program`` [sample, step, 1, 4, 4]."""
    return (np.random.default_rng(4).random((samples, steps, 1, 4, 4)) < 0.4).astype(np.uint8)


def tiny_graph(weight: np.ndarray | None = None) -> nir.NIRGraph:
    """16 inputs, one layer of three LIF neurons, as somebody else's exporter writes it; dt
    stated."""
    weight = np.linspace(-0.4, 0.6, 48).reshape(3, 16) if weight is None else weight
    nodes = {
        "input": nir.Input({"input": np.array([16])}),
        "fc": nir.Linear(weight.astype(np.float32)),
        "lif": nir.LIF(
            tau=np.full(3, 0.01),
            r=np.full(3, 10.0),
            v_leak=np.zeros(3),
            v_threshold=np.full(3, 0.5),
            v_reset=np.zeros(3),
        ),
        "output": nir.Output({"output": np.array([3])}),
    }
    metadata = {
        "format": 1,
        "dt_s": 1e-3,
        "nodes": {
            "input": {"message_bits": 0},
            "lif": {"reset": "zero", "threshold_comparison": ">"},
            "output": {"decode": "spike_count"},
        },
        "data": {},
        "origin": {},
    }
    return nir.NIRGraph(
        nodes,
        [("input", "fc"), ("fc", "lif"), ("lif", "output")],
        metadata={"spikeport": json.dumps(metadata)},
        type_check=False,
    )
