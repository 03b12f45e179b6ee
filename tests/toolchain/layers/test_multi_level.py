"""Multi-level firing: the rule by hand, exactness against its Program, gradients, export, and what
is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

import export
import toolchain.layers as snn
from export.errors import UnsupportedError
from export.frameworks import trace
from hardware import Record, run
from hardware.comparison import compare
from tests.toolchain.layers.test_exported import assert_equal
from toolchain.data import Encoding
from toolchain.deploy import software
from toolchain.errors import ConfigError, CurrentRangeError, LayerError
from toolchain.models import Grid, Layer, Model, Neuron, build


def currents(values) -> torch.Tensor:
    """[time, 1, 1] from a list."""
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        # level 3 rises 2, 2.5, 2.625: above 2.6 in the third step, then from zero again
        ([2.0] * 5, [2, 2, 3, 2, 2]),
        # 1.5 leaves level 2 at 1.5 < 1.6; in the next step 0.375 + 1.25 = 1.625 is above it
        ([1.5, 1.25], [1, 2]),
        ([0.5, 0.5, 0.5], [0, 1, 0]),
        # a potential below zero stays: -1 + 2.625 = 1.625 is above two levels
        ([4.0, 0.0, -4.0, 2.625], [3, 0, 0, 2]),
    ],
)
def test_the_rule_by_hand(given_, expected):
    spikes = snn.MultiLevel()(currents(given_), sequence=True)
    assert spikes.flatten().tolist() == expected


def test_steps_and_sequence_are_the_same():
    torch.manual_seed(0)
    layer = snn.MultiLevel((0.5, 0.75), beta=0.5, refractory=1)
    given_ = torch.randint(-1024, 2048, (12, 3, 4)) / 1024
    states, found = layer.reset_mem(), []
    for step in given_:
        spikes, *states = layer(step, *states)
        found.append(spikes)
    assert torch.equal(torch.stack(found), layer(given_, sequence=True))


@pytest.mark.parametrize(
    ("volts", "slope"), [(0.7, 1.0), (1.109375, 2.0), (1.3125, 1.0), (2.375, 1.0), (3.5, 0.0)]
)
def test_the_gradient_is_the_sum_of_rectangles_of_width_one(volts, slope):
    # 1.109375 is within half a volt of 1.6 and of no other; the sum of two needs closer levels
    layer = snn.MultiLevel((0.75, 1.25) if slope == 2.0 else (0.6, 1.6, 2.6))
    current = torch.tensor([[[round(volts * 1024) / 1024]]], requires_grad=True)
    layer(current, sequence=True).sum().backward()
    assert current.grad.item() == slope


def network(seed: int, levels, beta: float, pool: bool) -> snn.Network:
    torch.manual_seed(seed)
    k = 2 if pool else 0
    layers = {
        "conv1": snn.Conv2d(1, 4, 3, padding=1, source_fraction_bits=4),
        "lif1": snn.MultiLevel(levels, beta=beta),
        **({"pool": snn.AvgPool2d(2)} if pool else {}),
        "conv2": snn.Conv2d(4, 3, 3, padding=1, source_fraction_bits=k, bias=False),
        "lif2": snn.MultiLevel(levels, beta=beta, refractory=seed % 2),
        "flatten": snn.Flatten(),
        "fc": snn.Linear(3 * (9 if pool else 36), 4),
        "readout": snn.LI(0.9),
    }
    for layer in layers.values():
        if isinstance(layer, snn.Conv2d):
            torch.nn.init.normal_(layer.weight, 0.1, 0.6)
    return snn.Network(
        layers, input_shape=(1, 6, 6), message_bits=6, fraction_bits=4, decode="last_potential"
    )


INPUTS = np.random.default_rng(1).integers(-4, 17, (3, 7, 1, 6, 6))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(0, 1000),
    st.lists(
        st.sampled_from([0.1, 0.3, 0.6, 1.0, 1.6, 2.6]), min_size=1, max_size=4, unique=True
    ).map(sorted),
    st.sampled_from([0.0, 0.25, 0.9, 1.0]),
    st.booleans(),
)
def test_random_networks_equal_their_programs(seed, levels, beta, pool):
    model = network(seed, levels, beta, pool)
    try:
        for target in ("reference", "fast"):
            assert_equal(model, INPUTS, target)
    except CurrentRangeError:
        reject()


def test_all_levels_fire_in_these_networks():
    model = network(0, (0.6, 1.6, 2.6), 0.25, True)
    with torch.no_grad():
        x = model.lif1(
            model.conv1(torch.from_numpy(INPUTS).float().transpose(0, 1) / 16), sequence=True
        )
    assert set(x.unique().tolist()) == {0.0, 1.0, 2.0, 3.0}


@pytest.mark.lava
def test_lava_gives_the_same():
    model = network(4, (0.6, 1.6, 2.6), 0.25, True)
    program, _ = export.lower(trace(model))
    everything, inputs = Record(spikes=True, potentials=True), {"input": INPUTS}
    comparison = compare(
        software.record(model, program, inputs, record=everything),
        run(program, inputs, "lava", record=everything),
    )
    assert comparison.identical, comparison.first


def test_the_program_has_a_population_for_each_level_and_the_audit_says_so():
    program, audit = export.lower(trace(network(0, (0.6, 1.6, 2.6), 0.25, False)))
    assert [p.name for p in program.populations if p.name.startswith("lif1")] == [
        "lif1.level1",
        "lif1.level2",
        "lif1.level3",
    ]
    first, second, third = (
        {p.target: p for p in program.into(f"lif1.level{n}")}[f"lif1.level{n}"] for n in (1, 2, 3)
    )
    assert np.array_equal(first.weights, second.weights)
    assert np.array_equal(first.weights, third.weights)
    assert any(
        note.startswith("lif1: multi-level firing at 0.6, 1.6, 2.6 V: 3 populations")
        for note in audit.notes
    )


def test_a_sum_of_populations_is_no_readout():
    model = torch.nn.Sequential(snn.Linear(4, 3))
    model.lif = snn.MultiLevel()
    model.forward = lambda x: model.lif(model[0](x), sequence=True)
    model.spikeport_io = lambda: {
        "input": {"shape": [4], "message_bits": 0},
        "output": {"decode": "spike_count"},
        "call": "sequence",
    }
    with pytest.raises(UnsupportedError, match="a sum of 3 populations"):
        trace(model)


@pytest.mark.parametrize("levels", [(), (0.6, 0.6), (1.6, 0.6), tuple(range(1, 10))])
def test_levels_that_are_refused(levels):
    with pytest.raises(LayerError, match="rising thresholds"):
        snn.MultiLevel(levels)


def built(layers, **neuron) -> snn.Network:
    return build(
        Model(layers=layers, readout="mean_potential"),
        Neuron(**neuron),
        Grid(),
        None,
        dataset="digits",
        encoding=Encoding(steps=3),
    )


def test_a_recipe_puts_levels_into_every_layer_but_the_last():
    model = built(
        (Layer("conv", channels=4, kernel=3, padding=1), Layer("dense", features=10)),
        levels=(0.6, 1.6),
        beta=0.25,
    )
    assert [float(level.threshold) for level in model.lif1.levels] == pytest.approx([0.6, 1.6])
    assert not model.readout.spiking
    assert_equal(model, np.random.default_rng(0).integers(0, 17, (2, 3, 1, 8, 8)))


@pytest.mark.parametrize("levels", [(), (0.0, 1.0), (1.0, 0.5)])
def test_a_recipe_with_unusable_levels_is_refused(levels):
    with pytest.raises(ConfigError, match="levels"):
        Neuron(levels=levels)


def test_a_recurrent_layer_of_several_levels_is_refused():
    with pytest.raises(ConfigError, match="recurrent"):
        built(
            (Layer("dense", features=5, recurrent=True), Layer("dense", features=10)),
            levels=(0.6, 1.6),
        )


def test_squeeze_and_excitation_trains_on_the_grid_and_no_chip_computes_it():
    torch.manual_seed(0)
    model = built(
        (
            Layer("conv", channels=8, kernel=3, padding=1),
            Layer("squeeze_excitation", reduction=4),
            Layer("dense", features=10),
        ),
        levels=(0.6, 1.6, 2.6),
    )
    x = torch.randint(0, 17, (3, 2, 1, 8, 8)) / 16
    spikes = model.lif1(model.conv1(x), sequence=True)
    weighed = model.squeeze2(spikes)
    gain = torch.sigmoid(
        model.squeeze2.excite(torch.relu(model.squeeze2.squeeze(spikes.mean((-2, -1)))))
    )
    assert torch.equal(weighed, spikes * (torch.round(gain * 16) / 16)[..., None, None])
    assert not torch.equal(weighed, spikes)
    model(x).sum().backward()
    assert model.squeeze2.excite.weight.grad.any()
    assert model.spikeport_io()["program"] is False
    assert "program" not in built((Layer("dense", features=10),)).spikeport_io()
    with pytest.raises(UnsupportedError, match="both depend on the data"):
        trace(model)
