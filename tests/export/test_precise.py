"""Weights of more than 8 bits, each carried by two synapses: exact on every target, nearer to the
floating-point graph."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import export
import hardware
from export.errors import QuantizationError
from tests.examples import many
from tests.export.grid_graphs import chain, graph_of
from tests.export.nodes import cuba, float_as_read, float_traces, inp, out, spiking
from tests.hardware.lava.conftest import direct  # noqa: F401  (a fixture)
from tests.hardware.lava.test_lava_exact import assert_identical

EVERYTHING = hardware.Record(spikes=True, potentials=True)


@st.composite
def graphs(draw):
    """(graph without a grid, inputs): a convolution or matrix, delays and feedback, a second
    layer."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = 10 ** draw(st.floats(-2, 1))
    if draw(st.booleans()):
        kernel = rng.normal(0.2, 1, (3, 2, 2, 2)) * size
        first = [("w", nir.Conv2d(None, kernel, 1, 1, 1, 1, rng.normal(0, 0.1, 3) * size))]
        shape, given = (3, 5, 4), (2, 4, 3)
    else:
        first = [("w", nir.Affine(rng.normal(0.2, 1, (6, 9)) * size, rng.normal(0, 0.1, 6)))]
        shape, given = (6,), (9,)
    if draw(st.booleans()):
        first.append(("late", nir.Delay(np.full(shape, 2e-3))))
    hidden = cuba(shape) if draw(st.booleans()) else spiking(shape, threshold=size)
    flat = [("flat", nir.Flatten(None, 0, -1))] if len(shape) > 1 else []
    last = rng.normal(0, 1, (4, int(np.prod(shape))))
    nodes = [("in", inp(*given)), *first, ("n", hidden), *flat, ("v", nir.Linear(last))]
    nodes += [("m", spiking(4)), ("out", out(4))]
    names = [name for name, _ in nodes]
    edges = list(pairwise(names))
    both = dict(nodes)
    if len(shape) == 1 and draw(st.booleans()):
        both["back"] = nir.Linear(rng.normal(-0.1, 0.5, (6, 6)) * size)
        edges += [("n", "back"), ("back", "n")]
    x = (rng.random((2, 10, *given)) < 0.4).astype(np.uint8)
    return graph_of(both, edges, dt=1e-3), x


def lowered(graph, bits):
    return export.lower(graph, reset="zero", r_per="step", weight_bits=bits)


@settings(max_examples=many(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graphs(), st.sampled_from([16, 16, 12, 9]))
def test_precise_weights_are_exact_and_nearer_to_the_graph(drawn, bits):
    graph, x = drawn
    program, audit = lowered(graph, bits)
    runs = [hardware.run(program, x, t, record=EVERYTHING) for t in ("reference", "fast")]
    assert hardware.compare(*runs).identical
    plain = lowered(graph, 8).audit
    for name in ("w", "v"):
        ours, theirs = (a.layer(name).parameter("weight").rms_error for a in (audit, plain))
        assert ours <= theirs + 1e-12 or ours < 1e-3
    fine = [p for p in program.projections if p.name in ("w", "w low")]
    assert [(p.name, p.weight_bits) for p in fine] == [("w", bits - 8), ("w low", 8)]
    assert any(
        f"carried by two synapses, of {bits - 8} and 8 bits, the second in 'w low'" in reason
        for reason in audit.layer("w").reasons
    )


@pytest.mark.lava
@settings(
    max_examples=many(20),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(graphs(), st.sampled_from([16, 11]))
def test_precise_weights_are_exact_on_lava(direct, drawn, bits):  # noqa: F811
    graph, x = drawn
    assert_identical(direct, lowered(graph, bits).program, x)


def test_sixteen_bits_bring_spikes_back_that_an_outlier_costs():
    """One weight 200 times as large as the rest leaves these next to no bits of eight."""
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.02, (20, 50))
    weight[3, 7] = -6
    graph = chain(
        ("in", inp(50)), ("w", nir.Linear(weight)), ("n", spiking(20, 0.5)), ("out", out(20))
    )
    x = (rng.random((4, 200, 50)) < 0.2).astype(np.uint8)
    wanted = float_traces(graph, {"in": x}, 1e-3).spikes["n"]
    assert wanted.sum() > 150

    def differ(bits):
        how = {"weight_bits": bits, "per_channel": False, "calibration": x}
        program = export.lower(graph, reset="zero", r_per="step", **how).program
        return int(
            (hardware.run(program, x, "fast", record=EVERYTHING).spikes["n"] != wanted).sum()
        )

    assert differ(16) < 0.1 * differ(8)


def test_parts_that_a_convolution_would_wrap_are_refused():
    """The high and the low part of a small negative weight are of opposite sign and larger than
    it; only their sum is small."""
    kernel = np.full((1, 64, 9, 9), -1.0)
    kernel[0, 0, 0, 0] = 300.0
    graph = chain(
        ("in", inp(64, 9, 9)),
        ("c", nir.Conv2d(None, kernel, 1, 0, 1, 1, np.zeros(1))),
        ("n", spiking((1, 1, 1), 1000.0)),
        ("out", out(1, 1, 1)),
    )
    x = np.ones((1, 3, 64, 9, 9), np.int64)
    options = {"reset": "zero", "r_per": "step", "calibration": x, "message_bits": 8}
    assert export.lower(graph, **options).program.projections[0].weight_bits == 8
    with pytest.raises(QuantizationError, match="a part of its 16-bit weights may bring"):
        export.lower(graph, **options, weight_bits=16)


def test_braille_network_with_precise_weights(shared_data):
    """The public recurrent network: how many spikes of its hidden and its output layer differ from
    floating point."""
    graph = export.read(shared_data / "golden" / "nir" / "wild" / "50b2fc28_braille_v2.nir")
    told = {"dt": 1e-4, "reset": "zero"}
    x = (np.random.default_rng(0).random((20, 256, 12)) < 0.15).astype(np.uint8)
    wanted = float_as_read(graph, {"input": x}, **told).spikes

    def differ(**how):
        program = export.lower(graph, **told, **how).program
        found = hardware.run(program, x, "fast", record=EVERYTHING).spikes
        return sum(int((found[name] != spikes).sum()) for name, spikes in wanted.items())

    coarse = differ(per_channel=False)
    assert coarse > 2000
    assert differ() < 0.8 * coarse
    assert differ(weight_bits=16) < 0.02 * coarse
