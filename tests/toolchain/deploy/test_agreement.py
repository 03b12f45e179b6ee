"""Comparison of targets in bounded memory, and the numbers of one run; on programs whose answers
are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hardware
from hardware import Dense, Input, Output, Population, Program, Record
from hardware.recording import check_inputs
from toolchain.deploy import agreement, summary
from toolchain.errors import DataError, ToolchainError


@pytest.fixture
def program() -> Program:
    """Two inputs wired to two neurons: each spike of input i makes neuron i fire, and neuron i
    drives a reader."""
    return Program(
        inputs=(Input("in", (2,)),),
        populations=(
            Population("out", (2,), threshold=1),
            Population("reader", (1,), threshold=None),
        ),
        projections=(
            Dense("a", "in", "out", np.eye(2, dtype=int) * 4),
            Dense("b", "out", "reader", np.full((1, 2), 2)),
        ),
        outputs=(Output("out"), Output("reader", "last_potential")),
    )


@pytest.fixture
def inputs(program) -> dict[str, np.ndarray]:
    spikes = np.zeros((5, 4, 2), np.uint8)
    spikes[:, 0, 0] = 1
    spikes[3:, 1:, 1] = 1  # samples 3 and 4: neuron 1 fires three times
    return check_inputs(program, spikes)


def runner(program, spoil=None):
    """Runs the reference; for target "spoiled", ``spoil`` may change the recording of the samples
    that it is given."""
    calls = []

    def run(target, part, record):
        calls.append((target, len(part["in"])))
        recording = hardware.run(program, part, "reference", record=record)
        return (
            replace(recording, target=target)
            if target != "spoiled"
            else replace(spoil(recording), target=target)
        )

    run.calls = calls
    return run


def test_identical_targets_agree_in_everything(program, inputs):
    result = agreement.agree(
        program, inputs, ["reference", "again"], runner(program), labels=np.array([0, 0, 0, 1, 0])
    )
    assert result.identical
    assert [(e.layer, e.spikes, e.potentials) for e in result.comparisons[0].layers] == [
        ("in", 40, None),
        ("out", 40, 40),
        ("reader", None, 20),
    ]
    assert result.runs["again"]["accuracy"]["correct"] == 4
    assert result.to_dict()["comparisons"][0]["identical"] is True


@pytest.mark.parametrize("memory", [1, 300, 1 << 30])
def test_a_difference_is_found_wherever_memory_cuts(program, inputs, memory):
    seen = [0]

    def spoil(recording):
        start, seen[0] = seen[0], seen[0] + recording.samples
        potentials = {n: p.copy() for n, p in recording.potentials.items()}
        for sample in range(recording.samples):
            if start + sample >= 3:
                potentials["reader"][sample, 2, 0] += 1
        return replace(recording, potentials=potentials)

    run = runner(program, spoil)
    result = agreement.agree(program, inputs, ["reference", "spoiled", "again"], run, memory=memory)
    assert not result.identical
    spoiled, again = result.comparisons
    assert again.identical
    first = spoiled.first
    assert (first.layer, first.quantity, first.sample, first.step, first.neuron) == (
        "reader",
        "potentials",
        3,
        2,
        (0,),
    )
    assert first.values[1] == first.values[0] + 1
    assert [e.potential_differences for e in spoiled.layers] == [None, 0, 2]
    at_once = agreement.samples_at_once(program, 4, memory)
    assert max(size for _, size in run.calls) == min(5, at_once)
    assert sum(size for target, size in run.calls if target == "again") == 5


@pytest.mark.parametrize("targets", [[], ["fast"], ["fast", "fast"]])
def test_fewer_than_two_different_targets_are_refused(program, inputs, targets):
    with pytest.raises(ToolchainError, match="two or more"):
        agreement.agree(program, inputs, targets, runner(program))


@pytest.mark.parametrize("record", [Record(), Record(spikes=True)])
def test_summary_counts_what_was_sent(program, inputs, record):
    recording = hardware.run(program, inputs, "reference", record=record)
    facts = summary.summarise(program, recording, np.array([0, 0, 0, 1, 0]))
    assert facts["accuracy"]["share"] == 0.8
    by_name = {layer["name"]: layer for layer in facts["layers"]}
    assert by_name["in"]["spikes"] == (5 + 2 * 3) / 5
    assert by_name["in"]["spikes_per_neuron_and_step"] == pytest.approx((5 + 2 * 3) / 5 / (2 * 4))
    assert by_name["out"]["spikes"] == (5 + 2 * 3) / 5
    assert by_name["reader"]["spikes"] is None
    assert by_name["out"]["syn_ops"] == 2 * (5 + 2 * 3) / 5
    assert by_name["reader"]["dendrite_updates"] == 4


def test_labels_must_be_classes(program):
    assert summary.check_labels(program, np.array([0, 1], np.uint8)).dtype == np.int64
    for wrong in (np.array([0, 2]), np.array([-1]), np.array([0.0]), np.array([[0]])):
        with pytest.raises(DataError, match="labels"):
            summary.check_labels(program, wrong)
