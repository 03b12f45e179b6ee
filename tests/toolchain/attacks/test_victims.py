"""Victims: the software twin and the integer Program give the same scores; nothing depends on batch
mates."""

import numpy as np
import pytest
import torch
from torch import nn

import toolchain.layers as snn
from hardware.program import Dense, Input, Output, Population, Program
from tests.toolchain.attacks import conftest
from toolchain.attacks.base import AttackError
from toolchain.attacks.encoding import Direct, Poisson
from toolchain.attacks.energy import Activity, synapses_per_spike
from toolchain.attacks.fronts import Purified
from toolchain.attacks.victims import EventVictim, PixelVictim, ProgramVictim, as_attacked
from toolchain.data.encoders import Encoding
from toolchain.deploy.stages import Stage, Ways, to_program
from toolchain.models import Grid, Model, Neuron, Surrogate, build


def program_of(network) -> Program:
    """The integer network of tests/toolchain/attacks/conftest.digits_network, written out by
    hand."""
    populations, projections = [], []
    source = "input"
    for synapse, name in ((network.first, "hidden"), (network.second, "output")):
        neuron, shape = getattr(network, name), (synapse.out_features,)
        weight, exponent = synapse.quantised_weight()
        # W = mantissa * 2**(exponent - F + k)
        mantissa = (
            (
                weight.double()
                * 2.0 ** (synapse.fraction_bits - synapse.source_fraction_bits - int(exponent))
            )
            .round()
            .to(torch.int64)
            .numpy()
        )
        integers = neuron.integers(shape)
        threshold = integers["threshold"].numpy() if neuron.spiking else None
        # a bias of whole multiples of 2**-F volts is 2**6 states
        bias = (
            (synapse.quantised_bias().double() * 2.0**neuron.fraction_bits)
            .round()
            .to(torch.int64)
            .detach()
            .numpy()
        )
        populations.append(
            Population(
                name,
                shape,
                voltage_decay=integers["voltage_decay"].numpy(),
                threshold=threshold,
                bias=bias,
                bias_exponent=6,
            )
        )
        projections.append(Dense(f"to {name}", source, name, mantissa, exponent=int(exponent)))
        source = name
    read = Output("output", network.spikeport_io()["output"]["decode"])
    return Program(
        (Input("input", (1, 8, 8), network.spikeport_io()["input"]["message_bits"]),),
        tuple(populations),
        tuple(projections),
        (read,),
    )


@pytest.mark.parametrize("target", ["reference", "fast"])
def test_program_and_software_agree(network, some, target):
    images, labels = some
    software, chip = (
        PixelVictim(network),
        ProgramVictim(program_of(network), Direct(conftest.STEPS, 8, 4), target=target),
    )
    scores = software.predict(images)
    assert np.array_equal(chip.predict(images), scores)
    assert (scores.argmax(axis=1) == labels).mean() > 0.8
    assert chip.sample_shape == software.sample_shape == (1, 8, 8)
    assert chip.classes == software.classes == 10


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_an_exported_convolution_is_the_same_victim(digits, alpha):
    """Through the real exporter: pooling fused, and with a synaptic current the bias from a
    constant source."""
    torch.manual_seed(0)
    network = build(
        Model("conv_digits", gain=2.0),
        Neuron(alpha=alpha),
        Grid(),
        Surrogate(),
        dataset="digits",
        encoding=Encoding("direct", conftest.STEPS),
    )
    torch.nn.init.constant_(network.conv1.bias, 0.125)
    program, _ = to_program(Stage("conv", "factory", module=network), Ways())
    software = PixelVictim(network)
    chip = ProgramVictim(program, software.encoder)
    images = digits.test[:8]
    scores = software.predict(images)
    assert np.array_equal(chip.predict(images), scores)
    assert np.ptp(scores) > 0
    weights = synapses_per_spike(program)
    activity = Activity(software, weights)
    with activity.counting(), torch.no_grad():
        software.scores(torch.from_numpy(images))
        found = activity.total.numpy()
    counted = sum(chip.recording(images).counts["syn_ops"].values())
    # the constant source adds the same to every sample
    assert np.ptp(counted - found) == 0
    assert (counted[0] == found[0]) == (alpha is None)


def test_program_and_software_agree_on_poisson_input(digits, poisson_network):
    software, chip = (
        PixelVictim(poisson_network),
        ProgramVictim(program_of(poisson_network), Poisson(conftest.STEPS)),
    )
    assert software.stochastic
    assert chip.stochastic
    images = digits.test[:20]
    for seed in (0, 1):
        assert np.array_equal(chip.predict(images, seed=seed), software.predict(images, seed=seed))
    assert not np.array_equal(software.predict(images, seed=0), software.predict(images, seed=1))


@pytest.mark.parametrize("encoder", [None, Poisson(4)])
def test_scores_do_not_depend_on_batch_mates(network, poisson_network, some, encoder):
    victim = PixelVictim(network if encoder is None else poisson_network, encoder)
    images = some[0][:6]
    assert np.array_equal(victim.predict(images, seed=3)[4:5], victim.predict(images[4:5], seed=3))


class Batched(nn.Module):
    """A model whose training mode mixes the samples of a batch, and drops units at random."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)
        )

    def spikeport_io(self):
        return {
            "input": {"shape": [1, 2, 2], "message_bits": 8, "fraction_bits": 7},
            "output": {"decode": "last_potential"},
            "call": "sequence",
            "data": {"encoding": "direct", "steps": 2},
        }

    def forward(self, x):
        return torch.stack([self.net(step) for step in x])


def test_models_are_attacked_in_evaluation_mode_and_left_as_they_were():
    model = Batched().train()
    model.net[2].eval()
    victim = PixelVictim(model)
    images = np.random.default_rng(0).random((5, 1, 2, 2)).astype(np.float32)
    before = model.net[2].running_mean.clone()
    assert np.array_equal(victim.predict(images)[2:3], victim.predict(images[2:3]))
    assert torch.equal(model.net[2].running_mean, before)
    assert model.training
    assert model.net[3].training
    assert not model.net[2].training
    assert all(p.requires_grad for p in model.parameters())
    with as_attacked(model):
        assert not any(m.training for m in model.modules())
        assert not any(p.requires_grad for p in model.parameters())


class Noisy(nn.Module):
    """Random potentials, even in evaluation."""

    def spikeport_io(self):
        return {
            "input": {"shape": [1, 2, 2], "message_bits": 8, "fraction_bits": 7},
            "output": {"decode": "mean_potential"},
            "call": "sequence",
            "data": {"encoding": "direct", "steps": 2},
        }

    def forward(self, x):
        return x.flatten(2) + torch.randn(x.flatten(2).shape)


def test_random_models_draw_from_the_seed_and_leave_the_global_generator_alone():
    victim = PixelVictim(Noisy(), stochastic=True)
    images = np.zeros((2, 1, 2, 2), np.float32)
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first = victim.predict(images, seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert np.array_equal(first, victim.predict(images, seed=1))
    assert not np.array_equal(first, victim.predict(images, seed=2))


class Stepwise(nn.Module):
    """Called step by step, with hidden states."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.synapse = snn.Linear(4, 3, source_fraction_bits=4)
        self.neuron = snn.LIF(0.5, beta=0.5, init_hidden=True)

    def spikeport_io(self):
        return {
            "input": {"shape": [1, 2, 2], "message_bits": 6, "fraction_bits": 4},
            "output": {"decode": "spike_count"},
            "call": "step",
            "data": {},
        }

    def forward(self, x):
        return self.neuron(self.synapse(x.flatten(1)))


def test_step_by_step_models_start_every_sample_from_zero():
    model = Stepwise()
    victim = PixelVictim(model, Direct(6, 6, 4))
    images = np.random.default_rng(0).random((5, 1, 2, 2)).astype(np.float32)
    first = victim.predict(images)
    assert np.array_equal(first, victim.predict(images))
    model.neuron.init_hidden = False
    current = model.synapse(Direct(6, 6, 4)(torch.from_numpy(images)).flatten(2))
    assert np.array_equal(first, model.neuron(current, sequence=True).sum(dim=0).detach().numpy())


def test_every_decoding_is_the_programs(digits):
    for how in ("last_potential", "mean_potential", "max_potential"):
        network = conftest.digits_network(decode=how)
        found = PixelVictim(network).predict(digits.test[:10])
        expected = ProgramVictim(program_of(network), Direct(conftest.STEPS, 8, 4)).predict(
            digits.test[:10]
        )
        assert np.allclose(found, expected / 2.0**16, atol=1e-6), how


def test_events():
    torch.manual_seed(0)
    network = snn.Network(
        [
            ("flatten", snn.Flatten()),
            ("synapse", snn.Linear(8, 3)),
            ("neuron", snn.LIF(0.5, beta=0.5)),
        ],
        input_shape=(2, 2, 2),
    )
    victim = EventVictim(network, 5)
    samples = np.random.default_rng(0).integers(0, 2, (4, 5, 2, 2, 2)).astype(np.uint8)
    assert victim.sample_shape == (5, 2, 2, 2)
    trace = network(torch.from_numpy(samples).float().transpose(0, 1))
    assert np.allclose(victim.predict(samples), trace.sum(dim=0).detach().numpy())


def test_purifier_gradients():
    class Halve(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(x * 0.5)

    inner = PixelVictim(Batched())
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))

    def gradient(victim, x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(victim.scores(x).sum(), x)[0]

    plain = gradient(inner, images * 0.5)
    purifier = Halve().train()
    assert torch.allclose(gradient(Purified(inner, purifier), images), plain)
    assert torch.allclose(
        gradient(Purified(inner, purifier, gradient="through"), images), plain * 0.5
    )
    assert purifier.drop.training
    assert np.array_equal(
        Purified(inner, purifier).predict(images.numpy()), inner.predict(images.numpy() * 0.5)
    )
    # something without any derivative
    assert torch.allclose(
        gradient(Purified(inner, lambda x: (x > 2).float()), images), gradient(inner, images * 0)
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda n: PixelVictim(nn.Linear(2, 2)), "no spikeport_io"),
        (lambda n: ProgramVictim(program_of(n)), "either an encoder"),
        (
            lambda n: ProgramVictim(program_of(n), Direct(3, 8, 4)).scores(torch.zeros(1)),
            "has no gradient",
        ),
        (lambda n: Purified(PixelVictim(n), lambda x: x, gradient="none"), "identity or through"),
        (
            lambda n: Purified(PixelVictim(n), lambda x: x[:1]).predict(
                np.zeros((2, 1, 8, 8), np.float32)
            ),
            "it must keep the shape",
        ),
        (lambda n: PixelVictim(conftest.digits_network(encoding="phase")), "'phase'"),
    ],
)
def test_refused(network, make, said):
    with pytest.raises(AttackError, match=said):
        make(network)
