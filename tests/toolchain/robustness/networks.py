"""Small networks as a sweep names them: ``tests.toolchain.robustness.networks:factory`` with
weights beside it."""

from __future__ import annotations

import numpy as np
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

import toolchain.layers as layers
from toolchain.attacks.victims import encoder_of
from toolchain.purification.front import Front, attach
from toolchain.purification.settings import Purifier

STEPS = 5
DESCRIBED = {
    "input_shape": (64,),
    "call": "time-first",
    "dataset": "digits",
    "encoding": "direct",
    "steps": STEPS,
}
"""What a sweep says of ``Float``."""


class Float(nn.Module):
    """A plain snnTorch network, [step, sample, 64] → spikes [step, sample, 10]; it says nothing of
    itself."""

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


class Hint(nn.Module):
    """Ten neurons that each know one class and fire always or never, and a faint hint of where the
    classes lie in 64 neurons that follow the pixels. The hint is what a search follows; in 4 bits
    beside the weights of the ten it is rounded to nothing."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 74), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = (
            nn.Linear(74, 10, bias=False),
            snn.Leaky(beta=0.9, reset_mechanism="none"),
        )

    def forward(self, x):
        mem1, mem2, spikes_out, potentials = self.lif1.init_leaky(), self.lif2.init_leaky(), [], []
        for values in x:
            spikes, mem1 = self.lif1(self.fc1(values), mem1)
            spikes, mem2 = self.lif2(self.fc2(spikes), mem2)
            spikes_out.append(spikes)
            potentials.append(mem2)
        return torch.stack(spikes_out), torch.stack(potentials)


def hint() -> Hint:
    """For ``package.module:factory``."""
    return Hint()


def knowing() -> Hint:
    """``Hint`` with the weights of logistic regressions: each class against the rest, and all of
    them together as the hint."""
    images, labels = load_digits(return_X_y=True)
    images, labels = images[:1200] / 16, labels[:1200]
    single = [LogisticRegression(max_iter=400).fit(images, labels == c) for c in range(10)]
    weights = np.vstack([20 * np.vstack([m.coef_ for m in single]), np.eye(64)])
    bias = np.concatenate([20 * np.concatenate([m.intercept_ for m in single]) + 0.5, np.zeros(64)])
    together = LogisticRegression(max_iter=400).fit(images, labels).coef_
    made = Hint()
    with torch.no_grad():
        made.fc1.weight.copy_(torch.from_numpy(weights))
        made.fc1.bias.copy_(torch.from_numpy(bias))
        made.fc2.weight.copy_(torch.from_numpy(np.hstack([np.eye(10), 0.005 * together])))
    return made


def poisson() -> layers.Network:
    """Binary spikes drawn anew for every inference."""
    return _network({"name": "digits", "encoding": "poisson", "steps": 8}, 0, 0)


def noisy() -> layers.Network:
    """Neurons that are noisy at inference."""
    data = {"name": "digits", "encoding": "direct", "steps": STEPS}
    return _network(data, 6, 4, noise=0.4, noise_at_inference=True)


def _network(data: dict, message_bits: int, k: int, **noise) -> layers.Network:
    return layers.Network(
        [
            ("flatten", layers.Flatten()),
            ("first", layers.Linear(64, 40, source_fraction_bits=k)),
            ("hidden", layers.LIF(1.0, beta=0.75, **noise)),
            ("second", layers.Linear(40, 10)),
            ("output", layers.LIF(1.0, beta=0.75)),
        ],
        input_shape=(1, 8, 8),
        message_bits=message_bits,
        fraction_bits=k,
        decode="spike_count",
        data=data,
    )


class Smoother(nn.Module):
    """A front without a chip: where the image differs much from its neighbours' mean, the mean goes
    on."""

    def __init__(self, threshold: float):
        super().__init__()
        self.gate = nn.Module()
        self.gate.register_buffer("threshold", torch.tensor(threshold))

    def smooth(self, images):
        return nn.functional.avg_pool2d(images, 3, 1, 1, count_include_pad=False)

    def distance(self, images):
        return (images - self.smooth(images)).abs().flatten(1).amax(dim=1)

    def forward(self, images):
        caught = (self.distance(images) > self.gate.threshold).reshape(-1, 1, 1, 1)
        return torch.where(caught, self.smooth(images), images)

    def programs(self):
        return {}

    def run(self, images, target, runner=None):
        with torch.no_grad():
            return self(torch.from_numpy(images)).numpy(), {}

    def plan(self):
        return [{"step": "smooth", "where": "host", "what": "mean of 3 x 3 pixels", "why": "a toy"}]


def smoothed() -> layers.Network:
    """A network behind a toy front; the front is no submodule, as in ``toolchain.defences``."""
    made = _network({"name": "digits", "encoding": "direct", "steps": STEPS}, 6, 4)
    object.__setattr__(made, "front", Smoother(0.5))
    return made


def purified() -> layers.Network:
    """A network behind a small purifier of ``toolchain.defences``, whose weights are drawn from a
    seed."""
    made = _network({"name": "digits", "encoding": "direct", "steps": STEPS}, 6, 4)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        settings = Purifier("none", steps=2, bits=4, noise_width=2, noise_layers=2, channels=(2, 3))
        front = Front(settings, (1, 8, 8))
        front.gate.threshold.fill_(0.3)
    return attach(made, front)


def float_network() -> Float:
    """For ``package.module:factory``."""
    return Float()


def rectifiers() -> Rectifiers:
    """For ``package.module:factory``."""
    return Rectifiers()


def train(network: nn.Module, epochs: int = 6) -> nn.Module:
    """On the first 1200 digits, Adam."""
    images, labels = load_digits(return_X_y=True)
    images, labels = (
        torch.from_numpy((images / 16).astype(np.float32))[:1200],
        torch.from_numpy(labels)[:1200],
    )
    optimiser = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(60):
            loss = nn.functional.cross_entropy(_scores(network, images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network


def _scores(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    if isinstance(network, layers.Network):
        encoder = encoder_of(network.spikeport_io())
        return network(encoder(images.reshape(-1, 1, 8, 8), int(torch.randint(1 << 30, ())))).sum(0)
    if isinstance(network, Rectifiers):
        return network(images.reshape(-1, 1, 8, 8))
    return network(images.expand(STEPS, *images.shape)).sum(0)
