"""Gradients: equal to PyTorch's own through a plain loop, the same step by step as in one go, and
for every surrogate."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch.surrogate
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import toolchain.layers as snn
from tests.examples import many
from toolchain.errors import LayerError
from toolchain.layers import compiled, scan, surrogate, tensors

LIMIT = (1 << 23) - 1


def plain_loop(lif, current, syn, mem):
    """The neuron written with PyTorch operations: integers by rounding toward zero, gradients by
    autograd."""
    unit = 2.0 ** -(lif.fraction_bits + 6)

    def whole(x):
        return x + (torch.trunc((x.detach() / unit).round(decimals=6)) * unit - x.detach())

    rest = torch.zeros_like(current[0])
    spikes, syns, mems, befores = [], [], [], []
    for cur in current:
        syn = cur if lif.alpha is None else whole(lif.alpha * syn) + cur
        syn = syn - (1 << 24) * unit * (
            (syn.detach() > (LIMIT + 1) * unit).double()
            - (syn.detach() <= -(LIMIT + 1) * unit).double()
        )
        active = rest == 0
        before = torch.where(
            active, (whole(lif.beta * mem) + syn).clamp(-LIMIT * unit, LIMIT * unit), mem
        )
        if lif.spiking:
            above = before - lif.threshold
            slope = surrogate.derivative(lif.spike_grad, above.detach())
            spk = ((above > 0) + slope * (above - above.detach())) * active
            fired = spk.detach()
            mem = {
                "zero": before * (1 - fired),
                "subtract": before - lif.threshold * fired,
                "none": before,
            }[lif.reset]
            rest = torch.where(fired > 0, lif.refractory, (rest - 1).clamp(min=0))
            spikes.append(spk)
            befores.append(before)
        else:
            mem = before
        syns.append(syn)
        mems.append(mem)
    stacked = (torch.stack(trace) if trace else None for trace in (spikes, syns, mems, befores))
    return tuple(stacked)


def gradients(outputs, weights, inputs):
    total = sum((o * w).sum() for o, w in zip(outputs, weights) if o is not None)
    return torch.autograd.grad(total, inputs, allow_unused=True)


@st.composite
def neurons(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    alpha = draw(st.sampled_from([None, 0.0, 0.5, 4095 / 4096, 1.0]))
    arguments = {
        "beta": torch.tensor(rng.integers(0, 4097, (5,)) / 4096),
        "alpha": alpha,
        "learn_alpha": alpha is not None,
        "learn_beta": True,
        "fraction_bits": draw(st.sampled_from([6, 10])),
    }
    kind = draw(st.sampled_from(["zero", "subtract", "none", "integrator"]))
    if kind == "integrator":
        lif = snn.LI(**arguments)
    else:
        refractory = draw(st.sampled_from([0, 0, 2]))
        spike_grad = draw(
            st.sampled_from(
                [surrogate.triangle(2.0), surrogate.atan(), snntorch.surrogate.fast_sigmoid(5)]
            )
        )
        lif = snn.LIF(
            1.0,
            reset=kind,
            refractory=refractory,
            learn_threshold=True,
            spike_grad=spike_grad,
            **arguments,
        )
    lif.double()
    reach = draw(
        st.sampled_from([2.0, 30.0, 100.0])
    )  # 100 V at 10 fraction bits drives the potential into saturation
    current = torch.tensor(
        np.round(rng.uniform(-reach, reach, (7, 3, 5)) * 2**lif.fraction_bits)
        / 2**lif.fraction_bits
    )
    state = torch.tensor(
        np.round(rng.uniform(-2, 2, (3, 5)) * 2 ** (lif.fraction_bits + 6))
        / 2 ** (lif.fraction_bits + 6)
    )
    weights = [torch.tensor(rng.normal(size=(7, 3, 5))) for _ in range(4)]
    return (
        lif,
        current.requires_grad_(),
        state.clone().requires_grad_(),
        state.clone().requires_grad_(),
        weights,
    )


def sequence(lif, current, syn, mem):
    states = (
        ([syn] if lif.alpha is not None else [])
        + [mem]
        + ([torch.zeros_like(mem)] if lif.refractory else [])
    )
    with snn.observe(lif) as seen:
        traces = lif(current, *states, sequence=True, return_states=True)
    spikes, traces = (traces[0], traces[1:]) if lif.spiking else (None, traces)
    return (
        spikes,
        traces[0] if lif.alpha is not None else None,
        traces[int(lif.alpha is not None)],
        before_reset(seen),
    )


def before_reset(seen):
    layers = seen.layers()
    return layers[""].potential if layers else None


def steps(lif, current, syn, mem):
    states = (
        ([syn] if lif.alpha is not None else [])
        + [mem]
        + ([torch.zeros_like(mem)] if lif.refractory else [])
    )
    spikes, syns, mems = [], [], []
    with snn.observe(lif) as seen:
        for cur in current:
            states = lif(cur, *states)
            states = list(states) if isinstance(states, tuple) else [states]
            if lif.spiking:
                spikes.append(states.pop(0))
            syns.append(states[0])
            mems.append(states[int(lif.alpha is not None)])
    syn = torch.stack(syns) if lif.alpha is not None else None
    return (torch.stack(spikes) if spikes else None), syn, torch.stack(mems), before_reset(seen)


def check_against(lif, current, syn, mem, weights, one, other):
    inputs = [current, mem] + ([syn] if lif.alpha is not None else []) + list(lif.parameters())
    results = []
    for run in (one, other):
        outputs = list(run(lif, current, syn, mem))
        if lif.alpha is None:
            outputs[1] = None
        results.append((outputs, gradients(outputs, weights, inputs)))
    for a, b in zip(results[0][0], results[1][0]):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)
    for a, b in zip(results[0][1], results[1][1]):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@settings(max_examples=many(100), deadline=None)
@given(neurons())
def test_gradients_equal_those_of_a_plain_loop(case):
    check_against(*case, sequence, plain_loop)


@settings(max_examples=many(60), deadline=None)
@given(neurons())
def test_step_by_step_equals_a_whole_sequence(case):
    check_against(*case, sequence, steps)


@settings(max_examples=many(60), deadline=None)
@given(neurons())
def test_tensor_operations_equal_the_compiled_scan(case):
    lif, current, syn, mem, weights = case
    inputs = [current, mem] + ([syn] if lif.alpha is not None else []) + list(lif.parameters())
    results = []
    for way in (compiled, tensors):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scan, "compiled", way)
            outputs = sequence(lif, current, syn, mem)
            results.append((outputs, gradients(outputs, weights, inputs)))
    for a, b in zip(results[0][0], results[1][0]):
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a, b)
    for a, b in zip(results[0][1], results[1][1]):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("way", [compiled, tensors])
def test_the_gradient_of_spikes_alone_is_that_with_all_states_kept(way, monkeypatch):
    monkeypatch.setattr(scan, "compiled", way)
    torch.manual_seed(0)
    lif = snn.LIF(alpha=0.5, beta=0.75, learn_alpha=True, learn_beta=True, learn_threshold=True)
    current = torch.randint(-500, 1500, (9, 2, 3)) / 1024
    weights = torch.randn(9, 2, 3)
    found = [
        torch.autograd.grad((spikes * weights).sum(), list(lif.parameters()))
        for spikes in (
            lif(current, sequence=True),
            lif(current, sequence=True, return_states=True)[0],
        )
    ]
    assert all(torch.equal(a, b) for a, b in zip(*found))
    assert all(a.abs() > 0 for a in found[0])


def test_a_second_derivative_is_refused():
    lif = snn.LI(0.9)
    current = torch.ones(2, 1, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        (lif(current, sequence=True) ** 2).sum(), current, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_last_state_passes_its_gradient_back_to_the_first_step():
    lif = snn.Leaky(beta=0.5, threshold=10.0)
    current = torch.ones(4, 1, 1, requires_grad=True)
    mem = lif.reset_mem()
    for cur in current:
        _, mem = lif(cur, mem)
    mem.sum().backward()
    assert torch.equal(current.grad.flatten(), torch.tensor([0.125, 0.25, 0.5, 1.0]))


def test_weights_and_biases_pass_gradients_straight_through_the_rounding():
    layer = snn.Linear(3, 2, weight_bits=4)
    x = torch.tensor([[1.0, 0.0, 1.0]])
    layer(x).sum().backward()
    assert torch.equal(layer.weight.grad, x.expand(2, 3))
    assert torch.equal(layer.bias.grad, torch.ones(2))


@pytest.mark.parametrize("name", list(surrogate.SURROGATES))
def test_compiled_formula_equals_the_tensor_formula(name):
    spike_grad = surrogate.SURROGATES[name](1.5)
    lif = snn.IF(1.0, spike_grad=spike_grad, fraction_bits=10)
    current = (
        (torch.arange(-3000, 3000, dtype=torch.float32) / 1024).reshape(1, 1, -1).requires_grad_()
    )
    lif(current, sequence=True).sum().backward()
    expected = spike_grad.derivative(current.detach() - 1.0)
    torch.testing.assert_close(current.grad, expected, rtol=1e-5, atol=1e-7)
    x = (current.detach() - 1.0).requires_grad_()
    spike_grad(x).sum().backward()
    assert torch.equal(x.grad, expected)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (surrogate.atan(2.0), snntorch.surrogate.atan(2.0)),
        (surrogate.fast_sigmoid(25.0), snntorch.surrogate.fast_sigmoid(25)),
        (surrogate.sigmoid(25.0), snntorch.surrogate.sigmoid(25)),
    ],
)
def test_surrogates_of_the_same_name_are_those_of_snntorch(ours, theirs):
    x = torch.linspace(-2, 2, 401)
    torch.testing.assert_close(
        surrogate.derivative(ours, x), surrogate.derivative(theirs, x), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["triangle", "rectangle", "atan", "sigmoid", "gaussian"])
def test_area_under_the_surrogate_is_one(name):
    x = torch.linspace(-200, 200, 400_001, dtype=torch.float64)
    assert torch.trapezoid(
        surrogate.SURROGATES[name](1.7).derivative(x), x
    ).item() == pytest.approx(1, abs=0.01)


def test_the_surrogate_is_swapped_without_touching_the_forward_pass():
    lif = snn.IF(1.0)
    current = torch.tensor([[[0.5, 1.5, 2.5]]], requires_grad=True)
    found = []
    for spike_grad in (surrogate.triangle(1.0), surrogate.rectangle(4.0)):
        lif.spike_grad = spike_grad
        spikes = lif(current, sequence=True)
        found.append((spikes.detach(), torch.autograd.grad(spikes.sum(), current)[0]))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1].flatten(), torch.tensor([0.5, 0.5, 0.0]))
    assert torch.equal(found[1][1].flatten(), torch.tensor([0.25, 0.25, 0.25]))


def test_a_spike_function_without_gradient_is_refused():
    lif = snn.IF(1.0, spike_grad=lambda x: (x > 0).float())
    current = torch.zeros(1, 1, 1, requires_grad=True)
    with pytest.raises(LayerError, match="be differentiable"):
        lif(current, sequence=True).sum().backward()


@pytest.mark.parametrize("value", [0, -1.0])
def test_a_surrogate_needs_a_positive_parameter(value):
    with pytest.raises(LayerError, match="must be above 0"):
        surrogate.triangle(value)
