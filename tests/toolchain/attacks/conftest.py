"""Small networks on the digits that ship with scikit-learn, trained once for all tests here."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import toolchain.layers as snn
from tests.toolchain.masked import trained
from toolchain.attacks.victims import PixelVictim

STEPS = 5


@pytest.fixture(scope="session")
def digits():
    """Images float32 [sample, 1, 8, 8] in [0, 1], multiples of 1/16; labels."""
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], data.target[order].astype(np.int64)
    return SimpleNamespace(
        train=images[:1200],
        train_labels=labels[:1200],
        test=images[1200:],
        test_labels=labels[1200:],
    )


def train(network, digits, rate: float, epochs: int):
    """Cross entropy on the decoded scores, Adam."""
    torch.manual_seed(0)
    victim = PixelVictim(network)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    images, labels = torch.from_numpy(digits.train), torch.from_numpy(digits.train_labels)
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for start in range(0, len(images), 100):
            batch = order[start : start + 100]
            trace = network(victim.encoder(images[batch], 0))
            loss = torch.nn.functional.cross_entropy(trace.sum(dim=0), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return network


def digits_network(
    seed: int = 0, hidden: int = 40, decode: str = "spike_count", encoding: str = "direct"
):
    """Direct or Poisson coded digits, one hidden layer of leaky neurons."""
    torch.manual_seed(seed)
    bits, k = (8, 4) if encoding == "direct" else (0, 0)
    return snn.Network(
        [
            ("flatten", snn.Flatten()),
            ("first", snn.Linear(64, hidden, source_fraction_bits=k)),
            ("hidden", snn.LIF(1.0, beta=0.75, spike_grad=snn.surrogate.triangle(1.0))),
            ("second", snn.Linear(hidden, 10)),
            ("output", snn.LIF(1.0, beta=0.75) if decode == "spike_count" else snn.LI(0.75)),
        ],
        input_shape=(1, 8, 8),
        message_bits=bits,
        fraction_bits=k,
        decode=decode,
        data={"encoding": encoding, "steps": STEPS},
    )


@pytest.fixture(scope="session")
def network(digits):
    return train(digits_network(), digits, 5e-3, 6)


@pytest.fixture(scope="session")
def second_network(digits):
    """The same kind, another seed and width, read by its potential."""
    return train(digits_network(seed=1, hidden=32, decode="mean_potential"), digits, 5e-3, 4)


@pytest.fixture(scope="session")
def poisson_network(digits):
    return train(digits_network(encoding="poisson"), digits, 5e-3, 3)


@pytest.fixture
def victim(network):
    return PixelVictim(network)


@pytest.fixture(scope="session")
def some(digits):
    """The first 40 test images and their labels."""
    return digits.test[:40], digits.test_labels[:40]


@pytest.fixture(scope="session")
def masked(digits):
    """The network of ``tests.toolchain.masked``, trained."""
    return trained(torch.from_numpy(digits.train), torch.from_numpy(digits.train_labels))
