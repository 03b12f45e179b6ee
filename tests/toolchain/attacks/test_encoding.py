"""Encoders: the integers and the real values are the same numbers; the gradients are the published
ones."""

import numpy as np
import pytest
import torch

from toolchain.attacks.base import AttackError
from toolchain.attacks.encoding import Direct, Latency, Poisson, integers
from toolchain.attacks.victims import encoder_of
from toolchain.data.datasets import Dataset
from toolchain.data.encoders import Encoding

IMAGES = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float32)


@pytest.mark.parametrize(
    "encoder",
    [
        Direct(3, 8, 7),
        Direct(2, 6, 4),
        Direct(2, 5, 4, 4),
        Poisson(7),
        Poisson(7, signed=True),
        Latency(5),
    ],
)
def test_integers_are_the_values(encoder):
    values = encoder(torch.from_numpy(IMAGES), 3)
    assert values.shape == (encoder.steps, 3, 1, 4, 4)
    assert np.array_equal(
        integers(encoder, IMAGES, 3), (values.numpy() * 2**encoder.fraction_bits).swapaxes(0, 1)
    )


def test_direct_levels_are_rounded_and_stay_within_the_message():
    whole = integers(Direct(1, 8, 7), np.array([[[[0.0, 0.25, 0.2501, 1.0]]]], np.float32), 0)[
        0, 0, 0, 0
    ]
    # 1.0 would be 128, one more than 8 signed bits hold
    assert whole.tolist() == [0, 32, 32, 127]


def test_direct_gradient_passes_the_rounding_and_sums_over_steps():
    images = torch.from_numpy(IMAGES).requires_grad_()
    weights = torch.randn(3, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    (Direct(3, 8, 7)(images) * weights).sum().backward()
    assert torch.allclose(images.grad, weights.sum(dim=0))


@pytest.mark.parametrize(
    "encoding",
    [
        Encoding("direct", 3),
        Encoding("direct", 3, bits=4),
        Encoding("direct", 2, bits=1),
        Encoding("direct_signed", 3),
        Encoding("direct_signed", 2, bits=1),
        Encoding("latency", 7),
        Encoding("poisson", 500, rate=0.5),
        Encoding("poisson", 500, bits=2),
        Encoding("poisson_signed", 500, rate=0.5),
        Encoding("poisson_signed", 500, bits=3),
    ],
)
@pytest.mark.parametrize(("name", "maximum"), [("mnist", 255), ("digits", 16)])
def test_the_same_as_in_training(encoding, name, maximum):
    """On the data set's own values; Poisson by its rate, within the width of the grid."""
    values = np.arange(maximum + 1, dtype=np.uint8).reshape(-1, 1, 1, 1)
    dataset = Dataset(name, "test", values, np.zeros(len(values), np.int64), (1, 1, 1), maximum)
    trained = encoding.encode(dataset, slice(None))
    bits, k = encoding.input_format(name)
    encoder = encoder_of(
        {
            "input": {"message_bits": bits, "fraction_bits": k},
            "data": {"name": name, **encoding.describe()},
        }
    )
    scale = 1 << (maximum - 1).bit_length()
    attacked = integers(encoder, (values / scale).astype(np.float32), 0)
    if encoding.kind.startswith("poisson"):
        assert np.allclose(attacked.mean(axis=1), trained.mean(axis=1), atol=0.12)
        assert abs(float(attacked.mean() - trained.mean())) < 0.02
    else:
        assert np.array_equal(attacked, trained)


def test_latency_gradient_moves_the_spike():
    # five steps; spikes in steps 0 (full), 2, 4 (faint), none
    images = torch.tensor([[1.0, 0.5, 0.01, 0.0]]).requires_grad_()
    spikes = Latency(5, 100, 100.0)(images)
    assert spikes[:, 0].detach().argmax(dim=0).tolist() == [0, 2, 4, 0]
    assert spikes.sum(dim=0).tolist() == [[1.0, 1.0, 1.0, 0.0]]
    weights = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])[:, None, None]
    (spikes * weights).sum().backward()
    # 4 steps for each unit: from step 0 nothing is earlier than itself; the middle one half the
    # difference; the last one step
    assert images.grad.tolist() == [
        [4 * (1.0 - 2.0), 4 * (2.0 - 8.0) / 2, 4 * (8.0 - 16.0), 4 * 16.0]
    ]


@pytest.mark.parametrize(
    ("signed", "rate", "slope"), [(False, 1.0, 1.0), (True, 1.0, 2.0), (False, 0.5, 0.5)]
)
def test_poisson_rates_and_gradient(signed, rate, slope):
    images = torch.from_numpy(IMAGES).requires_grad_()
    spikes = Poisson(4000, signed=signed, rate=rate)(images, 1)
    expected = (images.detach() * 2 - 1 if signed else images.detach()) * rate
    assert set(spikes.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert torch.allclose(spikes.mean(dim=0), expected, atol=0.04)
    # d/dx of a weighted sum: the weights' mean over time times the slope of the expectation,
    # whatever was drawn
    weights = torch.linspace(0, 2, 4000)[:, None, None, None, None]
    (spikes * weights).sum().backward()
    assert torch.allclose(images.grad, torch.full_like(images, slope), atol=1e-5)


def test_poisson_depends_on_seed_and_not_on_batch_mates():
    encoder, images = Poisson(5), torch.from_numpy(IMAGES)
    assert torch.equal(encoder(images, 1), encoder(images, 1))
    assert not torch.equal(encoder(images, 1), encoder(images, 2))
    assert torch.equal(encoder(images, 1)[:, 2:], encoder(images[2:], 1))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Direct(0, 8, 7), "steps is 0"),
        (lambda: Direct(1, 1, 0), "message_bits is 1"),
        (lambda: Poisson(True), "steps is True"),
        (lambda: Poisson(2, rate=1.5), "rate is 1.5"),
        (lambda: Latency(3, 255, 8.0), "scale is 8.0"),
        (
            lambda: encoder_of({"input": {}, "data": {"encoding": "latency", "steps": 3}}),
            "data set is None",
        ),
    ],
)
def test_refused(make, said):
    with pytest.raises(AttackError, match=said):
        make()
