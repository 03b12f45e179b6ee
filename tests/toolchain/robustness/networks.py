"""Small networks as a sweep names them: ``tests.toolchain.robustness.networks:factory`` with weights beside it."""

from __future__ import annotations

import numpy as np
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from torch import nn

STEPS = 5
DESCRIBED = {"input_shape": (64,), "call": "time-first", "dataset": "digits", "encoding": "direct", "steps": STEPS}
"""What a sweep says of ``Float``."""


class Float(nn.Module):
    """A plain snnTorch network, [step, sample, 64] → spikes [step, sample, 10]; it says nothing of itself."""

    def __init__(self, hidden: int = 40):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, hidden), snn.Leaky(beta=0.8)
        self.fc2, self.lif2 = nn.Linear(hidden, 10), snn.Leaky(beta=0.8)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for values in x:
            spikes, mem1 = self.lif1(self.fc1(values), mem1)
            spikes, mem2 = self.lif2(self.fc2(spikes), mem2)
            out.append(spikes)
        return torch.stack(out)


class Rectifiers(nn.Module):
    """An ANN: images → scores, no Program."""

    def __init__(self):
        super().__init__()
        self.conv, self.read = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(256, 10)

    def forward(self, images):
        return self.read(torch.relu(self.conv(images)).flatten(1))

    def spikeport_io(self):
        return {
            "program": False,
            "input": {"shape": [1, 8, 8], "message_bits": 0, "fraction_bits": 0},
            "output": {"decode": "last_potential"},
            "call": "images",
            "data": {"name": "digits"},
        }


def float_network() -> Float:
    """For ``package.module:factory``."""
    return Float()


def rectifiers() -> Rectifiers:
    """For ``package.module:factory``."""
    return Rectifiers()


def train(network: nn.Module, epochs: int = 6) -> nn.Module:
    """On the first 1200 digits, Adam."""
    images, labels = load_digits(return_X_y=True)
    images, labels = torch.from_numpy((images / 16).astype(np.float32))[:1200], torch.from_numpy(labels)[:1200]
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(60):
            x = images[batch]
            scores = network(x.reshape(-1, 1, 8, 8)) if isinstance(network, Rectifiers) else network(x.expand(STEPS, *x.shape)).sum(0)
            loss = nn.functional.cross_entropy(scores, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network
