"""Bad input ends in exit code 2 and one clear line; nothing is overwritten, nothing half-written
stays."""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys

import h5py
import nir
import numpy as np
import pytest

from hardware import program_file
from tests.end_to_end.models import tiny_graph, tiny_inputs, tiny_program
from tests.sealed import edited


def test_truncated_program(refused, program_h5, data_npz):
    content = program_h5.read_bytes()
    for size in (len(content) // 2, len(content) - 200, 100):
        program_h5.write_bytes(content[:size])
        refused("run", program_h5, "--data", data_npz, words="tiny.h5")


def test_foreign_hdf5(refused, tmp_path, data_npz):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["temperature"] = np.arange(5.0)
    refused("run", "foreign.h5", "--data", data_npz, words=["foreign.h5", "another kind", ".nir"])


@pytest.mark.parametrize(
    "content",
    [b"", b"hello", os.urandom(300), b"\x89HDF\r\n\x1a\n"],
    ids=["empty", "text", "noise", "signature"],
)
def test_no_model_at_all(refused, tmp_path, content):
    (tmp_path / "model").write_bytes(content)
    refused("export", "model", "-o", "out.h5", words="model")


def test_recording_is_no_model(refused, spikeport, program_h5, data_npz):
    assert spikeport("run", program_h5, "--data", data_npz, "--save", "rec.h5")[0] == 0
    refused("run", "rec.h5", "--data", data_npz, words=["rec.h5", "Recording"])


def test_absent_files(refused, program_h5):
    refused("run", "absent.h5", "--data", "x.npz", words="absent.h5")
    refused("run", program_h5, "--data", "absent.npz", words=["absent.npz", "npz"])


def test_unknown_node_in_nir(refused, graph_nir):
    with h5py.File(graph_nir, "a") as file:
        del file["node/nodes/lif/type"]
        file["node/nodes/lif/type"] = "Hodgkin"
    refused("export", graph_nir, "-o", "out.h5", words=["lif", "Hodgkin", "LIF"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(refused, tmp_path, value):
    weight = np.ones((3, 16))
    weight[1, 5] = value
    nir.write(tmp_path / "bad.nir", tiny_graph(weight))
    refused("export", "bad.nir", "-o", "out.h5", words=["fc", "NaN or infinite"])


def test_wrong_shapes_in_nir(refused, tmp_path):
    nir.write(tmp_path / "bad.nir", tiny_graph(np.ones((4, 16))))
    refused("export", "bad.nir", "-o", "out.h5", words=["fc", "lif"])


def test_weight_that_does_not_fit_the_chip(refused, program_h5, data_npz):
    with edited(program_h5) as file:
        values = file["projections/0/weights"][()]
        values.flat[0] = 3
        file["projections/0/weights"][...] = values
    refused("run", program_h5, "--data", data_npz, words=["tiny.h5", "weights", "they must be"])


def test_pickle_where_safetensors_is_expected(refused, tmp_path, data_npz):
    """Neither is opened: a pickle that would leave a trace leaves none."""
    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps(_Trap(str(tmp_path / "trace"))))
    refused("run", "weights.safetensors", "--data", data_npz, words=["pickle", "safetensors"])
    (tmp_path / "factory.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Linear(2, 2)\n"
    )
    refused(
        "export",
        "factory:make",
        "--weights",
        "weights.safetensors",
        "-o",
        "out.h5",
        words=["pickle", "safetensors"],
    )
    assert not (tmp_path / "trace").exists()


class _Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_truncated_safetensors(refused, tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    (tmp_path / "cut.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(7))
    refused("export", "cut.safetensors", "-o", "out.h5", words="cut.safetensors")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"inputs": tiny_inputs()[..., :3]}, ["shape", "[sample, step, 1, 4, 4]"]),
        ({"inputs": tiny_inputs() * 3}, ["values from 0 to 3", "0 to 1"]),
        ({"inputs": tiny_inputs() * 0.5}, ["not whole numbers"]),
        ({"inputs": np.full((1, 2, 1, 4, 4), np.nan)}, ["NaN"]),
        ({"inputs": tiny_inputs().astype(complex)}, ["complex128"]),
        ({"inputs": tiny_inputs()[:0]}, ["no sample"]),
        ({"samples": tiny_inputs()}, ["samples", "'inputs'"]),
        ({"inputs": tiny_inputs(), "labels": np.zeros(3, int)}, ["3 labels for 4 samples"]),
        ({"inputs": tiny_inputs(), "labels": np.full(4, 3)}, ["labels", "0 to 2"]),
        (
            {"inputs": tiny_inputs(), "labels": np.full(4, -1)},
            ["labels range from -1 to -1", "0 to 2"],
        ),
        ({"inputs": tiny_inputs(), "labels": np.zeros(4)}, ["labels", "float64"]),
        (
            {"inputs": tiny_inputs(), "labels": np.array(2)},
            ["labels is one number, 2", "for each sample"],
        ),
        (
            {"inputs": tiny_inputs(), "labels": np.zeros((4, 1), int)},
            ["labels have shape (4, 1)", "one integer for each sample"],
        ),
        ({"inputs/other": tiny_inputs()}, ["other", "in"]),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_data_that_does_not_fit(refused, program_h5, tmp_path, arrays, words):
    np.savez(tmp_path / "data.npz", **arrays)
    refused("run", program_h5, "--data", "data.npz", "--save", "rec.h5", words=words)
    refused("compare", program_h5, "--data", "data.npz", "--targets", "fast,reference", words=words)


@pytest.mark.parametrize("command", ["bench", "run", "export"])
def test_no_file_is_waited_for(refused, tmp_path, command):
    """A FIFO without a writer would wait, and a device would never end."""
    os.mkfifo(tmp_path / "fifo")
    rest = ("--data", "digits") if command == "run" else ("-o", "RUN.h5")
    refused(command, "fifo", *rest, words="fifo: is a FIFO")
    refused(command, "/dev/zero", *rest, words="/dev/zero: is a device")


def test_data_files_are_not_unpickled(refused, program_h5, tmp_path):
    np.savez(tmp_path / "data.npz", inputs=np.array([_Trap(str(tmp_path / "trace"))], dtype=object))
    refused("run", program_h5, "--data", "data.npz", words=["data.npz", "not read"])
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(_Trap(str(tmp_path / "trace"))))
    refused("run", program_h5, "--data", "plain.npz", words="no .npz file")
    assert not (tmp_path / "trace").exists()


def test_damaged_npz(refused, program_h5, tmp_path):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, inputs=tiny_inputs())
    content = bytearray(buffer.getvalue())
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    refused("run", program_h5, "--data", "cut.npz", words="cut.npz")
    content[len(content) // 3] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(content)
    refused("run", program_h5, "--data", "flipped.npz", words="flipped.npz")


def test_existing_outputs_are_refused_before_any_work(
    refused, program_h5, graph_nir, data_npz, tmp_path, monkeypatch
):
    import hardware

    (tmp_path / "old").write_text("old")
    (tmp_path / "old.h5").write_text("old")
    monkeypatch.setattr(
        hardware,
        "run",
        lambda *a, **k: pytest.fail("work was done before the outputs were checked"),
    )
    refused("run", program_h5, "--data", data_npz, "--save", "old", words=["old", "--force"])
    refused("run", program_h5, "--data", data_npz, "--json", "old", words=["old", "--force"])
    refused(
        "compare",
        program_h5,
        "--data",
        data_npz,
        "--targets",
        "fast,reference",
        "--json",
        "old",
        words=["old", "--force"],
    )
    refused("export", graph_nir, "-o", "old.h5", words=["old.h5", "--force"])


def test_force_replaces(spikeport, graph_nir, tmp_path):
    (tmp_path / "old.h5").write_text("old")
    code, _, err = spikeport("export", graph_nir, "-o", "old.h5", "--force")
    assert code == 0, err
    assert program_file.load(tmp_path / "old.h5").populations


def test_outputs_that_cannot_be_written(refused, program_h5, graph_nir, data_npz, tmp_path):
    refused("run", program_h5, "--data", data_npz, "--save", "absent/rec.h5", words="absent")
    refused("export", graph_nir, "-o", "absent/out.h5", words="absent")
    (tmp_path / "folder.h5").mkdir()
    refused("export", graph_nir, "-o", "folder.h5", words="folder")
    refused("export", graph_nir, "-o", "out.onnx", words=[".nir", ".h5"])
    refused("export", graph_nir, "-o", "same.h5", "--json", "same.h5", words="same name")


def test_targets_that_there_are_not(refused, program_h5, data_npz, monkeypatch, tmp_path):
    refused("run", program_h5, "--data", data_npz, "--target", "loihi3", words=["loihi3", "loihi2"])
    refused(
        "run",
        program_h5,
        "--data",
        data_npz,
        "--target",
        "software",
        words=["software", "PyTorch model", "program"],
    )
    refused(
        "compare", program_h5, "--data", data_npz, "--targets", "fast,gpu", words=["gpu", "lava"]
    )
    refused("compare", program_h5, "--data", data_npz, "--targets", "fast", words="two or more")
    refused(
        "compare",
        program_h5,
        "--data",
        data_npz,
        "--targets",
        "software,fast",
        words="PyTorch model",
    )
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", str(tmp_path / "no-python"))
    refused("run", program_h5, "--data", data_npz, "--target", "lava", words="no-python")


def test_options_that_would_change_nothing(refused, program_h5, graph_nir, data_npz):
    refused("run", program_h5, "--data", data_npz, "--dt", "1e-3", words=["--dt", "program"])
    refused("run", program_h5, "--data", data_npz, "--weights", "w.safetensors", words="--weights")
    refused("export", graph_nir, "--call", "step", "-o", "out.h5", words="--call")
    refused("run", program_h5, "--data", data_npz, "--potentials", words="--save")


def test_contradicting_time_step(refused, graph_nir):
    refused("export", graph_nir, "--dt", "2e-3", "-o", "out.h5", words=["0.002", "0.001"])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("absent_module:make", "absent_module"),
        ("factories:absent", "absent"),
        ("factories:fails", "ZeroDivisionError"),
        ("factories:number", "int"),
    ],
)
def test_factories_that_give_no_model(refused, tmp_path, monkeypatch, source, words):
    monkeypatch.delitem(sys.modules, "factories", raising=False)
    (tmp_path / "factories.py").write_text(
        "def fails():\n    return 1 / 0\ndef number():\n    return 3\n"
    )
    refused("export", source, "-o", "out.h5", words=words)


def test_program_that_breaks_its_own_fingerprint(refused, tmp_path, data_npz):
    program_file.save(tiny_program(), tmp_path / "tiny.h5")
    with edited(tmp_path / "tiny.h5") as file:
        file["populations/0/threshold"][...] = 91
    refused("run", "tiny.h5", "--data", data_npz, words=["tiny.h5", "fingerprint"])
