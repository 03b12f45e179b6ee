"""Comparison finds every difference, and the first of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware import Record, compare, run
from hardware.comparison import LayerAgreement
from hardware.errors import InputError
from hardware.program import Dense, Input, Output, Population, Program
from tests.examples import many

PROGRAM = Program(
    (Input("in", (3,)),),
    (Population("a", (2, 2)), Population("b", (2,), threshold=None)),
    (Dense("in-a", "in", "a", np.full((4, 3), 2)), Dense("a-b", "a", "b", np.full((2, 4), -2))),
    (Output("b", "last_potential"),),
)


def recording(**keep):
    inputs = np.random.default_rng(1).integers(0, 2, (3, 4, 3))
    return run(
        PROGRAM,
        inputs,
        "reference",
        record=Record(**(keep or {"spikes": True, "potentials": True})),
    )


FULL = recording()


def changed(original, *changes):
    """A copy in which single values differ: (quantity, layer, index, new value)."""
    arrays = {
        quantity: {n: a.copy() for n, a in getattr(original, quantity).items()}
        for quantity in ("spikes", "potentials")
    }
    for quantity, layer, index, value in changes:
        arrays[quantity][layer][index] = value
    return replace(original, target="other", **arrays)


def test_equal_runs_are_identical():
    found = compare(FULL, recording())
    assert found.identical
    assert found.first is None
    agreement = {entry.layer: entry for entry in found.layers}
    assert (agreement["a"].spikes, agreement["a"].spike_differences) == (48, 0)
    assert (
        agreement["b"].spikes,
        agreement["b"].potentials,
        agreement["b"].potential_differences,
    ) == (None, 24, 0)
    assert (agreement["in"].spikes, agreement["in"].potentials) == (36, None)


def test_only_what_both_recorded_is_compared():
    found = compare(recording(spikes=True), recording(potentials=True))
    agreement = {entry.layer: entry for entry in found.layers}
    assert (agreement["a"].spikes, agreement["a"].potentials, agreement["b"].potentials) == (
        None,
        None,
        24,
    )
    with pytest.raises(InputError, match="recorded nothing that can be compared"):
        compare(replace(FULL, spikes={}, potentials={}), FULL)


PLACES = st.one_of(
    st.tuples(
        st.just("spikes"),
        st.just("in"),
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)),
    ),
    st.tuples(
        st.just("spikes"), st.just("a"), st.tuples(*(st.integers(0, n) for n in (2, 3, 1, 1)))
    ),
    st.tuples(
        st.just("potentials"), st.just("a"), st.tuples(*(st.integers(0, n) for n in (2, 3, 1, 1)))
    ),
    st.tuples(
        st.just("potentials"), st.just("b"), st.tuples(*(st.integers(0, n) for n in (2, 3, 1)))
    ),
)


@settings(max_examples=many(100), deadline=None)
@given(st.lists(PLACES, min_size=1, max_size=6, unique=True))
def test_first_difference_is_the_earliest_sample_then_step_then_layer(places):
    other = changed(FULL, *((q, layer, index, 77) for q, layer, index in places))
    found = compare(FULL, other)

    def rank(place):
        quantity, layer, index = place
        return (*index[:2], FULL.layers.index(layer), quantity != "potentials", index[2:])

    quantity, layer, index = min(places, key=rank)
    first = found.first
    assert (first.quantity, first.layer, (first.sample, first.step, *first.neuron)) == (
        quantity,
        layer,
        index,
    )
    spikes = min((p for p in places if p[0] == "spikes"), key=rank, default=None)
    assert (found.first_spike and (found.first_spike.layer, found.first_spike.sample)) == (
        spikes and (spikes[1], spikes[2][0])
    )
    assert first.values == (int(getattr(FULL, quantity)[layer][index]), 77)
    assert sum(
        (e.spike_differences or 0) + (e.potential_differences or 0) for e in found.layers
    ) == len(places)
    assert not found.identical


def test_how_large_a_difference_is_in_thresholds_or_in_the_largest_potential():
    value = int(FULL.potentials["a"][0, 0, 0, 0])
    other = changed(
        FULL, ("potentials", "a", (0, 0, 0, 0), value + 32), ("potentials", "b", (0, 0, 0), 100)
    )
    found = {entry.layer: entry for entry in compare(FULL, other, PROGRAM).layers}
    # threshold 1, which is 64 steps of the state
    assert (found["a"].largest_difference, found["a"].mean_difference, found["a"].unit) == (
        0.5,
        0.5 / 48,
        "threshold",
    )
    change = abs(100 - int(FULL.potentials["b"][0, 0, 0]))
    assert (found["b"].largest_difference, found["b"].unit) == (change, "state")
    largest = max(abs(FULL.potentials["b"]).max(), 100)
    assert found["b"].relative == pytest.approx((change / largest, change / 24 / largest))
    assert compare(FULL, other, PROGRAM).largest_difference == pytest.approx(
        max(0.5, change / largest)
    )
    assert compare(FULL, other).layers[1].unit == "state"
    assert compare(FULL, other, PROGRAM).spikes_identical
    assert not compare(FULL, other, PROGRAM).floating


def test_parts_joined_are_the_whole():
    other = changed(FULL, ("potentials", "a", (2, 0, 0, 0), 9000), ("spikes", "a", (0, 0, 0, 0), 7))

    def of(recording, part):
        arrays = {
            q: {n: a[part] for n, a in getattr(recording, q).items()}
            for q in ("spikes", "potentials")
        }
        return replace(recording, samples=len(arrays["spikes"]["a"]), **arrays)

    parts = [
        compare(of(FULL, part), of(other, part), PROGRAM) for part in (slice(0, 1), slice(1, 3))
    ]
    for same, expected in zip(
        zip(*(part.layers for part in parts)), compare(FULL, other, PROGRAM).layers
    ):
        joined = LayerAgreement.joined(same)
        assert joined == replace(expected, mean_difference=joined.mean_difference)
        assert joined.mean_difference == (
            None if expected.potentials is None else pytest.approx(expected.mean_difference)
        )


def test_result_is_plain_json():
    found = compare(FULL, changed(FULL, ("spikes", "a", (1, 2, 0, 1), 5)))
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["identical"] is False
    assert stored["targets"] == ["reference", "other"]
    assert stored["first"]["neuron"] == [0, 1]


def test_different_runs_are_refused():
    with pytest.raises(InputError, match="of different Programs"):
        compare(FULL, replace(FULL, program="0" * 64))
    with pytest.raises(InputError, match=r"differ in \[sample, step\]: \(3, 4\) and \(2, 4\)"):
        compare(FULL, replace(FULL, samples=2))
