"""How far a Program is from the floating-point graph that it was lowered from."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import export
import hardware
from export.errors import CalibrationError
from tests.examples import many
from tests.export.grid_graphs import chain
from tests.export.nodes import cuba, float_traces, full, inp, lif, out, spiking, volts

# how far from the graph


@settings(max_examples=many(60), deadline=None)
@given(st.data())
def test_potentials_stay_within_the_error_that_the_audit_states(data):
    """Below threshold, the error is a sum of the rounding errors in the audit, which decay with the
    states."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, m, steps, dt = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 5)), 30, 1e-3
    bits = data.draw(st.sampled_from([8, 8, 5, 3]))
    tau_mem, tau_syn = (
        data.draw(st.sampled_from([2e-3, 0.02, 0.3])),
        data.draw(st.sampled_from([1e-3, 4e-3, 0.05])),
    )
    weight, bias = rng.normal(0, 0.3, (m, n)), rng.normal(0, 0.05, m) * data.draw(st.booleans())
    weight[0, 0] = np.copysign(max(abs(weight[0, 0]), 0.1), weight[0, 0])  # all near 0 is refused
    kind = data.draw(st.sampled_from(["LI", "CubaLI", "I", "LIF"]))
    node = {
        "LI": nir.LI(tau=full(m, tau_mem), r=full(m, 1.5), v_leak=full(m, 0.1)),
        "LIF": lif(m, tau_mem, 1.5, 0.1, threshold=20),
        "CubaLI": nir.CubaLI(
            tau_syn=full(m, tau_syn),
            tau_mem=full(m, tau_mem),
            r=full(m, 2),
            v_leak=full(m, -0.1),
            w_in=full(m, 3),
        ),
        "I": nir.I(r=full(m, 0.5)),
    }[kind]
    graph = chain(
        ("in", inp(n)), ("w", nir.Affine(weight, bias)), ("n", node), ("out", out(m)), dt=None
    )
    x = rng.integers(0, 2, (2, steps, n))
    told = {"r_per": "step"} if kind == "I" else {"dt": dt}
    program, audit = export.lower(
        graph, **told, weight_bits=bits, per_channel=data.draw(st.booleans())
    )
    exact = float_traces(graph, {"in": x}, dt)
    found = volts(
        hardware.run(program, x, "reference", record=hardware.Record(True, True)), program, "n"
    )

    layer = audit.layer("n")

    def off(parameter):
        return float(np.max(np.abs(parameter.represented - parameter.values)))

    lsb = 2.0 ** -(program.metadata["fraction_bits"]["n"] + 6)
    weights = audit.layer("w", "projection").parameter("weight")
    into = np.abs(weights.represented - weights.values).sum(axis=1).max() + sum(
        off(p) for a in audit.layers for p in a.parameters if p.name == "bias"
    )
    decays = {
        p.name: (float(np.max(p.values)), off(p))
        for p in layer.parameters
        if p.name.endswith("decay")
    }
    biggest = np.abs(exact.potentials["n"]).max()
    current = exact.extremes["n"].current
    error_u = error_v = 0.0
    for step in range(steps):
        error_u = (
            error_u * (1 - decays["current_decay"][0] + decays["current_decay"][1])
            + decays["current_decay"][1] * current
            + into
            + lsb
        )
        error_v = (
            error_v * (1 - decays["voltage_decay"][0] + decays["voltage_decay"][1])
            + decays["voltage_decay"][1] * biggest
            + error_u
            + 2 * lsb
        )
        assert np.max(np.abs(found[:, step] - exact.potentials["n"][:, step])) <= error_v * (
            1 + 1e-9
        )
    assert bits < 8 or error_v < 0.2 * max(biggest, 0.5) * steps  # the bound says something


@pytest.mark.parametrize("discretization", ["euler", "exponential"])
def test_spiking_network_is_close_to_its_floating_point_self(discretization):
    rng = np.random.default_rng(3)
    graph = chain(
        ("in", inp(2, 8, 8)),
        (
            "conv",
            nir.Conv2d(
                None, rng.normal(0.05, 0.2, (6, 2, 3, 3)), 1, 1, 1, 1, rng.normal(0, 0.02, 6)
            ),
        ),
        ("a", spiking((6, 8, 8))),
        ("pool", nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))),
        ("flat", nir.Flatten(None, 0, -1)),
        ("w", nir.Affine(rng.normal(0.4, 2, (5, 96)), rng.normal(0.5, 1, 5))),
        ("b", cuba(5, tau_syn=0.004, tau_mem=0.01)),
        ("out", out(5)),
        dt=None,
    )
    x = rng.integers(0, 2, (4, 100, 2, 8, 8)) * (rng.random((4, 100, 2, 8, 8)) < 0.2)
    program, _ = export.lower(graph, dt=1e-3, discretization=discretization)
    recording = hardware.run(program, x, "fast", record=hardware.Record(True, True))
    exact = float_traces(graph, {"in": x}, 1e-3, discretization)
    for name in ("a", "b"):
        counts, wanted = recording.spikes[name].sum(axis=1), exact.spikes[name].sum(axis=1)
        assert wanted.sum() > 50
        assert np.abs(counts - wanted).sum() <= 0.02 * wanted.sum() + 4, name


def test_calibration_gives_long_time_constants_their_bits():
    """With a slow synapse the worst case leaves few bits for the weights; typical inputs give them
    back."""
    rng = np.random.default_rng(0)
    graph = chain(
        ("in", inp(200)),
        ("w", nir.Linear(rng.normal(0, 0.1, (3, 200)))),
        ("n", cuba(3, tau_syn=0.5)),
        ("out", out(3)),
        dt=None,
    )
    typical = (rng.random((4, 100, 200)) < 0.02).astype(np.uint8)
    worst, calibrated = (
        export.lower(graph, dt=1e-3),
        export.lower(graph, dt=1e-3, calibration=typical),
    )
    errors = [
        low.audit.layer("w", "projection").parameter("weight").rms_error
        for low in (worst, calibrated)
    ]
    assert errors[1] < errors[0] / 3
    assert any(
        "limited by the membrane potential (worst case)" in r
        for r in worst.audit.layer("n").reasons
    )
    assert any("calibration data, 2 times" in r for r in calibrated.audit.layer("n").reasons)
    exact = float_traces(graph, {"in": typical}, 1e-3)
    found = hardware.run(
        calibrated.program, typical, "reference", record=hardware.Record(True, True)
    )
    assert found.spikes["n"].sum() == pytest.approx(exact.spikes["n"].sum(), rel=0.1)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (np.zeros((2, 5, 3)), r"calibration data: input 'in': shape \(2, 5, 3\)"),
        (np.full((2, 5, 4), 0.5), "not whole numbers"),
        (np.full((2, 5, 4), 2), "values from 2 to 2"),
        ({"other": np.zeros((2, 5, 4))}, "inputs are other"),
    ],
)
def test_unusable_calibration_data_is_an_error(data, text):
    graph = chain(
        ("in", inp(4)), ("w", nir.Linear(np.ones((2, 4)))), ("n", spiking(2)), ("out", out(2))
    )
    with pytest.raises(CalibrationError, match=text):
        export.lower(graph, calibration=data)


def test_nothing_overflows_in_the_worst_case():
    """Every weight positive, every input on, slow synapse: neither the accumulator nor the current
    wraps."""
    graph = chain(
        ("in", inp(300)),
        ("w", nir.Linear(np.ones((2, 300)))),
        ("n", cuba(2, tau_syn=0.1, tau_mem=0.05, threshold=5.0)),
        ("out", out(2)),
        dt=None,
    )
    program, _ = export.lower(graph, dt=1e-3)
    x = np.ones((1, 600, 300), np.uint8)
    recording = hardware.run(program, x, "reference", record=hardware.Record(True, True))
    exact = float_traces(graph, {"in": x}, 1e-3)
    np.testing.assert_array_equal(recording.spikes["n"][0], exact.spikes["n"][0])
