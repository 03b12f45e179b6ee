"""The networks that are measured, and their inputs: the same on every side, from fixed seeds."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.program import Convolution, Dense, Input, Output, Population, Program

RECORDINGS = Path(__file__).resolve().parents[1] / "../shared/data/nmnist/nmnist_small.tar.xz"
"""N-MNIST recordings, where they are at hand."""


@dataclass(frozen=True)
class Network:
    """One network.

    program       makes the integer Program
    inputs        (samples) → uint8 [sample, step, *shape] and a line that says what they are
    description   one line
    """

    program: Callable[[], Program]
    inputs: Callable[[int], tuple[np.ndarray, str]]
    description: str


def _weights(rng: np.random.Generator, mean: float, *shape: int) -> np.ndarray:
    """Even numbers in [-256, 254] around a mean, so that mixed signs are exact on the chip."""
    return np.clip(2 * np.round(rng.normal(mean, 80, shape) / 2), -256, 254).astype(int)


def _mlp() -> Program:
    rng = np.random.default_rng(1)
    return Program(
        (Input("input", (784,)),),
        (
            Population("hidden", (256,), voltage_decay=256, threshold=1500),
            Population("output", (10,), voltage_decay=256, threshold=1500),
        ),
        (
            Dense("into hidden", "input", "hidden", _weights(rng, 3, 256, 784)),
            Dense("into output", "hidden", "output", _weights(rng, 10, 10, 256)),
        ),
        (Output("output"),),
    )


def _cnn() -> Program:
    """The N-MNIST network of the NIR paper, its sum pooling fused into the next weights, with
    random weights."""
    rng = np.random.default_rng(2)

    def pooled(weights: np.ndarray) -> np.ndarray:
        return weights.repeat(2, axis=2).repeat(2, axis=3)

    shapes = {
        "conv 1": (16, 16, 16),
        "conv 2": (16, 16, 16),
        "conv 3": (8, 8, 8),
        "linear 1": (256,),
        "linear 2": (10,),
    }
    thresholds = dict(zip(shapes, (800, 800, 1200, 2500, 2500)))
    linear = pooled(_weights(rng, 10, 256, 8, 4, 4)).reshape(256, -1)
    return Program(
        (Input("input", (2, 34, 34)),),
        tuple(
            Population(name, shape, threshold=thresholds[name]) for name, shape in shapes.items()
        ),
        (
            Convolution(
                "into conv 1",
                "input",
                "conv 1",
                _weights(rng, 10, 16, 2, 5, 5),
                stride=(2, 2),
                padding=(1, 1),
            ),
            Convolution(
                "into conv 2", "conv 1", "conv 2", _weights(rng, 10, 16, 16, 3, 3), padding=(1, 1)
            ),
            Convolution(
                "into conv 3",
                "conv 2",
                "conv 3",
                pooled(_weights(rng, 10, 8, 16, 3, 3)),
                stride=(2, 2),
                padding=(2, 2),
            ),
            Dense("into linear 1", "conv 3", "linear 1", linear),
            Dense("into linear 2", "linear 1", "linear 2", _weights(rng, 10, 10, 256)),
        ),
        (Output("linear 2"),),
    )


def _bernoulli(samples: int, steps: int, shape: tuple[int, ...], probability: float) -> np.ndarray:
    """Random spikes, uint8 [sample, step, *shape]; sample k is the same whatever the number of
    samples."""
    spikes = [
        np.random.default_rng([3, k]).random((steps, *shape), np.float32) < probability
        for k in range(samples)
    ]
    return np.stack(spikes).view(np.uint8)


def _mlp_inputs(samples: int) -> tuple[np.ndarray, str]:
    return _bernoulli(samples, 100, (784,), 0.1), "random spikes, 10 % a step"


def _cnn_inputs(samples: int) -> tuple[np.ndarray, str]:
    if not RECORDINGS.is_file():
        return _bernoulli(
            samples, 300, (2, 34, 34), 0.0055
        ), "random spikes, 0.55 % a step as in N-MNIST (the recordings are not here)"
    events = np.zeros((samples, 300, 2, 34, 34), np.uint8)
    with tarfile.open(RECORDINGS) as outer:
        inner = io.BytesIO(outer.extractfile("nmnist_small/NMNISTsmall.tar").read())
    with tarfile.open(fileobj=inner) as tar:
        files = sorted(
            (m for m in tar if m.name.endswith(".bs2")), key=lambda m: int(Path(m.name).stem)
        )
        for k in range(samples):
            x, y, p, t1, t0 = (
                np.frombuffer(tar.extractfile(files[k % len(files)]).read(), np.uint8)
                .astype(np.int64)
                .reshape(-1, 5)
                .T
            )
            step = ((p & 127) << 16 | t1 << 8 | t0) // 1000
            within = step < 300
            events[k, step[within], p[within] >> 7, y[within], x[within]] = 1
    return events, "N-MNIST recordings, 1 ms a step"


NETWORKS = {
    "mlp": Network(_mlp, _mlp_inputs, "784-256-10, leaky integrate and fire, 100 steps"),
    "cnn": Network(
        _cnn,
        _cnn_inputs,
        "N-MNIST CNN of the NIR paper (random weights), integrate and fire, 300 steps",
    ),
}
