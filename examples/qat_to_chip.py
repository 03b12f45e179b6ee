"""A quantisation-aware model: what it computes in PyTorch is what the chip computes, and whether it
fits.

python examples/qat_to_chip.py
"""

import numpy as np
import torch

import export
import hardware
import toolchain.layers as snn
from export.frameworks import trace

torch.manual_seed(0)
net = snn.Network(
    {
        "conv": snn.Conv2d(1, 8, 3, padding=1),
        "lif1": snn.Leaky(beta=0.9, reset_mechanism="zero"),
        "pool": snn.SumPool2d(2),
        "flat": snn.Flatten(),
        "fc": snn.Linear(8 * 4 * 4, 10),
        "lif2": snn.Leaky(beta=0.9, reset_mechanism="zero"),
    },
    input_shape=(1, 8, 8),
)

program, audit = export.lower(trace(net))
print(f"audit: {audit.verdict}")

inputs = np.random.default_rng(0).integers(0, 2, (4, 20, 1, 8, 8))
with torch.no_grad():
    software = net(torch.tensor(inputs).float().transpose(0, 1))  # [time, batch, 10]
chip = hardware.run(program, inputs, "fast")
different = np.count_nonzero(software.transpose(0, 1).numpy() != chip.spikes["lif2"])
print(f"output spikes that differ between PyTorch and the integer Program: {different}")

report = hardware.check(program, hardware.Chip.load("loihi2"))
for layer in report.layers:
    print(
        f"{layer.population}: {layer.neurons} neurons on {layer.cores} core(s), limited by "
        f"{layer.binding}"
    )
print("fits Loihi 2" if report.fits else [v.message for v in report.broken])
