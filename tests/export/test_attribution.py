"""What each rounding costs: with everything rounded the floating-point network is the Program."""

from __future__ import annotations

import json

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import export
import hardware
from export.attribution import GROUPS, attributed, outlier_of
from export.audit import Parameter
from export.errors import CalibrationError
from export.lower import beside
from export.rounded import Rounded
from tests.examples import many
from tests.export.grid_graphs import chain, grid_graphs
from tests.export.nodes import cuba, inp, out, spiking
from tests.export.test_precise import graphs

EVERYTHING = hardware.Record(spikes=True, potentials=True)


def same_as_the_program(graph, x, **how):
    """Every spike and potential of the simulation with all groups rounded, and of the Program."""
    (program, _), network = beside(graph, **how)
    arrays = x if isinstance(x, dict) else {program.inputs[0].name: x}
    found = Rounded(network, set(GROUPS)).run(network.real(arrays))
    recording = hardware.run(program, arrays, "reference", record=EVERYTHING)
    for name, part in network.parts.items():
        if name in recording.spikes:
            np.testing.assert_array_equal(found.spikes[name], recording.spikes[name])
        units = found.potentials[name] * part.scale * 64
        np.testing.assert_allclose(units, recording.potentials[name], rtol=0, atol=1e-4)
    return program, network


@settings(max_examples=many(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.sampled_from([8, 16, 4]), st.booleans())
def test_everything_rounded_is_the_program(drawn, bits, calibrated):
    graph, x = drawn
    more = {"calibration": x} if calibrated else {}
    told = {"reset": "zero", "r_per": "step", "weight_bits": bits}
    program, network = same_as_the_program(graph, x, **told, **more)
    found = attributed(program, network, x)
    wanted = Rounded(network, set()).run(network.real({program.inputs[0].name: x}))
    ran = hardware.run(program, x, "fast", record=EVERYTHING)
    assert found.outputs["m"]["all"] == (ran.spikes["m"] != wanted.spikes["m"]).sum()
    assert json.loads(json.dumps(found.to_dict()))["samples"] == 2
    assert "whole network" in found.table()


@settings(
    max_examples=many(100),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(grid_graphs())
def test_everything_rounded_is_the_program_of_graphs_with_a_grid(drawn):
    """Every reset, noise, refractory steps, delays, wrapping currents, integrators."""
    graph, inputs, _ = drawn
    same_as_the_program(graph, {n: x[None] for n, x in inputs.items()})


def outlying():
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.02, (20, 50))
    weight[3, 7] = -6
    nodes = [("in", inp(50)), ("w", nir.Linear(weight)), ("n", spiking(20, 0.5))]
    nodes += [("v", nir.Linear(np.eye(20)[:3])), ("m", spiking(3, 0.75)), ("out", out(3))]
    x = (rng.random((4, 100, 50)) < 0.2).astype(np.uint8)
    return chain(*nodes), x, {"reset": "zero", "r_per": "step", "per_channel": False}


def test_the_loss_is_laid_to_the_weights_and_to_their_outlier():
    graph, x, told = outlying()
    found = export.attribute(graph, x, **told)
    layer = found.layer("n")
    assert layer.differ["weights"] > 50
    assert layer.differ["weights"] == layer.projections["w"]
    assert layer.differ["decays"] == layer.differ["threshold"] == layer.differ["biases"] == 0
    # what reaches the second layer is exact but for what the first one lost
    assert found.layer("m").differ["all"] == 0
    assert found.outputs["m"]["weights"] > 0
    outlier = layer.outliers["w"]
    assert (outlier.value, outlier.at, outlier.count) == (-6, (3, 7), 1)
    assert "1 weight of 1,000 costs the others 6 bits" in found.table()
    precise = export.attribute(graph, x, weight_bits=16, **told)
    assert precise.layer("n").differ["weights"] < 0.05 * layer.differ["weights"]


def test_a_slow_leak_is_laid_to_its_decay():
    """0.00037 a step is 1.5 of 4,096, and becomes 2."""
    graph = chain(
        ("in", inp(1)),
        ("w", nir.Linear(np.full((1, 1), 0.5))),
        ("n", cuba(1, tau_syn=1e-3, tau_mem=2.7, threshold=0.05)),
        ("out", out(1)),
        dt=None,
    )
    x = (np.random.default_rng(0).random((4, 600, 1)) < 0.5).astype(np.uint8)
    found = export.attribute(graph, x, dt=1e-3, reset="zero").layer("n")
    assert found.differ["decays"] > 0
    assert found.differ["weights"] == 0


def test_an_integrator_is_measured_by_its_potential():
    graph = chain(
        ("in", inp(3)),
        ("w", nir.Linear(np.eye(3) / 3)),
        ("n", nir.I(r=np.ones(3))),
        ("out", out(3)),
    )
    x = np.ones((2, 20, 3), np.uint8)
    found = export.attribute(graph, x, r_per="step", weight_bits=2).layer("n")
    assert found.spikes is None
    assert 0 <= found.differ["weights"] < 1
    assert found.differ["decays"] == 0


@pytest.mark.parametrize(
    ("values", "count", "bits"),
    [
        ([1.0, 1.0, 1.0], 0, 0),
        ([1.0, *[0.1] * 200], 1, 3),
        ([1.0, 0.9, *[0.2] * 300], 2, 2),
        ([0.0, 0.0], 0, 0),
        ([5.0], 0, 0),
    ],
)
def test_outliers(values, count, bits):
    found = outlier_of(Parameter("weight", "V", np.array(values), np.zeros(len(values))))
    assert (found.count, found.bits) == (count, bits)


def test_inputs_that_do_not_fit_are_an_error():
    graph, x, told = outlying()
    with pytest.raises(CalibrationError, match="inputs: input 'in'"):
        export.attribute(graph, x[:, :, :3], **told)
