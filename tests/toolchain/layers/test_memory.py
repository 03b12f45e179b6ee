"""In which order maps lie in memory changes no number."""

from __future__ import annotations

import pytest
import torch

import toolchain.layers as snn
from toolchain.layers import memory


def shuffled(x: torch.Tensor) -> torch.Tensor:
    """The same values, with the channels last in memory."""
    return x.movedim(2, -1).contiguous().movedim(-1, 2)


@pytest.mark.parametrize("steps", [False, True])
def test_neurons_compute_the_same_in_both_orders(steps):
    threshold = torch.linspace(0.25, 1.0, 3).reshape(3, 1, 1)
    lif = snn.LIF(threshold, alpha=0.5, beta=0.75, refractory=1, learn_threshold=True)
    x = (torch.randn(4, 2, 3, 5, 6) * 1024).round() / 1024
    seen, found = [], []
    lif.observer = seen.append
    for given in (x.clone(), shuffled(x)):
        given.requires_grad_()
        if steps:
            state, spikes = lif.reset_mem(), []
            for step in given:
                spike, *state = lif(step, *state)
                spikes.append(spike)
            result = torch.stack(spikes)
        else:
            result, *state = lif(given, sequence=True, return_states=True)
        (result * x.cos()).sum().backward()
        found.append((result, *state, given.grad, lif.threshold.grad.clone()))
        lif.threshold.grad = None
    for one, other in zip(*found):
        assert torch.allclose(one, other) if one.shape == (3, 1, 1) else torch.equal(one, other)
    half = len(seen) // 2
    for one, other in zip(seen[:half], seen[half:]):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_a_convolution_hands_on_the_order_and_repeated_steps_are_in_it():
    conv = snn.Conv2d(3, 4, 3, padding=1)
    lif = snn.LIF(beta=0.5)
    frame = (torch.rand(2, 3, 5, 6) > 0.5).float()
    y = conv(frame.expand(4, *frame.shape))
    assert memory.Order.of(y).last
    assert torch.equal(lif(y, sequence=True), lif(y.contiguous(), sequence=True))


def test_a_line_is_all_elements_without_a_copy():
    x = torch.arange(120.0).reshape(2, 3, 4, 5)
    for order in ((0, 1, 2, 3), (0, 2, 3, 1), (3, 1, 0, 2)):
        moved = x.permute(order)
        row = memory.line(moved)
        assert row is not None
        assert row.data_ptr() == x.data_ptr()
        assert torch.equal(row, x.reshape(-1))
    assert memory.line(x[:, ::2]) is None
    assert memory.line(x[:1].expand(2, 3, 4, 5)) is None
