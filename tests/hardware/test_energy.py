"""Energy tables are refused where they are not complete; estimates equal what one computes on
paper."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware import measurements, run
from hardware.charging import busiest_link, mean_hops
from hardware.chip import Chip
from hardware.device import CONSTANTS, FOLDER, Device, known
from hardware.energy import ASSUMPTIONS, DEVICES, NOT_COVERED, QUANTITIES, estimate
from hardware.energy_parts import together
from hardware.errors import DeviceError, InputError
from hardware.program import Convolution, Dense, Input, Output, Population, Program, Sparse
from tests.hardware.test_counters import synapses
from tests.strategies import inputs_for, programs

TEXT = (FOLDER / "loihi-sanafe.toml").read_text()
SIMPLE = """
name = "simple"
title = "round numbers"
kind = "spiking"
measured_on = "paper"
""" + "".join(
    f'[{name}]\nvalue = {value}.0\nlow = {value - 1}.0\nhigh = {value + 1}.0\nsource = "made up '
    f'for a test"\n'
    for name, value in zip(CONSTANTS["spiking"], (10, 100, 1000, 7, 20, 30, 3, 4))
)
TIMES = """
[times]
dense_syn_op_ns = 1.0
sparse_syn_op_ns = 10.0
convolution_syn_op_ns = 100.0
neuron_update_ns = 2.0
spike_ns = 3.0
message_in_ns = 5.0
message_out_ns = 7.0
hop_east_west_ns = 11.0
hop_north_south_ns = 13.0
barrier_tiles = [1, 3]
barrier_us = [1.0, 3.0]
cores_per_tile = 2
relative_error = 0.5
source = "made up for a test"
"""


@pytest.fixture
def simple(tmp_path) -> Device:
    (tmp_path / "simple.toml").write_text(SIMPLE + TIMES)
    return Device.load(tmp_path / "simple.toml")


def network() -> Program:
    """6 inputs → 4 neurons that fire with every spike → 3 integrators and, sparsely, 2 neurons."""
    return Program(
        (Input("in", (6,)),),
        (
            Population("a", (4,), threshold=0),
            Population("read", (3,), threshold=None),
            Population("b", (2,), threshold=0),
        ),
        (
            Dense("in-a", "in", "a", np.full((4, 6), 100)),
            Dense("a-read", "a", "read", np.ones((3, 4), int)),
            Sparse("a-b", "a", "b", [100], rows=[1], columns=[2]),
        ),
        (Output("read", "last_potential"), Output("b")),
    )


def one_spike_each(steps=5):
    """Two samples: one input spike; and two."""
    inputs = np.zeros((2, steps, 6), np.uint8)
    inputs[0, 0, 1] = inputs[1, 0, 1] = inputs[1, 2, 3] = 1
    return inputs


def test_every_table_that_comes_along_can_be_used():
    assert set(DEVICES) == set(known())
    program = network()
    found = estimate(program, run(program, one_spike_each(), "reference"))
    assert [entry.device.name for entry in found.devices] == list(DEVICES)
    for entry in found.devices:
        assert (entry.dynamic_low_j <= entry.dynamic_j).all()
        assert (entry.dynamic_j <= entry.dynamic_high_j).all()
        assert (entry.dynamic_j > 0).all()
        assert all(constant.source for constant in entry.device.constants.values())
        assert (
            (entry.time_s is None)
            == (entry.static_j is None)
            == (entry.device.kind == "conventional")
        )


def test_dynamic_energy_on_paper(simple):
    """a fires 4 times for each input spike; b once; a's spikes go to read and b; one core each:
    three cores, two tiles."""
    program = network()
    found = estimate(program, run(program, one_spike_each(), "reference"), [simple]).devices[0]
    way = 30 + mean_hops(2)[0] * 3 + mean_hops(2)[1] * 4
    expected = {
        "a": (4 * 10, 5 * 4 * 7, 4 * 20, 4 * 2 * way),
        "read": (12 * 10, 5 * 3 * 7, 0, 0),
        "b": (1 * 100, 5 * 2 * 7, 1 * 20, 0),
    }
    first = sum(sum(parts) for parts in expected.values())
    updates = 5 * 9 * 7
    np.testing.assert_allclose(
        found.dynamic_j, np.array([first, 2 * (first - updates) + updates]) * 1e-12, rtol=1e-12
    )
    for layer in found.layers:
        synapses_pj, neurons_pj, spikes_pj, messages_pj = expected[layer.layer]
        np.testing.assert_allclose(
            [layer.synapses_j, layer.neurons_j, layer.spikes_j, layer.messages_j],
            np.array([1.5 * synapses_pj, neurons_pj, 1.5 * spikes_pj, 1.5 * messages_pj]) * 1e-12,
            rtol=1e-12,
        )


def test_band_takes_the_ends_of_the_constants_and_the_error_against_measurement(simple):
    """Nothing but neuron updates without a spike."""
    program = network()
    found = estimate(program, run(program, np.zeros((1, 5, 6), np.uint8), "reference"), [simple])
    (entry,) = found.devices
    (row,) = measurements.compare(simple)
    factor = max(row.dynamic_ratio, 1 / row.dynamic_ratio)
    assert factor > 1.01
    ends = np.array([6 / factor, 7, 8 * factor]) * 45e-12
    np.testing.assert_allclose(
        [entry.dynamic_low_j[0], entry.dynamic_j[0], entry.dynamic_high_j[0]], ends
    )
    np.testing.assert_allclose(found.dynamic_band_j, ends[[0, 2]])
    np.testing.assert_allclose(entry.dynamic_calibrated_j, ends[1] / row.dynamic_ratio)

    slower = max(row.time_ratio, 1 / row.time_ratio)
    times = entry.time_s[0] * np.array([0.5 / slower, 1, 1.5 * slower])
    np.testing.assert_allclose([entry.time_low_s[0], entry.time_s[0], entry.time_high_s[0]], times)
    np.testing.assert_allclose(found.time_band_s, times[[0, 2]])
    np.testing.assert_allclose(entry.time_calibrated_s, times[1] / row.time_ratio)
    power = Chip.load("loihi2").static_power
    joules = 1e-3 * np.array([power.low, power.value, power.high]) * times
    np.testing.assert_allclose(
        [entry.static_low_j[0], entry.static_j[0], entry.static_high_j[0]], joules
    )
    np.testing.assert_allclose(found.static_band_j, joules[[0, 2]])


def terms_of(found) -> dict[tuple[str, str | None], float]:
    return {(term.term, term.layer): 1e9 * term.step_s for term in found.devices[0].terms}


def test_every_term_of_the_time_on_paper(simple):
    """Three cores on two tiles: a barrier of 2 us, and one link between the tiles that a quarter of
    all messages takes."""
    program = network()
    found = estimate(program, run(program, one_spike_each()[:1], "reference"), [simple])
    expected = {
        ("neuron updates", "a"): 4 * 2 + 4 * 3 / 5,
        ("synaptic reads", "a"): 4 * 1 / 5,
        ("messages", "a"): 1 * 5 / 5 + 8 * 7 / 5,
        ("neuron updates", "read"): 3 * 2,
        ("synaptic reads", "read"): 12 * 1 / 5,
        ("messages", "read"): 4 * 5 / 5,
        ("neuron updates", "b"): 2 * 2 + 1 * 3 / 5,
        ("synaptic reads", "b"): 1 * 10 / 5,
        ("messages", "b"): 4 * 5 / 5,
        ("links", None): 8 / 5 / 4 * 11,
        ("barrier", None): 2000,
    }
    got = terms_of(found)
    assert set(got) == set(expected)
    np.testing.assert_allclose(
        [got[name] for name in expected], list(expected.values()), rtol=1e-12
    )
    (entry,) = found.devices
    assert entry.limit.text() == "barrier"
    np.testing.assert_allclose(entry.time_s, 5 * 2e-6)


def test_time_is_the_largest_term_and_names_its_layer(simple):
    """Without the barrier, which hides everything in so small a network."""
    program, times = network(), simple.step_times
    bare = replace(simple, step_times=replace(times, barrier_us=(0.0, 0.0)))
    (entry,) = estimate(program, run(program, one_spike_each(), "reference"), [bare]).devices
    assert (entry.limit.text(), entry.limit.cores) == ("messages of a", 1)
    one = 1 * 5 + 8 * 7
    np.testing.assert_allclose(entry.time_s, [one * 1e-9, 2 * one * 1e-9], rtol=1e-12)

    slow = replace(bare, step_times=replace(bare.step_times, sparse_syn_op_ns=900.0))
    (entry,) = estimate(program, run(program, one_spike_each(), "reference"), [slow]).devices
    assert entry.limit.text() == "synaptic reads of b"
    np.testing.assert_allclose(entry.time_s, [900e-9, 1800e-9], rtol=1e-12)


def test_the_fullest_core_decides(simple):
    """20 columns in tiles of 16: one of two cores holds four fifths of the layer, and reads as
    much."""
    chip = Chip.load("loihi2")
    small = replace(
        chip,
        limits=dict(chip.limits)
        | {"neurons_per_core": replace(chip.limits["neurons_per_core"], value=16)},
    )
    maps = Population("p", (1, 20), threshold=131071)
    program = Program(
        (Input("in", (1, 20)),),
        (maps,),
        (Convolution("c", "in", "p", np.ones((1, 1, 1), int)),),
        (Output("p"),),
    )
    found = estimate(
        program, run(program, np.ones((1, 1, 1, 20), np.uint8), "reference"), [simple], chip=small
    )
    assert found.cores == 2
    assert terms_of(found)["synaptic reads", "p"] == pytest.approx(16 * 100)
    assert terms_of(found)["messages", "p"] == pytest.approx(16 * 5)


def test_energy_at_a_rate_is_static_power_over_rate(simple):
    program = network()
    recording = run(program, one_spike_each(), "reference")
    fast, slow = (
        estimate(program, recording, [simple], rate_hz=rate).devices[0] for rate in (None, 50.0)
    )
    np.testing.assert_allclose(fast.static_j, 0.232 * fast.time_s)
    np.testing.assert_allclose(
        [slow.static_low_j, slow.static_j, slow.static_high_j],
        [[p / 50] * 2 for p in (0.12, 0.232, 0.282)],
    )
    np.testing.assert_array_equal(slow.dynamic_j, fast.dynamic_j)
    np.testing.assert_array_equal(slow.time_s, fast.time_s)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), 1e9])
def test_a_rate_that_cannot_be_is_refused_with_the_highest_that_can(simple, rate):
    program = network()
    with pytest.raises(InputError, match=r"inferences/s: it must be above 0 and at most \d"):
        estimate(program, run(program, one_spike_each(), "reference"), [simple], rate_hz=rate)


def test_static_energy_is_of_whole_chips():
    """A network of 130 cores takes two chips of 120 and one of 152; a conventional table has no
    static energy."""
    silent, dense = (
        Population("p", (130,), threshold=131071),
        Dense("d", "in", "p", np.ones((130, 4), int)),
    )
    program = Program((Input("in", (4,)),), (silent,), (dense,), (Output("p"),))
    recording = run(program, np.ones((1, 3, 4), np.uint8), "reference")
    found = {}
    for name in ("loihi2", "loihi2-152"):
        chip = Chip.load(name)
        one = replace(
            chip,
            limits=dict(chip.limits)
            | {"neurons_per_core": replace(chip.limits["neurons_per_core"], value=1)},
        )
        found[name] = estimate(program, recording, ["loihi-sanafe", "cmos-45nm"], chip=one)
    assert [(f.cores, f.chips, f.cores_per_chip) for f in found.values()] == [
        (130, 2, 120),
        (130, 1, 152),
    ]
    two, single = (f.devices[0] for f in found.values())
    np.testing.assert_allclose(two.static_j / two.time_s, 2 * 0.232)
    np.testing.assert_allclose(single.static_j / single.time_s, 0.232 * 152 / 120, rtol=1e-3)
    assert found["loihi2"].devices[1].static_j is None


def test_parts_that_run_one_after_the_other_add_up(simple):
    program, chip = network(), Chip.load("loihi2")
    one = estimate(program, run(program, one_spike_each(), "reference"), [simple, "cmos-45nm"])
    two = estimate(
        program, run(program, np.ones((2, 5, 6), np.uint8), "reference"), [simple, "cmos-45nm"]
    )
    both = together({"front.": one, "": two}, chip)
    for name in QUANTITIES:
        first, second, total = (getattr(found.devices[0], name) for found in (one, two, both))
        np.testing.assert_allclose(total, first + second)
    assert (both.cores, both.chips) == (6, 1)
    assert both.devices[1].static_j is None
    assert [layer.layer for layer in both.devices[0].layers] == [
        "front.a",
        "front.read",
        "front.b",
        "a",
        "read",
        "b",
    ]
    assert both.twin.macs == {f"front.{n}": m for n, m in one.twin.macs.items()} | dict(
        two.twin.macs
    )
    assert together({"": one}, chip) is one
    json.dumps(both.to_dict(per_sample=True), allow_nan=False)


def test_synapses_of_several_kinds_in_one_layer(simple):
    """A dense and a sparse projection from one source: 3 and 1 of 4 operations."""
    program = Program(
        (Input("in", (1,)),),
        (Population("p", (3,), threshold=131071),),
        (
            Dense("d", "in", "p", np.ones((3, 1), int)),
            Sparse("s", "in", "p", [1], rows=[0], columns=[0]),
        ),
        (Output("p"),),
    )
    found = estimate(
        program, run(program, np.ones((1, 1, 1), np.uint8), "reference"), [simple]
    ).devices[0]
    np.testing.assert_allclose(found.layers[0].synapses_j, (3 * 10 + 1 * 100) * 1e-12)


def test_a_convolution_charges_its_own_constant_and_one_message(simple):
    program = Program(
        (Input("in", (1, 8)),),
        (Population("p", (1, 8), threshold=0), Population("q", (1, 8), threshold=131071)),
        (
            Convolution("c", "in", "p", np.full((1, 1, 1), 64)),
            Convolution("d", "p", "q", np.full((1, 1, 3), 1), padding=(1,)),
        ),
        (Output("q"),),
    )
    inputs = np.zeros((1, 1, 1, 8), np.uint8)
    inputs[0, 0, 0, 0] = 1
    found = estimate(program, run(program, inputs, "reference"), [simple]).devices[0]
    way = 30 + mean_hops(1)[0] * 3 + mean_hops(1)[1] * 4
    np.testing.assert_allclose(
        [layer.synapses_j for layer in found.layers], [1000e-12, 2 * 1000e-12]
    )  # at the edge: 2 of 3 taps
    np.testing.assert_allclose(found.layers[0].messages_j, way * 1e-12)


def test_recording_of_layers_changes_nothing(simple):
    """Spikes of hidden layers come from recorded spikes or from the counters, whichever is
    there."""
    from hardware import Record

    program = network()
    short = estimate(program, run(program, one_spike_each(), "reference"), [simple]).to_dict(
        per_sample=True
    )
    long = estimate(
        program, run(program, one_spike_each(), "reference", record=Record(spikes=True)), [simple]
    ).to_dict(per_sample=True)
    assert short == long


def test_conventional_table_charges_additions_and_for_graded_spikes_multiplications():
    for bits, picojoules in ((0, 0.9), (8, 4.6)):
        silent, dense = (
            Population("p", (3,), threshold=131071),
            Dense("d", "in", "p", np.ones((3, 2), int)),
        )
        program = Program((Input("in", (2,), bits),), (silent,), (dense,), (Output("p"),))
        found = estimate(program, run(program, np.ones((1, 4, 2), int), "reference"), ["cmos-45nm"])
        np.testing.assert_allclose(found.devices[0].dynamic_j, [4 * 2 * 3 * picojoules * 1e-12])
        assert found.twin.macs == {"p": 6}
        np.testing.assert_allclose(found.twin.energy_j["cmos-45nm"], 6 * 4.6e-12)
        with pytest.raises(DeviceError, match="the estimate has no spiking table"):
            _ = found.dynamic_band_j
        assert found.to_dict()["dynamic_band_j"] is None


def test_twin_of_a_convolution_equals_brute_force():
    convolution = Convolution(
        "c", "in", "p", np.ones((4, 2, 3, 2), int), stride=(2, 1), padding=(1, 1), groups=2
    )
    shape = (4, 7, 6)
    program = Program(
        (Input("in", shape),),
        (Population("p", convolution.output_shape(shape)),),
        (convolution,),
        (Output("p"),),
    )
    found = estimate(
        program, run(program, np.zeros((1, 1, *shape), np.uint8), "reference"), ["cmos-45nm"]
    )
    assert found.twin.macs == {"p": int(synapses(convolution, shape).sum())}


TABLES = [Device.load(name) for name in DEVICES]


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_energies_of_random_programs_add_up(data):
    program = data.draw(programs())
    recording = run(program, data.draw(inputs_for(program)), "reference")
    found = estimate(program, recording, TABLES)
    stored = json.loads(json.dumps(found.to_dict(per_sample=True), allow_nan=False))
    for entry, plain in zip(found.devices, stored["devices"]):
        parts = sum(
            layer.synapses_j + layer.neurons_j + layer.spikes_j + layer.messages_j
            for layer in entry.layers
        )
        np.testing.assert_allclose(parts, entry.dynamic_j.mean(), rtol=1e-9)
        assert len(plain["dynamic_j_per_sample"]) == recording.samples
        if entry.time_s is not None:
            assert (entry.time_s >= recording.steps * 0.6e-6).all()
            assert entry.limit.step_s == max(term.step_s for term in entry.terms)
            for name in ("dynamic{}_j", "static{}_j", "time{}_s"):
                low, value, high = (
                    getattr(entry, name.format(end)) for end in ("_low", "", "_high")
                )
                assert (low <= value).all()
                assert (value <= high).all()
    for low, high in (found.dynamic_band_j, found.static_band_j, found.time_band_s):
        assert low <= high


def test_more_spikes_never_cost_less():
    program = network()
    quiet, loud = one_spike_each(), np.ones((2, 5, 6), np.uint8)
    for before, after in zip(
        estimate(program, run(program, quiet, "reference")).devices,
        estimate(program, run(program, loud, "reference")).devices,
    ):
        assert (before.dynamic_j < after.dynamic_j).all()


def test_the_chip_decides_how_many_cores_share_the_work():
    silent, dense = (
        Population("p", (3000,), threshold=131071),
        Dense("d", "in", "p", np.ones((3000, 4), int)),
    )
    program = Program((Input("in", (4,)),), (silent,), (dense,), (Output("p"),))
    recording = run(program, np.ones((1, 3, 4), np.uint8), "reference")
    one, other = (
        estimate(program, recording, ["loihi-sanafe"], chip=Chip.load(name))
        for name in ("loihi2", "loihi1")
    )
    assert (one.chip, one.cores, other.chip, other.cores) == ("loihi2", 1, "loihi1", 3)
    assert terms_of(other)["neuron updates", "p"] < terms_of(one)["neuron updates", "p"]
    assert (one.static_power.value, other.static_power.value) == (232, 89)
    assert (
        one.devices[0].dynamic_calibrated_j is None,
        other.devices[0].dynamic_calibrated_j is None,
    ) == (False, True)
    assert other.devices[0].dynamic_j == one.devices[0].dynamic_j


def test_mean_hops_against_every_pair():
    for tiles in (1, 2, 4, 9, 32, 12):
        width = int(np.ceil(np.sqrt(tiles)))
        height = -(-tiles // width)
        across = np.abs(np.subtract.outer(np.arange(width), np.arange(width))).mean()
        down = np.abs(np.subtract.outer(np.arange(height), np.arange(height))).mean()
        np.testing.assert_allclose(mean_hops(tiles), (across, down))


def test_the_busiest_link_against_every_pair():
    """Messages between two tiles drawn evenly, along the row first."""
    for tiles in (1, 2, 4, 6, 9, 12):
        width = int(np.ceil(np.sqrt(tiles)))
        height = -(-tiles // width)
        east, south = np.zeros((height, width)), np.zeros((height, width))
        places = [(y, x) for y in range(height) for x in range(width)]
        for y, x in places:
            for to_y, to_x in places:
                east[y, x:to_x] += 1 / len(places) ** 2
                south[y:to_y, to_x] += 1 / len(places) ** 2
        np.testing.assert_allclose(busiest_link(tiles), (east.max(), south.max()))


def test_report_says_what_it_rests_on():
    program = network()
    stored = estimate(program, run(program, one_spike_each(), "reference")).to_dict()
    assert stored["assumptions"] == list(ASSUMPTIONS)
    assert stored["not_covered"] == list(NOT_COVERED)
    assert all(entry["constants"] for entry in stored["devices"])
    assert "SANA-FE" in stored["devices"][0]["step_times_source"]
    assert stored["devices"][0]["limit"]["term"] == "barrier"
    assert len(stored["devices"][0]["terms"]) == 3 * 3 + 2
    assert [row["device"] for row in stored["measured"]] == list(DEVICES[:3])
    assert "n = 1" in stored["measured_text"]
    assert (stored["chips"], stored["static_power_mw"]["value"], stored["rate_hz"]) == (
        1,
        232,
        None,
    )
    assert (stored["target"], stored["steps"], stored["samples"]) == ("reference", 5, 2)


def test_recording_must_belong_and_be_complete():
    program = network()
    recording = run(program, one_spike_each(), "reference")
    with pytest.raises(InputError, match="is of Program 000000000000, not of"):
        estimate(program, replace(recording, program="0" * 64))
    with pytest.raises(InputError, match="does not hold spikes_in of every layer"):
        estimate(program, replace(recording, counts={}))
    with pytest.raises(InputError, match="does not hold syn_ops of every layer"):
        estimate(
            program,
            replace(recording, counts=dict(recording.counts) | {"syn_ops": {"a": np.zeros(2)}}),
        )


def test_unknown_device_names_the_known_ones():
    with pytest.raises(
        DeviceError,
        match=r"no device 'gpu'; there are cmos-45nm, keras-spiking, loihi-davies2018, "
        r"loihi-sanafe,",
    ):
        Device.load("gpu")


SYN_OP = "[dense_syn_op_pj]\nvalue = 35.5"
BROKEN = {
    "no TOML": (lambda t: "=", "not TOML"),
    "no kind": (lambda t: t.replace('kind = "spiking"', ""), "kind is missing; it must be a text"),
    "other kind": (
        lambda t: t.replace('kind = "spiking"', 'kind = "quantum"'),
        "kind is 'quantum'; it must be one of spiking, conventional",
    ),
    "unknown": (
        lambda t: t.replace("[spike_pj]", "[spark_pj]"),
        "[spark_pj] is unknown; there must be exactly dense_syn_op_pj",
    ),
    "missing": (
        lambda t: t[: t.index("[hop_north")] + t[t.index("[times]") :],
        "[hop_north_south_pj] is missing",
    ),
    "static power": (
        lambda t: t.replace("[times]", "[static_power_mw]\nvalue = 3.0\n\n[times]"),
        "[static_power_mw] must stand in a chip's table",
    ),
    "relative error": (
        lambda t: t.replace("relative_error = 0.25", "relative_error = 1.0"),
        "relative_error is 1.0; it must be a number from 0 to below 1",
    ),
    "no band": (
        lambda t: t.replace("low = 31.2\n", ""),
        "[dense_syn_op_pj]: must be a table with value, low, high and source",
    ),
    "band beside": (
        lambda t: t.replace("low = 31.2", "low = 36.0"),
        "low 36.0, value 35.5, high 39.8; they must be numbers from 0 with",
    ),
    "negative": (lambda t: t.replace("low = 31.2", "low = -1.0"), "low -1.0, value 35.5"),
    "not finite": (
        lambda t: t.replace("high = 39.8", "high = inf"),
        "high inf; they must be numbers from 0",
    ),
    "text": (
        lambda t: t.replace(SYN_OP, '[dense_syn_op_pj]\nvalue = "35"'),
        "value '35', high 39.8; they must be numbers",
    ),
    "no source": (
        lambda t: t.replace('source = "SANA-FE loihi.yaml: 69.3 pJ; band: 12 %"', 'source = ""'),
        "[spike_pj]: source is ''",
    ),
    "no times": (
        lambda t: t[: t.index("[times]")],
        "there must be either a table [times], or step_times with the name",
    ),
    "two times": (
        lambda t: t.replace("measured_on", 'step_times = "loihi-sanafe"\nmeasured_on'),
        "there must be either a table [times]",
    ),
    "unknown times": (
        lambda t: t[: t.index("[times]")].replace("measured_on", 'step_times = "x"\nmeasured_on'),
        "step_times is 'x'; it must be",
    ),
    "times of a conventional": (
        lambda t: t[: t.index("[times]")].replace(
            "measured_on", 'step_times = "cmos-45nm"\nmeasured_on'
        ),
        "step_times is 'cmos-45nm'; it must be the name of a table that has [times]",
    ),
    "missing time": (
        lambda t: t.replace("spike_ns = 30.0\n", ""),
        "[times] must have exactly barrier_tiles",
    ),
    "negative time": (
        lambda t: t.replace("spike_ns = 30.0", "spike_ns = -3"),
        "[times] spike_ns is -3; it must be a number from 0",
    ),
    "barriers": (
        lambda t: t.replace("[1, 2, 4, 29]", "[1, 2, 4]"),
        "barrier_tiles and barrier_us must be two lists of one length",
    ),
    "falling tiles": (
        lambda t: t.replace("[1, 2, 4, 29]", "[2, 1, 4, 29]"),
        "must be two lists of one length, tiles rising",
    ),
    "cores": (
        lambda t: t.replace("cores_per_tile = 4", "cores_per_tile = 0"),
        "cores_per_tile is 0; it must be a positive number",
    ),
    "source of times": (
        lambda t: t[: t.rindex("source = ")] + "source = 3",
        "[times] source is 3; it must be a text",
    ),
    "conventional with times": (
        lambda t: (FOLDER / "cmos-45nm.toml").read_text() + t[t.index("[times]") :],
        "[times] is unknown; there must be exactly mac_pj, ac_pj",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_table_is_refused(tmp_path, case):
    change, message = BROKEN[case]
    path = tmp_path / "mine.toml"
    path.write_text(change(TEXT))
    with pytest.raises(DeviceError) as error:
        Device.load(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))
    with pytest.raises(DeviceError, match="cannot be read"):
        Device.load(tmp_path / "absent.toml")
