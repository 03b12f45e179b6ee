"""Lava against the reference: every spike and every membrane potential of random Programs, zero
tolerance."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hardware.comparison import compare
from hardware.lava.errors import LavaUnsupportedError
from hardware.recording import Record, check_inputs
from hardware.targets import collect, run
from tests import examples
from tests.strategies import inputs_for, programs

pytestmark = pytest.mark.lava


def assert_identical(session, program, inputs, batch=None):
    """The session's Lava and the reference record the same, in everything that there is to
    record."""
    record = Record(spikes=True, potentials=True)
    reference = run(program, inputs, "reference", record=record)
    lava = collect(
        program,
        check_inputs(program, inputs),
        "lava",
        lambda *a: session.run_chunks(*a),
        record=record,
        batch=batch,
    )
    comparison = compare(reference, lava)
    assert comparison.identical, comparison.first
    for layer in comparison.layers:
        assert bool(layer.potentials) == (layer.layer in program.order)
        assert bool(layer.spikes) == (
            layer.layer not in program.order or program.nodes[layer.layer].spiking
        )
    return lava


@st.composite
def cases(draw):
    """A Program, its inputs, and a batch size that cuts the samples into chunks."""
    program = draw(programs())
    return program, draw(inputs_for(program)), draw(st.sampled_from([None, 1, 2]))


def check(session, case):
    program, inputs, batch = case
    try:
        assert_identical(session, program, inputs, batch)
    except LavaUnsupportedError:
        assume(False)  # what Lava cannot hold has its own tests


checks = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
]


def many(examples: int):
    """Decorator: draw that many cases."""
    return lambda test: settings(
        max_examples=examples, deadline=None, suppress_health_check=checks
    )(given(case=cases())(test))


@many(examples.many(200))
def test_models_called_directly(direct, case):
    check(direct, case)


@many(examples.many(60))
def test_lavas_runtime(runtime, case):
    check(runtime, case)


@pytest.mark.slow
@many(2000)
def test_models_called_directly_many_times(direct, case):
    check(direct, case)


@pytest.mark.slow
@many(300)
def test_lavas_runtime_many_times(runtime, case):
    check(runtime, case)
