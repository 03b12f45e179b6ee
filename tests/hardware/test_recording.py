"""Inputs are checked by name and range; outputs are decoded as the Program says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware import run
from hardware.errors import InputError
from hardware.program import Dense, Input, Output, Population, Program
from hardware.recording import check_inputs, decode

GRADED = Program(
    (Input("in", (2,), message_bits=4),),
    (Population("a", (3,)),),
    (Dense("d", "in", "a", np.full((3, 2), 2)),),
    (Output("a"),),
)
BINARY = replace(GRADED, inputs=(Input("in", (2,)),))
TWO = replace(GRADED, inputs=(Input("in", (2,)), Input("more", (1,))))

BROKEN = {
    "shape": (
        BINARY,
        np.zeros((1, 1, 3)),
        "input 'in': shape (1, 1, 3); it must be [sample, step, 2]",
    ),
    "dimensions": (
        BINARY,
        np.zeros((1, 2)),
        "input 'in': shape (1, 2); it must be [sample, step, 2]",
    ),
    "no sample": (BINARY, np.zeros((0, 1, 2)), "holds no sample or no step"),
    "no step": (BINARY, np.zeros((1, 0, 2)), "holds no sample or no step"),
    "complex": (
        BINARY,
        np.zeros((1, 1, 2), complex),
        "type complex128; it must hold whole numbers",
    ),
    "ragged": (
        BINARY,
        [[[1, 0]], [[1]]],
        "no array: its rows differ in length; it must be [sample, step, 2]",
    ),
    "names that are no texts": (
        BINARY,
        {1: np.zeros((1, 1, 2)), "a": 0},
        "inputs are 1, a; the Program has",
    ),
    "objects": (BINARY, np.full((1, 1, 2), None), "type object; it must hold whole numbers"),
    "NaN": (
        BINARY,
        np.full((1, 1, 2), np.nan),
        "NaN or infinite values; they must be whole numbers from 0 to 1",
    ),
    "infinite": (
        GRADED,
        np.full((1, 1, 2), np.inf),
        "NaN or infinite values; they must be whole numbers from -8 to 7",
    ),
    "fractions": (
        BINARY,
        np.full((1, 1, 2), 0.5),
        "values that are not whole numbers; they must be whole numbers from 0 to 1",
    ),
    "two": (
        BINARY,
        np.full((1, 1, 2), 2),
        "values from 2 to 2; they must be from 0 to 1 (0 message bits)",
    ),
    "negative": (BINARY, np.full((1, 1, 2), -1), "values from -1 to -1; they must be from 0 to 1"),
    "graded high": (
        GRADED,
        np.full((1, 1, 2), 8),
        "values from 8 to 8; they must be from -8 to 7 (4 message bits)",
    ),
    "graded low": (
        GRADED,
        np.full((1, 1, 2), -9),
        "values from -9 to -9; they must be from -8 to 7",
    ),
    "one of two": (
        TWO,
        np.zeros((1, 1, 2)),
        "the Program has 2 inputs (in, more): give a mapping name → array",
    ),
    "missing": (TWO, {"in": np.zeros((1, 1, 2))}, "inputs are in; the Program has in, more"),
    "unknown": (BINARY, {"other": np.zeros((1, 1, 2))}, "inputs are other; the Program has in"),
    "lengths": (
        TWO,
        {"in": np.zeros((1, 2, 2)), "more": np.zeros((1, 3, 1))},
        "the inputs differ in [sample, step]",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_unusable_inputs_are_named(case):
    program, inputs, message = BROKEN[case]
    with pytest.raises(InputError) as error:
        check_inputs(program, inputs)
    assert message in str(error.value)
    with pytest.raises(InputError):
        run(program, inputs, "reference")


def test_usable_inputs_have_one_form():
    for values in (
        np.ones((2, 3, 2), bool),
        np.ones((2, 3, 2)),
        np.ones((2, 3, 2), np.uint64),
        np.ones((2, 3, 2)).tolist(),
    ):
        checked = check_inputs(BINARY, values)["in"]
        assert (checked.dtype, checked.shape, checked.min()) == (np.uint8, (2, 3, 2), 1)
    checked = check_inputs(GRADED, {"in": np.array([[[-8, 7]]], np.int8)})["in"]
    assert (checked.dtype, checked.tolist()) == (np.int32, [[[-8, 7]]])


def test_decodings():
    names = ("spike_count", "last_potential", "mean_potential", "max_potential")
    populations = tuple(Population(name, (2,)) for name in names)
    program = Program(
        (Input("in", (1,)),), populations, (), tuple(Output(name, name) for name in names)
    )
    spikes = {name: np.array([[[1, 0], [1, 1], [0, 0]]], np.uint8) for name in names}
    potentials = {name: np.array([[[5, -9], [7, -1], [-3, -2]]], np.int32) for name in names}
    scores = {name: values.tolist() for name, values in decode(program, spikes, potentials).items()}
    assert scores == {
        "spike_count": [[2, 1]],
        "last_potential": [[-3, -2]],
        "mean_potential": [[3, -4]],
        "max_potential": [[7, -1]],
    }


def test_spike_counts_beyond_a_byte():
    program = Program((Input("in", (1,)),), (Population("a", (1,)),), (), (Output("a"),))
    assert decode(program, {"a": np.ones((1, 300, 1), np.uint8)}, {})["a"].tolist() == [[300]]


def test_predictions_and_accuracy():
    recording = run(GRADED, np.zeros((4, 1, 2)), "reference")
    recording = replace(
        recording,
        scores={"a": np.array([[0, 2, 1], [3, 3, 1], [0, 0, 0], [1, 2, 9]], float), "b": np.eye(4)},
    )
    assert recording.predictions().tolist() == [1, 0, 0, 2]  # the first of equals
    assert recording.predictions("b").tolist() == [0, 1, 2, 3]
    assert recording.accuracy([1, 1, 0, 2]) == 0.75
    assert recording.accuracy(np.arange(4), "b") == 1.0
    with pytest.raises(
        InputError, match=r"labels have shape \(3,\); there must be one for each of the 4 samples"
    ):
        recording.accuracy([1, 2, 3])
