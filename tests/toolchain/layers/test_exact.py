"""The forward pass of the layers is the integer arithmetic: every spike and every potential equal
the reference executor's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings

from hardware.recording import Record
from hardware.targets import run
from tests.examples import many
from tests.toolchain.layers.networks import Case, cases, program_of
from toolchain.errors import CurrentRangeError


def assert_equal(case: Case, target: str) -> None:
    try:
        traces = case.run()
    except CurrentRangeError:
        reject()  # the network says itself that its current would wrap
    recording = run(
        program_of(case),
        np.moveaxis(case.inputs, 0, 1),
        target,
        record=Record(spikes=True, potentials=True),
    )
    for number, (block, (spikes, mem)) in enumerate(zip(case.blocks, traces)):
        name, bits = f"p{number}", getattr(block.neuron, "neuron", block.neuron).fraction_bits
        potential = np.moveaxis(mem.detach().double().numpy() * 2.0 ** (bits + 6), 0, 1)
        np.testing.assert_array_equal(potential, recording.potentials[name])
        if spikes is not None:
            np.testing.assert_array_equal(
                np.moveaxis(spikes.detach().numpy(), 0, 1), recording.spikes[name]
            )


@settings(max_examples=many(300), deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_random_networks_equal_the_reference(case):
    assert_equal(case, "reference")


@pytest.mark.slow
@settings(max_examples=5000, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_many_random_networks_equal_the_fast_executor(case):
    assert_equal(case, "fast")
