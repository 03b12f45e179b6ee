"""Post-training quantisation of float snnTorch networks, trained for seconds on the digits that
ship with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from torch import nn

import export
from export.frameworks import trace
from hardware import targets
from hardware.recording import Record

STEPS = 12


class Digits(nn.Module):
    """Grey values (0 to 1) shown in every step; spikes of every step are returned."""

    def forward(self, x):
        states, out = [()] * len(self.neurons), []
        for neuron in self.neurons:
            neuron.reset_mem()
        for _ in range(STEPS):
            spk = x
            for number, (synapse, neuron) in enumerate(zip(self.synapses, self.neurons)):
                spk, *states[number] = neuron(synapse(spk), *states[number])
            out.append(spk)
        return torch.stack(out)


class Perceptron(Digits):
    """64-48-10 with reset by subtraction, snnTorch's default."""

    def __init__(self):
        super().__init__()
        self.synapses = nn.ModuleList(
            [nn.Sequential(nn.Flatten(), nn.Linear(64, 48)), nn.Linear(48, 10)]
        )
        self.neurons = nn.ModuleList([snn.Leaky(beta=0.9), snn.Leaky(beta=0.9)])


class Convolutional(Digits):
    """Convolutions with batch normalisation and average pooling; a synaptic neuron, hard resets, a
    learnt leak."""

    def __init__(self):
        super().__init__()
        first = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        second = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(8, 12, 3, padding=1))
        last = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(48, 10))
        self.synapses = nn.ModuleList([first, second, last])
        self.neurons = nn.ModuleList(
            [
                snn.Leaky(beta=0.8, learn_beta=True, reset_mechanism="zero", threshold=0.7),
                snn.Leaky(beta=0.8, reset_mechanism="subtract", threshold=0.7),
                snn.Synaptic(alpha=0.5, beta=0.9, reset_mechanism="zero"),
            ]
        )


def digits():
    """(train images, train labels, test images, test labels); pixels are integers from 0 to 16."""
    data = load_digits()
    images = data.images.astype(np.int64)[:, None]
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1400], order[1400:]
    return images[train], data.target[train], images[test], data.target[test]


def trained(model, images, labels, epochs):
    """The model, after some epochs of Adam on the spike counts."""
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    x, y = torch.from_numpy(images).float() / 16, torch.from_numpy(labels)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(x[batch]).sum(0), y[batch]).backward()
            optimiser.step()
    return model.eval()


@pytest.mark.parametrize(
    ("make", "epochs", "least"),
    # training a convolutional network in snnTorch takes minutes
    [(Perceptron, 4, 0.9), pytest.param(Convolutional, 8, 0.92, marks=pytest.mark.slow)],
)
def test_post_training_quantisation(make, epochs, least, capsys):
    torch.manual_seed(0)
    train_images, train_labels, images, labels = digits()
    model = trained(make(), train_images, train_labels, epochs)
    with torch.no_grad():
        spikes = model(torch.from_numpy(images).float() / 16).numpy().swapaxes(0, 1)
    graph = trace(model, torch.rand(2, 1, 8, 8), dt=1e-3)
    calibration = np.repeat(train_images[:100, None], STEPS, axis=1)
    lowered = export.lower(graph, calibration=calibration, message_bits=6, input_fraction_bits=4)
    inputs = np.repeat(images[:, None], STEPS, axis=1)
    recording = targets.run(lowered.program, inputs, "fast", record=Record(spikes=True))
    (output,) = lowered.program.outputs
    found = recording.spikes[output.population]
    float_accuracy = np.mean(spikes.sum(1).argmax(1) == labels)
    accuracy = np.mean(recording.scores[output.population].argmax(1) == labels)
    agreement = np.mean(found == spikes)
    same = np.mean(recording.scores[output.population].argmax(1) == spikes.sum(1).argmax(1))
    with capsys.disabled():
        print(
            f"\n{make.__name__}: float {float_accuracy:.4f}, 8 bits {accuracy:.4f}, same class "
            f"{same:.4f}, same spikes {agreement:.5f}"
        )
    # the reference agrees with the fast target on a few samples
    reference = targets.run(lowered.program, inputs[:3], "reference", record=Record(spikes=True))
    assert np.array_equal(reference.spikes[output.population], found[:3])
    assert float_accuracy > least
    assert accuracy > float_accuracy - 0.02
    assert same > 0.96
    assert agreement > 0.96
    # nothing of this is hidden: the audit calls rounded weights approximate and says by how much
    rounded = [layer for layer in lowered.audit.layers if layer.kind == "projection"]
    assert {layer.verdict for layer in rounded} == {"approximate"}
    assert all(0 < layer.parameters[0].max_error < 0.01 for layer in rounded)
