"""What a file leaves open is settled by the caller, by the file, or by a writer beyond doubt; else
refused with the option that answers."""

from __future__ import annotations

from itertools import pairwise

import h5py
import nir
import numpy as np
import pytest

import export
from export import metadata as graph_metadata
from export.errors import GraphError, MissingInformationError, QuantizationError
from export.reading import counted
from tests.export.grid_graphs import chain
from tests.export.nodes import cuba, float_as_read, full, inp, lif, out, spiking

RNG = np.random.default_rng(3)
WEIGHT = RNG.normal(0.1, 0.5, (4, 6))
SPIKES = (RNG.random((5, 40, 6)) < 0.4).astype(np.uint8)
DT = 1e-3


def plain(*nodes: nir.NIRNode) -> nir.NIRGraph:
    """Input of 6, a weight matrix, the given nodes, Output of 4; without our metadata."""
    names = ["in", "w", *(f"n{i}" for i in range(len(nodes))), "out"]
    parts = [inp(6), nir.Linear(WEIGHT), *nodes, out(4)]
    return nir.NIRGraph(dict(zip(names, parts)), list(pairwise(names)), type_check=False)


def old_file(path, graph, version="0.2.0"):
    """The graph as nir before 1.0.6 wrote it: without v_reset."""
    nir.write(path, graph)
    with h5py.File(path, "r+") as file:
        for node in file["node/nodes"].values():
            if "v_reset" in node:
                del node["v_reset"]
        del file["version"]
        file["version"] = version
    return path


def integrate(amount: float, reset: str) -> np.ndarray:
    """Spikes of IF neurons in a plain loop: ``amount`` volts for a spike through a weight of 1."""
    v, fired = np.zeros((5, 4)), np.zeros((5, 40, 4), np.uint8)
    for t in range(40):
        v = v + amount * (SPIKES[:, t] @ WEIGHT.T)
        fired[:, t] = v > 1
        v = np.where(v > 1, 0.0 if reset == "zero" else v - 1 if reset == "subtract" else v, v)
    return fired


# what r counts


@pytest.mark.parametrize(
    ("r", "dt", "told", "amount"),
    [
        (1000.0, 1e-3, {}, 1.0),  # as SpikingJelly writes it
        (1.0, 1e-3, {}, 1.0),  # as most others do
        (1.0, None, {}, 1.0),
        (0.4, 1.0, {}, 0.4),  # both are the same
        (400.0, 1e-3, {"r_per": "second"}, 0.4),
        (0.4, 1e-3, {"r_per": "step"}, 0.4),
        (0.4, None, {"r_per": "step"}, 0.4),
        (1.0, 0.5, {"r_per": "second"}, 0.5),
    ],
)
def test_r_adds_what_a_plain_loop_adds(r, dt, told, amount):
    graph = plain(nir.IF(r=full(4, r), v_threshold=full(4, 1)))
    spikes = float_as_read(graph, {"in": SPIKES}, dt=dt, **told).spikes["n0"]
    expected = integrate(amount, "zero")
    assert 30 < expected.sum() < 600
    np.testing.assert_array_equal(spikes, expected)


@pytest.mark.parametrize(
    ("r", "dt"), [(20.0, 1e-3), (0.4, 1e-3), (1000.0, None), (1000.0, 1e-4), (1.0, 0.5), (5.0, 0.2)]
)
def test_r_that_can_mean_either_is_refused(r, dt):
    with pytest.raises(
        MissingInformationError,
        match=r"node 'n0' \(IF\): r is .*say it with r_per \(step or second\)",
    ):
        export.lower(plain(nir.IF(r=full(4, r), v_threshold=full(4, 1))), dt=dt)


def test_neurons_must_agree_on_what_r_counts():
    nodes = (nir.IF(r=full(4, 1000), v_threshold=full(4, 1)), spiking(4))
    with pytest.raises(
        MissingInformationError, match=r"'n0' .* counted per second, r of node 'n1' .* once a step"
    ):
        export.lower(plain(*nodes), dt=DT)


def test_r_per_second_needs_the_time_step():
    with pytest.raises(
        MissingInformationError, match=r"'n0' \(IF\) is in seconds and .*say it with dt"
    ):
        export.lower(plain(spiking(4)), r_per="second")


def test_what_r_counts_where_it_varies():
    assert counted(np.array([1.0, 1.005]), 1e-3) == "step"
    assert counted(np.array([1.0, 1.2]), 1e-3) is None
    assert counted(np.array([-1000.0, 1000.0]), 1e-3) is None


def test_an_option_that_changes_nothing_is_a_mistake():
    with pytest.raises(GraphError, match=r"r_per is 'step', but no IF or I"):
        export.lower(plain(lif(4)), dt=DT, r_per="step")
    stated = chain(
        ("in", inp(4)), ("n", lif(4)), ("out", out(4)), entries={"n": {"reset": "subtract"}}
    )
    for reset in ("zero", "subtract"):
        with pytest.raises(
            GraphError, match=f"reset is '{reset}', but the graph states 'subtract'"
        ):
            export.lower(stated, reset=reset)
    with pytest.raises(GraphError, match="states how it is to be read"):
        export.lower(stated, dialect="nir")
    with pytest.raises(GraphError, match="no neuron of the graph has a reset that is open"):
        export.lower(plain(nir.Threshold(full(4, 1))), reset="zero")


@pytest.mark.parametrize(
    "told", [{"reset": "soft"}, {"r_per": "ms"}, {"dialect": "brian"}, {"dt": -1.0}, {"dt": np.inf}]
)
def test_what_is_told_must_be_known(told):
    with pytest.raises(MissingInformationError, match=r"it must be (one of|a positive)"):
        export.lower(plain(spiking(4)), **told)


@pytest.mark.parametrize("dt", [1e-200, 1e300])
def test_a_time_step_that_nobody_means_is_refused(dt):
    for graph, told in (
        (plain(lif(4)), {"dt": dt}),
        (chain(("in", inp(4)), ("n", lif(4)), ("out", out(4)), dt=dt), {}),
    ):
        with pytest.raises(GraphError, match=r"dt is .*; it must be from 1e-12 to 1e\+06 s"):
            export.lower(graph, **told)


# the reset


@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_a_file_without_a_reset_is_read_as_it_is_told(tmp_path, reset):
    graph = export.read(old_file(tmp_path / "a.nir", plain(spiking(4))))
    np.testing.assert_array_equal(
        float_as_read(graph, {"in": SPIKES}, reset=reset).spikes["n0"], integrate(1.0, reset)
    )
    audit = export.lower(graph, reset=reset).audit
    assert audit.layer("n0").statements["reset"] == (reset, "given by the caller")
    assert audit.reading[0] == "first written by nir 0.2.0"
    others = {"zero", "subtract", "none"} - {reset}
    assert any(
        line.startswith(f"reset {reset}: given by the caller") and all(o in line for o in others)
        for line in audit.reading
    )


def test_a_file_without_a_reset_is_refused_with_every_open_question(tmp_path):
    graph = export.read(
        old_file(tmp_path / "a.nir", plain(nir.IF(r=full(4, 7), v_threshold=full(4, 1)), cuba(4)))
    )
    with pytest.raises(MissingInformationError) as caught:
        export.lower(graph)
    for word in (
        "written by nir 0.2.0",
        "say it with dt;",
        "reset (zero, subtract, none)",
        "dialect (nir, sinabs",
        "r_per (step or second)",
        "2 nodes",
    ):
        assert word in str(caught.value)


def test_a_file_with_v_reset_states_it_and_the_audit_names_the_other_reading(tmp_path):
    nir.write(tmp_path / "a.nir", plain(spiking(4)))
    audit = export.lower(export.read(tmp_path / "a.nir")).audit
    assert audit.layer("n0").statements["reset"][0] == "zero"
    assert audit.verdict == "approximate"
    assert any("by v_reset 0" in line and "subtract" in line for line in audit.reading)
    assert (
        export.lower(export.read(tmp_path / "a.nir"), reset="subtract").program.populations[0].reset
        == "subtract"
    )


def test_a_reset_to_another_potential_contradicts_subtraction():
    leaky = lif(4, leak=-0.5, reset=-0.5)
    with pytest.raises(
        GraphError,
        match=r"'n0' \(LIF\): v_reset is -0.5 V, which states a reset to it; reset 'subtract'",
    ):
        export.lower(plain(leaky), dt=DT, reset="subtract")
    assert export.lower(plain(leaky), dt=DT).program.populations[0].reset == "zero"


@pytest.mark.parametrize(
    ("version", "reset"),
    [("0.2.0", "subtract"), ("1.0.5", "subtract"), ("1.0.6", "zero"), ("1.0.10", "zero")],
)
def test_nirs_own_dialect_is_what_the_files_version_documents(tmp_path, version, reset):
    graph = export.read(
        old_file(
            tmp_path / "a.nir", plain(nir.IF(r=full(4, 1000), v_threshold=full(4, 1))), version
        )
    )
    spikes = float_as_read(graph, {"in": SPIKES}, dialect="nir", dt=DT).spikes["n0"]
    np.testing.assert_array_equal(spikes, integrate(1.0, reset))


# a copy that needs no option


def test_a_copy_states_what_was_told(tmp_path):
    told = {"dt": DT, "reset": "subtract", "r_per": "second"}
    graph = export.read(
        old_file(tmp_path / "a.nir", plain(nir.IF(r=full(4, 400), v_threshold=full(4, 1)), lif(4)))
    )
    export.write(export.state(graph, **told), tmp_path / "copy.nir")
    copy = export.read(tmp_path / "copy.nir")
    assert graph_metadata.of(copy)["dt_s"] == DT
    once, again = export.lower(graph, **told), export.lower(copy)
    assert once.program.fingerprint == again.program.fingerprint
    assert again.audit.dt_source == "stated in the graph"
    assert again.audit.reading == once.audit.reading
    assert again.audit.layer("n0").statements["reset"] == ("subtract", "stated in the graph")


def test_an_open_reset_stays_open_in_a_copy(tmp_path):
    graph = export.read(old_file(tmp_path / "a.nir", plain(spiking(4))))
    export.write(graph, tmp_path / "copy.nir")
    with pytest.raises(MissingInformationError, match=r"written by nir 0\.2\.0.*say it with reset"):
        export.lower(export.read(tmp_path / "copy.nir"))


# what looks like a mistake


def test_time_constants_of_100_000_steps_look_as_if_they_were_in_steps():
    audit = export.lower(plain(lif(4, tau=20.0)), dt=1e-4).audit
    (warning,) = (text for text in audit.warnings if "written in steps" in text)
    assert "20 s is 200,000 steps of 0.0001 s" in warning
    assert "say dt=1" in warning
    assert f"warning: {warning}" in audit.table()
    assert not export.lower(plain(lif(4, tau=0.5)), dt=1e-4).audit.warnings
    no_leak = DT * 2.0**40
    assert not export.lower(plain(lif(4, tau=no_leak, r=2.0**40)), dt=DT).audit.warnings


def test_a_leak_that_12_bits_cannot_hold_is_said():
    """4096 / 8191 rounds to 1, 4096 / 8192 to 0: a neuron that does not leak at all."""
    least = export.lower(plain(lif(4, tau=8191.0)), dt=1.0)
    assert least.program.populations[0].voltage_decay == 1
    assert not least.audit.warnings

    lost = export.lower(plain(lif(4, tau=0.9), lif(4, tau=1.0)), dt=1e-4)
    assert lost.program.populations[0].voltage_decay == 0
    (warning,) = lost.audit.warnings
    assert "node 'n0' (LIF): a time constant of 0.9 s is 9,000 steps of 0.0001 s" in warning
    assert "the decay becomes 0, so the membrane potential never leaks" in warning
    assert "(2 such nodes)" in warning


def test_a_spike_counts_one_in_its_step_and_the_audit_says_so():
    assert any(
        "counts 1 in its step" in line for line in export.lower(plain(lif(4)), dt=DT).audit.reading
    )
    assert not any(
        "counts 1 in its step" in line for line in export.lower(plain(spiking(4))).audit.reading
    )


def test_a_time_constant_shorter_than_a_step_is_no_silent_decay():
    """The exponential form takes any time constant; Norse's would be forgotten in one step."""
    audit = export.lower(plain(lif(4, tau=2e-5)), dt=DT, discretization="exponential").audit
    assert any("Norse 1.1 writes" in text and "0.02 s" in text for text in audit.warnings)
    assert not export.lower(plain(lif(4)), dt=DT, discretization="exponential").audit.warnings


def test_numbers_that_do_not_fit_come_with_what_looks_wrong():
    steps = lif(4, tau=20.0, r=1e6, threshold=0.01)
    with pytest.raises(QuantizationError, match=r"Warning: node 'n0' .*200,000 steps.*say dt=1"):
        export.lower(plain(steps), dt=1e-4, reset="subtract")
