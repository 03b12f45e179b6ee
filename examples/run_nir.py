"""Any NIR file, from whichever framework, on the fast executor and on Lava.

python examples/run_nir.py network.nir [dt=1e-3] [dialect=sinabs] [reset=subtract] [r_per=step]

What the file leaves open (docs/dialects.md) is asked for; the audit says how it was read.
"""

import sys

import numpy as np

import export
import hardware

path, told = sys.argv[1], dict(argument.split("=") for argument in sys.argv[2:])
if "dt" in told:
    told["dt"] = float(told["dt"])
program, audit = export.lower(export.read(path), source=path, **told)
print(audit.table(), "\n")

rng = np.random.default_rng(0)
inputs = {
    part.name: (rng.random((2, 50, *part.shape)) < 0.05).astype(np.uint8) for part in program.inputs
}
record = hardware.Record(spikes=True, potentials=True)
fast, lava = (hardware.run(program, inputs, target, record=record) for target in ("fast", "lava"))
for layer in hardware.compare(fast, lava).layers:
    print(f"{layer.layer}: {layer.spike_differences} of {layer.spikes} spikes", end=" ")
    print(f"and {layer.potential_differences} of {layer.potentials} potentials differ")
