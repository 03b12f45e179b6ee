"""A float snnTorch model, trained as in snnTorch's tutorials, on Lava: what quantisation after
training changes, in numbers.

python examples/snntorch_to_lava.py          (a minute; needs `spikeport lava setup`)
"""

import numpy as np
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from torch import nn

import spikeport

STEPS = 12


class Net(nn.Module):
    """Two layers of leaky integrate-and-fire neurons; input and output are [time, batch,
    features]."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 100), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(100, 10), snn.Leaky(beta=0.9)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for spikes in x:
            spikes, mem1 = self.lif1(self.fc1(spikes), mem1)
            spikes, mem2 = self.lif2(self.fc2(spikes), mem2)
            out.append(spikes)
        return torch.stack(out)


torch.manual_seed(0)
images, labels = load_digits(return_X_y=True)
spikes = np.repeat(
    (images > 7).astype(np.uint8)[:, None], STEPS, axis=1
)  # [sample, step, 64]: a bright pixel spikes in every step
train, test = spikes[:1400], spikes[1400:]

net = Net()
optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
for _ in range(15):
    for batch in torch.randperm(len(train)).split(50):
        counts = net(torch.tensor(train[batch]).float().transpose(0, 1)).sum(0)
        loss = nn.functional.cross_entropy(counts, torch.tensor(labels[:1400][batch]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

calibration = train[:200]  # typical inputs, which the scales of the integers are chosen for
model = spikeport.load(net, input_shape=(64,), call="time-first", calibration=calibration)
print(spikeport.export(model).audit.table(), "\n")
print(spikeport.assess(model, inputs=test, labels=labels[1400:]).text(), "\n")
print(spikeport.compare(model, inputs=test, targets=("fast", "lava"), samples=20))
