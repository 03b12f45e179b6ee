"""Nothing that a model computes is stated away: not at its end, not beside it, and by no option."""

from __future__ import annotations

import json
import re
import warnings

import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

from export.errors import ExportError, MissingInformationError, UnsupportedError
from export.frameworks import trace
from hardware.program import DECODINGS
from tests.export.frameworks import snntorch_models as models

EXAMPLE = torch.rand(4, 2, 12)


def notes_of(graph) -> list[str]:
    return json.loads(graph.metadata["spikeport"])["origin"]["notes"]


class Heaviside(torch.autograd.Function):
    """A surrogate gradient as people write it."""

    @staticmethod
    def forward(ctx, x):
        return (x > 0).float()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Silent(torch.autograd.Function):
    """The same with zeros as its spikes, which look like a constant."""

    @staticmethod
    def forward(ctx, x):
        return torch.clamp(x, max=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)

    @torch.jit.script
    def scripted(x):
        return (x > 1).to(x.dtype)


class Own(nn.Module):
    """A module of the user's; ``step(self, x)`` with a state that starts at 0."""

    def __init__(self, step):
        super().__init__()
        self.step, self.v = step, 0.0

    def forward(self, x):
        return self.step(self, x)


def fires(function):
    def step(own, x):
        own.v = 0.9 * own.v + x
        spikes = function(own.v)
        own.v = own.v - spikes
        return spikes

    return step


def integrates(own, x):
    own.v = 0.9 * own.v + x
    return own.v


def integrates_in_place(own, x):
    own.v = torch.zeros_like(x) if isinstance(own.v, float) else own.v
    own.v.mul_(0.5).add_(x)
    return own.v.clone()


def delays(own, x):
    before, own.v = own.v, x
    return torch.zeros_like(x) if isinstance(before, float) else before


def holds(own, x):
    own.v = torch.maximum(own.v if isinstance(own.v, torch.Tensor) else x, x)
    return own.v


def copies(own, x):
    held = torch.empty_like(x)
    held[:, :2].copy_(x[:, :2])
    held[:, 2:].zero_()
    return held


class Ends(models.Layers):
    """fc1 → lif1 → fc2 → lif2 → what is under test, step by step."""

    def __init__(self, end):
        super().__init__(init_hidden=True)
        self.end = end

    def forward(self, x):
        self.lif1.reset_mem(), self.lif2.reset_mem()
        return torch.stack([self.end(self.lif2(self.fc2(self.lif1(self.fc1(f))))) for f in x])


ENDS = {
    "a neuron": (fires(lambda v: (v > 1).float()), "'gt'"),
    "a neuron with a surrogate gradient": (fires(lambda v: Heaviside.apply(v * 0.5)), "'gt'"),
    "a neuron that is silent": (fires(Silent.apply), "'clamp'"),
    "a neuron in TorchScript": (fires(scripted), "'gt'"),
    "an integrator": (integrates, r"module 'end' \(Own\) keeps it in 'v'"),
    "an integrator in place": (integrates_in_place, r"module 'end' \(Own\) keeps it in 'v'"),
    "a delay": (delays, r"sum of 'lif2' over some steps.*module 'end' \(Own\) keeps it in 'v'"),
    "a maximum so far": (
        holds,
        r"'maximum'.*module 'end' \(Own\) keeps it in 'v': a neuron written by hand",
    ),
    "half of it, by copies into a view": (copies, "'copy'.*after 'end.slice'"),
    "a function": (lambda own, x: functional.relu(x), "'relu'"),
    "a matrix": (lambda own, x: x @ torch.eye(4), "'matmul'"),
    "numpy": (lambda own, x: torch.from_numpy(x.numpy() * 0), "'numpy'"),
    "some of the neurons": (lambda own, x: x[:, :2], "some elements of 'lif2'"),
    "groups of neurons": (lambda own, x: x.view(-1, 2, 2).sum(-1), "'sum'"),
    "another order": (lambda own, x: x.flip(1), "all in another order"),
    "twice": (lambda own, x: torch.cat([x, x], 1), "some elements of 'lif2'"),
    "softmax over the batch": (lambda own, x: x.softmax(0), "'softmax'"),
    "the larger of two": (lambda own, x: torch.max(x, torch.full_like(x, 0.5)), "'max'"),
    "a score of softmax": (lambda own, x: x.softmax(1)[:, :2], "'__getitem__'"),
    "the smallest": (lambda own, x: x.topk(2, largest=False)[0], "'topk'"),
    "a constant added": (lambda own, x: x + 0.25, "'add'"),
    "less than nothing": (lambda own, x: -x, "negative"),
}


@pytest.mark.parametrize("decode", [None, "spike_count"])
@pytest.mark.parametrize("name", ENDS)
def test_behind_the_last_neuron(name, decode):
    """Refused by the name of the module, its class and the operation, whatever is stated."""
    step, says = ENDS[name]
    with pytest.raises(UnsupportedError, match=says) as error:
        trace(Ends(Own(step)), EXAMPLE, time_first=True, decode=decode)
    assert "module 'end' (Own)" in str(error.value) or "'lif2'" in str(error.value)


def test_a_module_in_a_model_of_one_step():
    layers = models.Layers(init_hidden=True)
    own = Own(fires(lambda v: (v > 1).float()))
    model = nn.Sequential(layers.fc1, layers.lif1, layers.fc2, own)
    for decode in (None, *DECODINGS):
        with pytest.raises(UnsupportedError, match=r"'gt' \(in module '3' \(Own\)\)"):
            trace(model, EXAMPLE[0], single_step=True, decode=decode)


def behind_the_back(x):
    x.data[:, 0] = 1 - x.data[:, 0]
    return x


def in_a_view(x):
    x[:, 1].fill_(1.0)
    return x


@pytest.mark.parametrize("write", [behind_the_back, in_a_view])
def test_a_write_into_what_is_returned(write):
    with pytest.raises(
        UnsupportedError, match=r"the model's output: the numbers at its input|'fill"
    ):
        trace(Ends(Own(lambda own, x: write(x))), EXAMPLE, time_first=True)


class Residual(models.Layers):
    """What is under test stands beside lif1 and is added to its spikes."""

    def __init__(self, beside):
        super().__init__(init_hidden=True)
        self.beside = beside

    def forward(self, x):
        self.lif1.reset_mem(), self.lif2.reset_mem()
        out = []
        for frame in x:
            spikes = self.lif1(self.fc1(frame))
            out.append(self.lif2(self.fc2(spikes + self.beside(spikes))))
        return torch.stack(out)


@pytest.mark.parametrize("function", [Silent.apply, scripted, lambda v: v.clamp(max=0)])
def test_a_silent_neuron_in_a_branch_is_no_zero(function):
    silent = Own(lambda own, x: function(x * 0.5))
    with pytest.raises(UnsupportedError, match=r"layer 'fc2'.*\(in module 'beside' \(Own\)\)"):
        trace(Residual(silent), EXAMPLE, time_first=True)


class Returns(models.Layers):
    """``read(spikes of lif1, spikes of lif2, potentials of lif2)``, each [time, batch, n]."""

    def __init__(self, read, **extra):
        super().__init__()
        self.read = read
        for name, value in extra.items():
            setattr(self, name, value)

    def forward(self, x):
        mem1 = mem2 = None
        one, two, potentials = [], [], []
        for frame in x:
            spikes, mem1 = self.lif1(self.fc1(frame), mem1)
            last, mem2 = self.lif2(self.fc2(spikes), mem2)
            one.append(spikes), two.append(last), potentials.append(mem2)
        return self.read(torch.stack(one), torch.stack(two), torch.stack(potentials))


TWO = {
    "two outputs added": (lambda a, b, v: a[:, :, :4] + b, "some elements of 'lif1', 'lif2'"),
    "outputs of two layers added": (lambda a, b, v: a.sum(0)[:, :4] + b.sum(0), "'__getitem__'"),
    "two outputs in one": (lambda a, b, v: torch.cat([a.sum(0), b.sum(0)], 1), "'cat'"),
    "two readings of a layer": (
        lambda a, b, v: (b.sum(0), v[-1]),
        "in several ways, spike_count and last_potential; a Program reads a layer in one",
    ),
    "a second one that is not followed": (
        lambda a, b, v: (b, a.relu()),
        "output 2 of 2.*'relu'.*'lif1'",
    ),
    "a first one that is not followed": (lambda a, b, v: (a.relu(), b), "output 1 of 2.*'relu'"),
    "one in a dictionary": (lambda a, b, v: {"a": b, "b": b.sqrt()}, "output 2 of 2.*'sqrt'"),
    "an object": (lambda a, b, v: (b, Own(None)), "returns a Own, in which tensors are not seen"),
    "the last spikes": (lambda a, b, v: b[-1], "its spikes of the last step alone"),
    "whether it fired at all": (
        lambda a, b, v: (b.sum(0), b.max(0)[0]),
        "output 2 of 2 is the maximum over time",
    ),
    "all but the last step": (lambda a, b, v: b[:-1].sum(0), "'lif2' over 3 of 4 steps"),
    "weighted steps": (lambda a, b, v: b[0] + 2 * b[1] + b[2] + b[3], "factors that differ"),
}


@pytest.mark.parametrize("decode", [None, "spike_count"])
@pytest.mark.parametrize("name", TWO)
def test_what_is_returned_beside_it(name, decode):
    read, says = TWO[name]
    with pytest.raises(UnsupportedError, match=says):
        trace(Returns(read), EXAMPLE, time_first=True, decode=decode)


NOTED = {
    "hidden spikes": (lambda a, b, v: (b, a), "lif1: returned by the model as well, and an input"),
    "potentials": (
        lambda a, b, v: (b, v),
        "lif2: the model also returns its potential of every step",
    ),
    "last spikes": (lambda a, b, v: (b.sum(0), b[-1]), "also returns its spikes of the last step"),
    "a regulariser": (
        lambda a, b, v: (b, a.mean()),
        r"output 2 of 2 is one number for the whole batch, made by .*'mean'.*'lif1'",
    ),
    "zeros": (lambda a, b, v: (b, torch.zeros(2, 3)), "output 2 of 2 holds zeros"),
    "a constant": (lambda a, b, v: (b, torch.ones(2)), "holds a constant that does not depend"),
    "a number": (lambda a, b, v: (b, 4), "the model also returns 4, no tensor"),
    "a factor": (lambda a, b, v: b.sum(0) * 3, "returns it times 3; scores are without"),
    "softmax": (
        lambda a, b, v: b.sum(0).softmax(1).argmax(1),
        "applies softmax, argmax, which keeps",
    ),
    "softmax, reshaped": (
        lambda a, b, v: b.mean(0).softmax(-1).unsqueeze(-1),
        "mean of its spikes",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_no_output_stands_in_the_audit(name):
    read, says = NOTED[name]
    graph = trace(Returns(read), EXAMPLE, time_first=True)
    assert json.loads(graph.metadata["spikeport"])["nodes"]["output"] == {"decode": "spike_count"}
    assert any(re.search(says, note) for note in notes_of(graph)), notes_of(graph)


CONTRADICTED = {
    "a sum of spikes": (lambda a, b, v: b.sum(0), "last_potential", "reads it as spike_count"),
    "a mean potential": (lambda a, b, v: v.mean(0), "last_potential", "reads it as mean_potential"),
    "spikes alone": (lambda a, b, v: b, "last_potential", "returns its spikes, not its potential"),
    "potentials alone": (lambda a, b, v: v, "spike_count", "returns its potential, not its spikes"),
}


@pytest.mark.parametrize("name", CONTRADICTED)
def test_a_decode_replaces_nothing_that_the_model_does(name):
    read, decode, says = CONTRADICTED[name]
    with pytest.raises(UnsupportedError, match=f"decode is '{decode}', but the model {says}"):
        trace(Returns(read), EXAMPLE, time_first=True, decode=decode)


def test_a_decode_chooses_where_the_model_leaves_it_open():
    for decode in ("spike_count", "mean_potential"):
        graph = trace(Returns(lambda a, b, v: (b, v)), EXAMPLE, time_first=True, decode=decode)
        assert json.loads(graph.metadata["spikeport"])["nodes"]["output"] == {"decode": decode}


class ByAttribute(models.Layers):
    """Reads the potential as an attribute of the neuron, as models with init_hidden do."""

    def __init__(self, **leaky):
        super().__init__(init_hidden=True)
        self.lif2 = snn.Leaky(beta=0.5, init_hidden=True, **leaky)

    def forward(self, x):
        self.lif1.reset_mem(), self.lif2.reset_mem()
        potentials = []
        for frame in x:
            self.lif2(self.fc2(self.lif1(self.fc1(frame))))
            potentials.append(self.lif2.mem)
        return torch.stack(potentials)


def test_potentials_read_as_attributes():
    with pytest.raises(MissingInformationError, match=r"'lif2'.*state decode as"):
        trace(ByAttribute(), EXAMPLE, time_first=True)
    graph = trace(ByAttribute(), EXAMPLE, time_first=True, decode="mean_potential")
    assert ("lif2", "output") in graph.edges
    assert any("decoded as stated, mean_potential" in note for note in notes_of(graph))

    class Summed(ByAttribute):
        def forward(self, x):
            return super().forward(x).mean(0)

    graph = trace(Summed(reset_mechanism="none"), EXAMPLE, time_first=True)
    assert json.loads(graph.metadata["spikeport"])["nodes"]["output"] == {
        "decode": "mean_potential"
    }


def test_a_potential_read_as_an_attribute_is_no_input_of_a_layer():
    class Net(models.Layers):
        def __init__(self):
            super().__init__(init_hidden=True)

        def forward(self, x):
            out = []
            for frame in x:
                self.lif1(self.fc1(frame))
                out.append(self.lif2(self.fc2(self.lif1.mem)))
            return torch.stack(out)

    with pytest.raises(UnsupportedError, match="holds the potential of 'lif1'"):
        trace(Net(), EXAMPLE, time_first=True)


@pytest.mark.parametrize("name", ["item", "tolist", "__float__", "numpy", "__bool__", "equal"])
def test_numbers_that_leave_the_tensors(name):
    uses = {
        "item": lambda x: x * x.sum().item(),
        "tolist": lambda x: x * x.sum().tolist(),
        "__float__": lambda x: x * float(x.sum()),
        "numpy": lambda x: x * float(x.sum().numpy()),
        "__bool__": lambda x: x if x.sum() > 0 else 2 * x,
        "equal": lambda x: x if torch.equal(x, x) else 2 * x,
    }
    own = Own(lambda own, x: uses[name](x))
    with pytest.raises(
        UnsupportedError,
        match=rf"module 'end' \(Own\): the operation '{name}' takes numbers of 'lif2'",
    ):
        trace(Ends(own), EXAMPLE, time_first=True)


def test_decisions_by_the_input_are_noted():
    class Net(models.TimeLoop):
        def forward(self, x):
            if x.max() > 1:
                x = x / 255
            return super().forward(x)

    said = [n for n in notes_of(trace(Net(), EXAMPLE, time_first=True)) if "decides by" in n]
    assert said == [
        "the model (Net): decides by the numbers of its input ('__bool__'); traced is the way that "
        "it took"
    ]


class Bystander(models.TimeLoop):
    """Layers, parameters and numbers that take no part, or take it in silence."""

    def __init__(self):
        super().__init__()
        self.fc3, self.lif3 = nn.Linear(4, 4), snn.Leaky(beta=0.5)
        self.head = nn.Bilinear(2, 2, 2)
        self.gain, self.offset = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.zeros(12))
        self.unused = nn.Parameter(torch.ones(3))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x * self.gain + self.offset)


def test_what_takes_no_part_is_named():
    notes = notes_of(trace(Bystander(), EXAMPLE, time_first=True))
    wanted = {
        "fc3: never called, so left out (Linear)",
        "lif3: never called, so left out (Leaky)",
        "module 'head' (Bilinear): weight takes no part in what the model computes; left out",
        "the model (Bystander): unused takes no part in what the model computes; left out",
        "the model (Bystander): gain is read as the constant that it is now",
        "the model (Bystander): offset is read as the constant that it is now",
    }
    assert wanted <= set(notes), notes
    assert any(
        n.startswith("the model (Bystander): calls changes from step to step") for n in notes
    )
    assert not any(
        "takes no part" in n for n in notes_of(trace(models.TimeLoop(), EXAMPLE, time_first=True))
    )


def test_a_threshold_that_adapts_is_no_constant():
    class Net(Ends):
        def forward(self, x):
            self.lif1.threshold = torch.tensor(1.0)
            out = []
            for frame in x:
                out.append(self.lif2(self.fc2(self.lif1(self.fc1(frame)))))
                self.lif1.threshold = self.lif1.threshold + 0.1
            return torch.stack(out)

    with pytest.raises(
        UnsupportedError, match=r"layer 'lif1' .*: its threshold changes while the model runs"
    ):
        trace(Net(None), EXAMPLE, time_first=True)


def written_by_hand(steps: int) -> ExportError:
    """How the tracing of a neuron that is written in a loop ends."""

    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, 4)

        def forward(self, x):
            v, out = torch.zeros(x.shape[1], 4), []
            for frame in x:
                v = 0.9 * v + self.fc(frame)
                fired = (v > 1).to(x.dtype)
                v = v * (1 - fired)
                out.append(fired)
            return torch.stack(out)

    with pytest.raises(ExportError) as error:
        trace(ByHand(), torch.rand(steps, 2, 12), time_first=True)
    return error.value


def test_a_neuron_in_a_loop_grows_linearly():
    """With sources that multiplied, 40 steps would have taken 3^40 of them."""
    said = str(written_by_hand(40))
    assert "'gt' (in the model (ByHand)) after 'fc'" in said
    assert "use a neuron module such as snntorch.Leaky" in said
