"""Any NIR file, from whichever framework, on the fast executor and on Lava.

python examples/run_nir.py network.nir [time step in seconds, where the file does not state it]
"""

import sys

import numpy as np

import export
import hardware

path, dt = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else None
program, audit = export.lower(export.read(path), dt=dt, source=path)
print(audit.table(), "\n")

rng = np.random.default_rng(0)
inputs = {part.name: (rng.random((2, 50, *part.shape)) < 0.05).astype(np.uint8) for part in program.inputs}
record = hardware.Record(spikes=True, potentials=True)
fast, lava = (hardware.run(program, inputs, target, record=record) for target in ("fast", "lava"))
for layer in hardware.compare(fast, lava).layers:
    print(f"{layer.layer}: {layer.spike_differences} of {layer.spikes} spikes", end=" ")
    print(f"and {layer.potential_differences} of {layer.potentials} potentials differ")
