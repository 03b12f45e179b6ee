"""Counts against brute force: an explicit synapse for every weight that the geometry touches."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware import Record, counters, run
from hardware.program import Convolution, Dense, Input, Output, Population, Program, Sparse
from tests.examples import many
from tests.strategies import inputs_for, programs


def synapses(projection: Convolution, source: tuple[int, ...]) -> np.ndarray:
    """Number of weights between each pair of neurons, [source neuron, target neuron], written out
    loop by loop."""
    target = projection.output_shape(source)
    outputs, inputs = projection.weights.shape[0] // projection.groups, projection.weights.shape[1]
    matrix = np.zeros((*source, *target), np.int64)
    for channel in range(target[0]):
        for place in np.ndindex(target[1:]):
            for tap in np.ndindex(projection.kernel_size):
                where = tuple(
                    o * s - p + k * d
                    for o, s, p, k, d in zip(
                        place, projection.stride, projection.padding, tap, projection.dilation
                    )
                )
                if all(0 <= w < n for w, n in zip(where, source[1:])):
                    for inner in range(inputs):
                        matrix[(channel // outputs * inputs + inner, *where, channel, *place)] += 1
    return matrix.reshape(int(np.prod(source)), -1)


@st.composite
def convolutions(draw):
    """A convolution of ones over 1 or 2 dimensions, with the shape of its source."""
    dimensions = draw(st.integers(1, 2))
    numbers = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(dimensions))  # noqa: E731
    kernel, stride, padding, dilation = numbers(1, 3), numbers(1, 3), numbers(0, 3), numbers(1, 3)
    spatial = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 4))
        for k, p, d in zip(kernel, padding, dilation)
    )
    groups, per_group, inner = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 2)),
    )
    weights = np.ones((groups * per_group, inner, *kernel), int)
    convolution = Convolution(
        "c", "in", "p", weights, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    return convolution, (groups * inner, *spatial)


@settings(max_examples=many(150), deadline=None)
@given(convolutions())
def test_fan_out_of_a_convolution_equals_brute_force(drawn):
    convolution, source = drawn
    matrix = synapses(convolution, source)
    assert (
        counters.fan_out(convolution, source, convolution.output_shape(source)).tolist()
        == matrix.sum(axis=1).tolist()
    )


def test_fan_out_of_dense_counts_zero_weights_and_of_sparse_what_is_stored():
    dense = Dense("d", "in", "p", np.zeros((5, 3), int))
    assert counters.fan_out(dense, (3,), (5,)).tolist() == [5, 5, 5]
    sparse = Sparse("s", "in", "p", [0, 4, 2], rows=[0, 1, 4], columns=[2, 2, 0])
    assert counters.fan_out(sparse, (3,), (5,)).tolist() == [1, 0, 2]


def test_counts_of_a_small_network_by_hand():
    """Two samples of three steps; the numbers are counted on paper."""
    program = Program(
        (Input("in", (2,), message_bits=8),),
        (
            Population("a", (3,), threshold=0),
            Population("read", (2,), threshold=None),
            Population("alone", (1,), bias=100),
        ),
        (
            Dense("in-a", "in", "a", np.full((3, 2), 100)),
            Dense("in-read", "in", "read", np.ones((2, 2), int)),
            Sparse("a-read", "a", "read", [1], rows=[0], columns=[2]),
        ),
        (Output("read", "last_potential"),),
    )
    inputs = np.array([[[1, 0], [0, 0], [0, 0]], [[5, -3], [0, 7], [0, 0]]])
    recording = run(program, inputs, "reference", record=Record(spikes=True))
    assert recording.spikes["a"].sum(axis=(1, 2)).tolist() == [3, 6]
    assert recording.spikes["alone"].sum(axis=(1, 2)).tolist() == [3, 3]
    expected = {
        "spikes_in": {"in": [0, 0], "a": [1, 3], "read": [1 + 3, 3 + 6], "alone": [0, 0]},
        "syn_ops": {"in": [0, 0], "a": [3, 9], "read": [2 + 1, 6 + 2], "alone": [0, 0]},
        "axon_out": {"in": [2, 6], "a": [3, 6], "read": [0, 0], "alone": [0, 0]},
        "dendrite_updates": {"in": [0, 0], "a": [9, 9], "read": [6, 6], "alone": [3, 3]},
    }
    found = {
        counter: {layer: values.tolist() for layer, values in layers.items()}
        for counter, layers in recording.counts.items()
    }
    assert found == expected
    assert tuple(found) == counters.COUNTERS


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_counts_of_random_programs_balance(data):
    """What is sent arrives, and every spike of every step is counted one by one."""
    program = data.draw(programs())
    recording = run(
        program, data.draw(inputs_for(program)), "reference", record=Record(spikes=True)
    )
    counts = recording.counts
    assert sum(a.sum() for a in counts["axon_out"].values()) == sum(
        a.sum() for a in counts["spikes_in"].values()
    )
    for name in program.order:
        expected = np.zeros(recording.samples, np.int64)
        for projection in program.into(name):
            source = program.nodes[projection.source]
            touched = counters.fan_out(projection, source.shape, program.nodes[name].shape)
            for sample, _step, *neuron in np.argwhere(recording.spikes[projection.source]):
                expected[sample] += touched[np.ravel_multi_index(neuron, source.shape)]
        assert counts["syn_ops"][name].tolist() == expected.tolist()
        assert (
            counts["dendrite_updates"][name] == recording.steps * program.nodes[name].size
        ).all()
