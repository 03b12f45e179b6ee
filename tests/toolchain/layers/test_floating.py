"""Networks in floating point, and the flips that quantisation after training makes of their
spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import export
import toolchain.layers as snn
from export import metadata
from export.check import checked
from export.frameworks import trace
from export.neurons import discretize
from export.passes.subgraphs import flatten, without_virtual
from export.shapes import infer
from export.simulate import simulate
from export.trace import trace as ways_of
from toolchain.errors import LayerError
from toolchain.layers.floating import floating
from toolchain.studies import flips


def network(readout="spike_count", reset="zero", beta=0.875):
    """A convolution, a pool and a dense layer with random weights that lie on no grid."""
    torch.manual_seed(0)
    last = snn.LIF(beta=beta, reset=reset) if readout == "spike_count" else snn.LI(beta=beta)
    layers = {
        "conv": snn.Conv2d(1, 4, 3, padding=1),
        "lif": snn.LIF(beta=beta, reset=reset),
        "pool": snn.AvgPool2d(2),
        "flat": snn.Flatten(),
        "fc": snn.Linear(16, 3, source_fraction_bits=2),
        "out": last,
    }
    model = snn.Network(
        layers, input_shape=(1, 4, 4), message_bits=5, fraction_bits=3, decode=readout
    )
    with torch.no_grad():
        for layer in (model.conv, model.fc):
            layer.weight.mul_(2.5)
    return model


def normalised():
    """The same with batch normalisation, statistics and gains that are not 1."""
    torch.manual_seed(1)
    model = network("last_potential")
    model.conv = snn.Conv2d(1, 4, 3, padding=1, source_fraction_bits=3, norm=True)
    model.fc = snn.Linear(16, 3, source_fraction_bits=2, norm=snn.BatchNorm(3))
    for norm in (model.conv.norm, model.fc.norm):
        torch.nn.init.normal_(norm.running_mean, 0.0, 0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 2.0)
        torch.nn.init.normal_(norm.weight, 2.0, 0.5)
        torch.nn.init.normal_(norm.bias, 0.0, 0.1)
    return model


def test_batch_normalisation_in_floating_point_is_that_of_the_exported_weights():
    model = floating(normalised()).eval()
    quantised = normalised().eval()
    x = torch.randint(0, 12, (7, 6, 1, 4, 4)) / 8
    assert torch.allclose(model.conv(x), quantised.conv(x), atol=0.1)
    assert not torch.equal(model.conv(x), quantised.conv(x))
    assert model(x).shape == (7, 6, 3)
    weight, bias = model.conv.folded()
    node, _ = model.conv.nir_node((1, 4, 4))
    assert np.allclose(node.weight, weight.detach())
    assert np.allclose(node.bias, bias.detach())
    before = model.conv.norm.running_mean.clone()
    model.train()
    maps = model.conv(x)
    assert torch.allclose(maps.mean(dim=(0, 1, 3, 4)), model.conv.norm.bias, atol=1e-5)
    assert not torch.equal(model.conv.norm.running_mean, before)


def random_inputs(samples=6, steps=7):
    return np.random.default_rng(0).integers(0, 12, (samples, steps, 1, 4, 4))


@pytest.mark.parametrize(
    ("readout", "reset", "beta"),
    [
        ("spike_count", "zero", 0.875),
        ("spike_count", "subtract", 0.9),
        ("spike_count", "none", 1.0),
        ("last_potential", "zero", 1.0),
    ],
)
def test_the_graph_that_is_exported_computes_the_network(readout, reset, beta):
    """The exporter's own simulation of the graph in float64 gives the same spikes and
    potentials."""
    model = floating(network(readout, reset, beta))
    graph = trace(model)
    inputs = random_inputs()
    run = flips.run_floating(model, inputs)
    meta = metadata.of(checked(graph))
    flat = flatten(checked(graph))
    shapes = infer(flat.nodes, flat.edges)
    flat = without_virtual(flat)
    traced = ways_of(flat, shapes, 1.0)
    neurons = {
        n: discretize(n, flat.nodes[n], shapes[n][0], meta["nodes"].get(n, {}), 1.0, "euler")
        for n in traced.ways
    }
    result = simulate(traced, neurons, {"input": inputs / 8}, record=True)
    assert set(run.spikes) == ({"lif", "out"} if readout == "spike_count" else {"lif"})
    for name, spikes in run.spikes.items():
        assert 0 < spikes.sum() < spikes.size
        np.testing.assert_array_equal(result.spikes[name], spikes)
    last = (
        result.spikes["out"].sum(axis=1)
        if readout == "spike_count"
        else result.potentials["out"][:, -1]
    )
    np.testing.assert_allclose(run.scores, last, rtol=1e-5)


def test_observed_potentials_are_those_before_the_reset_and_carry_gradients():
    model = floating(network())
    x = torch.from_numpy(np.moveaxis(random_inputs(), 1, 0)).float() / 8
    with snn.observe(model) as seen:
        model(x)
    layer = seen.layers()["lif"]
    assert bool((layer.potential > layer.threshold).any())
    (layer.potential - layer.threshold).abs().sum().backward()
    assert float(model.conv.weight.grad.abs().sum()) > 0
    assert float(layer.threshold[0, 0, 0]) == 1.0


def test_only_what_has_a_floating_point_form_is_accepted():
    for layer in (
        snn.LIF(alpha=0.5),
        snn.LIF(refractory=1),
        snn.LIF(noise=0.1),
        snn.Recurrent(snn.LIF(), snn.Linear(3, 3)),
        snn.IF(),
    ):
        with pytest.raises(LayerError, match=r"floating.point"):
            floating(snn.Network({"fc": snn.Linear(2, 3), "out": layer}, input_shape=(2,)))
    model = floating(snn.Network({"fc": snn.Linear(2, 3), "out": snn.LIF()}, input_shape=(2,)))
    with pytest.raises(LayerError, match="a whole sample is run, from zero state"):
        model.out(torch.zeros(4, 1, 3), torch.ones(1, 3), sequence=True)


def two_layers(first, second):
    """Two layers of one neuron each: inputs (a, b) → first → second; hard resets, no leak, no
    bias."""
    layers = {
        "one": snn.Linear(2, 1, bias=False),
        "lif1": snn.LIF(),
        "two": snn.Linear(1, 1, bias=False),
        "lif2": snn.LIF(),
    }
    model = snn.Network(layers, input_shape=(2,))
    with torch.no_grad():
        model.one.weight.copy_(torch.tensor([first]))
        model.two.weight.copy_(torch.tensor([[second]]))
    return floating(model)


def counted(model, inputs, bits):
    program = export.lower(trace(model), weight_bits=bits).program
    return flips.flips(program, flips.run_floating(model, np.asarray(inputs)))


def test_flips_of_a_weight_that_three_bits_lose():
    """Of the weights 24 and 1.5 V three bits keep the first and make 0 of the second: its spikes
    vanish, and with them those behind."""
    inputs = [[[0, 1], [0, 1], [1, 0], [0, 0]], [[1, 0], [0, 0], [0, 0], [1, 0]]]
    found = counted(two_layers([24.0, 1.5], 1.5), inputs, 3)
    own = {"flips": 2, "comparisons": 8, "spikes": 5, "samples": 1}
    assert found["free"] == {"lif1": own, "lif2": own}
    assert found["forced"]["lif1"] == own | {"error": found["forced"]["lif1"]["error"]}
    assert found["forced"]["lif2"] == own | {"flips": 0, "samples": 0, "error": None}, (
        "no neuron was silent from the start"
    )


def test_weights_on_the_grid_flip_nothing_and_have_no_error():
    found = counted(
        two_layers([24.0, -12.0], 6.0), np.random.default_rng(1).integers(0, 2, (5, 9, 2)), 8
    )
    for mode in flips.MODES:
        for counts in found[mode].values():
            assert counts["flips"] == counts["samples"] == 0
            assert counts["spikes"] > 0
    assert max(counts["error"] for counts in found["forced"].values()) < 1e-12


def test_error_is_that_of_a_silent_neurons_potential():
    """Weights 12 and -0.03 V at 8 bits with steps of 12/127 at most: -0.03 becomes 0, and the
    potential is off by 0.03 V a step."""
    found = counted(two_layers([12.0, -0.03], 1.5), np.tile([0, 1], (2, 5, 1)), 8)
    assert found["forced"]["lif1"]["error"] == pytest.approx(0.15, abs=0.02)


def test_near_counts_potentials_within_the_width():
    run = flips.Floating(
        np.zeros(1),
        {},
        {"a": np.array([0.5, 0.95, 1.0, 1.09, 2.0])},
        {"a": np.array(1.0)},
        np.zeros(1),
    )
    assert flips.near(run, 0.1) == {"a": 0.6}
