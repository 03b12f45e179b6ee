"""Every estimator against a network written out as a loop, whose derivatives PyTorch or plain
formulas give."""

import math

import pytest
import torch
from torch import nn

import toolchain.layers as snn
from toolchain.attacks.base import AttackError
from toolchain.attacks.estimators import ESTIMATORS, make_estimator
from toolchain.attacks.estimators.adaptive import AdaptiveSharpness, PotentialDependent

STEPS, BATCH, INPUTS, NEURONS = 5, 3, 4, 3

# decays and thresholds that the grid holds exactly, and few enough steps that no potential is ever
# rounded
KINDS = {
    "integrate": {"threshold": 1.0},
    "leaky": {"threshold": 0.75, "beta": 0.5},
    "synaptic": {"threshold": 1.0, "alpha": 0.5, "beta": 0.5},
    "subtract": {"threshold": 1.0, "beta": 0.5, "reset": "subtract"},
    "each": {"threshold": [0.5, 1.0, 1.5], "beta": 0.5},
}


class Tiny(nn.Module):
    """4 inputs, 3 spiking neurons, 3 spiking neurons, potentials of 2 integrators."""

    def __init__(self, **neuron):
        super().__init__()
        torch.manual_seed(3)
        self.first = snn.Linear(INPUTS, NEURONS, bias=False, source_fraction_bits=4)
        self.one = snn.LIF(**neuron, spike_grad=snn.surrogate.atan(2.0))
        self.second = snn.Linear(NEURONS, NEURONS, bias=False)
        self.two = snn.LIF(**neuron, spike_grad=snn.surrogate.atan(2.0))
        self.third = snn.Linear(NEURONS, 2, bias=False)
        self.read = snn.LI(1.0)
        with torch.no_grad():
            for layer in (self.first, self.second, self.third):
                layer.weight.copy_(torch.randn(layer.weight.shape) * 0.8 + 0.3)
        for parameter in self.parameters():
            parameter.requires_grad_(False)

    def forward(self, x):
        x = self.two(self.second(self.one(self.first(x), sequence=True)), sequence=True)
        return self.read(self.third(x), sequence=True)


class _Hard(torch.autograd.Function):
    """A spike with any slope."""

    @staticmethod
    def forward(ctx, v, slope):
        ctx.save_for_backward(slope)
        return (slope * 0 + v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None


def loop(network: Tiny, x, slope):
    """The same network step by step on floats; ``slope(name, t, u)`` gives d spike / d u for u = (v
    - threshold) / threshold."""
    y = x
    for synapse, name in ((network.first, "one"), (network.second, "two")):
        neuron = getattr(network, name)
        threshold = neuron.threshold
        current, v, spikes = torch.zeros(BATCH, NEURONS), torch.zeros(BATCH, NEURONS), []
        for t in range(STEPS):
            current = (0 if neuron.alpha is None else neuron.alpha) * current + y[
                t
            ] @ synapse.quantised_weight()[0].T
            v = neuron.beta * v + current
            spike = _Hard.apply(
                v - threshold, slope(name, t, ((v - threshold) / threshold).detach()) / threshold
            )
            fired = spike.detach()
            v = v * (1 - fired) if neuron.reset == "zero" else v - threshold * fired
            spikes.append(spike)
        y = torch.stack(spikes)
    return (y @ network.third.quantised_weight()[0].T).cumsum(dim=0)


def inputs():
    return (
        torch.randint(
            0, 16, (STEPS, BATCH, INPUTS), generator=torch.Generator().manual_seed(1)
        ).float()
        / 16
    )


def gradient(forward, x):
    """Of a weighted sum of the trace, so that steps and outputs differ in what they count."""
    x = x.clone().requires_grad_()
    trace = forward(x)
    weights = torch.randn(trace.shape, generator=torch.Generator().manual_seed(2))
    return torch.autograd.grad((trace * weights).sum(), x)[0], trace.detach()


SLOPES = {
    ("training", None): lambda u: 1 / (1 + (math.pi * u) ** 2),
    ("triangle", 0.5): lambda u: (0.5 - u.abs()).clamp_min(0) / 0.25,
    ("triangle", 2.0): lambda u: (2 - u.abs()).clamp_min(0) / 4,
    ("rectangle", 1.5): lambda u: (u.abs() < 0.75).float() / 1.5,
    ("atan", 3.0): lambda u: 1.5 / (1 + (math.pi * 1.5 * u) ** 2),
    ("sigmoid", 4.0): lambda u: 4 * torch.sigmoid(4 * u) * torch.sigmoid(-4 * u),
    ("straight_through", None): torch.ones_like,
}
PARAMETER = {"triangle": "width", "rectangle": "width", "atan": "steepness", "sigmoid": "steepness"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "value"), SLOPES)
def test_surrogates_through_time(kind, name, value):
    network = Tiny(**KINDS[kind])
    estimator = make_estimator(name, {PARAMETER[name]: value} if value else {})
    with estimator.applied(network):
        found, trace = gradient(network, inputs())
    slope = SLOPES[name, value]
    if name == "training":
        # the training surrogate's width is in volts, not in thresholds
        thresholds = {n: getattr(network, n).threshold for n in ("one", "two")}
        expected, same = gradient(
            lambda x: loop(network, x, lambda n, t, u: slope(u * thresholds[n]) * thresholds[n]),
            inputs(),
        )
    else:
        expected, same = gradient(lambda x: loop(network, x, lambda n, t, u: slope(u)), inputs())
    assert torch.equal(trace, same)
    assert trace.abs().sum() > 0
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)
    if name != "rectangle":
        assert found.abs().sum() > 0


def rate_reference(network: Tiny, x, slopes, average: bool):
    """Layer by layer: gradient of the current = gradient of the spikes times a slope [time, batch,
    neuron] / threshold."""
    traces = {}
    loop_trace(network, x, traces)
    weights = torch.randn(STEPS, BATCH, 2, generator=torch.Generator().manual_seed(2))
    # read-out: cumulative sum over time, then a linear map
    upstream = weights.flip(0).cumsum(dim=0).flip(0) @ network.third.quantised_weight()[0]
    for synapse, name in ((network.second, "two"), (network.first, "one")):
        neuron = getattr(network, name)
        current = upstream * slopes(neuron, traces[name]) / neuron.threshold
        if neuron.alpha is not None:
            kept = [current[-1]]
            for t in range(STEPS - 2, -1, -1):
                kept.append(current[t] + neuron.alpha * kept[-1])
            current = torch.stack(kept[::-1])
        if average:
            current = current.mean(dim=0, keepdim=True).expand(STEPS, -1, -1)
        upstream = current @ synapse.quantised_weight()[0]
    return upstream


def loop_trace(network, x, traces):
    """Fill traces: name → (synaptic current, potential before reset, spikes), each [time, batch,
    neuron]."""
    y = x
    for synapse, name in ((network.first, "one"), (network.second, "two")):
        neuron, u, v, rows = getattr(network, name), 0, 0, []
        for t in range(STEPS):
            u = (0 if neuron.alpha is None else neuron.alpha) * u + y[
                t
            ] @ synapse.quantised_weight()[0].T
            v = neuron.beta * v + u
            spike = (v > neuron.threshold).float()
            rows.append((u, v, spike))
            v = v * (1 - spike) if neuron.reset == "zero" else v - neuron.threshold * spike
        traces[name] = tuple(torch.stack(parts) for parts in zip(*rows))
        y = traces[name][2]


def rga_slope(neuron, trace):
    x = trace[0].mean(dim=0) / neuron.threshold
    knee = 1 - neuron.beta
    middle = (1 - 0.2 + 0.2 * neuron.beta) / (neuron.beta + 1)
    return torch.where(
        (x >= knee) & (x <= 2),
        middle,
        torch.where((x >= 0) & (x < knee), torch.tensor(0.2), torch.tensor(0.0)),
    ).expand(STEPS, -1, -1)


RATES = {
    "bptr": (lambda n, t: (t[2].mean(dim=0) > 0).float().expand(STEPS, -1, -1), False),
    "rga": (rga_slope, False),
    "hart": (
        lambda n, t: (0.8 - ((t[1] - n.threshold) / n.threshold).abs()).clamp_min(0) / 0.64,
        True,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RATES)
def test_rates(kind, name):
    network = Tiny(**KINDS[kind])
    slopes, average = RATES[name]
    with make_estimator(name, {"gamma": 0.8} if name == "hart" else {}).applied(network):
        found, _ = gradient(network, inputs())
    expected = rate_reference(network, inputs(), slopes, average)
    assert found.abs().sum() > 0
    assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4)


def test_rga_of_an_if_neuron_is_one_half_up_to_two_thresholds():
    neuron = snn.IF(1.0)
    current = torch.tensor([0.0, 0.5, 2.0, 2.25, -0.5]).expand(4, 1, 5).clone().requires_grad_()
    with make_estimator("rga").applied(neuron):
        neuron(current, sequence=True).sum().backward()
    assert current.grad[0, 0].tolist() == [0.5, 0.5, 0.5, 0.0, 0.0]


@pytest.mark.parametrize("name", ["hart"])
def test_resting_neurons_pass_nothing(name):
    neuron = snn.IF(1.0, refractory=2)
    current = torch.full((3, 1, 1), 1.5).requires_grad_()
    with make_estimator(name, {"gamma": 1.0}).applied(neuron):
        neuron(current, sequence=True).sum().backward()
    # fires in step 0 (u = 0.5, slope 0.5) and rests in steps 1 and 2; then the mean over three
    # steps
    assert torch.allclose(current.grad.flatten(), torch.full((3,), 0.5 / 3))


def assg_reference(memory, names):
    """A slope for ``loop`` that keeps its own moments in ``memory``."""

    def slope(name, t, u):
        mean, spread = memory.get((name, t), (torch.ones_like(u), torch.zeros_like(u)))
        if names:
            mean = 0.9 * mean + 0.1 * u.abs()
            spread = 0.9 * spread + 0.1 * (u.abs() - mean).abs()
            memory[name, t] = mean, spread
        a = 2 / math.pi * math.tan(math.pi * 0.8 / 2) / (mean + 1.5 * spread + 1e-4)
        return a / 2 / (1 + (math.pi / 2 * a * u) ** 2)

    return slope


@pytest.mark.parametrize("kind", KINDS)
def test_assg_learns_over_iterations_and_rests_when_frozen(kind):
    network, memory = Tiny(**KINDS[kind]), {}
    estimator = AdaptiveSharpness(degree=0.8)
    estimator.begin()
    learning, resting = (assg_reference(memory, names) for names in (True, False))
    steps = [inputs(), inputs() / 2, inputs(), inputs()]
    for number, x in enumerate(steps):
        x = (x * 16).round() / 16
        frozen = number == 2
        with estimator.applied(network, frozen=frozen):
            found, _ = gradient(network, x)
        expected, _ = gradient(lambda v, f=frozen: loop(network, v, resting if f else learning), x)
        assert torch.allclose(found, expected, atol=1e-5, rtol=1e-4), number
    estimator.begin()
    with estimator.applied(network):
        again, _ = gradient(network, steps[0])
    fresh, _ = gradient(lambda v: loop(network, v, assg_reference({}, True)), steps[0])
    assert torch.allclose(again, fresh, atol=1e-5, rtol=1e-4)


def test_assg_refuses_other_samples_without_begin():
    network, estimator = Tiny(), AdaptiveSharpness()
    with estimator.applied(network):
        gradient(network, inputs())
    with estimator.applied(network):
        x = inputs()[:, :2].clone().requires_grad_()
        trace = network(x)
    with pytest.raises(AttackError, match="call begin"):
        trace.sum().backward()


@pytest.mark.parametrize("per_sample", [False, True])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_pdsg_density(per_sample, shape):
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(3, 5, *shape, generator=generator)
    found = PotentialDependent(per_sample).slope(u, ("n", 0), False)
    for t in range(3):
        for b in range(5):
            for channel in range(shape[0]):
                seen = u[: t + 1] if not per_sample else u[: t + 1, b : b + 1]
                if len(shape) > 1 or not per_sample:
                    seen = seen[:, :, channel]
                sigma = float(seen.std()) if seen.numel() > 1 else 1.0
                expected = (
                    torch.distributions.Normal(sigma / 2, sigma).log_prob(u[t, b, channel]).exp()
                )
                assert torch.allclose(found[t, b, channel], expected, atol=1e-5)


def test_pdsg_of_a_single_constant_value():
    found = PotentialDependent().slope(torch.zeros(2, 1, 1), ("n", 0), False)
    assert torch.allclose(
        found, torch.distributions.Normal(0.5, 1.0).log_prob(torch.tensor(0.0)).exp()
    )


def test_batch_mates_change_pdsg_only():
    x = inputs()
    for name, entry in ESTIMATORS.items():
        network = Tiny(**KINDS["leaky"])
        found = []
        for part in (slice(None), slice(1, 2)):
            estimator = make_estimator(name)
            with estimator.applied(network):
                point = x[:, part].clone().requires_grad_()
                found.append(torch.autograd.grad(network(point).sum(), point)[0])
        assert torch.allclose(found[0][:, 1:2], found[1], atol=1e-6) != entry.batch_dependent, name
    assert [n for n, e in ESTIMATORS.items() if e.batch_dependent] == ["pdsg"]


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_the_same_and_everything_is_put_back(name, kind):
    network = Tiny(**KINDS[kind])
    before = {
        n: (m.spike_grad, m.backward_rule, len(m._forward_pre_hooks))
        for n, m in network.named_modules()
        if hasattr(m, "spike_grad")
    }
    plain = network(inputs())
    with make_estimator(name).applied(network):
        assert torch.equal(network(inputs()), plain)
    with pytest.raises(RuntimeError, match="inside"), make_estimator(name).applied(network):
        raise RuntimeError("inside")
    assert before == {
        n: (m.spike_grad, m.backward_rule, len(m._forward_pre_hooks))
        for n, m in network.named_modules()
        if hasattr(m, "spike_grad")
    }


class Stepwise(nn.Module):
    """An snnTorch network that is called step by step."""

    def __init__(self):
        super().__init__()
        import snntorch

        torch.manual_seed(0)
        self.synapse = nn.Linear(INPUTS, NEURONS)
        self.neuron = snntorch.Leaky(beta=0.5, threshold=0.3)

    def forward(self, x):
        mem, found = self.neuron.reset_mem(), []
        for step in x:
            spk, mem = self.neuron(self.synapse(step), mem)
            found.append(spk)
        return torch.stack(found)


def test_snntorch_neurons_take_surrogates_and_refuse_rates():
    network, x = Stepwise(), inputs().requires_grad_()
    plain = network(x)
    gradients = {}
    for name in ("training", "atan", "straight_through", "pdsg", "assg"):
        with make_estimator(name).applied(network):
            trace = network(x)
        assert torch.equal(trace, plain)
        gradients[name] = torch.autograd.grad(trace.sum(), x)[0]
        assert gradients[name].abs().sum() > 0
    # snnTorch's own surrogate is the arctangent of steepness 2 in volts; ours is in thresholds
    with make_estimator("atan", {"steepness": 2.0 * 0.3}).applied(network):
        same = torch.autograd.grad(network(x).sum(), x)[0]
    assert torch.allclose(same, gradients["training"], atol=1e-6)
    for name in ("bptr", "rga", "hart"):
        with (
            pytest.raises(AttackError, match="Leaky; it must be one of toolchain"),
            make_estimator(name).applied(network),
        ):
            pass


def test_rates_refuse_recurrent_layers_by_name():
    layer = snn.RLeaky(0.5, linear_features=3)
    x = torch.ones(3, 1, 3).requires_grad_()
    with make_estimator("hart").applied(layer), pytest.raises(Exception, match="step by step"):
        layer(x, sequence=True)
    for name in ("atan", "assg", "pdsg"):
        with make_estimator(name).applied(layer):
            spikes = layer(x, sequence=True)
        assert torch.isfinite(torch.autograd.grad(spikes.sum(), x)[0]).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: make_estimator("nothing"), "there is no estimator 'nothing'"),
        (lambda: make_estimator("atan", {"width": 1}), "width"),
        (lambda: make_estimator("triangle", {"width": 0}), "positive"),
        (lambda: make_estimator("hart", {"gamma": -1}), "positive"),
        (lambda: make_estimator("assg", {"degree": 1.0}), "between 0 and 1"),
    ],
)
def test_refused(make, said):
    with pytest.raises(AttackError, match=said):
        make()


def test_a_model_without_spiking_neurons_is_refused():
    with (
        pytest.raises(AttackError, match="finds no spiking neuron"),
        make_estimator("atan").applied(nn.Linear(2, 2)),
    ):
        pass


def test_a_rule_leaves_the_gradient_of_potentials_exact():
    """A spiking layer whose potential is read as well: the rule replaces what comes through spikes,
    and only that."""
    neuron = snn.LIF(1.0, beta=0.5)
    current = (
        torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(0)) * 1024
    ).round() / 1024

    def gradient_of(parts, estimator):
        x = current.clone().requires_grad_()
        with make_estimator(estimator).applied(neuron):
            spikes, mem = neuron(x, sequence=True, return_states=True)
        return torch.autograd.grad(
            sum({"spikes": spikes.sum(), "mem": (mem**2).sum()}[p] for p in parts), x
        )[0]

    expected = gradient_of(["spikes"], "bptr") + gradient_of(["mem"], "training")
    assert torch.allclose(gradient_of(["spikes", "mem"], "bptr"), expected, atol=1e-6)
    assert not torch.allclose(gradient_of(["spikes", "mem"], "training"), expected, atol=1e-3)


def test_cba_is_the_activations_slope_at_the_mean_current():
    current = torch.tensor([0.0, 0.5, 0.75, 1.25, -0.5]).expand(4, 1, 5).clone()
    for clamp, slopes in ((False, [0, 1, 1, 1, 0]), (True, [0, 1, 1, 0, 0])):
        x = current.clone().requires_grad_()
        neuron = snn.IF(1.0)
        with make_estimator("cba", {"clamp": clamp}).applied(neuron):
            neuron(x, sequence=True).sum().backward()
        assert x.grad[2, 0].tolist() == slopes


def test_hart_mix_is_the_mean_of_both_gradients(victim, some):
    from toolchain.attacks.base import Threat
    from toolchain.attacks.search import Search

    def gradient(name):
        search = Search(
            victim, some[0][:4], some[1][:4], Threat("linf", 0.1), estimator=make_estimator(name)
        )
        return search.gradient(search.clean)[0], int(search.queries[0])

    (hart, one), (training, _), (mixed, both) = (
        gradient(n) for n in ("hart", "training", "hart_mix")
    )
    assert torch.allclose(mixed, (hart + training) / 2, atol=1e-7)
    assert not torch.allclose(hart, training, atol=1e-4)
    assert both == one + 1


def test_a_rule_estimator_refuses_a_neuron_that_feeds_back():
    from toolchain.attacks.base import NotApplicable

    layer = snn.RLeaky(0.75, linear_features=5)
    with (
        make_estimator("bptr").applied(layer),
        pytest.raises(NotApplicable, match="called step by step"),
    ):
        layer(torch.zeros(3, 1, 5), sequence=True)
    layer(torch.zeros(3, 1, 5), sequence=True)
