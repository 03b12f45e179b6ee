"""What lowering makes of a graph: options, names, what is stated and what is assumed."""

from __future__ import annotations

import nir
import numpy as np
import pytest

import export
import hardware
from export.errors import GraphError, MissingInformationError, QuantizationError, RefusedError
from tests.export.grid_graphs import chain, graph_of
from tests.export.nodes import cuba, float_traces, full, inp, lif, out, spiking, volts

# weight bits, channels, clipping


def test_fewer_weight_bits_leave_fewer_weights_and_more_error():
    rng = np.random.default_rng(0)
    graph = chain(
        ("in", inp(50)),
        ("w", nir.Linear(rng.normal(0, 1, (20, 50)))),
        ("n", spiking(20)),
        ("out", out(20)),
    )
    errors = []
    for bits in range(8, 1, -1):
        program, audit = export.lower(graph, weight_bits=bits)
        assert program.projections[0].weight_bits == bits
        assert len(np.unique(program.projections[0].weights)) <= 1 << bits
        errors.append(audit.layer("w", "projection").parameter("weight").rms_error)
    assert errors == sorted(errors)
    assert errors[0] < 0.01 < errors[-1]
    for bits in (1, 17, "8"):
        with pytest.raises(QuantizationError, match="weight_bits"):
            export.lower(graph, weight_bits=bits)


def test_one_scale_for_each_channel_where_channels_differ():
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 1, (4, 2, 3, 3)) * np.array([1, 0.1, 0.01, 1]).reshape(-1, 1, 1, 1)
    graph = chain(
        ("in", inp(2, 6, 6)),
        ("c", nir.Conv2d(None, weight, 1, 0, 1, 1, np.zeros(4))),
        ("n", spiking((4, 4, 4))),
        ("out", out(4, 4, 4)),
    )
    one, each = (export.lower(graph, per_channel=forced) for forced in (False, True))
    assert one.program.projections[0].exponent.shape == ()
    assert each.program.projections[0].exponent.shape == (4,)
    error = [low.audit.layer("c", "projection").parameter("weight") for low in (one, each)]
    assert (
        np.abs(error[1].represented - error[1].values)[2].max()
        < 0.2 * np.abs(error[0].represented - error[0].values)[2].max()
    )
    helped = export.lower(graph)
    np.testing.assert_array_equal(
        helped.program.projections[0].weights, each.program.projections[0].weights
    )
    said = f"rms error {100 * error[1].rms_error:.2g} % instead of {100 * error[0].rms_error:.2g} %"
    assert any(
        r.startswith("one weight scale for each output channel: ") and said in r
        for r in helped.audit.layer("c", "projection").reasons
    )
    assert not any("weight scale" in r for r in one.audit.layer("c", "projection").reasons)


def test_one_scale_for_the_layer_where_channels_are_alike():
    weight = np.random.default_rng(0).uniform(0.5, 1, (4, 50))
    graph = chain(("in", inp(50)), ("w", nir.Linear(weight)), ("n", spiking(4)), ("out", out(4)))
    program, audit = export.lower(graph)
    assert program.projections[0].exponent.shape == ()
    assert any(
        r.startswith("one weight scale for the layer: ")
        for r in audit.layer("w", "projection").reasons
    )


def test_clipping_must_be_allowed_and_is_counted():
    rng = np.random.default_rng(0)
    weight = np.append(rng.normal(0, 0.1, 999), 3.0).reshape(10, 100)
    graph = chain(("in", inp(100)), ("w", nir.Linear(weight)), ("n", spiking(10)), ("out", out(10)))
    strict, loose = (
        export.lower(graph, weight_bits=3, per_channel=False),
        export.lower(graph, weight_bits=3, per_channel=False, allow_clipping=True),
    )
    assert strict.audit.layer("w", "projection").parameter("weight").clipped == 0
    parameter = loose.audit.layer("w", "projection").parameter("weight")
    assert parameter.clipped == 1
    assert parameter.rms_error < strict.audit.layer("w", "projection").parameter("weight").rms_error
    assert "1 weights clipped" in loose.audit.layer("w", "projection").reasons


# what is stated, assumed, asked for


def test_dt_is_asked_for_by_the_name_of_its_option():
    graph = chain(
        ("in", inp(2)), ("w", nir.Linear(np.eye(2))), ("n", lif(2)), ("out", out(2)), dt=None
    )
    with pytest.raises(
        MissingInformationError, match=r"node 'n' \(LIF\) is in seconds .* say it with dt"
    ):
        export.lower(graph)
    assert export.lower(graph, dt=1e-3).audit.dt_source == "given by the caller"
    for dt in (0, -1, float("nan"), "fast"):
        with pytest.raises(MissingInformationError, match="positive number of seconds"):
            export.lower(graph, dt=dt)
    stated = chain(
        ("in", inp(2)), ("w", nir.Linear(np.eye(2))), ("n", lif(2)), ("out", out(2)), dt=1e-3
    )
    assert export.lower(stated).audit.dt_source == "stated in the graph"
    assert export.lower(stated, dt=1e-3).audit.dt_s == 1e-3
    with pytest.raises(MissingInformationError, match=r"the graph states 0\.001 s"):
        export.lower(stated, dt=1e-4)
    free = chain(
        ("in", inp(2)), ("w", nir.Linear(np.eye(2))), ("n", spiking(2)), ("out", out(2)), dt=None
    )
    assert export.lower(free).audit.dt_source.startswith("not needed")
    delayed = chain(
        ("in", inp(2)), ("d", nir.Delay(full(2, 0.01))), ("n", spiking(2)), ("out", out(2)), dt=None
    )
    with pytest.raises(MissingInformationError, match=r"'d' \(Delay\)"):
        export.lower(delayed)
    assert export.lower(delayed, dt=5e-3).program.projections[0].max_delay == 2


def test_reset_and_comparison_are_stated_or_assumed():
    nodes = [("in", inp(2)), ("w", nir.Linear(np.eye(2))), ("n", spiking(2, 0.5)), ("out", out(2))]
    assumed = export.lower(chain(*nodes)).audit.layer("n")
    assert assumed.statements["reset"] == (
        "zero",
        "assumed: NIR's definition, hard reset to v_reset",
    )
    assert assumed.verdict == "approximate"
    assert "reset is assumed, not stated" in assumed.reasons
    stated = {
        "n": {"reset": "zero", "threshold_comparison": ">", "refractory": 3},
        "in": {"message_bits": 0},
    }
    program, audit = export.lower(chain(*nodes, entries=stated))
    assert audit.layer("n").verdict == "faithful"
    assert program.nodes["n"].refractory == 3
    assert audit.verdict == "faithful"
    subtract = {"n": {"reset": "subtract", "threshold_comparison": ">", "reset_amount_v": 0.25}}
    program, _ = export.lower(chain(*nodes, entries=subtract))
    scale = 2.0 ** program.metadata["fraction_bits"]["n"]
    assert program.nodes["n"].reset == "subtract"
    assert int(program.nodes["n"].subtracted) == round(0.25 * scale * 64)
    program, _ = export.lower(chain(*nodes, entries={"n": {"reset": "subtract"}}))
    assert program.nodes["n"].reset_amount is None
    with pytest.raises(RefusedError, match="reset_amount_v goes with reset 'subtract'"):
        export.lower(chain(*nodes, entries={"n": {"reset_amount_v": 0.25}}))
    with pytest.raises(GraphError, match="threshold_comparison is '>='"):
        chain(*nodes, entries={"n": {"threshold_comparison": ">="}})


def test_inputs_are_binary_or_say_their_bits():
    nodes = [
        ("in", inp(3)),
        ("w", nir.Linear(np.array([[0.5, -0.25, 1.0]]))),
        ("n", nir.I(r=np.ones(1))),
        ("out", out(1)),
    ]
    program, audit = export.lower(chain(*nodes))
    assert program.inputs[0].message_bits == 0
    assert audit.layer("in").statements["message_bits"] == ("0 (binary spikes)", "assumed")
    given_bits, audit = export.lower(chain(*nodes), message_bits=8, input_fraction_bits={"in": 4})
    assert given_bits.inputs[0].message_bits == 8
    assert audit.layer("in").verdict == "faithful"
    x = np.array([[[16, 32, -48]]])  # 1.0, 2.0, -3.0
    recording = hardware.run(given_bits, x, "reference")
    assert volts(recording, given_bits, "n")[0, 0, 0] == pytest.approx(0.5 - 0.5 - 3.0, abs=0.02)
    stated = chain(*nodes, entries={"in": {"message_bits": 8, "fraction_bits": 4}})
    assert export.lower(stated).program.fingerprint == given_bits.fingerprint
    with pytest.raises(GraphError, match="message_bits is 4, but the graph states 8"):
        export.lower(stated, message_bits=4)
    with pytest.raises(GraphError, match="given for 'x', which is no Input"):
        export.lower(stated, message_bits={"x": 4})
    with pytest.raises(GraphError, match="it must be from 0 to 24"):
        export.lower(chain(*nodes), message_bits=40)


def test_outputs_are_decoded_as_stated_or_by_kind():
    def outputs(*middle, entries=None, shape=(2,)):
        graph = chain(("in", inp(2)), *middle, ("out", out(*shape)), entries=entries, dt=1e-3)
        return [(o.population, o.decode) for o in export.lower(graph).program.outputs]

    w = ("w", nir.Linear(np.eye(2)))
    assert outputs(w, ("n", spiking(2))) == [("n", "spike_count")]
    assert outputs(w, ("n", nir.I(r=np.ones(2)))) == [("n", "last_potential")]
    assert outputs(w, ("n", nir.I(r=np.ones(2))), entries={"out": {"decode": "max_potential"}}) == [
        ("n", "max_potential")
    ]
    assert outputs(w) == [("out", "mean_potential")]


def test_weights_straight_into_an_output_are_a_readout_without_memory():
    graph = chain(("in", inp(2)), ("w", nir.Linear(np.array([[1.0, -0.5]]))), ("out", out(1)))
    program, _ = export.lower(graph)
    x = np.array([[[1, 0], [1, 1], [0, 1], [0, 0]]])
    found = volts(hardware.run(program, x, "reference"), program, "out")
    np.testing.assert_allclose(found[0, :, 0], [1.0, 0.5, -0.5, 0.0], atol=0.01)


def test_two_outputs_and_two_inputs_and_a_skip():
    nodes = {
        "a": inp(2),
        "b": inp(2),
        "wa": nir.Linear(np.eye(2)),
        "wb": nir.Linear(2 * np.eye(2)),
        "n": spiking(2, 0.5),
    }
    nodes |= {
        "w2": nir.Linear(np.eye(2)),
        "m": nir.I(r=np.ones(2)),
        "skip": nir.Linear(np.eye(2)),
        "o1": out(2),
        "o2": out(2),
    }
    edges = [
        ("a", "wa"),
        ("b", "wb"),
        ("wa", "n"),
        ("wb", "n"),
        ("n", "w2"),
        ("w2", "m"),
        ("a", "skip"),
        ("skip", "m"),
        ("n", "o1"),
        ("m", "o2"),
    ]
    program, _ = export.lower(graph_of(nodes, edges))
    assert [p.name for p in program.inputs] == ["a", "b"]
    assert sorted((p.name, p.source, p.target) for p in program.projections) == [
        ("skip", "a", "m"), ("w2", "n", "m"), ("wa", "a", "n"), ("wb", "b", "n")
    ]  # fmt: skip
    assert [(o.population, o.decode) for o in program.outputs] == [
        ("n", "spike_count"),
        ("m", "last_potential"),
    ]


def test_one_weight_node_with_two_sources_becomes_two_projections_with_two_names():
    nodes = {
        "a": inp(2),
        "b": inp(2),
        "w": nir.Affine(np.eye(2), np.full(2, 0.25)),
        "n": nir.I(r=np.ones(2)),
        "o": out(2),
    }
    program, _ = export.lower(graph_of(nodes, [("a", "w"), ("b", "w"), ("w", "n"), ("n", "o")]))
    assert len({p.name for p in program.projections}) == 2
    silent = np.zeros((1, 3, 2))
    found = volts(hardware.run(program, {"a": silent, "b": silent}, "reference"), program, "n")
    np.testing.assert_allclose(
        found[0, :, 0], [0.25, 0.5, 0.75], rtol=1e-3
    )  # the bias counts once, not once for each source


def test_bias_into_a_synaptic_current_comes_from_a_constant_population():
    graph = chain(
        ("in", inp(2)),
        ("w", nir.Affine(np.eye(2), np.array([0.2, -0.3]))),
        ("n", cuba(2, threshold=9.0)),
        ("out", out(2)),
        dt=1e-3,
    )
    program, audit = export.lower(graph)
    assert [p.name for p in program.populations] == ["constant", "n"]
    assert not program.nodes["n"].bias.any()
    assert audit.layer("bias of n").parameter("bias").max_error < 1e-2
    x = np.zeros((1, 50, 2), np.uint8)
    exact = float_traces(graph, {"in": x}, 1e-3).potentials["n"]
    found = volts(
        hardware.run(program, x, "reference", record=hardware.Record(True, True)), program, "n"
    )
    np.testing.assert_allclose(found, exact, rtol=0.01, atol=1e-3)


def test_a_large_bias_into_a_synaptic_current_limits_the_scale():
    """Two synapses of the constant population add up to 32512 integer steps; a finer scale would
    need more."""
    affine = nir.Affine(full((1, 1), 0.01), full(1, 20.0))
    graph = chain(
        ("in", inp(1)), ("w", affine), ("n", cuba(1, tau_syn=0.00125)), ("out", out(1)), dt=1e-3
    )
    _, audit = export.lower(graph)
    assert "scale limited by the input bias (worst case)" in audit.layer("n").reasons
    assert 16256 < audit.layer("bias of n (2)").parameter("bias").integers.max() <= 32512


def test_a_node_called_constant_keeps_its_name():
    graph = chain(
        ("constant", inp(2)),
        ("w", nir.Affine(np.eye(2), np.ones(2))),
        ("n", cuba(2)),
        ("out", out(2)),
        dt=1e-3,
    )
    assert {p.name for p in export.lower(graph).program.populations} == {"constant (2)", "n"}


def test_delayed_bias_sets_in_late():
    graph = chain(
        ("in", inp(1)),
        ("w", nir.Affine(np.eye(1), np.ones(1))),
        ("d", nir.Delay(full(1, 0.002))),
        ("n", nir.I(r=np.ones(1))),
        ("out", out(1)),
        dt=1e-3,
    )
    program, _ = export.lower(graph)
    found = volts(hardware.run(program, np.zeros((1, 5, 1)), "reference"), program, "n")
    np.testing.assert_allclose(found[0, :, 0], [0, 0, 1, 2, 3], rtol=1e-3)


def test_leak_and_shifted_reset():
    graph = chain(
        ("in", inp(1)),
        ("w", nir.Linear(np.full((1, 1), 30.0))),
        ("n", lif(1, leak=-0.07, threshold=-0.05, reset=-0.07)),
        ("out", out(1)),
        dt=1e-3,
    )
    program, audit = export.lower(graph)
    assert program.metadata["potential_offset_v"] == {"n": -0.07}
    assert not program.nodes["n"].bias.any()
    assert any("v_reset (-0.07 V)" in r for r in audit.layer("n").reasons)
    recording = hardware.run(
        program, np.ones((1, 5, 1)), "reference", record=hardware.Record(True, True)
    )
    assert recording.spikes["n"][0, :, 0].tolist() == [1, 1, 1, 1, 1]
    leaking = chain(
        ("in", inp(1)),
        ("w", nir.Linear(np.zeros((1, 1)))),
        ("n", lif(1, leak=0.5, threshold=9)),
        ("out", out(1)),
        dt=1e-3,
    )
    program, _ = export.lower(leaking)
    found = volts(
        hardware.run(
            program, np.zeros((1, 400, 1)), "reference", record=hardware.Record(True, True)
        ),
        program,
        "n",
    )
    assert found[0, -1, 0] == pytest.approx(0.5, rel=0.01)


def test_recurrent_subgraph_as_snntorch_writes_it(shared_data):
    """The weights of the braille network in the form that its malformed files meant."""
    import h5py

    with h5py.File(
        shared_data / "golden" / "nir" / "wild" / "77b4a802_braille_subgraph.nir"
    ) as file:
        old = file["node/nodes"]
        w = {n: (old[n]["weight"][()], old[n]["bias"][()]) for n in ("fc1", "fc2")}
        rec = old["hidden/nodes/lin/weight"][()], old["hidden/nodes/lin/bias"][()]
    hidden = nir.NIRGraph(
        {
            "input": inp(38),
            "lif": cuba(38, threshold=0.02),
            "lin": nir.Affine(*rec),
            "output": out(38),
        },
        [("input", "lif"), ("lif", "lin"), ("lin", "lif"), ("lif", "output")],
        type_check=False,
    )
    graph = chain(
        ("input", inp(12)),
        ("fc1", nir.Affine(*w["fc1"])),
        ("hidden", hidden),
        ("fc2", nir.Affine(*w["fc2"])),
        ("lif2", cuba(7, threshold=0.02)),
        ("output", out(7)),
        dt=None,
    )
    program, _ = export.lower(graph, dt=1e-3)
    assert [p.name for p in program.populations] == ["constant", "hidden.lif", "lif2"]
    recurrent = next(p for p in program.projections if p.recurrent)
    assert (recurrent.name, recurrent.source) == ("hidden.lin", "hidden.lif")
    x = (np.random.default_rng(0).random((3, 120, 12)) < 0.2).astype(np.uint8)
    found = hardware.run(program, x, "fast", record=hardware.Record(True)).spikes
    exact = float_traces(graph, {"input": x}, 1e-3).spikes
    for name in ("hidden.lif", "lif2"):
        assert found[name].sum() == pytest.approx(exact[name].sum(), rel=0.1, abs=5)
    assert exact["hidden.lif"].sum() > 100
