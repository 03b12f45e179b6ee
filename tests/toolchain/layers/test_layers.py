"""The layers as a user calls them: snnTorch's form, states, and errors that name the layer and the
fix."""

from __future__ import annotations

import numpy as np
import pytest
import snntorch
import torch
from torch import nn

import toolchain.layers as snn
from toolchain.errors import CurrentRangeError, GridError, LayerError
from toolchain.layers.grid import mantissas


def weights_of(layer):
    weight, exponent = layer.quantised_weight()
    return mantissas(weight, exponent, layer.fraction_bits, layer.source_fraction_bits), exponent


@pytest.mark.parametrize("bits", [2, 4, 7, 8])
@pytest.mark.parametrize("granularity", ["layer", "channel"])
def test_weights_use_the_smallest_exponent_that_clips_none(bits, granularity):
    torch.manual_seed(bits)
    layer = snn.Linear(20, 6, weight_bits=bits, granularity=granularity, source_fraction_bits=1)
    with torch.no_grad():
        layer.weight.mul_(torch.tensor([0.1, 1.0, 3.0, 10.0, 30.0, 0.0])[:, None])
    integers, exponent = weights_of(layer)
    step = 1 << (9 - bits)
    assert not (integers % step).any()
    assert integers.min() >= -256
    assert integers.max() <= 256 - step
    unit = 2.0 ** (exponent.double() - layer.fraction_bits + 1)
    unit = unit[:, None] if exponent.dim() else unit
    assert ((integers * unit - layer.weight).abs() <= step * unit / 2 + 1e-7).all()
    smaller = torch.round(layer.weight.double() / (unit / 2) / step)
    too_large = ((smaller > 128 * 2 / step - 1) | (smaller < -128 * 2 / step)).any(1)
    assert (too_large | (exponent == 0)).all() if exponent.dim() else too_large.any()


def test_channels_of_different_size_keep_their_small_weights():
    layer = snn.Linear(1, 2, bias=False, granularity="channel")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[10.0], [0.01]]))
    assert weights_of(layer)[1].tolist() == [6, 0]
    assert layer.quantised_weight()[0].flatten().tolist() == [10.0, 10 / 1024]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "NaN or infinite"),
        (40.0, "use fewer fraction_bits"),
        (float("-inf"), "NaN or infinite"),
    ],
)
def test_weights_that_no_format_holds_are_refused(value, message):
    layer = snn.Linear(2, 1)
    snn.name_layers(nn.ModuleDict({"fc": layer}))
    with torch.no_grad():
        layer.weight[0, 0] = value
    with pytest.raises(LayerError, match=f"layer 'fc': .*{message}"):
        layer(torch.zeros(1, 2))


def test_a_bias_beyond_13_bits_takes_the_coarser_grid_then_a_constant_source_then_an_error():
    layer = snn.Linear(1, 2)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1 / 1024, 3.0]))
    assert (layer.quantised_bias() * 1024).tolist() == [1, 3072]
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.4 / 1024, 5.0]))
    assert (layer.quantised_bias() * 1024).tolist() == [2, 5120]
    with torch.no_grad():
        layer.bias[0] = 9.0 + 0.4 / 1024
    assert (layer.quantised_bias() * 1024).tolist() == [9216, 5120]  # from a constant source
    with torch.no_grad():
        layer.bias[0] = 40.0
    with pytest.raises(LayerError, match=r"it must be at most 31\.75 V"):
        layer(torch.zeros(1, 1))


def test_an_input_off_the_grid_is_refused_with_the_fix():
    neuron = snn.Leaky(0.9)
    neuron.layer_name = "lif1"
    with pytest.raises(GridError, match=r"layer 'lif1': .*toolchain.layers.Linear"):
        neuron(nn.Linear(3, 2)(torch.ones(1, 3)), neuron.reset_mem())
    with pytest.raises(GridError, match="nan V"):
        neuron(torch.full((1, 2), float("nan")), neuron.reset_mem())
    synapse = snn.Linear(3, 2)
    with pytest.raises(GridError, match=r"reads a value of 0.25.*source_fraction_bits=0"):
        synapse(torch.full((1, 3), 0.25))
    with pytest.raises(GridError, match="state"):
        neuron(torch.zeros(1, 2), torch.full((1, 2), 1e-6))


def test_a_current_that_would_wrap_is_refused_or_wraps_on_request():
    current = torch.tensor([[[150.0]]])
    with pytest.raises(CurrentRangeError, match=r"150 V.*at most 119.999 V.*overflow='wrap'"):
        snn.IF(1.0)(current, sequence=True)
    assert snn.LI(overflow="wrap")(current, sequence=True).item() == 150.0 - 256.0
    with pytest.raises(CurrentRangeError, match="float64"):
        snn.LI(overflow="wrap")(current * 200, sequence=True)
    assert snn.LI(overflow="wrap")(current.double() * 200, sequence=True).item() == pytest.approx(
        128, abs=0.01
    )  # wraps once only


def test_a_current_of_more_than_24_bits_is_carried_in_float64():
    # Lava wraps once, so a huge input leaves a current that float32 cannot hold after its first
    # decay
    neuron = snn.LI(beta=0.0, alpha=4095 / 4096)
    current = torch.tensor([[[9000.0]], [[0.0]], [[0.0]]])
    whole, _ = neuron(current, sequence=True, return_states=True)
    assert whole.dtype == torch.float64
    syn, mem = neuron.reset_mem()
    for step, cur in enumerate(current):
        syn, mem = neuron(cur, syn, mem)
        assert torch.equal(syn.double(), whole[step])


def test_a_sum_beyond_float32_is_exact():
    layer = snn.Linear(700, 1, bias=False, source_fraction_bits=0)
    with torch.no_grad():
        layer.weight.fill_(0.2)
        layer.weight[0, 0] = (
            0.0  # 0.2 V is 204 units; 699 of them times an odd large input need more than 24 bits
        )
    x = torch.full((1, 700), 1001.0)
    expected = 699 * 1001 * int(weights_of(layer)[0][0, 1])
    assert expected > 1 << 24
    result = layer(x)
    assert result.dtype == torch.float64
    assert result.item() * 1024 == expected


@pytest.mark.parametrize(
    "layer", [snn.Linear(6, 3, source_fraction_bits=2), snn.Conv1d(6, 3, 1, source_fraction_bits=2)]
)
def test_an_input_that_repeats_gives_what_its_copies_give(layer):
    torch.manual_seed(0)
    frame = (
        torch.randint(0, 4, (2, 6) if isinstance(layer, snn.Linear) else (2, 6, 5)) / 4
    ).requires_grad_()
    repeated, copies = frame.expand(4, *frame.shape), frame.repeat(4, *(1,) * frame.dim())
    weights = torch.randn(layer(copies).shape)
    found = [
        (layer(x), torch.autograd.grad((layer(x) * weights).sum(), [frame, layer.weight]))
        for x in (repeated, copies)
    ]
    assert torch.equal(found[0][0], found[1][0])
    for a, b in zip(found[0][1], found[1][1]):
        torch.testing.assert_close(a, b)


def test_synapses_take_single_samples_too():
    assert snn.Linear(3, 2)(torch.ones(3)).shape == (2,)
    assert snn.Conv2d(1, 2, 3)(torch.ones(1, 4, 4)).shape == (2, 2, 2)
    with pytest.raises(LayerError, match=r"it must be \[..., 1, height, width\]"):
        snn.Conv2d(1, 2, 3)(torch.ones(2, 4, 4))


def test_a_convolution_that_the_chip_would_wrap_is_refused():
    layer = snn.Conv2d(1, 1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(0.2)
    with pytest.raises(CurrentRangeError, match="accumulator holds less than 8388608"):
        layer(torch.full((1, 1, 1, 1), 60000.0))


@pytest.mark.parametrize("setting", ["autocast", "medium"])
def test_reduced_precision_changes_nothing(setting):
    torch.manual_seed(0)
    layer = snn.Linear(64, 64, source_fraction_bits=12)
    x = torch.randint(0, 4096, (16, 64)) / 4096
    expected = layer(x)
    if setting == "autocast":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(layer(x), expected)
        return
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(layer(x), expected)
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_a_leaky_neuron_is_snntorchs_where_no_rounding_happens(reset):
    torch.manual_seed(1)
    ours = snn.Leaky(beta=1.0, reset_mechanism=reset)
    theirs = snntorch.Leaky(beta=1.0, reset_mechanism=reset, reset_delay=False)
    current = torch.randint(-500, 700, (30, 4, 5)) / 1024
    mem, other = ours.reset_mem(), theirs.reset_mem()
    for cur in current:
        spk, mem = ours(cur, mem)
        expected, other = theirs(cur, other)
        assert torch.equal(spk, expected)
        assert torch.equal(mem, other)


def test_synaptic_is_snntorchs_where_no_rounding_happens():
    ours, theirs = (
        snn.Synaptic(alpha=1.0, beta=1.0),
        snntorch.Synaptic(alpha=1.0, beta=1.0, reset_delay=False),
    )
    torch.manual_seed(1)
    syn, mem = ours.init_synaptic()
    other_syn, other = theirs.reset_mem()
    for cur in torch.randint(-300, 310, (20, 2, 3)) / 1024:
        spk, syn, mem = ours(cur, syn=syn, mem=mem)
        expected, other_syn, other = theirs(cur, other_syn, other)
        assert torch.equal(spk, expected)
        assert torch.equal(syn, other_syn)
        assert torch.equal(mem, other)


@pytest.mark.parametrize(
    "arguments",
    [
        {"surrogate_disable": True},
        {"inhibition": True},
        {"state_quant": lambda x: x},
        {"graded_spikes_factor": 2.0},
        {"learn_graded_spikes_factor": True},
        {"reset_delay": True},
    ],
)
def test_what_no_chip_can_follow_is_refused(arguments):
    with pytest.raises(LayerError, match=f"{next(iter(arguments))}=.* no counterpart"):
        snn.Leaky(0.9, **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: snn.Leaky(1.1), "beta is 1.1"),
        (lambda: snn.Leaky(0.9, threshold=200.0), "threshold .* use fewer fraction_bits"),
        (lambda: snn.LIF(beta=0.9, voltage_decay=3), "beta and voltage_decay say the same"),
        (lambda: snn.LIF(voltage_decay=4097), "voltage_decay is 4097"),
        (lambda: snn.LIF(tau_mem=0.5), "tau_mem is 0.5"),
        (lambda: snn.LIF(learn_alpha=True), "learn_alpha without alpha"),
        (lambda: snn.LIF(reset="soft"), "zero, subtract, none"),
        (lambda: snn.LIF(refractory=-1), "refractory is -1"),
        (lambda: snn.LIF(overflow="saturate"), "error or wrap"),
        (lambda: snn.LIF(fraction_bits=18), "from 0 to 17"),
        (lambda: snn.Linear(2, 2, weight_bits=17), "weight_bits is 17"),
        (lambda: snn.Linear(2, 2, granularity="weight"), "layer or channel"),
        (lambda: snn.Conv2d(1, 1, 3, padding="same"), "padding 'same'"),
        (lambda: snn.AvgPool2d(3), "power of two"),
        (lambda: snn.SumPool2d(2, padding=2), "more than half"),
        (lambda: snn.SumPool2d((2, 2, 2)), "one or two"),
        (lambda: snn.Delay(63), "0 to 62"),
        (lambda: snn.Recurrent(snn.LI(), snn.Linear(2, 2)), "spiking one"),
        (lambda: snn.Recurrent(snn.IF(), snn.Linear(2, 2, fraction_bits=9)), "fraction_bits=9"),
        (lambda: snn.RLeaky(0.9), "linear_features"),
        (lambda: snn.RLeaky(0.9, conv2d_channels=1, kernel_size=2), "odd"),
    ],
)
def test_unusable_parameters_are_refused(make, message):
    with pytest.raises(LayerError, match=message):
        make()


def test_decays_may_be_given_in_three_ways():
    made = [
        snn.LIF(beta=0.75, alpha=0.5),
        snn.LIF(voltage_decay=1024, current_decay=2048),
        snn.LIF(tau_mem=4.0, tau_syn=2.0),
    ]
    for neuron in made:
        integers = neuron.integers((1,))
        assert (integers["voltage_decay"].item(), integers["current_decay"].item()) == (1024, 2048)
    assert snn.LIF().integers((1,))["voltage_decay"].item() == 0
    assert snn.LIF().integers((1,))["current_decay"].item() == 4096


def test_a_step_without_state_is_refused():
    with pytest.raises(LayerError, match=r"reset_mem\(\)"):
        snn.Leaky(0.9)(torch.zeros(1, 2))
    with pytest.raises(LayerError, match=r"syn, mem"):
        snn.Synaptic(0.9, 0.9)(torch.zeros(1, 2), mem=torch.zeros(1, 2))
    with pytest.raises(LayerError, match="1 states were given; this layer has 2"):
        snn.LIF(refractory=1)(torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(LayerError, match=r"shape \(3, 2\), the input \(1, 2\)"):
        snn.Leaky(0.9)(torch.zeros(1, 2), torch.zeros(3, 2))
    with pytest.raises(LayerError, match="sequence=True"):
        snn.Leaky(0.9)(torch.zeros(1, 2), torch.zeros(1, 2), return_states=True)
    with pytest.raises(LayerError, match="float16"):
        snn.Leaky(0.9)(torch.zeros(1, 2).half(), torch.zeros(1, 2))


def test_hidden_states_are_kept_until_reset():
    net = nn.Sequential(
        snn.Leaky(1.0, init_hidden=True),
        snn.Leaky(1.0, threshold=5.0, init_hidden=True, output=True),
    )
    current = torch.full((1, 1), 1.5)
    mems = [net(current)[1].item() for _ in range(3)]
    assert mems == [1.0, 2.0, 3.0]
    with pytest.raises(LayerError, match="reset_mem"):
        net(torch.zeros(2, 1))
    snn.reset(net)
    assert net(current)[1].item() == 1.0
    with pytest.raises(LayerError, match="init_hidden"):
        net[0](current, torch.zeros(1, 1))
    assert snn.LI(init_hidden=True)(current).item() == 1.5


def test_parameters_for_each_neuron_must_broadcast():
    neuron = snn.Leaky(torch.tensor([0.5, 1.0, 0.0]))
    mem = neuron(torch.ones(2, 4, 3) / 4, sequence=True, return_states=True)[1]
    assert mem[-1, 0].tolist() == [0.25 + 0.125, 0.5, 0.25]
    with pytest.raises(LayerError, match=r"beta has shape \(3,\)"):
        neuron(torch.zeros(2, 4, 2), sequence=True)


def test_a_refractory_neuron_rests_and_keeps_its_potential():
    neuron = snn.LIF(1.0, beta=1.0, reset="subtract", refractory=2)
    current = torch.full((6, 1, 1), 1.5)
    spikes, mem, rest = neuron(current, sequence=True, return_states=True)
    assert spikes.flatten().tolist() == [1, 0, 0, 1, 0, 0]
    assert mem.flatten().tolist() == [0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert rest.item() == 0 or rest.flatten()[-1] == 0


def test_delay_in_one_go_and_step_by_step():
    delay = snn.Delay(2)
    x = torch.arange(1.0, 6.0).reshape(5, 1, 1)
    whole = delay(x, sequence=True)
    assert whole.flatten().tolist() == [0, 0, 1, 2, 3]
    line, found = delay.reset_mem(), []
    for step in x:
        y, line = delay(step, line)
        found.append(y)
    assert torch.equal(torch.stack(found), whole)
    assert torch.equal(snn.Delay(0)(x, sequence=True), x)
    assert delay(x[:1], sequence=True).flatten().tolist() == [0]
    with pytest.raises(LayerError, match="needs its line"):
        delay(x[0])
    with pytest.raises(LayerError, match="the line has shape"):
        delay(x[0], torch.zeros(1, 1, 1))
    with pytest.raises(LayerError, match="empty line"):
        delay(x, line, sequence=True)


@pytest.mark.parametrize(
    "layer", [snn.RLeaky(0.9, linear_features=4), snn.RLeaky(0.9, conv2d_channels=2, kernel_size=3)]
)
def test_a_recurrent_layer_is_the_loop_over_steps(layer):
    torch.manual_seed(0)
    shape = (4,) if isinstance(layer.recurrent, snn.Linear) else (2, 3, 3)
    current = torch.randint(0, 900, (12, 2, *shape)) / 1024
    whole = layer(current, sequence=True, return_states=True)
    mem, spk = layer.neuron.reset_mem(), torch.zeros(2, *shape)
    state = layer.reset_mem()
    for step, cur in enumerate(current):
        spk, mem = layer.neuron(cur + layer.recurrent(spk), mem)
        state = layer(cur, *state)
        assert torch.equal(spk, whole[0][step])
        assert torch.equal(state[0], spk)
        assert torch.equal(state[1], mem)
    assert whole[0].any()
    with pytest.raises(LayerError, match="a step takes"):
        layer(current[0])
    with pytest.raises(LayerError, match="starts from zero"):
        layer(current, spk, sequence=True)


def small_network(**io):
    layers = {
        "fc": snn.Linear(4, 3, source_fraction_bits=io.get("fraction_bits", 0)),
        "lif": snn.Leaky(0.9),
    }
    return snn.Network(layers, input_shape=(4,), **io)


def test_a_network_reads_spikes_or_potentials():
    torch.manual_seed(0)
    x = torch.randint(0, 2, (6, 5, 4)).float()
    net = small_network()
    with torch.no_grad():
        net.fc.weight.mul_(4)
    trace = net(x)
    assert trace.any()
    assert torch.equal(net.scores(x), trace.sum(0))
    _, mem = net.lif(net.fc(x), sequence=True, return_states=True)
    for how, expected in (
        ("last_potential", mem[-1]),
        ("mean_potential", mem.mean(0)),
        ("max_potential", mem.amax(0)),
    ):
        other = small_network(decode=how)
        other.load_state_dict(net.state_dict())
        assert torch.equal(other.scores(x), expected)
        assert other.spikeport_io()["output"] == {"decode": how}


def test_a_recurrent_output_may_be_read_by_its_potential():
    torch.manual_seed(0)
    net = snn.Network(
        {"block": snn.RLeaky(0.9, linear_features=2)}, input_shape=(2,), decode="last_potential"
    )
    x = torch.ones(5, 1, 2)
    assert torch.equal(net.scores(x), net.block(x, sequence=True, return_states=True)[1][-1])


def test_a_network_refuses_what_it_cannot_read():
    with pytest.raises(LayerError, match=r"it must be \[time, batch, 4\]"):
        small_network()(torch.zeros(2, 4))
    with pytest.raises(GridError, match="binary spikes"):
        small_network()(torch.full((1, 1, 4), 2.0))
    with pytest.raises(LayerError, match="spike_count, last_potential"):
        small_network(decode="first")
    with pytest.raises(LayerError, match="last layer is Linear"):
        snn.Network({"fc": snn.Linear(1, 1)}, input_shape=(1,))
    with pytest.raises(LayerError, match="integrator"):
        snn.Network({"li": snn.LI()}, input_shape=(1,))
    with pytest.raises(LayerError, match="decode is 'first'"):
        snn.decode(torch.zeros(1, 1, 1), "first")


def test_errors_call_a_layer_by_its_path():
    net = snn.Network(
        {"a": snn.Linear(2, 2), "block": snn.RLeaky(0.9, linear_features=2)}, input_shape=(2,)
    )
    assert net.block.neuron.layer_name == "block.neuron"
    with pytest.raises(GridError, match="layer 'a'"):
        net.a(torch.full((1, 2), 0.5))


def test_nir_nodes_carry_the_exact_numbers():
    torch.manual_seed(0)
    layer = snn.Linear(4, 3, weight_bits=6, source_fraction_bits=2, granularity="channel")
    node, metadata = layer.nir_node((4,))
    integers, exponent = weights_of(layer)
    assert metadata["grid"] == {
        "weight_bits": 6,
        "fraction_bits": 10,
        "exponent": exponent.tolist(),
        "source_fraction_bits": 2,
    }
    np.testing.assert_array_equal(
        node.weight, integers.numpy() * 2.0 ** (exponent.numpy()[:, None] - 10 + 2)
    )
    assert np.array_equal(node.bias * 1024, np.round(node.bias * 1024))
    for layer, shape, kind in (
        (
            snn.Conv2d(2, 4, (3, 2), stride=2, padding=(1, 0), dilation=(1, 2), groups=2),
            (2, 6, 7),
            "Conv2d",
        ),
        (snn.Conv1d(2, 3, 2), (2, 5), "Conv1d"),
        (snn.Linear(3, 2, bias=False), (3,), "Linear"),
        (snn.AvgPool2d(2), (1, 4, 4), "AvgPool2d"),
        (snn.SumPool2d((2, 1), 1, (1, 0)), (1, 4, 4), "SumPool2d"),
        (snn.Flatten(), (2, 3), "Flatten"),
        (snn.Delay(3), (2,), "Delay"),
    ):
        node, _ = layer.nir_node(shape, 0.5)
        assert type(node).__name__ == kind
    with pytest.raises(LayerError, match=r"shape \(2, 2\)"):
        snn.Linear(4, 3).nir_node((2, 2))
    with pytest.raises(LayerError, match="2 channels"):
        snn.Conv2d(2, 4, 3).nir_node((1, 2, 2))


@pytest.mark.parametrize("dt", [1.0, 1e-3])
def test_nir_time_constants_give_the_decays_back(dt):
    for neuron, kind in (
        (snn.IF(), "IF"),
        (snn.LI(), "I"),
        (snn.LI(0.9), "LI"),
        (snn.Leaky(0.9), "LIF"),
        (snn.LIF(beta=torch.tensor([1.0, 0.5])), "LIF"),
        (snn.Synaptic(0.5, 1.0), "CubaLIF"),
        (snn.LI(0.9, alpha=1.0), "CubaLI"),
    ):
        node, metadata = neuron.nir_node((2,), dt)
        assert type(node).__name__ == kind
        integers = {n: v.numpy() for n, v in neuron.integers((2,)).items()}
        tau = getattr(node, "tau", getattr(node, "tau_mem", None))
        if tau is not None:
            np.testing.assert_array_equal(np.round(4096 * dt / tau), integers["voltage_decay"])
            np.testing.assert_allclose(node.r * dt / tau, 1, rtol=1e-12)
        if hasattr(node, "tau_syn"):
            np.testing.assert_array_equal(
                np.round(4096 * dt / node.tau_syn), integers["current_decay"]
            )
            np.testing.assert_allclose(node.w_in * dt / node.tau_syn, 1, rtol=1e-12)
        if neuron.spiking:
            np.testing.assert_array_equal(node.v_threshold, 1.0)
        else:
            assert "threshold" not in metadata["grid"]


def test_recurrence_is_two_nodes_and_a_loop():
    parts = snn.RLeaky(0.9, linear_features=2).nir_parts((2,))
    assert set(parts["nodes"]) == {"neuron", "recurrent"}
    assert parts["edges"] == [("neuron", "recurrent"), ("recurrent", "neuron")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_cuda_device_computes_the_same():
    torch.manual_seed(0)
    layers = {
        "conv": snn.Conv2d(2, 8, 3, padding=1, source_fraction_bits=3),
        "lif": snn.LIF(alpha=0.5, beta=0.9, refractory=1),
        "pool": snn.AvgPool2d(2),
        "flatten": snn.Flatten(),
        "fc": snn.Linear(8 * 16, 10, source_fraction_bits=2),
        "block": snn.RLeaky(0.9, linear_features=10),
    }
    net = snn.Network(layers, input_shape=(2, 8, 8), message_bits=5, fraction_bits=3)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    x = torch.randint(-16, 16, (10, 4, 2, 8, 8)) / 8
    found = []
    for device in ("cpu", "cuda"):
        net.to(device).zero_grad()
        trace = net(x.to(device))
        trace.sum().backward()
        found.append((trace.detach().cpu(), [p.grad.cpu() for p in net.parameters()]))
    assert found[0][0].any()
    assert torch.equal(found[0][0], found[1][0])
    for a, b in zip(found[0][1], found[1][1]):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
