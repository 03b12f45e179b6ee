"""Recordings of events, in the forms that people have them, against binning by hand; and everything
that is refused."""

import io
import zipfile

import numpy as np
import pytest

from hardware import program_file
from hardware.program import Dense, Input, Output, Population, Program
from toolchain.data import Dataset, Encoding, event_files
from toolchain.deploy import inputs
from toolchain.errors import DataError

TONIC = [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")]
ROWS = [
    (0, 0, 0, 0),
    (999, 3, 1, 1),
    (1000, 3, 1, 1),
    (1500, 3, 1, 1),
    (2999, 2, 0, 0),
    (3000, 0, 0, 1),
]
"""Times in µs, x 0 to 3, y 0 to 1, p; the last one is after three bins of 1000 µs, and the third
and fourth share one."""


def tonic(rows=ROWS):
    return np.array(rows, TONIC)


def by_hand(rows=ROWS, steps=3, bin_us=1000):
    frames = np.zeros((steps, 2, 2, 4), np.uint8)
    for t, x, y, p in rows:
        if t // bin_us < steps:
            frames[t // bin_us, p, y, x] = 1
    return frames


@pytest.fixture(
    params=["structured.npy", "events.npz", "arrays.npz", "shuffled.npz", "float.npz", "signed.npz"]
)
def recording(tmp_path, request):
    path, events = tmp_path / request.param, tonic()
    arrays = {name: events[name] for name in "txyp"}
    if path.suffix == ".npy":
        np.save(path, events)
    elif path.stem == "events":
        np.savez_compressed(path, events=events)
    else:
        order = (
            np.random.default_rng(0).permutation(len(events))
            if path.stem == "shuffled"
            else np.arange(len(events))
        )
        arrays = {name: array[order] for name, array in arrays.items()}
        if path.stem == "float":
            arrays["t"] = arrays["t"].astype(np.float64)
        if path.stem == "signed":
            arrays["p"] = 2 * arrays["p"] - 1
        np.savez(path, **arrays)
    return path


def program(shape=(2, 2, 4), message_bits=0, **metadata):
    out, weights = Population("out", (1,)), np.full((1, int(np.prod(shape))), 2)
    projections = (Dense("w", "in", "out", weights),)
    return Program(
        (Input("in", shape, message_bits),), (out,), projections, (Output("out"),), metadata
    )


def test_every_form_is_read_and_binned_alike(recording):
    found = inputs.load(str(recording), program(), steps=3, bin_us=1000)
    assert np.array_equal(found.inputs["in"][0], by_hand())
    assert found.labels is None
    assert found.notes[0] == "6 events, 0 to 3,000 µs, in 3 steps of 1,000 µs"
    said = " ".join(found.notes)
    assert "1 events come after the last step" in said
    assert "1 events share a neuron and a step" in said
    assert ("-1 and 1" in said) == (recording.stem == "signed")
    assert dict(found.events) == {
        "events": 6,
        "after_the_last_step": 1,
        "merged": 1,
        "steps": 3,
        "bin_us": 1000,
    }


def test_nothing_is_said_where_nothing_is_lost(tmp_path):
    np.save(tmp_path / "e.npy", tonic(ROWS[:3]))
    assert len(inputs.load(str(tmp_path / "e.npy"), program(), steps=3, bin_us=1000).notes) == 1


def test_graded_inputs_count_events(tmp_path):
    np.save(tmp_path / "e.npy", tonic())
    found = inputs.load(str(tmp_path / "e.npy"), program(message_bits=4), steps=3, bin_us=1000)
    frames = found.inputs["in"][0]
    assert frames.dtype == np.int32
    assert (frames[1, 1, 1, 3], frames.sum()) == (2, 5)
    assert found.events["merged"] == 0


def test_bins_are_those_of_the_training_unless_others_are_asked_for(tmp_path):
    np.save(tmp_path / "e.npy", tonic())
    trained = program(data={"name": "nmnist", "encoding": "events", "steps": 2, "bin_us": 1500})
    assert np.array_equal(
        inputs.load(str(tmp_path / "e.npy"), trained).inputs["in"][0], by_hand(steps=2, bin_us=1500)
    )
    assert inputs.load(str(tmp_path / "e.npy"), trained, steps=4).inputs["in"].shape[1] == 4
    with pytest.raises(DataError, match="give steps and bin_us"):
        inputs.load(str(tmp_path / "e.npy"), program())


@pytest.mark.parametrize("shape", [(1, 2, 4), (4,)])
def test_one_channel_takes_both_polarities_and_a_row_takes_x(tmp_path, shape):
    rows = [(t, x, 0, p) for t, x, _, p in ROWS]
    np.save(tmp_path / "e.npy", tonic(rows) if len(shape) == 3 else tonic(rows)[["t", "x", "p"]])
    found = inputs.load(str(tmp_path / "e.npy"), program(shape), steps=3, bin_us=1000)
    expected = by_hand(rows).max(axis=1, keepdims=True)
    assert np.array_equal(found.inputs["in"][0], expected if len(shape) == 3 else expected[:, 0, 0])
    assert "polarities are taken alike" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("rows", "shape", "message"),
    [
        (
            [(0, 0, 0, 0), (5, 4, 1, 0), (6, 9, 0, 0)],
            (2, 2, 4),
            r"event 1: x is 4, and 2 of 3 events are outside; the input has 0 to 3",
        ),
        ([(0, 0, -1, 0)], (2, 2, 4), "event 0: y is -1"),
        ([(0, 0, 0, 2)], (2, 2, 4), "event 0: p is 2, .* 0 to 1"),
        (
            [(0, 0, 0, 0), (-7, 0, 0, 0)],
            (2, 2, 4),
            "event 1: t is -7; times must be microseconds from 0",
        ),
        (
            [(5_000, 0, 0, 0)],
            (2, 2, 4),
            "no event lies in 3 steps of 1,000 µs: times are 5,000 to 5,000",
        ),
        ([(0, 0, 1, 0)], (4,), "events have y"),
        ([(0, 0, 0, 0)], (3, 2, 4), r"it must be \(2, height, width\)"),
        ([(0, 0, 0, 0)], (2, 1 << 10, 1 << 10), "a recording may have"),
    ],
)
def test_events_that_do_not_fit_are_refused_by_number(tmp_path, rows, shape, message):
    np.save(tmp_path / "e.npy", tonic(rows))
    steps = 3 if shape[1:] != (1 << 10, 1 << 10) else 1 << 10
    with pytest.raises(DataError, match=message):
        event_files.binned("e.npy", event_files.read(tmp_path / "e.npy", "npy"), shape, steps, 1000)


def header(shape, dtype="<i8"):
    """A .npy header alone."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((1 << 40,)), "declares .* values; at most 67,108,864 are read"),
        (header((1000,)) + b"\0" * 80, "declares 8,000 bytes; 80 are stored"),
        (header((1000,), [("t", "<i8"), ("x", "O")]), "Python objects"),
        (header((0,), TONIC), "no event"),
        (header((3,)) + b"\0" * 24, "a plain array of type int64 and shape \\(3,\\)"),
        (
            header((2,), [("t", "<i8"), ("when", "<i8")]) + b"\0" * 32,
            "holds t, when; events must be t, x, y, p",
        ),
        (header((2,), [("t", "<i8"), ("x", "S8")]) + b"1" * 32, "is of type .*must hold numbers"),
        (b"\x93NUMPY\x09\x00", "damaged, or holds what is not read"),
    ],
)
def test_files_are_believed_no_further_than_their_bytes(tmp_path, content, message):
    (tmp_path / "e.npy").write_bytes(content)
    with pytest.raises(DataError, match=message):
        inputs.load(str(tmp_path / "e.npy"), program(), steps=3, bin_us=1000)


def test_an_archive_that_declares_more_than_it_holds(tmp_path):
    with zipfile.ZipFile(tmp_path / "e.npz", "w") as archive:
        for name in "txyp":
            archive.writestr(f"{name}.npy", header((50_000_000,)))
    with pytest.raises(DataError, match="declares 400,000,000 bytes; 0 are stored"):
        inputs.load(str(tmp_path / "e.npz"), program(), steps=3, bin_us=1000)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"t": [0, 1], "x": [0]}, "each must be a row of the same length"),
        (
            {"t": [0.5, 1], "x": [0, 1]},
            "event 0: t is 0.5; it must be a whole number; times must be in microseconds",
        ),
        ({"t": [0, 1], "x": [0, 1]}, "has no y; an input of shape"),
        ({"t": [0, 1], "x": [0, 1], "y": [0, 0]}, "has no p"),
        ({"events": [1, 2]}, "'events' is a plain array"),
        ({"events": [1, 2], "labels": [1]}, "beside 'events' there must be nothing"),
    ],
)
def test_arrays_that_are_no_events(tmp_path, arrays, message):
    np.savez(tmp_path / "e.npz", **arrays)
    with pytest.raises(DataError, match=message):
        inputs.load(str(tmp_path / "e.npz"), program(), steps=3, bin_us=1000)


def test_a_recording_is_one_sample_and_plain_inputs_are_no_recording(tmp_path):
    np.save(tmp_path / "e.npy", tonic())
    for given in ({"samples": 2}, {"encoding": "direct"}, {"root": tmp_path}):
        with pytest.raises(DataError, match="one sample"):
            inputs.load(str(tmp_path / "e.npy"), program(), steps=3, bin_us=1000, **given)
    np.savez(tmp_path / "plain.npz", inputs=np.zeros((2, 3, 2, 2, 4), np.uint8))
    assert inputs.load(str(tmp_path / "plain.npz"), program()).notes == ()
    with pytest.raises(DataError, match=r"used as they are; .* bins go with"):
        inputs.load(str(tmp_path / "plain.npz"), program(), bin_us=1000)
    assert program_file.sniff(tmp_path / "e.npy") == "npy"


def test_events_of_a_data_set_that_come_too_late_are_counted(monkeypatch):
    times = [np.array([0, 2999, 3000]), np.array([5000])]
    values = [np.stack([t, *np.zeros((3, len(t)), int)], axis=1).astype(np.int32) for t in times]
    dataset = Dataset("nmnist", "test", values, np.array([1, 2]), (2, 34, 34), 0)
    monkeypatch.setattr("toolchain.data.load", lambda *given, **named: dataset)
    short = {"encoding": "events", "steps": 3, "bin_us": 1000}
    arrays, _, _, notes = inputs.known("nmnist", short, 2, "test")
    assert arrays.sum() == 2
    assert notes == (
        "2 events of 2 recordings come after the last step and are no part of the samples",
    )
    assert Encoding("events", 6, bin_us=1000).notes(dataset) == ()
