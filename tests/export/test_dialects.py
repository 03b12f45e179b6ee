"""Each dialect against a plain loop of what its framework computes, from a graph as its exporter
writes it.

The loops were compared with the frameworks themselves (versions: export.dialects), except Spyx's,
which was read only.
"""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest

import export
from export.dialects import DIALECTS, recognised
from export.errors import GraphError, MissingInformationError, UnsupportedError
from tests.export.grid_graphs import chain
from tests.export.nodes import float_as_read, full, inp, out, spiking
from tests.export.test_reading import SPIKES, WEIGHT, old_file, plain

TAUS = np.linspace(4e-3, 3e-2, 4)
DRIVE = SPIKES @ WEIGHT.T


def run(step, states: int) -> np.ndarray:
    """Spikes of ``step(input, *states) -> (spikes, *states)`` over all steps."""
    state, fired = [np.zeros((5, 4)) for _ in range(states)], np.zeros((5, 40, 4), np.uint8)
    for t in range(40):
        fired[:, t], *state = step(DRIVE[:, t], *state)
    assert 20 < fired.sum() < 700
    return fired


def agree(graph, expected, **told):
    np.testing.assert_array_equal(
        float_as_read(graph, {"in": SPIKES}, **told).spikes["n0"], expected
    )


def test_sinabs_keeps_time_constants_in_steps_and_normalises_its_input(tmp_path):
    tau = np.array([3.0, 5.0, 8.0, 13.0])
    alpha = np.exp(-1 / tau)

    def step(x, v):
        v = alpha * v + (1 - alpha) * x
        return v > 0.2, v - 0.2 * (v > 0.2)

    node = nir.LIF(tau=tau, r=full(4, 1), v_leak=full(4, 0), v_threshold=full(4, 0.2))
    graph = export.read(old_file(tmp_path / "a.nir", plain(node)))
    agree(graph, run(step, 1), dialect="sinabs")
    agree(graph, run(step, 1), dialect="sinabs", dt=2e-3)
    program, audit = export.lower(graph, dialect="sinabs")
    assert audit.dt_s is None
    assert any("several spikes in a step" in text for text in audit.warnings)
    assert audit.verdict == "approximate"
    assert program.populations[0].reset == "subtract"
    with pytest.raises(MissingInformationError, match="brought into Euler's form"):
        export.lower(graph, dialect="sinabs", discretization="exponential")


def test_a_time_constant_of_sinabs_below_a_step_is_said_by_name():
    node = nir.LIF(tau=full(4, 0.02), r=full(4, 1), v_leak=full(4, 0), v_threshold=full(4, 0.2))
    audit = export.lower(plain(node), dialect="sinabs").audit
    (warning,) = (text for text in audit.warnings if "shorter than one" in text)
    assert "node 'n0' (LIF): Sinabs writes time constants in steps, and 0.02 is" in warning
    assert "leave dialect out" in warning


def test_snntorch_resets_one_step_late_whatever_its_file_says():
    beta = np.array([0.5, 0.8, 0.9, 0.95])
    node = nir.LIF(
        tau=1e-4 / (1 - beta), r=1 / (1 - beta), v_leak=full(4, 0), v_threshold=full(4, 1)
    )

    def step(x, v, late):
        v = beta * v + x - late
        return v > 1, v, (v > 1) * 1.0

    agree(plain(node), run(step, 2), dialect="snntorch")
    lowered = export.lower(plain(node), dialect="snntorch")
    assert lowered.audit.dt_s == 1e-4
    with pytest.raises(
        GraphError, match=r"dt is 0\.001 s \(given\), but snnTorch wrote this with 0\.0001 s"
    ):
        export.lower(plain(node), dialect="snntorch", dt=1e-3)
    assert any(
        "say dialect='snntorch'" in text
        for text in export.lower(plain(node), dt=1e-4).audit.warnings
    )


@pytest.mark.parametrize("reset", ["zero", "none"])
def test_snntorchs_synaptic_forgets_a_whole_step_where_it_resets_to_zero(reset):
    alpha, beta = 0.6, np.array([0.5, 0.8, 0.9, 0.95])
    times = {"tau_syn": full(4, 1e-4 / (1 - alpha)), "tau_mem": 1e-4 / (1 - beta)}
    gains = {"r": 1 / (1 - beta), "w_in": full(4, 1 / (1 - alpha))}
    node = nir.CubaLIF(**times, **gains, v_leak=full(4, 0), v_threshold=full(4, 3))

    def step(x, u, v, late):
        u = alpha * u + x
        v = (beta * v + u) * (1 - late * (reset == "zero"))
        return v > 3, u, v, (v > 3) * 1.0

    agree(plain(node), run(step, 3), dialect="snntorch", reset=reset)


def test_spikingjelly_counts_r_per_second_and_so_tells_the_time_step():
    def step(x, v):
        v = v + x
        return v > 1, v * (v <= 1)

    graph = plain(nir.IF(r=full(4, 5000), v_threshold=full(4, 1)))
    agree(graph, run(step, 1), dialect="spikingjelly")
    assert export.lower(graph, dialect="spikingjelly").audit.dt_s == pytest.approx(2e-4)
    with pytest.raises(GraphError, match=r"SpikingJelly wrote this with 0\.0002 s"):
        export.lower(graph, dialect="spikingjelly", dt=1e-4)


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_norse_writes_a_time_constant_times_dt_or_as_it_is(scale):
    lost_v, lost_i = 1e-3 / TAUS, 1e-3 / 5e-3
    times = {"tau_syn": full(4, 5e-3 * scale), "tau_mem": TAUS * scale}
    node = nir.CubaLIF(**times, r=full(4, 1), v_leak=full(4, 0), v_threshold=full(4, 0.3))

    def step(x, i, v):
        i = i + x
        v = v + lost_v * (i - v)
        return v > 0.3, i * (1 - lost_i), v * (v <= 0.3)

    agree(plain(node), run(step, 2), dialect="norse", dt=1e-3)


def test_a_time_constant_shorter_than_a_step_looks_like_norses():
    node = nir.LIF(tau=TAUS * 1e-3, r=full(4, 1), v_leak=full(4, 0), v_threshold=full(4, 0.3))
    with pytest.raises(
        UnsupportedError,
        match=r"shorter than the time step 0\.001 s.*writes .*0\.004 s.*say dialect='norse'",
    ):
        float_as_read(plain(node), {"in": SPIKES}, dt=1e-3)


def rockpool(taus):
    r = taus * np.exp(-1e-3 / taus) / 1e-3
    return nir.CubaLIF(
        tau_syn=full(4, 8e-3), tau_mem=taus, r=r, v_leak=full(4, 0), v_threshold=full(4, 3)
    )


def rockpools_spikes(taus):
    alpha, beta = np.exp(-1e-3 / taus), np.exp(-1e-3 / 8e-3)

    def step(x, i, v):
        i = beta * (i + x)
        v = alpha * v + i
        return v > 3, i, v - 3 * (v > 3)

    return run(step, 2)


def test_rockpool_is_known_by_its_r_and_says_the_time_step():
    for told in ({}, {"dialect": "rockpool"}, {"dt": 1e-3}):
        agree(plain(rockpool(TAUS)), rockpools_spikes(TAUS), **told)
    audit = export.lower(plain(rockpool(TAUS))).audit
    assert any(
        line.startswith(
            "dialect rockpool (recognised: r is tau * exp(-dt / tau) / dt with dt 0.001 s"
        )
        for line in audit.reading
    )
    with pytest.raises(GraphError, match="Rockpool wrote this; say 'rockpool', or 'nir'"):
        export.lower(plain(rockpool(TAUS)), dialect="snntorch")


def test_one_time_constant_alone_proves_no_writer():
    alone = full(4, 0.02)
    with pytest.raises(MissingInformationError, match="say it with dt"):
        export.lower(plain(rockpool(alone)))
    agree(plain(rockpool(alone)), rockpools_spikes(alone), dt=1e-3)
    assert not any(
        "rockpool" in line for line in export.lower(plain(rockpool(alone)), dt=2e-3).audit.reading
    )


@pytest.mark.parametrize("dialect", ["rockpool", "spyx"])
def test_a_time_step_solved_from_one_time_constant_is_said_to_be_assumed(dialect):
    """Any r below 1 and any time constant fit both laws."""
    node = nir.LIF(tau=full(4, 0.02), r=full(4, 0.9), v_leak=full(4, 0), v_threshold=full(4, 0.2))
    audit = export.lower(plain(node), dialect=dialect).audit
    assert any("is assumed: it is solved from the one time constant" in t for t in audit.reading)
    known = export.lower(plain(node), dialect=dialect, dt=audit.dt_s).audit
    assert not any("is assumed" in text for text in known.reading)


def test_several_time_constants_confirm_a_time_step():
    audit = export.lower(plain(rockpool(TAUS)), dialect="rockpool").audit
    assert not any("is assumed: it is solved" in text for text in audit.reading)


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
def test_spyx_takes_the_threshold_off_late(kind):
    alpha, beta = 0.6, np.array([0.5, 0.8, 0.9, 0.95])
    shared = {"v_leak": full(4, 0), "v_threshold": full(4, 2)}
    node = {
        "LIF": nir.LIF(tau=1 / (1 - beta), r=beta, **shared),
        "CubaLIF": nir.CubaLIF(
            tau_syn=full(4, 1 / (1 - alpha)), tau_mem=1 / (1 - beta), r=beta, **shared
        ),
        "IF": nir.IF(r=full(4, 1), v_threshold=full(4, 2)),
    }[kind]

    def step(x, i, v):
        off = 2.0 * (v > 2)
        if kind == "CubaLIF":
            i = alpha * i + x
            v = beta * (v - off) + i - off
        else:
            v = (beta if kind == "LIF" else 1.0) * v + x - off
        return v > 2, i, v  # Spyx itself sends this spike in the next step

    agree(plain(node), run(step, 2), dialect="spyx", **({"dt": 1.0} if kind == "IF" else {}))


def test_placeholders_in_flatten_are_sinabss():
    flat = nir.Flatten(None, 1, -1)
    flat.input_type = {"input": np.zeros(4, int)}
    nodes = {
        "in": inp(1, 2, 1, 3),
        "flat": flat,
        "w": nir.Linear(WEIGHT),
        "n0": spiking(4),
        "out": out(1, 4),
    }
    nodes["n0"] = nir.IF(r=full((1, 4), 1), v_threshold=full((1, 4), 1))
    graph = nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)
    program, audit = export.lower(graph)
    assert any(
        line.startswith("dialect sinabs (recognised: Flatten node 'flat'") for line in audit.reading
    )
    assert (program.populations[0].shape, program.populations[0].reset) == ((4,), "subtract")


def test_a_dialect_and_its_parts_must_not_contradict_each_other():
    for told, text in (
        (
            {"dialect": "sinabs", "reset": "none"},
            "'sinabs' states 'subtract'; its models can also have zero",
        ),
        ({"dialect": "sinabs", "reset": "subtract"}, "leave reset out"),
        ({"dialect": "spikingjelly", "reset": "subtract"}, "'spikingjelly' states 'zero'"),
        ({"dialect": "norse", "r_per": "step"}, "leave one of them out"),
        ({"dialect": "snntorch"}, r"node 'n0' \(IF\): snnTorch's exporter writes no such node"),
        ({"dialect": "rockpool"}, r"node 'n0' \(IF\): Rockpool's exporter writes no such node"),
    ):
        with pytest.raises(GraphError, match=text):
            export.lower(plain(spiking(4)), **told)
    wrong = nir.LIF(tau=TAUS, r=full(4, 1), v_leak=full(4, 0), v_threshold=full(4, 1))
    for dialect in ("snntorch", "rockpool", "spyx"):
        with pytest.raises(GraphError, match=r"node 'n0' \(LIF\): .*does not fit that"):
            export.lower(plain(wrong), dialect=dialect, dt=1e-3)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_a_copy_that_needs_no_option(dialect, tmp_path):
    beta = np.array([0.5, 0.8, 0.9, 0.95])
    tau = 1e-4 / (1 - beta)
    r = {"snntorch": tau / 1e-4, "rockpool": tau * np.exp(-1e-4 / tau) / 1e-4, "spyx": beta}.get(
        dialect, full(4, 1)
    )
    leaky = {"tau": tau, "r": r, "v_leak": full(4, 0), "v_threshold": full(4, 0.5)}
    graph = export.read(old_file(tmp_path / "a.nir", plain(nir.LIF(**leaky))))
    told = {"dialect": dialect, "dt": 1e-4}
    if dialect == "sinabs":
        graph.nodes["n0"].tau = tau / 1e-4
    export.write(export.state(graph, **told), tmp_path / "copy.nir")
    assert (
        export.lower(export.read(tmp_path / "copy.nir")).program.fingerprint
        == export.lower(graph, **told).program.fingerprint
    )


def test_a_loop_through_a_spyx_layer_is_refused():
    beta = np.array([0.5, 0.8, 0.9, 0.95])
    graph = chain(
        ("in", inp(6)),
        ("w", nir.Linear(WEIGHT)),
        ("n", nir.LIF(tau=1 / (1 - beta), r=beta, v_leak=full(4, 0), v_threshold=full(4, 2))),
        ("out", out(4)),
        dt=None,
    )
    graph.nodes["back"] = nir.Linear(np.eye(4))
    graph.edges += [("n", "back"), ("back", "n")]
    with pytest.raises(UnsupportedError, match="through its recurrent weights"):
        export.lower(graph, dialect="spyx")


def test_large_time_constants_of_another_writer_are_not_taken_for_rockpools():
    """r = tau / dt differs from Rockpool's law by less than rounding there; and numbers that follow
    no law prove nothing."""
    taus = np.array([5.0, 6.0, 7.0, 8.0])
    for r in (taus / 1e-3, taus * 0.0, -taus, np.full(4, 1e30), np.full(4, 1e-30)):
        node = nir.LIF(tau=taus, r=r, v_leak=full(4, 0), v_threshold=full(4, 1))
        for dt_s in (None, 1e-3):
            assert recognised({"n": node}, [], dt_s) is None
        for dialect in ("rockpool", "spyx"):
            if not np.allclose(r, taus / 1e-3):
                with pytest.raises(GraphError, match="does not fit that"):
                    DIALECTS[dialect].time_step({"n": node})
