"""What the two compiled scans share, and how they use several threads."""

from __future__ import annotations

import pytest
import torch

import toolchain.layers as snn
from toolchain.errors import CurrentRangeError, GridError
from toolchain.layers import compiled, kernels, kernels_backward, threads


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


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_plain_scan_gives_what_the_general_one_gives(reset, dtype, monkeypatch):
    """Decays of both ends and between, potentials that saturate, thresholds of 0, a first state."""
    decays = torch.randint(0, 4097, (600,))
    decays[:20], decays[20:40] = 0, 4096
    thresholds = torch.randint(0, 1 << 16, (600,)) / 1024
    thresholds[:50] = 0
    lif = snn.LIF(thresholds, voltage_decay=decays, reset=reset)
    li = snn.LI(1 - decays / 4096)
    current = torch.randint(-(1 << 16), 1 << 16, (9, 3, 600)).to(dtype) / 1024
    start = torch.randint(-(1 << 23) + 1, 1 << 23, (3, 600)).to(dtype) / 65536
    kinds = []
    found = []
    for way in (compiled.plain, lambda *_: False):
        monkeypatch.setattr(
            compiled, "plain", lambda *given, way=way: kinds.append(way(*given)) or kinds[-1]
        )
        x = current.clone().requires_grad_()
        spikes, mem = lif(x, start, sequence=True, return_states=True)
        (spikes.sum() + mem.sum()).backward()
        read = li(current, start, sequence=True)
        found.append((spikes, mem, x.grad, read))
    assert kinds == [True, True, False, False]
    for one, other in zip(*found):
        assert torch.equal(one, other)
    assert float(found[0][3].abs().max()) == ((1 << 23) - 1) / 65536  # some saturate


def test_the_plain_scan_refuses_what_the_general_one_refuses():
    lif = snn.LIF(1.0, beta=0.5)
    with pytest.raises(GridError, match="an input current of"):
        lif(torch.full((2, 1, 4), 0.3), sequence=True)
    with pytest.raises(CurrentRangeError, match="24-bit current wraps"):
        lif(torch.full((2, 1, 4), 200.0), sequence=True)
    with pytest.raises(GridError, match="a state"):
        lif(torch.zeros(1, 4), torch.full((1, 4), 0.3))
