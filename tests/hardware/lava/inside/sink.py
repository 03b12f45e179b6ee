"""Runs in Lava's interpreter: what the file sink writes for values as the chip and as the simulator
send them."""

import json
import tempfile
from pathlib import Path

import numpy as np

from hardware.lava.direct import build_model
from hardware.lava.processes.files import FileSink


class Port:
    def __init__(self, values):
        self.values = values

    def recv(self):
        return self.values


def written(values, **bits):
    path = Path(tempfile.mkdtemp()) / "file"
    sink = FileSink(
        shape=(4,),
        frame=(4,),
        axes=(0,),
        path=str(path),
        dtype="<i4",
        first_step=1,
        interval=1,
        steps=1,
        samples=1,
        chunk=1,
        **bits,
    )
    model = build_model(sink)
    model.a_in, model.time_step = Port(np.array(values, np.int32)), 1
    model.run_spk()
    return np.fromfile(f"{path}.0", "<i4").tolist()


signed = [-1, 1, -(1 << 23), (1 << 23) - 1]
print(json.dumps([written([v & 0xFFFFFF for v in signed], bits=24), written(signed)]))
