"""Forms that a chip has, beside those that it has not: Lava computes the same spikes and potentials
from both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.populations import constant_source
from hardware.chip import Chip
from hardware.placement import check
from hardware.program import Dense, Input, Output, Population, Program
from hardware.recording import Record, check_inputs
from hardware.targets import collect, run

pytestmark = pytest.mark.lava

RNG = np.random.default_rng(5)
INPUTS = RNG.integers(0, 2, (3, 12, 4))
WEIGHTS = RNG.integers(-60, 60, (3, 4)) * 2
LOIHI2 = Chip.load("loihi2")


def recorded(session, program):
    """What Lava records, held against the reference on the way."""
    everything = Record(spikes=True, potentials=True)
    lava = collect(
        program,
        check_inputs(program, INPUTS),
        "lava",
        lambda *a: session.run_chunks(*a),
        record=everything,
    )
    reference = run(program, INPUTS, "reference", record=everything)
    for name in program.order:
        assert np.array_equal(lava.potentials[name], reference.potentials[name])
    return lava


def network(readout: Population, constant: Population | None = None) -> Program:
    projections = [Dense("in to out", "in", readout.name, WEIGHTS)]
    populations = [readout]
    if constant is not None:
        populations.insert(0, constant)
        bias = np.array([[20], [-30], [4]])
        projections.append(Dense("constant to out", constant.name, readout.name, bias))
    decode = "spike_count" if readout.spiking else "mean_potential"
    return Program(
        (Input("in", (4,)),),
        tuple(populations),
        tuple(projections),
        (Output(readout.name, decode),),
    )


def test_a_constant_source_needs_no_voltage_decay(direct):
    lif = Population("out", (3,), voltage_decay=300, threshold=90)
    written = network(lif, constant_source("constant"))
    former = network(lif, replace(constant_source("constant"), voltage_decay=4096))
    assert written.nodes["constant"].voltage_decay.max() < 4096
    one, other = recorded(direct, written), recorded(direct, former)
    assert one.spikes["constant"].all()
    assert one.spikes["out"].any()
    for name in ("constant", "out"):
        assert np.array_equal(one.spikes[name], other.spikes[name])
        assert np.array_equal(one.potentials[name], other.potentials[name])
    assert check(written, LOIHI2).fits
    assert check(former, LOIHI2).fits  # kept Programs hold the former one


@pytest.mark.parametrize("bias", [0, [5, -7, 100]])
def test_a_readout_without_memory_is_its_current(direct, bias):
    program = network(
        Population("out", (3,), current_decay=4096, voltage_decay=4096, threshold=None, bias=bias)
    )
    current = 64 * INPUTS @ WEIGHTS.T
    assert np.array_equal(recorded(direct, program).potentials["out"], current + bias)
    report = check(program, LOIHI2)
    assert report.fits
    assert any("read the current instead" in v.message for v in report.violations)


def test_a_readout_that_adds_up_in_its_current_can_add_up_in_its_potential(direct):
    program = network(Population("out", (3,), current_decay=0, voltage_decay=4096, threshold=None))
    form = network(Population("out", (3,), current_decay=4096, voltage_decay=0, threshold=None))
    one, other = recorded(direct, program), recorded(direct, form)
    assert np.array_equal(one.potentials["out"], other.potentials["out"])
    assert check(program, LOIHI2).fits
    assert any("adds up in its potential" in v.message for v in check(program, LOIHI2).violations)
