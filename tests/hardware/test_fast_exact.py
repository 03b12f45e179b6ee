"""The fast executor against the reference: every spike, potential, count and score of random
Programs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware.comparison import compare
from hardware.recording import Record
from hardware.targets import run
from tests.examples import many
from tests.strategies import inputs_for, programs

pytest.importorskip("numba", reason="the fast executor needs numba")


def assert_identical(program, inputs, **options):
    """Reference and fast give the same Recording."""
    record = Record(spikes=True, potentials=True)
    fast, reference = (
        run(program, inputs, "fast", record=record, **options),
        run(program, inputs, "reference", record=record),
    )
    comparison = compare(reference, fast)
    assert comparison.identical, comparison.first
    assert set(fast.spikes) == set(reference.spikes)
    assert set(fast.potentials) == set(reference.potentials)
    for name in reference.spikes:
        assert fast.spikes[name].dtype == reference.spikes[name].dtype
    for counter, layers in reference.counts.items():
        for name, values in layers.items():
            np.testing.assert_array_equal(
                fast.counts[counter][name], values, f"{counter} of {name}"
            )
    for name, values in reference.scores.items():
        np.testing.assert_array_equal(fast.scores[name], values)
    return fast


@st.composite
def cases(draw):
    """A Program, its inputs, and a batch size that cuts the samples into chunks or leaves the
    choice to the executor."""
    program = draw(programs())
    return program, draw(inputs_for(program)), draw(st.sampled_from([None, None, 1, 2]))


def check(case):
    program, inputs, batch = case
    assert_identical(program, inputs, batch=batch)


relaxed = {
    "deadline": None,
    "suppress_health_check": [
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.filter_too_much,
    ],
}
test_random_programs = settings(max_examples=many(400), **relaxed)(given(cases())(check))
test_many_random_programs = pytest.mark.slow(
    settings(max_examples=20_000, **relaxed)(given(cases())(check))
)
