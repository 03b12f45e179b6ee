"""What random Programs draw seldom or never: long delays, odd geometry, short samples, deep and
disconnected networks."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.chunks import Options
from hardware.lava import client
from hardware.program import Convolution, Dense, Input, Output, Population, Program, Sparse
from hardware.recording import Record
from hardware.targets import run
from tests.hardware.lava.test_lava_exact import assert_identical

pytestmark = pytest.mark.lava


def mixed(rng, *shape):
    return rng.integers(-128, 128, shape) * 2


def binary(rng, *shape, density=0.3):
    return (rng.random(shape) < density).astype(np.uint8)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("exponent", [0, 3, -3])
def test_lavas_own_delayed_synapses_with_all_delays(direct, kind, exponent):
    """DelayDense and DelaySparse, every delay from 0 to 62 at once, graded and binary, samples back
    to back."""
    rng = np.random.default_rng(exponent + 10)
    weights, delays = mixed(rng, 9, 14), rng.permutation(np.arange(126) % 63).reshape(9, 14)
    if kind == "dense":
        projection = Dense("late", "in", "out", weights, exponent=exponent, delay=delays)
    else:
        rows, columns = np.nonzero(np.ones_like(weights))
        projection = Sparse(
            "late",
            "in",
            "out",
            weights.ravel(),
            rows=rows,
            columns=columns,
            exponent=exponent,
            delay=delays.ravel(),
        )
    for bits in (0, 8):
        program = Program(
            (Input("in", (14,), bits),),
            (Population("out", (9,), voltage_decay=60, threshold=60),),
            (projection,),
            (Output("out"),),
        )
        inputs = binary(rng, 2, 80, 14) if bits == 0 else rng.integers(-128, 128, (2, 80, 14))
        recording = assert_identical(direct, program, inputs)
        assert recording.spikes["out"].any()


def test_long_uniform_delays_and_recurrence_in_the_runtime(runtime):
    rng = np.random.default_rng(1)
    layers = [
        Population(n, (6,), voltage_decay=30, threshold=100, bias=40, bias_exponent=4)
        for n in ("one", "two", "three")
    ]
    program = Program(
        (Input("in", (5,)),),
        layers,
        (
            Dense("a", "in", "one", mixed(rng, 6, 5), delay=17),
            Dense("b", "one", "two", mixed(rng, 6, 6)),
            Dense("loop", "two", "two", mixed(rng, 6, 6), delay=3),
            Dense("c", "two", "three", mixed(rng, 6, 6), delay=rng.integers(0, 9, (6, 6))),
            Dense("skip", "in", "three", mixed(rng, 6, 5)),
        ),
        (Output("three"),),
    )
    recording = assert_identical(runtime, program, binary(rng, 3, 30, 5), batch=1)
    assert all(recording.spikes[n].any() for n in ("one", "two", "three"))


@pytest.mark.parametrize(
    ("shape", "kernel", "window"),
    [
        ((2, 13, 5), (4, 2, 3, 2), {"stride": (2, 3), "padding": (2, 1)}),
        ((2, 150, 3), (3, 2, 2, 1), {"dilation": (127, 2)}),
        (
            (4, 20, 30),
            (8, 2, 5, 3),
            {"dilation": (3, 7), "groups": 2, "padding": (0, 4), "stride": (1, 2)},
        ),
        ((130, 4, 3), (260, 1, 3, 3), {"groups": 127 + 3, "padding": (1, 1)}),
        ((3, 40), (5, 3, 9), {"stride": (4,), "padding": (3,), "dilation": (2,)}),
    ],
)
def test_geometry(direct, shape, kernel, window):
    rng = np.random.default_rng(2)
    convolution = Convolution("convolution", "in", "out", mixed(rng, *kernel), exponent=1, **window)
    population = Population(
        "out",
        convolution.output_shape(shape),
        threshold=200,
        voltage_decay=rng.integers(0, 4097, convolution.output_shape(shape)),
    )
    program = Program((Input("in", shape),), (population,), (convolution,), (Output("out"),))
    inputs = binary(rng, 1, 3, *shape)
    if window.get("groups", 1) > 127:
        from hardware.lava.errors import LavaUnsupportedError

        with pytest.raises(LavaUnsupportedError, match="groups is 130"):
            assert_identical(direct, program, inputs)
    else:
        assert assert_identical(direct, program, inputs).spikes["out"].any()


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_samples_shorter_than_the_network_is_deep(runtime, steps):
    """The pipeline holds several samples, and several chunks, at once."""
    rng = np.random.default_rng(3)
    names = [f"layer {n}" for n in range(6)]
    layers = [
        Population(n, (4,), voltage_decay=200, threshold=40, bias=50, bias_exponent=6)
        for n in names
    ]
    projections = [
        Dense(f"into {b}", a, b, mixed(rng, 4, 4)) for a, b in zip(["in", *names], names)
    ]
    program = Program((Input("in", (4,)),), layers, projections, (Output(names[-1]),))
    recording = assert_identical(runtime, program, binary(rng, 7, steps, 4), batch=1)
    assert recording.spikes[names[-1]].any()


def test_networks_that_do_not_hang_together(runtime):
    rng = np.random.default_rng(4)
    layers = [
        Population("a", (3,), threshold=50),
        Population("b", (2, 2, 2), threshold=None),
        Population("alone", (2,), bias=50, threshold=1),
    ]
    program = Program(
        (Input("x", (3,)), Input("y", (2, 2, 2), message_bits=8)),
        layers,
        (
            Dense("x to a", "x", "a", mixed(rng, 3, 3)),
            Convolution("y to b", "y", "b", mixed(rng, 2, 2, 1, 1)),
        ),
        (Output("a"), Output("b", "last_potential")),
    )
    assert_identical(
        runtime,
        program,
        {"x": binary(rng, 2, 6, 3), "y": rng.integers(-128, 128, (2, 6, 2, 2, 2))},
        batch=1,
    )


def test_decays_and_thresholds_of_each_neuron_in_a_map(runtime):
    rng = np.random.default_rng(5)
    shape = (2, 3, 4)
    population = Population(
        "map",
        shape,
        current_decay=rng.integers(0, 4097, shape),
        voltage_decay=rng.integers(0, 4097, shape),
        threshold=rng.integers(0, 900, shape),
        bias=rng.integers(-4096, 4096, shape),
        bias_exponent=-3,
        reset="subtract",
        reset_amount=rng.integers(0, 90000, shape),
        refractory=2,
    )
    program = Program(
        (Input("in", (7,)),),
        (population,),
        (Dense("d", "in", "map", mixed(rng, 24, 7), exponent=[2, -1]),),
        (Output("map"),),
    )
    assert assert_identical(runtime, program, binary(rng, 2, 25, 7)).spikes["map"].any()


def small():
    rng = np.random.default_rng(6)
    layers = (Population("hidden", (5,), threshold=200), Population("out", (3,), threshold=None))
    return Program(
        (Input("in", (4,)),),
        layers,
        (
            Dense("a", "in", "hidden", mixed(rng, 5, 4)),
            Dense("b", "hidden", "out", mixed(rng, 3, 5)),
        ),
        (Output("out", "max_potential"),),
    ), binary(rng, 9, 12, 4)


def test_the_target_reports_progress_and_what_it_did():
    program, inputs = small()
    seen = []
    recording = run(
        program, inputs, "lava", batch=4, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[0] == (0, 9)
    assert seen[-1] == (9, 9)
    assert seen == sorted(seen)
    assert {(4, 9), (8, 9)} <= set(seen)
    assert recording.details["lava"] == "0.10.0"
    assert recording.details["python"].startswith("3.10")
    assert recording.details["lava_processes"] == 7
    assert 0 < recording.details["ms_per_step"] < 1000
    reference = run(program, inputs, "reference")
    np.testing.assert_array_equal(recording.scores["out"], reference.scores["out"])
    assert recording.counts.keys() == reference.counts.keys()


def test_only_what_is_wanted_is_written(runtime, monkeypatch):
    program, inputs = small()
    read, files = client._read_chunk, []

    def look_and_read(folder, *rest):
        files.append(sorted(path.name for path in folder.iterdir()))
        return read(folder, *rest)

    monkeypatch.setattr(client, "_read_chunk", look_and_read)
    list(runtime.run_chunks(program, {"in": inputs}, Options(potentials=("out",), batch=9)))
    assert files == [["input-0.0", "potentials-1.0", "program.h5", "spikes-0.0"]]


def test_chunks_are_small_where_nobody_asks(monkeypatch):
    program, inputs = small()
    monkeypatch.setattr(client, "CHUNK_BYTES", 12 * (4 + 5 + 4 * 3) * 2)
    sizes = [
        len(chunk.spikes["hidden"])
        for chunk in client.run_chunks(program, {"in": inputs}, Options(potentials=("out",)))
    ]
    assert sizes == [2, 2, 2, 2, 1]


def test_all_records_are_kept_when_asked():
    program, inputs = small()
    recording = run(program, inputs, "lava", record=Record(spikes=True, potentials=True))
    assert recording.spikes.keys() == {"in", "hidden"}
    assert recording.potentials.keys() == {"hidden", "out"}
