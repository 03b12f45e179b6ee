"""Small snnTorch models on a grid that a Program represents exactly, and one network written in
many ways."""

from __future__ import annotations

import numpy as np
import snntorch as snn
import torch
from torch import nn

STEPS = 3


def on_grid(layer: nn.Module, seed: int, bias: bool = True) -> nn.Module:
    """Weights that are small multiples of 1/16, so that float32 and integers hold every sum
    exactly."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-12, 16, layer.weight.shape, generator=generator) / 16)
        if layer.bias is not None:
            layer.bias.copy_(
                torch.randint(-3, 4, layer.bias.shape, generator=generator) / 16
                if bias
                else torch.zeros(())
            )
    return layer


class Layers(nn.Module):
    """fc1 → lif1 → fc2 → lif2, 12 → 8 → 4; subclasses call them in their own way."""

    def __init__(self, init_hidden: bool = False):
        super().__init__()
        self.fc1 = on_grid(nn.Linear(12, 8), 1)
        self.lif1 = snn.Leaky(beta=0.5, init_hidden=init_hidden)
        self.fc2 = on_grid(nn.Linear(8, 4), 2)
        self.lif2 = snn.Leaky(beta=0.5, init_hidden=init_hidden, reset_mechanism="zero")


class TimeLoop(Layers):
    """snnTorch's tutorials: states as variables, lists stacked at the end. Input [time, batch,
    12]."""

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk_rec, mem_rec = [], []
        for step in range(x.size(0)):
            spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spk_rec.append(spk2)
            mem_rec.append(mem2)
        return torch.stack(spk_rec, dim=0), torch.stack(mem_rec, dim=0)


class BatchFirst(Layers):
    """[batch, time, 12]; the loop unbinds; a running sum is returned."""

    def forward(self, x):
        mem1 = mem2 = torch.zeros(0)
        total = torch.zeros(x.shape[0], 4)
        for frame in x.unbind(1):
            spk1, mem1 = self.lif1(self.fc1(frame), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            total = total + spk2
        return total


class Hidden(Layers):
    """init_hidden, permuted input, a buffer filled by index, softmax of the mean."""

    def __init__(self):
        super().__init__(init_hidden=True)

    def forward(self, x):
        self.lif1.reset_mem(), self.lif2.reset_mem()
        record = torch.zeros(x.shape[1], x.shape[0], 4)
        for step, frame in enumerate(x.permute(1, 0, 2)):
            record[step] = self.lif2(self.fc2(self.lif1(self.fc1(frame.contiguous()))))
        return record.mean(dim=0).softmax(-1)


class LayerByLayer(Layers):
    """Weights over all steps at once, merged and unmerged; neurons step by step; in-place sum."""

    def forward(self, x):
        steps, batch = x.shape[:2]
        current = self.fc1(x.reshape(steps * batch, -1)).view(steps, batch, -1)
        spikes, mem = [], None
        for step in range(steps):
            spk, mem = self.lif1(current[step], mem)
            spikes.append(spk.unsqueeze(0))
        current = self.fc2(torch.cat(spikes, 0))
        mem, total = None, torch.zeros(batch, 4)
        for step in range(steps):
            spk, mem = self.lif2(current[step], mem)
            total += spk
        return total.argmax(1)


def single_step() -> nn.Sequential:
    """One step a call; nn.Sequential with hidden states."""
    layers = Layers(init_hidden=True)
    return nn.Sequential(
        nn.Flatten(),
        nn.Dropout(0.5),
        layers.fc1,
        layers.lif1,
        nn.Identity(),
        layers.fc2,
        layers.lif2,
    )


class Single(Layers):
    """One neuron layer of any kind behind one linear layer, input [time, batch, 12]; returns the
    spikes of every step."""

    def __init__(self, neuron: nn.Module, features: int = 8, bias: bool = True):
        nn.Module.__init__(self)
        self.fc = on_grid(nn.Linear(12, features), 3, bias)
        self.lif = neuron

    def forward(self, x):
        self.lif.reset_mem()
        return torch.stack([self.lif(self.fc(frame)) for frame in x])


def spikes(steps: int, batch: int, *shape: int, seed: int = 0, rate: float = 0.5) -> torch.Tensor:
    """Random spikes [time, batch, *shape]."""
    return (
        torch.rand(steps, batch, *shape, generator=torch.Generator().manual_seed(seed)) < rate
    ).float()


def samples_first(x: torch.Tensor) -> np.ndarray:
    """[time, batch, ...] of spikes as a Program takes them."""
    return x.transpose(0, 1).numpy().astype(np.int64)
