"""Neurons in discrete time, against NIR's differential equations solved in small loops written out
here."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.check import checked
from export.errors import MissingInformationError, RefusedError, UnsupportedError
from export.lower import lower
from export.neurons import SETTLING, compensated, discretize
from export.operators import Triples
from export.passes.subgraphs import flatten
from export.shapes import infer
from export.simulate import Extremes, _State, by_delay, execution_order
from export.trace import trace
from tests.examples import many
from tests.export.grid_graphs import chain
from tests.export.nodes import cuba, float_traces, full, inp, lif, out, spiking

positive = st.floats(0.2, 3)


def trace_of(node, x, dt, discretization="euler"):
    """Potentials of one neuron that gets x[t] as input."""
    graph = chain(
        ("in", inp(1)), ("w", nir.Linear(np.ones((1, 1)))), ("n", node), ("out", out(1)), dt=None
    )
    return float_traces(graph, {"in": x.reshape(1, -1, 1)}, dt, discretization)


@settings(max_examples=many(60), deadline=None)
@given(
    st.floats(1e-3, 0.1),
    st.floats(1e-3, 0.1),
    positive,
    positive,
    st.floats(-1, 1),
    st.integers(0, 2**32 - 1),
)
def test_states_are_forward_euler_of_nirs_equations(tau_mem, tau_syn, r, w_in, leak, seed):
    dt, x = 1e-3, np.random.default_rng(seed).normal(0, 1, 25)
    one = np.ones(1)
    current = v = li = integrator = 0.0
    wanted = {"cuba": [], "li": [], "i": []}
    for value in x:
        current += dt / tau_syn * (-current + w_in * value)
        v += dt / tau_mem * (leak - v + r * current)
        li += dt / tau_mem * (leak - li + r * value)
        integrator += r * value
        for name, state in (("cuba", v), ("li", li), ("i", integrator)):
            wanted[name].append(state)
    nodes = {
        "cuba": nir.CubaLI(
            tau_syn=tau_syn * one,
            tau_mem=tau_mem * one,
            r=r * one,
            v_leak=leak * one,
            w_in=w_in * one,
        ),
        "li": nir.LI(tau=tau_mem * one, r=r * one, v_leak=leak * one),
        "i": nir.I(r=r * one),
    }
    for name, node in nodes.items():
        found = trace_of(node, x, dt).potentials["n"].ravel()
        np.testing.assert_allclose(found, wanted[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_exponential_is_the_exact_solution_for_constant_input():
    dt, tau, r, leak = 1e-3, 0.004, 2.0, 0.3
    node = nir.LI(tau=full(1, tau), r=full(1, r), v_leak=full(1, leak))
    found = trace_of(node, np.full(20, 0.7), dt, "exponential").potentials["n"].ravel()
    time = dt * np.arange(1, 21)
    np.testing.assert_allclose(found, (leak + r * 0.7) * (1 - np.exp(-time / tau)), rtol=1e-12)


@pytest.mark.parametrize("tau", [0.0251, 0.0249, 0.1, 0.17])
def test_the_gain_makes_up_for_rounded_decays(tau):
    """No other gain has a smaller largest deviation from the exact answer to a constant input, over
    all times."""
    neuron = discretize(
        "n",
        nir.LI(tau=full(1, tau), r=full(1, 1), v_leak=full(1, 0)),
        (1,),
        {},
        1e-3,
        "exponential",
    )
    rounded = np.rint(float(neuron.voltage_decay) * 4096) / 4096
    steps = np.arange(1, int(20 * tau / 1e-3))
    exact = 1 - np.exp(-steps * 1e-3 / tau)

    def deviation(gain: float) -> float:
        return np.abs(gain * (1 - (1 - rounded) ** steps) / rounded - exact).max()

    made_up = compensated(neuron)
    error = abs(rounded / float(neuron.voltage_decay) - 1)
    assert deviation(float(made_up.gain)) == pytest.approx((1 - SETTLING) * error, rel=0.15)
    for other in np.linspace(-2, 2, 41) * error:
        assert deviation(float(made_up.gain)) <= deviation(float(neuron.gain) * (1 + other)) * 1.05
    assert "halves what the rounding" in made_up.reasons[-1]


def test_a_leak_that_rounds_to_none_is_not_made_up_for():
    slow = discretize(
        "n",
        nir.LI(tau=full(1, 1e3), r=full(1, 1), v_leak=full(1, 0)),
        (1,),
        {},
        1e-3,
        "exponential",
    )
    assert compensated(slow) is slow  # its decay rounds to none at all


def test_spikes_resets_and_refractory_periods():
    x = np.full(12, 0.6)
    node = spiking(1, 1.0)

    def spikes(**entry):
        neuron = discretize("n", node, (1,), entry, None, "euler")
        state = _State(neuron, 1)
        return [
            int(state.step(t, np.array([[value]]), Extremes()).item()) for t, value in enumerate(x)
        ]

    assert spikes(reset="zero") == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    # 0.6 a step less 1 a spike: 0.6 1.2* 0.8 1.4* 1.0 1.6* 1.2* ...
    v, wanted = 0.0, []
    for value in x:
        v += value
        wanted.append(int(v > 1))
        v -= wanted[-1]
    assert spikes(reset="subtract") == wanted
    assert spikes(reset="none") == [0] + [1] * 11
    # two steps of rest after each spike, the input of which is lost
    assert spikes(reset="zero", refractory=2) == [0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]


def test_recurrence_brings_the_step_before_in_floating_point_too():
    weight, back = np.array([[0.7], [0.4]]), np.array([[0.0, -0.5], [0.6, 0.0]])
    inner = nir.NIRGraph(
        {"input": inp(2), "n": spiking(2), "w": nir.Linear(back), "output": out(2)},
        [("input", "n"), ("n", "w"), ("w", "n"), ("n", "output")],
        type_check=False,
    )
    graph = chain(("in", inp(1)), ("a", nir.Linear(weight)), ("sub", inner), ("out", out(2)))
    x = np.random.default_rng(1).integers(0, 2, 40)
    v, before, wanted = np.zeros(2), np.zeros(2), []
    for value in x:
        v = v + weight[:, 0] * value + back @ before
        before = (v > 1).astype(float)
        v = np.where(before, 0, v)
        wanted.append(before)
    found = float_traces(graph, {"in": x.reshape(1, -1, 1)}, None).spikes["sub.n"][0]
    np.testing.assert_array_equal(found, wanted)
    assert found.sum() > 10
    edges = [("input", "n"), ("n", "d"), ("d", "w"), ("w", "n"), ("n", "output")]
    delayed = nir.NIRGraph({**inner.nodes, "d": nir.Delay(full(2, 2e-3))}, edges, type_check=False)
    graph = chain(("in", inp(1)), ("a", nir.Linear(weight)), ("sub", delayed), ("out", out(2)))
    v, past, wanted = np.zeros(2), [np.zeros(2)] * 3, []
    for value in x:
        v = v + weight[:, 0] * value + back @ past[-3]
        past.append((v > 1).astype(float))
        v = np.where(past[-1], 0, v)
        wanted.append(past[-1])
    found = float_traces(graph, {"in": x.reshape(1, -1, 1)}, 1e-3).spikes["sub.n"][0]
    np.testing.assert_array_equal(found, wanted)


def test_needed_time_steps_and_short_time_constants():
    with pytest.raises(MissingInformationError, match="say it with dt"):
        discretize("n", lif(2), (2,), {}, None, "euler")
    with pytest.raises(UnsupportedError, match="shorter than the time step"):
        discretize("n", lif(2, tau=5e-4), (2,), {}, 1e-3, "euler")
    # the exponential form has no such limit
    assert float(
        discretize("n", lif(2, tau=5e-4), (2,), {}, 1e-3, "exponential").voltage_decay
    ) == pytest.approx(1 - np.exp(-2))
    assert float(discretize("n", cuba(2, tau_mem=1e-3), (2,), {}, 1e-3, "euler").voltage_decay) == 1


def test_a_threshold_node_forgets_everything():
    neuron = discretize("n", nir.Threshold(full(2, 0.5)), (2,), {}, None, "euler")
    assert (float(neuron.voltage_decay), float(neuron.gain), float(neuron.threshold)) == (1, 1, 0.5)
    assert neuron.statements["reset"][0] == "none"


def test_the_audit_tells_what_r_of_if_counts():
    graph = chain(("in", inp(1)), ("n", spiking(1)), ("out", out(1)), dt=1e-3)
    audit = lower(graph).audit
    assert audit.layer("n").statements["r"] == ("once a step", "recognised by its value")
    assert any("once a step (recognised: r is 1, r * dt 0.001)" in line for line in audit.reading)


def test_order_of_execution_is_sources_first():
    graph = chain(
        ("in", inp(1)),
        ("b", spiking(1)),
        ("w", nir.Linear(np.eye(1))),
        ("a", spiking(1)),
        ("out", out(1)),
    )
    flat = flatten(checked(graph))
    assert execution_order(trace(flat, infer(flat.nodes, flat.edges), None).ways) == ["b", "a"]


def test_synapses_by_delay():
    triples = Triples(
        (3,),
        (2,),
        np.array([0, 0, 1]),
        np.array([0, 1, 2]),
        np.array([1.0, 2, 3]),
        np.array([0, 5, 5]),
    )
    parts = dict(by_delay(triples))
    assert sorted(parts) == [0, 5]
    np.testing.assert_array_equal(parts[5].apply(np.array([[1.0, 1, 1]])), [[2, 3]])


def test_wrong_length_of_reset_amounts_is_refused():
    graph = chain(
        ("in", inp(3)),
        ("n", spiking(3)),
        ("out", out(3)),
        entries={"n": {"reset": "subtract", "reset_amount_v": [1.0, 2.0]}},
    )
    with pytest.raises(RefusedError, match="2 values of reset_amount_v; there must be one or 3"):
        lower(graph)
