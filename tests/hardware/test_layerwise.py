"""A layer alone, fed with recorded spikes, is that layer of the whole network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hardware
from hardware.errors import InputError
from hardware.layerwise import EVERYTHING, alone, compare_alone
from tests.examples import many
from tests.strategies import inputs_for, programs


@settings(max_examples=many(60), deadline=None)
@given(st.data())
def test_every_layer_alone_gives_what_it_gave_in_the_network(data):
    program = data.draw(programs())
    inputs = data.draw(inputs_for(program))
    recorded = hardware.run(program, inputs, "fast", record=EVERYTHING)
    layers = list(compare_alone(program, recorded, "reference"))
    fed = {p.target for p in program.projections if p.source != p.target}
    assert {layer.layer for layer in layers} == fed
    for layer in layers:
        assert layer.compared > 0
        assert layer.differences == 0


def small() -> tuple[hardware.Program, np.ndarray]:
    one = np.ones((), np.int64)
    lif = hardware.Population(
        "lif", (3,), current_decay=4096 * one, voltage_decay=0 * one, threshold=one
    )
    program = hardware.Program(
        inputs=(hardware.Input("in", (2,)),),
        populations=(lif, replace(lif, name="out")),
        projections=(
            hardware.Dense("a", "in", "lif", np.full((3, 2), 2)),
            hardware.Dense("b", "lif", "out", np.full((3, 3), 2)),
        ),
        outputs=(hardware.Output("out"),),
    )
    return program, np.ones((1, 4, 2), np.int64)


def test_a_difference_is_counted_in_the_layer_where_it_is():
    program, inputs = small()
    recorded = hardware.run(program, inputs, "fast", record=EVERYTHING)
    wrong = {**recorded.potentials, "out": recorded.potentials["out"] + 1}
    layers = list(compare_alone(program, replace(recorded, potentials=wrong), "reference"))
    assert [(layer.layer, layer.compared, layer.differences) for layer in layers] == [
        ("lif", 24, 0),
        ("out", 24, 12),
    ]


def test_what_cannot_be_taken_alone_is_refused():
    program, inputs = small()
    recorded = hardware.run(program, inputs, "fast", record=EVERYTHING)
    with pytest.raises(InputError, match="layer 'in': it must be a population"):
        alone(program, recorded, "in")
    bare = hardware.run(program, inputs, "fast")
    with pytest.raises(InputError, match="the spikes of 'lif' are not recorded"):
        alone(program, bare, "out")
