"""Run a long Program on Lava, and say on standard output how it can be found: for tests that kill
this process."""

import json
import signal
import sys

import numpy as np

from hardware.chunks import Options
from hardware.lava.client import Session
from hardware.program import Dense, Input, Output, Population, Program


def network() -> Program:
    """Two layers with bias, so that they are busy."""
    layers = [
        Population(n, (8,), voltage_decay=100, threshold=200, bias=100, bias_exponent=3)
        for n in ("hidden", "out")
    ]
    weights = np.arange(64).reshape(8, 8) * 2 - 64
    return Program(
        (Input("in", (8,)),),
        layers,
        (Dense("one", "in", "hidden", weights), Dense("two", "hidden", "out", weights)),
        (Output("out"),),
    )


def data(samples: int, steps: int = 20) -> dict[str, np.ndarray]:
    """Inputs of the network."""
    return {"in": np.random.default_rng(0).integers(0, 2, (samples, steps, 8)).astype(np.uint8)}


if __name__ == "__main__":
    # a job in the background of a shell script starts with Ctrl-C ignored, and what it starts
    # inherits that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Session() as session:
        connection = session.connection
        about = {
            "pid": connection.ready["pid"],
            "token": connection.token,
            "folder": str(connection.folder),
            "guardian": connection._process.pid,
        }
        for number, _ in enumerate(session.run_chunks(network(), data(100_000), Options(batch=1))):
            if number == 2:
                print(json.dumps(about), flush=True)
    sys.exit("it was not killed")
