"""Recording files: complete, atomic, laid out as documented, and refused for anything else."""

from __future__ import annotations

import dataclasses

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardware import Record, Recording, program_file, recording_file, run
from hardware.errors import ProgramFileError
from hardware.program import Dense, Input, Output, Population, Program
from tests.sealed import edited
from tests.strategies import inputs_for, programs


def assert_equal(one: Recording, other: Recording):
    for field in dataclasses.fields(Recording):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ("spikes", "potentials", "scores"):
            assert list(a) == list(b)
            for layer in b:
                assert a[layer].dtype == b[layer].dtype
                np.testing.assert_array_equal(a[layer], b[layer])
        elif field.name == "counts":
            assert list(a) == list(b)
            for counter in b:
                assert list(a[counter]) == list(b[counter])
                for layer in b[counter]:
                    assert a[counter][layer].dtype == np.int64
                    np.testing.assert_array_equal(a[counter][layer], b[counter][layer])
        else:
            assert a == b, field.name


def example(outputs=(Output("out"),), steps=5) -> Recording:
    program = Program(
        (Input("in", (6,)),),
        (Population("out", (4,), threshold=2), Population("read", (3,), threshold=None)),
        (
            Dense("a", "in", "out", np.full((4, 6), 3)),
            Dense("b", "out", "read", np.full((3, 4), -2)),
        ),
        outputs,
    )
    inputs = (np.random.default_rng(0).random((2, steps, 6)) < 0.5).astype(np.uint8)
    recording = run(program, inputs, "reference", record=Record(spikes=True, potentials=True))
    return dataclasses.replace(recording, details={"worker": "ü", "list": [1, 2.5, None]})


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "rec.h5"
    recording_file.save(example(), path)
    return path


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), everything=st.booleans())
def test_round_trip_of_random_runs(tmp_path, data, everything):
    program = data.draw(programs())
    recording = run(
        program, data.draw(inputs_for(program)), "reference", record=Record(everything, everything)
    )
    recording_file.save(recording, tmp_path / "r.h5", force=True)
    assert_equal(recording_file.load(tmp_path / "r.h5"), recording)


def test_layout_that_people_read(saved):
    recording = example()
    with h5py.File(saved) as file:
        np.testing.assert_array_equal(file["outputs/spikes"][()], recording.spikes["out"])
        np.testing.assert_array_equal(file["outputs/potentials"][()], recording.potentials["out"])
        np.testing.assert_array_equal(file["outputs/scores"][()], recording.scores["out"])
        np.testing.assert_array_equal(file["layers/in/spikes"][()], recording.spikes["in"])
        np.testing.assert_array_equal(
            file["layers/read/potentials"][()], recording.potentials["read"]
        )
        np.testing.assert_array_equal(
            file["layers/out/counts/syn_ops"][()], recording.counts["syn_ops"]["out"]
        )
        assert file["layers/out/spikes"] == file["outputs/spikes"]
        assert (file.attrs["samples"], file.attrs["steps"]) == (2, 5)


def test_several_outputs_in_their_order(tmp_path):
    recording = example((Output("read", "last_potential"), Output("out")))
    recording_file.save(recording, tmp_path / "r.h5")
    loaded = recording_file.load(tmp_path / "r.h5")
    assert list(loaded.scores) == ["read", "out"]
    assert_equal(loaded, recording)
    with h5py.File(tmp_path / "r.h5") as file:
        assert sorted(file["outputs/out"]) == ["potentials", "scores", "spikes"]
        assert sorted(file["outputs/read"]) == ["potentials", "scores"]


def test_large_arrays_are_deflated(tmp_path):
    recording = example(steps=4000)
    recording_file.save(recording, tmp_path / "r.h5")
    held = sum(a.nbytes for a in (*recording.spikes.values(), *recording.potentials.values()))
    assert (tmp_path / "r.h5").stat().st_size < held / 2
    assert_equal(recording_file.load(tmp_path / "r.h5"), recording)


def test_layer_larger_than_a_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr(recording_file, "_CHUNK", 8)
    recording = example(steps=2000)
    recording_file.save(recording, tmp_path / "r.h5")
    assert_equal(recording_file.load(tmp_path / "r.h5"), recording)


def test_potentials_of_floating_point_software(tmp_path):
    recording = example()
    recording = dataclasses.replace(
        recording, potentials={"read": recording.potentials["read"].astype(np.float32) / 3}
    )
    recording_file.save(recording, tmp_path / "r.h5")
    assert_equal(recording_file.load(tmp_path / "r.h5"), recording)
    recording = dataclasses.replace(recording, potentials={"read": np.zeros((2, 5, 3))})
    with pytest.raises(
        ProgramFileError,
        match="potentials of 'read' are float64; they must be one of int32, float32",
    ):
        recording_file.save(recording, tmp_path / "r2.h5")
    assert not (tmp_path / "r2.h5").exists()


def test_existing_output_is_refused_without_force(saved):
    with pytest.raises(ProgramFileError, match="exists already"):
        recording_file.save(example(), saved)
    recording_file.save(example(), saved, force=True)


def test_files_of_the_other_format_are_told_apart(tmp_path, saved):
    assert program_file.sniff(saved) == "recording"
    with pytest.raises(
        ProgramFileError,
        match="a 'spikeport recording' file; it must be a 'spikeport program' file",
    ):
        program_file.load(saved)


def replaced(name, **arguments):
    def change(file):
        del file[name]
        file.create_dataset(name, **arguments)

    return change


def linked(file):
    del file["layers/in"]
    file["layers/in"] = h5py.SoftLink("/layers/out")


HOSTILE = {
    "newer": (lambda f: f.attrs.__setitem__("format_version", 9), "newer version of this program"),
    "no samples": (
        lambda f: f.attrs.__setitem__("samples", 0),
        "0 samples of 5 steps; both must be positive",
    ),
    "unknown member": (lambda f: f.create_group("more"), "/more: unknown"),
    "unknown layer member": (
        lambda f: f.create_group("layers/in/more"),
        "/layers/in/more: unknown",
    ),
    "unknown counter": (
        lambda f: f.create_dataset("layers/in/counts/joules", data=1),
        "/layers/in/counts/joules: unknown",
    ),
    "count of wrong length": (
        replaced("layers/in/counts/syn_ops", data=np.zeros(3, np.int64)),
        "shape (3,); it must be (2)",
    ),
    "count of wrong type": (
        replaced("layers/in/counts/syn_ops", data=np.zeros(2)),
        "type float64; it must be int64",
    ),
    "wrong samples": (
        replaced("layers/in/spikes", data=np.zeros((3, 5, 6), np.uint8)),
        "shape (3, 5, 6); it must be [2, 5,",
    ),
    "wrong type": (
        replaced("layers/in/spikes", data=np.zeros((2, 5, 6), np.int64)),
        "type int64; it must be uint8 or int32",
    ),
    "scores": (
        replaced("outputs/scores", data=np.zeros((1, 4))),
        "shape (1, 4); it must be (2, any)",
    ),
    "other output": (
        replaced("outputs/spikes", data=np.zeros((2, 5, 4), np.uint8)),
        "not the dataset /layers/out/spikes",
    ),
    "output missing": (lambda f: f["outputs"].__delitem__("spikes"), "/outputs/spikes: missing"),
    "order twice": (
        lambda f: f["layers/in"].attrs.__setitem__("order", 1),
        "the attributes 'order' are [1, 1, 2]",
    ),
    "no such output number": (
        lambda f: f["layers/out"].attrs.__setitem__("output", 7),
        "the attributes 'output' are [7]",
    ),
    "no details": (
        replaced("details", data=np.frombuffer(b"3", np.uint8)),
        "holds a JSON int; it must be an object",
    ),
    "link": (linked, "/layers/in: a soft or external link"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused_by_name_and_place(saved, case):
    change, message = HOSTILE[case]
    with edited(saved) as file:
        change(file)
    with pytest.raises(ProgramFileError) as error:
        recording_file.load(saved)
    assert message in str(error.value)
    assert str(error.value).startswith(str(saved))


def test_bomb_is_refused_before_it_is_read(saved):
    with edited(saved) as file:
        del file["layers/in/spikes"]
        file["layers/in"].create_dataset(
            "spikes", (2, 5, 1 << 22), "u1", chunks=(1, 1, 1 << 20), compression="gzip"
        )
        file["layers/in/spikes"][0, 0] = 0
    with pytest.raises(ProgramFileError, match="declares 41943040 bytes of data, but"):
        recording_file.load(saved)


def test_more_data_than_asked_for_is_refused(saved):
    with pytest.raises(ProgramFileError, match="holds more than the 100 bytes that it may have"):
        recording_file.load(saved, max_bytes=100)
    assert recording_file.load(saved, max_bytes=10_000)


def test_truncated(saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ProgramFileError, match=r"rec\.h5: damaged"):
        recording_file.load(saved)
