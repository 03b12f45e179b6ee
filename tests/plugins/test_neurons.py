"""A neuron kind of another distribution: made, saved, loaded, checked, run, refused."""

from __future__ import annotations

import numpy as np
import pytest

import hardware
from hardware import CustomPopulation, Dense, Input, Output, Population, Program, program_file
from hardware.chip import Chip
from hardware.errors import (
    KindError,
    ProgramError,
    ProgramFileError,
    TargetError,
    UnsupportedError,
)
from hardware.placement import check
from tests.hardware.test_placement import smaller
from tests.plugins.distribution import install, module
from toolchain.attacks.victims import ProgramVictim

HIDDEN = {"threshold": 2, "rise": 3, "recovery": 1024}


def program(kind="adaptive", parameters=HIDDEN):
    return Program(
        (Input("in", (2,)),),
        (CustomPopulation("hidden", (2,), kind, parameters), Population("out", (1,))),
        (
            Dense("in-hidden", "in", "hidden", np.array([[2, 0], [0, 4]])),
            Dense("hidden-out", "hidden", "out", np.array([[2, 2]])),
        ),
        (Output("out"),),
    )


def simulated(weight, steps):
    """Spikes of a neuron with a spike at each step, by the words of the page."""
    potential, raised, spikes = 0, 0.0, []
    for _ in range(steps):
        potential += weight * 64
        raised = int(raised * (1 - HIDDEN["recovery"] / 4096))
        spikes.append(int(potential > HIDDEN["threshold"] * 64 + raised))
        if spikes[-1]:
            potential, raised = 0, raised + HIDDEN["rise"] * 64
    return spikes


def test_the_reference_runs_its_step(examples):
    inputs = np.ones((1, 30, 2), int)
    record = hardware.Record(spikes=True, potentials=True)
    recording = hardware.run(program(), inputs, "reference", record=record)
    for neuron, weight in enumerate((2, 4)):
        expected = simulated(weight, 30)
        assert 0 < sum(expected) < 30
        assert recording.spikes["hidden"][0, :, neuron].tolist() == expected
    abacus = hardware.run(program(), inputs, "abacus", record=record)
    assert hardware.compare(recording, abacus).identical


def test_attacks_read_its_counts(examples):
    counted = Program(
        (Input("in", (2,)),),
        (CustomPopulation("out", (2,), "adaptive", HIDDEN),),
        (Dense("in-out", "in", "out", np.array([[2, 0], [0, 4]])),),
        (Output("out"),),
    )
    events = np.ones((1, 30, 2), np.uint8)
    reading = ProgramVictim(counted, steps=30, target="reference").ask(events)
    assert reading.scores.tolist() == [[sum(simulated(2, 30)), sum(simulated(4, 30))]]
    assert reading.ties is None


def test_a_file_holds_it(examples, tmp_path):
    path = tmp_path / "adaptive.h5"
    each = {**HIDDEN, "threshold": np.array([2, 70000])}
    saved = program(parameters=each)
    program_file.save(saved, path)
    loaded = program_file.load(path)
    assert loaded.fingerprint == saved.fingerprint != program().fingerprint
    hidden = loaded.nodes["hidden"]
    assert (hidden.kind, hidden.shape) == ("adaptive", (2,))
    assert hidden.parameters["threshold"].tolist() == [2, 70000]
    assert hidden.parameters["leak"] == 0


def test_a_file_without_its_distribution_is_refused(examples, tmp_path, monkeypatch):
    path = tmp_path / "adaptive.h5"
    program_file.save(program(), path)
    monkeypatch.setattr("sys.path", [p for p in __import__("sys").path if p != str(examples)])
    with pytest.raises(ProgramFileError, match="needs the neuron kind 'adaptive', which must be"):
        program_file.load(path)


@pytest.mark.parametrize("target", ["fast", "lava", "loihi2"])
def test_who_does_not_know_it_refuses_it_by_name(examples, target):
    with pytest.raises(UnsupportedError, match=f"{target}.*'adaptive' of population 'hidden'"):
        hardware.run(program(), np.ones((1, 2, 2), int), target)


def test_a_check_says_that_it_needs_microcode(examples):
    report = check(program(), Chip.load("loihi2"))
    found = [v for v in report.violations if v.rule == "neuron_kind_needs_microcode"]
    assert [(v.severity, v.where, v.value) for v in found] == [("microcode", "hidden", "adaptive")]
    assert "a threshold that rises with each spike" in found[0].message
    assert not report.fits
    assert not check(program(), Chip.load("loihi1"), allow_microcode=True).fits


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        ("adaptive", {}, "needs the parameter 'threshold'"),
        ("adaptive", {"threshold": 1 << 17}, "threshold is 131072; it must be from 0 to 131071"),
        ("adaptive", {"threshold": 1, "colour": 3}, "has no parameter 'colour'"),
        ("adaptive", {"threshold": 1.5}, "threshold must be integers"),
        ("resonant", {}, "no neuron kind 'resonant'; there are lif, adaptive"),
        ("lif", {}, "are a hardware.Population"),
    ],
)
def test_what_cannot_be_is_refused(examples, kind, parameters, words):
    with pytest.raises(ProgramError, match=words):
        CustomPopulation("hidden", (2,), kind, parameters)


def test_what_another_kind_has_is_a_typed_error(examples):
    population = program().nodes["hidden"]
    with pytest.raises(KindError, match=r"'hidden' is of the neuron kind 'adaptive', .*'reset'"):
        _ = population.reset
    assert getattr(population, "noise", None) is None


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("{'v': states['potential']}, synaptic_input", "returned the states v"),
        ("{'potential': states['potential'] * 1.0}, synaptic_input", "as float64"),
        ("{'potential': states['potential'][:1]}, synaptic_input", "of shape \\(1,\\)"),
        ("states, synaptic_input", "spikes other than 0 and 1"),
    ],
)
def test_a_step_that_breaks_the_protocol_is_named(site, returned, words):
    module(
        site,
        "wrong_kind",
        f"""
        from hardware.neurons import NeuronKind, State

        def step(p, states, synaptic_input, time):
            return {returned}

        WRONG = NeuronKind("wrong", "wrong", (State("potential", "v"),), (), step, "all of it")
        """,
    )
    install(site, "wrong-kind", {"spikeport.neurons": {"wrong": "wrong_kind:WRONG"}})
    with pytest.raises(TargetError, match=f"'hidden': the step of .*'wrong'.*{words}"):
        hardware.run(program("wrong", {}), np.ones((1, 2, 2), int), "reference")


def test_a_check_says_that_a_parameter_does_not_fit_its_register(examples):
    chip = smaller(threshold_bits=16)
    report = check(program(parameters={**HIDDEN, "threshold": 70000}), chip)
    found = [v for v in report.violations if v.rule == "neuron_parameter_bits"]
    assert [(v.severity, v.where, v.value) for v in found] == [("broken", "hidden", 70000)]
    assert "threshold 70000; the chip holds 0 to 65535" in found[0].message
