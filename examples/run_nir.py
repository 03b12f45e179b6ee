"""Any NIR file, from whichever framework, on the fast executor and on Lava.

python examples/run_nir.py network.nir [dt=1e-3] [dialect=sinabs] [reset=subtract] [r_per=step]

What the file leaves open (docs/dialects.md) is asked for; the audit says how it was read.
"""

import sys

import numpy as np

import spikeport

path, told = sys.argv[1], dict(argument.split("=") for argument in sys.argv[2:])
if "dt" in told:
    told["dt"] = float(told["dt"])
model = spikeport.load(path, **told)
print(model.audit.table(), "\n")

rng = np.random.default_rng(0)
inputs = {
    part.name: (rng.random((2, 50, *part.shape)) < 0.05).astype(np.uint8)
    for part in model.program.inputs
}
agreement = spikeport.compare(model, inputs=inputs, targets=("fast", "lava"))
for layer in agreement.comparisons[0].layers:
    print(f"{layer.layer}: {layer.spike_differences} of {layer.spikes} spikes", end=" ")
    print(f"and {layer.potential_differences} of {layer.potentials} potentials differ")
