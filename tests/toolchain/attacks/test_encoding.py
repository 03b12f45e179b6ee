"""Encoders: the integers and the real values are the same numbers; the gradients are the published ones."""

import numpy as np
import pytest
import torch

from toolchain.attacks.base import AttackError
from toolchain.attacks.encoding import Direct, Poisson, integers

IMAGES = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("encoder", [Direct(3, 8, 7), Direct(2, 6, 4), Poisson(7), Poisson(7, signed=True)])
def test_integers_are_the_values(encoder):
    values = encoder(torch.from_numpy(IMAGES), 3)
    assert values.shape == (encoder.steps, 3, 1, 4, 4)
    assert np.array_equal(integers(encoder, IMAGES, 3), (values.numpy() * 2**encoder.fraction_bits).swapaxes(0, 1))


def test_direct_levels_are_rounded_and_stay_within_the_message():
    whole = integers(Direct(1, 8, 7), np.array([[[[0.0, 0.25, 0.2501, 1.0]]]], np.float32), 0)[0, 0, 0, 0]
    # 1.0 would be 128, one more than 8 signed bits hold
    assert whole.tolist() == [0, 32, 32, 127]


def test_direct_gradient_passes_the_rounding_and_sums_over_steps():
    images = torch.from_numpy(IMAGES).requires_grad_()
    weights = torch.randn(3, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    (Direct(3, 8, 7)(images) * weights).sum().backward()
    assert torch.allclose(images.grad, weights.sum(dim=0))


@pytest.mark.parametrize(("signed", "slope"), [(False, 1.0), (True, 2.0)])
def test_poisson_rates_and_gradient(signed, slope):
    images = torch.from_numpy(IMAGES).requires_grad_()
    spikes = Poisson(4000, signed=signed)(images, 1)
    expected = images.detach() * 2 - 1 if signed else images.detach()
    assert set(spikes.unique().tolist()) <= {-1.0, 0.0, 1.0}
    assert torch.allclose(spikes.mean(dim=0), expected, atol=0.04)
    # d/dx of a weighted sum: the weights' mean over time times the slope of the expectation, whatever was drawn
    weights = torch.linspace(0, 2, 4000)[:, None, None, None, None]
    (spikes * weights).sum().backward()
    assert torch.allclose(images.grad, torch.full_like(images, slope), atol=1e-5)


def test_poisson_depends_on_seed_and_not_on_batch_mates():
    encoder, images = Poisson(5), torch.from_numpy(IMAGES)
    assert torch.equal(encoder(images, 1), encoder(images, 1))
    assert not torch.equal(encoder(images, 1), encoder(images, 2))
    assert torch.equal(encoder(images, 1)[:, 2:], encoder(images[2:], 1))


@pytest.mark.parametrize(("make", "said"), [(lambda: Direct(0, 8, 7), "steps is 0"), (lambda: Direct(1, 1, 0), "1 message bits"), (lambda: Poisson(True), "steps is True")])
def test_refused(make, said):
    with pytest.raises(AttackError, match=said):
        make()
