"""The audit: errors as stated, nothing left out, JSON and text."""

from __future__ import annotations

import json

import nir
import numpy as np
import pytest

import export
from export.audit import Audit, LayerAudit, Parameter
from tests.export.grid_graphs import chain


def test_errors_are_relative_to_what_was_wanted():
    p = Parameter("weight", "V", np.array([0.5, -0.2, 0.0, 0.1]), np.array([50, -19, 0, 0]), 0.01)
    np.testing.assert_allclose(p.represented, [0.5, -0.19, 0, 0])
    np.testing.assert_allclose(p.relative_error, [0, 0.05, 0, 1])
    assert p.max_error == pytest.approx(0.1 / 0.5)
    assert p.rms_error == pytest.approx(np.hypot(0.01, 0.1) / np.sqrt(0.25 + 0.04 + 0.01))
    assert not p.exact
    assert Parameter("x", "", np.float64(0), np.array(0), 1.0).exact
    invented = Parameter("x", "", np.array([0.0]), np.array([3]), 1.0)
    assert invented.to_dict()["max_relative_error"] is None
    assert not Parameter("x", "", np.array([1.0]), np.array([1]), 1.0, clipped=1).exact


def test_single_precision_counts_as_exact():
    assert Parameter("x", "", np.float64(np.float32(0.1)), np.array(1), 0.1).exact
    assert not Parameter("x", "", np.float64(0.1001), np.array(1), 0.1).exact


@pytest.fixture
def lowered():
    rng = np.random.default_rng(0)
    graph = chain(
        ("in", nir.Input(np.array([1, 6, 6]))),
        ("conv", nir.Conv2d(None, rng.normal(0, 1, (2, 1, 3, 3)), 1, 0, 1, 1, rng.normal(0, 1, 2))),
        ("pool", nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))),
        (
            "lif",
            nir.LIF(
                tau=np.full((2, 2, 2), 0.02),
                r=np.ones((2, 2, 2)),
                v_leak=np.full((2, 2, 2), 0.1),
                v_threshold=np.ones((2, 2, 2)),
            ),
        ),
        ("out", nir.Output(np.array([2, 2, 2]))),
        entries={"lif": {"reset": "subtract", "reset_amount_v": 0.9}},
    )
    return export.lower(graph)


def test_every_integer_of_the_program_is_in_the_audit(lowered):
    program, audit = lowered
    assert {(a.kind, a.name) for a in audit.layers} == {
        ("input", "in"), ("projection", "conv"), ("population", "lif"), ("output", "out")
    }  # fmt: skip
    conv = audit.layer("conv", "projection")
    assert conv.nodes == ("conv", "pool")
    np.testing.assert_array_equal(conv.parameter("weight").integers, program.projections[0].weights)
    population, layer = program.nodes["lif"], audit.layer("lif")
    assert [p.name for p in layer.parameters] == [
        "current_decay",
        "voltage_decay",
        "threshold",
        "reset_amount",
        "bias",
    ]
    for parameter in layer.parameters:
        np.testing.assert_array_equal(
            parameter.integers, getattr(population, parameter.name), err_msg=parameter.name
        )
    # each integer means what the graph says
    scale = 2.0 ** program.metadata["fraction_bits"]["lif"]
    assert layer.parameter("threshold").values == 1
    assert float(layer.parameter("threshold").represented) == pytest.approx(1, abs=1 / scale)
    assert float(layer.parameter("voltage_decay").values) == pytest.approx(0.05)
    bias = population.bias_state / (64 * scale)
    np.testing.assert_allclose(bias, layer.parameter("bias").represented)
    with pytest.raises(KeyError, match="no parameter 'tau'; it has current_decay"):
        layer.parameter("tau")
    with pytest.raises(KeyError, match="no layer 'pool'"):
        audit.layer("pool")


def test_json_holds_everything_but_the_arrays(lowered):
    text = json.dumps(lowered.audit.to_dict(), allow_nan=False)
    back = json.loads(text)
    assert back["verdict"] == "approximate"
    assert back["dt_s"] == 1e-3
    layer = next(x for x in back["layers"] if x["name"] == "lif")
    assert layer["statements"]["reset"] == {"value": "subtract", "source": "stated in the graph"}
    assert layer["statements"]["threshold_comparison"]["source"].startswith("assumed")
    weight = next(x for x in back["layers"] if x["name"] == "conv")["parameters"][0]
    assert weight["count"] == lowered.program.projections[0].weights.size
    assert weight["clipped"] == 0
    assert 0 < weight["rms_error"] < 0.05
    assert len(text) < 20_000


def test_table_has_a_line_for_every_parameter_and_reason(lowered):
    table = lowered.audit.table()
    for layer in lowered.audit.layers:
        assert layer.name in table
        for parameter in layer.parameters:
            assert parameter.name in table
        for reason in layer.reasons:
            assert f"{layer.name}: {reason}" in table
    assert "time step: 0.001 s (stated in the graph)" in table
    assert table.splitlines()[-1] == "verdict: approximate"


def test_the_worst_verdict_counts():
    layers = [
        LayerAudit("a", "population", "faithful"),
        LayerAudit("b", "population", "approximate"),
    ]
    assert Audit("x", None, "", tuple(layers)).verdict == "approximate"
    assert Audit("x", None, "", (*layers, LayerAudit("c", "Delay", "refused"))).verdict == "refused"
    assert Audit("x", None, "", ()).verdict == "faithful"
