"""What a chip does not compute ends in an error that names layer, operation and what is
accepted."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

from export.errors import ExportError, MissingInformationError, UnsupportedError
from export.frameworks import trace
from tests.export.frameworks import snntorch_models as models


class Between(models.Layers):
    """``function`` sits between lif1 and fc2."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        mem1 = mem2 = None
        out = []
        for frame in x:
            spk, mem1 = self.lif1(self.fc1(frame), mem1)
            last, mem2 = self.lif2(self.fc2(self.function(self, spk, mem1)), mem2)
            out.append(last)
        return torch.stack(out)


def written_behind_the_back(model, spk, mem):
    spk.data[:, 0] = 1 - spk.data[:, 0]
    return spk


def by_numpy(model, spk, mem):
    spk.numpy()[:, 0] = 7.0
    return spk


OPERATIONS = {
    "relu": (lambda m, s, v: functional.relu(s), r"'fc2'.*'relu'.*after 'lif1'"),
    "a module of it": (lambda m, s, v: nn.ReLU()(s), r"'relu'"),
    "the first of several": (lambda m, s, v: (functional.relu(s) + 1).view(-1, 8), r"'relu'"),
    "softmax": (lambda m, s, v: s.softmax(1), r"'softmax'"),
    "product": (lambda m, s, v: s * s, r"'mul'"),
    "tensor factor": (lambda m, s, v: s * torch.arange(8.0), r"'mul'"),
    "constant added": (lambda m, s, v: s + 1, r"'add'"),
    "comparison": (lambda m, s, v: (v > 0.5).float(), r"'gt'.*neuron module"),
    "potential": (lambda m, s, v: v, r"holds the potential of 'lif1'"),
    "potential mixed in": (lambda m, s, v: s + 0.1 * v, r"holds the potential of 'lif1'"),
    "sorted": (lambda m, s, v: s.sort(1).values, r"'sort'"),
    "concatenated with a constant": (
        lambda m, s, v: torch.cat([s[:, :4], torch.ones(len(s), 4)], 1),
        r"'cat'",
    ),
    "matrix": (lambda m, s, v: s @ torch.eye(8), r"'matmul'.*use nn.Linear"),
    "functional linear": (
        lambda m, s, v: functional.linear(s, torch.eye(8)),
        r"'linear'.*use the module",
    ),
    "max pooling of potentials": (
        lambda m, s, v: functional.max_pool1d(v.unsqueeze(1), 3, 1, 1).squeeze(1),
        r"'max_pool1d'.*use average pooling or a strided",
    ),
    "random": (lambda m, s, v: torch.bernoulli(s * 0.5), r"'bernoulli'.*encode the input before"),
    "dropout left on": (lambda m, s, v: functional.dropout(s, 0.5, training=True), r"'dropout'"),
    "constant": (lambda m, s, v: torch.ones(s.shape), r"does not come from the model's input"),
    "nothing": (lambda m, s, v: torch.zeros(s.shape), r"nothing but zeros"),
    "out of sight": (written_behind_the_back, r"changed them out of sight"),
    "numpy": (by_numpy, r"'numpy' takes numbers of 'lif1' out of their tensors"),
    "indexed write": (lambda m, s, v: s.index_fill(1, torch.tensor([0]), 1.0), r"'index_fill'"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation_between_layers(name):
    function, says = OPERATIONS[name]
    torch.manual_seed(0)
    with pytest.raises(UnsupportedError, match=says):
        trace(Between(function), torch.rand(4, 3, 12), time_first=True)


def test_where_it_happened():
    class Block(nn.Module):
        def forward(self, x):
            return torch.sigmoid(x)

    model = Between(lambda m, s, v: m.block(s))
    model.block = Block()
    with pytest.raises(
        UnsupportedError,
        match=r"layer 'fc2' \(Linear\).*operation 'sigmoid' \(in module 'block' \(Block\)\) after "
        r"'lif1'",
    ):
        trace(model, torch.rand(4, 3, 12), time_first=True)


class Loop(models.Layers):
    """``step(self, frame, index, state)`` → spikes of lif2; ``state`` is a dict for the whole
    run."""

    def __init__(self, step, **extra):
        super().__init__()
        self.step = step
        for name, module in extra.items():
            setattr(self, name, module)

    def forward(self, x):
        state = {"mem1": None, "mem2": None}
        return torch.stack([self.step(self, frame, index, state) for index, frame in enumerate(x)])


def plain(m, frame, state):
    spk, state["mem1"] = m.lif1(m.fc1(frame), state["mem1"])
    return spk


def last(m, spk, state):
    out, state["mem2"] = m.lif2(m.fc2(spk), state["mem2"])
    return out


def called_twice(m, frame, index, state):
    return last(m, plain(m, frame, state), state) + 0 * m.fc2(torch.zeros(frame.shape[0], 8))


def only_sometimes(m, frame, index, state):
    return last(m, plain(m, frame, state), state) if index != 1 else torch.zeros(frame.shape[0], 4)


def changing_factor(m, frame, index, state):
    return last(m, plain(m, frame * (index + 1), state), state)


def switching(m, frame, index, state):
    return last(
        m,
        plain(m, frame, state) if index < 2 else state.setdefault("old", plain(m, frame, state)),
        state,
    )


def damped(m, frame, index, state):
    spk = plain(m, frame, state)
    state["mem1"] = state["mem1"] * 0.5
    return last(m, spk, state)


def from_noise(m, frame, index, state):
    if index == 0:
        state["mem1"] = torch.rand(frame.shape[0], 8)
    return last(m, plain(m, frame, state), state)


def swapped_state(m, frame, index, state):
    spk = plain(m, frame, state)
    out = last(m, spk, state)
    state["mem1"] = torch.cat([state["mem2"], state["mem2"]], 1)
    return out


def over_two_layers(m, frame, index, state):
    back = m.back(state["spk2"]) if index else 0
    spk, state["mem1"] = m.lif1(m.fc1(frame) + back, state["mem1"])
    state["spk2"] = last(m, spk, state)
    return state["spk2"]


def two_steps_back(m, frame, index, state):
    old = state.setdefault("old", [torch.zeros(frame.shape[0], 8)] * 2)
    spk, state["mem1"] = m.lif1(m.fc1(frame) + m.back(old.pop(0)), state["mem1"])
    old.append(spk)
    return last(m, spk, state)


def late_bias(m, frame, index, state):
    current = m.fc1(frame) if not index else m.fc1(frame) + m.back(state["spk"])
    state["spk"], state["mem1"] = m.lif1(current, state["mem1"])
    return last(m, state["spk"], state)


def several_steps_at_once(m, frame, index, state):
    state.setdefault("sum", torch.zeros(frame.shape[0], 8))
    state["sum"] = state["sum"] + plain(m, frame, state)
    return last(m, state["sum"], state)


LOOPS = {
    "called twice a step": (
        called_twice,
        {},
        r"'fc2' \(Linear\): it receives nothing but zeros in 4 steps",
    ),
    "a neuron called twice a step": (
        lambda m, frame, index, state: last(
            m, plain(m, frame, state) + plain(m, frame, state), state
        ),
        {},
        r"'fc2' .*holds 'lif1' of two steps",
    ),
    "left out in a step": (
        only_sometimes,
        {},
        r"is 'input' in call 0 and 'input' of 1 step later in the last",
    ),
    "another factor in each step": (
        changing_factor,
        {},
        r"its input is 'input' in call 0 and 4 times 'input' in the last call",
    ),
    "another source in some steps": (
        switching,
        {},
        r"is 'lif1' in call 0 and 'lif1' of 1 step earlier in the last",
    ),
    "potential changed between steps": (damped, {}, r"mem is not what the layer returned"),
    "potential not zero at first": (from_noise, {}, r"mem is not zero in the first step"),
    "another layer's potential": (swapped_state, {}, r"mem is not what the layer returned"),
    "feedback over two layers": (
        over_two_layers,
        {"back": nn.Linear(4, 8, bias=False)},
        r"feedback from.*'lif2'",
    ),
    "feedback over two steps": (
        two_steps_back,
        {"back": nn.Linear(8, 8, bias=False)},
        r"one step later",
    ),
    "bias that sets in late": (
        late_bias,
        {"back": nn.Linear(8, 8)},
        r"bias is missing in the first step",
    ),
    "running sum as input": (several_steps_at_once, {}, r"of two steps"),
}


@pytest.mark.parametrize("name", LOOPS)
def test_steps_that_are_not_alike(name):
    step, extra, says = LOOPS[name]
    with pytest.raises(UnsupportedError, match=says):
        trace(Loop(step, **extra), torch.rand(4, 3, 12), time_first=True)


class Wrapped(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body, self.lif = body, snn.Leaky(0.5, init_hidden=True)

    def forward(self, x):
        return torch.stack([self.lif(self.body(frame)) for frame in x])


class Quantised(nn.Linear):
    """A subclass whose weights are not the ones that it shows."""

    def forward(self, x):
        return functional.linear(x, self.weight.round(), self.bias)


LAYERS = {
    "subclass": (Quantised(12, 5), (12,), r"not that of the plain layer"),
    "reflected border": (
        nn.Conv1d(1, 2, 3, padding=1, padding_mode="reflect"),
        (1, 12),
        r"padding_mode is 'reflect'",
    ),
    "NaN": (nn.Linear(12, 5), (12,), r"weight holds NaN or infinite values, the first at \[0, 3\]"),
    "batch statistics": (
        nn.Sequential(nn.Linear(12, 5), nn.BatchNorm1d(5, track_running_stats=False)),
        (12,),
        r"no running statistics",
    ),
    "linear over channels": (nn.Linear(4, 5), (3, 4), r"put a Flatten in front"),
    "max pooling": (nn.MaxPool2d(2), (1, 4, 4), r"'max_pool2d'.*strided convolution"),
    "transposed in three dimensions": (
        nn.ConvTranspose3d(1, 1, 2),
        (1, 4, 4, 4),
        r"conv_transpose3d",
    ),
    "three dimensions": (nn.Conv3d(1, 1, 2), (1, 4, 4, 4), r"conv3d"),
    "reshaped between": (
        nn.Sequential(nn.Linear(12, 4), nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 1, 1)),
        (12,),
        r"takes shape \(1, 2, 2\) from",
    ),
}
with torch.no_grad():
    LAYERS["NaN"][0].weight[0, 3] = float("nan")


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    body, shape, says = LAYERS[name]
    with pytest.raises(ExportError, match=says):
        trace(Wrapped(body), torch.rand(4, 3, *shape), time_first=True)


def test_a_factor_that_is_a_hook():
    model = Wrapped(nn.Linear(12, 5))
    model.body.register_forward_hook(lambda module, args, output: output * 2 + 1)
    with pytest.raises(UnsupportedError, match="not that of the plain layer"):
        trace(model, torch.rand(4, 3, 12), time_first=True)


CALLS = {
    "no model": (
        lambda: trace(len, torch.rand(4, 3, 12)),
        UnsupportedError,
        "it must be a torch.nn.Module",
    ),
    "no example": (
        lambda: trace(models.TimeLoop()),
        MissingInformationError,
        "needs example_input",
    ),
    "an array": (
        lambda: trace(models.TimeLoop(), np.zeros((4, 3, 12))),
        UnsupportedError,
        "it must be a tensor",
    ),
    "no features": (
        lambda: trace(models.TimeLoop(), torch.rand(4, 3), time_first=True),
        UnsupportedError,
        r"\[time, batch, ...\]",
    ),
    "no samples": (
        lambda: trace(models.TimeLoop(), torch.rand(4, 0, 12), time_first=True),
        UnsupportedError,
        "all sizes positive",
    ),
    "few steps": (
        lambda: trace(models.TimeLoop(), torch.rand(2, 3, 12), time_first=True),
        UnsupportedError,
        "there must be 3 or more",
    ),
    "NaN": (
        lambda: trace(models.TimeLoop(), torch.full((3, 3, 12), torch.nan), time_first=True),
        ExportError,
        "NaN",
    ),
    "both": (
        lambda: trace(models.single_step(), torch.rand(3, 12), time_first=True, single_step=True),
        UnsupportedError,
        "time_first must be None",
    ),
    "dt": (
        lambda: trace(models.TimeLoop(), torch.rand(3, 3, 12), time_first=True, dt=0.0),
        UnsupportedError,
        "positive number of seconds",
    ),
    "decode": (
        lambda: trace(models.TimeLoop(), torch.rand(3, 3, 12), time_first=True, decode="loudest"),
        UnsupportedError,
        "decode is 'loudest'",
    ),
    "wrong shape": (
        lambda: trace(models.TimeLoop(), torch.rand(3, 3, 11), time_first=True),
        UnsupportedError,
        "the model fails when it is called",
    ),
    "no layers": (
        lambda: trace(nn.ReLU(), torch.rand(3, 3, 11), time_first=True),
        UnsupportedError,
        "no layers that can be exported",
    ),
    "one step in a loop": (
        lambda: trace(models.single_step(), torch.rand(3, 12)),
        UnsupportedError,
        "single_step=True",
    ),
    "time as batch": (
        lambda: trace(models.single_step(), torch.rand(4, 3, 12), time_first=True),
        UnsupportedError,
        "'flatten'",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    call, error, says = CALLS[name]
    with pytest.raises(error, match=says):
        call()
