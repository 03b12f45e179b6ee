"""What the two compiled scans share, and how they use several threads."""

from __future__ import annotations

import pytest
import torch

import toolchain.layers as snn
from toolchain.layers import kernels, kernels_backward, threads


def test_both_scans_have_the_same_codes_of_resets():
    here = (kernels.ZERO, kernels.SUBTRACT, kernels.NONE)
    there = (kernels_backward._ZERO, kernels_backward._SUBTRACT, kernels_backward._NONE)
    assert here == there


@pytest.mark.parametrize("batch", [1, 2, 3, 7])
def test_samples_on_several_threads_give_what_one_thread_gives(batch, monkeypatch):
    monkeypatch.setattr(threads, "LEAST_WORK", 1)
    lif = snn.LIF(0.5, alpha=0.5, beta=0.75, learn_beta=True, refractory=2, spike_grad=None)
    current = (torch.randn(5, batch, 700) * 1024).round() / 1024
    before = torch.get_num_threads()
    found = []
    for number in (1, 3):
        torch.set_num_threads(number)
        try:
            x = current.clone().requires_grad_()
            spikes, *states = lif(x, sequence=True, return_states=True)
            (spikes.sum() + states[1].square().sum()).backward()
        finally:
            torch.set_num_threads(before)
        found.append((spikes, *states, x.grad, lif.beta.grad.clone()))
        lif.beta.grad = None
    for one, other in zip(*found):
        assert torch.equal(one, other)


def test_work_is_divided_without_gap_or_overlap(monkeypatch):
    monkeypatch.setattr(threads, "LEAST_WORK", 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert threads.divided(10, 10, lambda a, b: (a, b)) == [(0, 2), (2, 5), (5, 7), (7, 10)]
    assert threads.divided(2, 10, lambda a, b: (a, b)) == [(0, 1), (1, 2)]
    assert threads.divided(10, 9, lambda a, b: (a, b)) == [(0, 10)]
    with pytest.raises(ZeroDivisionError):
        threads.divided(10, 10, lambda a, b: 1 // (a - 7))
