"""Graphs with a training grid: the Program computes what the graph computes, every spike and every potential."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings

import export
import hardware
from tests.export.grid_graphs import grid_graphs
from tests.export.interpreter import Interpreter


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(grid_graphs())
def test_grid_graph_and_program_agree(drawn):
    graph, inputs, names = drawn
    program, audit = export.lower(graph)
    assert audit.verdict == "faithful"
    recording = hardware.run(program, {n: x[None] for n, x in inputs.items()}, "reference", record=hardware.Record(True, True))
    for name, (spikes, potentials) in Interpreter(graph, inputs).run(names).items():
        if name in recording.spikes:
            np.testing.assert_array_equal(recording.spikes[name][0], spikes, err_msg=name)
        np.testing.assert_array_equal(recording.potentials[name][0], potentials, err_msg=name)
