"""Warnings say what a result looks like; they are given where they belong, and nowhere else."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import hardware
from hardware import Dense, Input, Output, Population, Program, Record
from toolchain import remarks
from toolchain.cli.bench import remarks_of
from toolchain.deploy import agreement, inputs, summary
from toolchain.errors import DataError


def names(found):
    return [remark.name for remark in found]


@pytest.mark.parametrize(
    ("spikes", "expected", "said"),
    [
        ({"in": 5, "a": 2, "b": 1}, [], ""),
        ({"in": 5, "a": 0, "readout": None}, ["never_spikes"], "no neuron spikes in 3 samples"),
        (
            {"in": 5, "a": 2, "b": 0, "readout": None},
            ["silent_layers"],
            "layer 'b' never spikes in 3 samples",
        ),
        ({"in": 0, "a": 0}, ["silent_input"], "the input 'in' is all zero"),
        ({"in": 5, "readout": None}, [], ""),  # nothing that could spike
    ],
)
def test_layers_that_never_spike(spikes, expected, said):
    found = remarks.silence(spikes, ["in"], "3 samples")
    assert names(found) == expected
    assert all(said in remark.message for remark in found)


@pytest.mark.parametrize(
    ("correct", "samples", "classes", "expected"),
    [
        (36, 364, 10, ["near_chance"]),
        (80, 364, 10, []),
        (2, 364, 10, ["below_chance"]),
        (1, 4, 10, ["near_chance"]),  # so few cannot tell, and it says so
        (4, 4, 10, []),
        (5, 5, 1, []),
    ],
)
def test_an_accuracy_that_guessing_would_give(correct, samples, classes, expected):
    found = remarks.chance(correct, samples, classes)
    assert names(found) == expected
    assert [("cannot tell" in remark.message) for remark in found] == [samples == 4 for _ in found]


def network(weight=4, **metadata):
    """Two inputs wired to two neurons, and those to two more with a threshold out of reach."""
    return Program(
        inputs=(Input("in", (2,)),),
        populations=(Population("one", (2,), threshold=1), Population("two", (2,), threshold=4000)),
        projections=(
            Dense("a", "in", "one", np.eye(2, dtype=int) * weight),
            Dense("b", "one", "two", np.eye(2, dtype=int) * 2),
        ),
        outputs=(Output("two"),),
        metadata=metadata,
    )


SPIKES = np.random.default_rng(0).integers(0, 2, (3, 8, 2))


@pytest.mark.parametrize("target", ["reference", "fast"])
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize(("weight", "expected"), [(4, ["silent_layers"]), (0, ["never_spikes"])])
def test_a_run_and_a_comparison_say_the_same(weight, expected, target, recorded):
    program = network(weight)
    recording = hardware.run(program, SPIKES, target, record=Record(spikes=recorded))
    assert names(summary.warnings(program, recording)) == expected

    def run(target, part, record):
        return replace(hardware.run(program, part, "reference", record=record), target=target)

    result = agreement.agree(
        program, {"in": SPIKES.astype(np.uint8)}, ["one", "other"], run, memory=1
    )
    assert names(result.warnings(program)) == expected
    assert result.spikes["in"] == SPIKES.sum()
    labels = np.array([0, 1, 1])
    assert "near_chance" in names(summary.warnings(program, recording, labels))
    again = agreement.agree(program, {"in": SPIKES.astype(np.uint8)}, ["one", "other"], run, labels)
    assert "near_chance" in names(again.warnings(program))


def test_inputs_that_look_time_first(tmp_path):
    program = network(data={"encoding": "direct", "steps": 8})
    np.savez(tmp_path / "swapped.npz", inputs=SPIKES.swapaxes(0, 1))
    np.savez(tmp_path / "right.npz", inputs=SPIKES)
    found = inputs.load(str(tmp_path / "swapped.npz"), program).warnings
    assert names(found) == ["time_first"]
    assert "8 samples of 3 steps, and the model was trained with 8 steps" in found[0].message
    assert inputs.load(str(tmp_path / "right.npz"), program).warnings == ()
    assert inputs.load(str(tmp_path / "swapped.npz"), network()).warnings == ()
    # labels decide: there are as many as there would be samples
    np.savez(tmp_path / "labelled.npz", inputs=SPIKES.swapaxes(0, 1), labels=[0, 1, 0])
    with pytest.raises(
        DataError, match=r"3 labels for 8 samples: it looks like \[step, sample, ...\]"
    ):
        inputs.load(str(tmp_path / "labelled.npz"), program)


def test_a_bench_says_it_once_for_all_targets():
    def entry(target, spikes):
        rows = [("in", 5.0, 0.0), ("lif", spikes, 9.0), ("readout", None, 9.0)]
        layers = [
            SimpleNamespace(layer=name, inputs="clean", spikes=s, dendrite_updates=u)
            for name, s, u in rows
        ]
        attacked = SimpleNamespace(layer="lif", inputs="attacked", spikes=3.0, dendrite_updates=9.0)
        clean = SimpleNamespace(value=0.11, samples=100)
        return SimpleNamespace(target=target, samples=100, clean=clean, layers=[*layers, attacked])

    targets = [entry("software", 0.0), entry("fast", 0.0)]
    common = {"steps": 8, "classes": 10, "targets": targets}
    models = [
        SimpleNamespace(name="net", program="p", **common),
        SimpleNamespace(name="ann", program=None, **common),
    ]
    found = remarks_of(SimpleNamespace(models=models))
    assert [(remark.name, remark.message.partition(":")[0]) for remark in found] == [
        ("never_spikes", "net"),
        ("near_chance", "net"),
        ("near_chance", "ann"),
    ]
