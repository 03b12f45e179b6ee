"""A quantisation-aware model: what it computes in PyTorch is what the chip computes, and whether it
fits.

python examples/qat_to_chip.py
"""

import numpy as np
import torch

import spikeport
import toolchain.layers as snn

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

model = spikeport.load(net)
print(f"audit: {spikeport.export(model).audit.verdict}")

inputs = np.random.default_rng(0).integers(0, 2, (4, 20, 1, 8, 8))  # [sample, step, *shape]
print(spikeport.compare(model, inputs=inputs, targets=("software", "fast")))

report = spikeport.check(model, chip="loihi2")
for layer in report.layers:
    print(
        f"{layer.population}: {layer.neurons} neurons on {layer.cores} core(s), limited by "
        f"{layer.binding}"
    )
print("fits Loihi 2" if report.fits else [v.message for v in report.broken])
