"""export, run and compare on small models: what is printed and written is what the packages below
compute."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

import hardware
from hardware import Record, program_file, recording_file
from tests.end_to_end.models import tiny_inputs, tiny_program
from toolchain.statistics import wilson


def test_run_prints_and_saves_what_the_program_does(spikeport, program_h5, data_npz, tmp_path):
    expected = hardware.run(
        tiny_program(), tiny_inputs(), "reference", record=Record(spikes=True, potentials=True)
    )
    right = int((expected.predictions() == np.array([0, 1, 2, 0])).sum())
    code, out, err = spikeport(
        "run",
        program_h5,
        "--data",
        data_npz,
        "--target",
        "fast",
        "--save",
        "rec.h5",
        "--potentials",
        "--json",
        "run.json",
    )
    assert code == 0, err
    low, high = wilson(right, 4)
    assert (
        f"{25 * right:.2f} % ({right} of 4; 95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
        in out
    )
    with h5py.File(tmp_path / "rec.h5") as file:
        assert np.array_equal(file["outputs/spikes"], expected.spikes["out"])
        for layer in ("hidden", "out"):
            assert np.array_equal(file[f"layers/{layer}/spikes"], expected.spikes[layer])
            assert np.array_equal(file[f"layers/{layer}/potentials"], expected.potentials[layer])
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["accuracy"]["correct"] == right
    assert facts["program"] == tiny_program().fingerprint
    by_name = {layer["name"]: layer for layer in facts["layers"]}
    assert by_name["hidden"]["spikes"] == expected.spikes["hidden"].sum() / 4
    assert by_name["out"]["syn_ops"] == 3 * by_name["hidden"]["spikes"]
    assert hardware.compare(recording_file.load(tmp_path / "rec.h5"), expected).identical


def test_run_without_labels_and_with_fewer_samples(spikeport, program_h5, tmp_path):
    np.savez(tmp_path / "unlabelled.npz", inputs=tiny_inputs())
    code, out, err = spikeport(
        "run",
        program_h5,
        "--data",
        "unlabelled.npz",
        "--target",
        "reference",
        "--samples",
        3,
        "--json",
        "run.json",
    )
    assert code == 0, err
    assert "accuracy" not in out
    facts = json.loads((tmp_path / "run.json").read_text())
    assert (facts["samples"], facts["target"], facts["accuracy"]) == (3, "reference", None)


def test_several_inputs_by_name(spikeport, tmp_path):
    program = hardware.Program(
        inputs=(hardware.Input("left", (2,)), hardware.Input("right", (3,), message_bits=4)),
        populations=(hardware.Population("out", (1,), threshold=40),),
        projections=(
            hardware.Dense("a", "left", "out", np.full((1, 2), 20)),
            hardware.Dense("b", "right", "out", np.full((1, 3), 4)),
        ),
        outputs=(hardware.Output("out"),),
    )
    program_file.save(program, tmp_path / "two.h5")
    left, right = np.ones((2, 5, 2), np.uint8), np.full((2, 5, 3), -3)
    np.savez(tmp_path / "two.npz", **{"inputs/left": left, "inputs/right": right})
    code, _, err = spikeport("run", "two.h5", "--data", "two.npz", "--save", "rec.h5")
    assert code == 0, err
    expected = hardware.run(program, {"left": left, "right": right}, "reference")
    assert np.array_equal(
        recording_file.load(tmp_path / "rec.h5").spikes["out"], expected.spikes["out"]
    )


def test_compare_agrees_and_says_so(spikeport, program_h5, data_npz, tmp_path):
    code, out, err = spikeport(
        "compare", program_h5, "--data", data_npz, "--targets", "reference,fast", "--json", "c.json"
    )
    assert code == 0, err
    assert out.rstrip().endswith("identical")
    facts = json.loads((tmp_path / "c.json").read_text())
    assert facts["identical"]
    layers = {layer["layer"]: layer for layer in facts["comparisons"][0]["layers"]}
    assert layers["hidden"]["potentials"] == 4 * 6 * 32
    assert layers["hidden"]["potential_differences"] == 0


def test_compare_names_the_first_difference(spikeport, program_h5, data_npz, monkeypatch, tmp_path):
    """A target that is wrong in one potential must be found out, at exactly that place."""
    from hardware import fast, targets

    def wrong(program, inputs, options):
        for sample, chunk in enumerate(targets._reference(program, inputs, options)):
            if sample == 2:
                chunk.potentials["hidden"][0, 3, 1, 2, 0] += 5
            yield chunk

    monkeypatch.setattr(fast, "run_chunks", wrong)
    code, out, _ = spikeport(
        "compare", program_h5, "--data", data_npz, "--targets", "reference,fast", "--json", "c.json"
    )
    assert code == 1
    assert (
        "first difference: sample 2, step 3, layer hidden, neuron 1, 2, 0, potentials: reference "
        in out
    )
    assert out.rstrip().endswith("DIFFERENT")
    first = json.loads((tmp_path / "c.json").read_text())["comparisons"][0]["first"]
    assert first["values"][1] - first["values"][0] == 5


def test_export_writes_the_program_and_prints_the_audit(spikeport, graph_nir, tmp_path):
    code, out, err = spikeport("export", graph_nir, "-o", "tiny.h5", "--json", "audit.json")
    assert code == 0, err
    assert "verdict: approximate" in out
    audit = json.loads((tmp_path / "audit.json").read_text())["audit"]
    program = program_file.load(tmp_path / "tiny.h5")
    weights = next(
        p
        for layer in audit["layers"]
        if layer["name"] == "fc"
        for p in layer["parameters"]
        if p["name"] == "weight"
    )
    assert weights["integers"] == [
        program.projections[0].weights.min(),
        program.projections[0].weights.max(),
    ]
    np.savez(tmp_path / "flat.npz", inputs=tiny_inputs().reshape(4, 6, 16))
    codes = [
        spikeport("run", model, "--data", "flat.npz", "--json", f"{i}.json")[0]
        for i, model in enumerate((graph_nir, "tiny.h5"))
    ]
    assert codes == [0, 0]
    both = [json.loads((tmp_path / f"{i}.json").read_text()) for i in range(2)]
    assert both[0]["program"] == both[1]["program"]
    assert both[0]["layers"] == both[1]["layers"]


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        (["--weight-bits", "4"], True),
        (["--per-channel"], True),
        (["--discretization", "exponential"], True),
        (["--dt", "1e-3"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options_reach_the_lowering(spikeport, graph_nir, tmp_path, options, changes):
    for name, given in (("plain.h5", []), ("other.h5", options)):
        code, _, err = spikeport("export", graph_nir, "-o", name, *given)
        assert code == 0, err
    plain, other = (program_file.load(tmp_path / name) for name in ("plain.h5", "other.h5"))
    assert (plain.fingerprint != other.fingerprint) == changes


def test_calibration_from_a_file_changes_the_scale(spikeport, graph_nir, tmp_path):
    quiet = np.zeros((2, 6, 16), np.uint8)
    quiet[:, ::3, 0] = 1
    np.savez(tmp_path / "quiet.npz", inputs=quiet)
    assert spikeport("export", graph_nir, "-o", "plain.h5")[0] == 0
    code, out, err = spikeport(
        "export", graph_nir, "-o", "calibrated.h5", "--calibration", "quiet.npz"
    )
    assert code == 0, err
    plain, calibrated = (
        program_file.load(tmp_path / name) for name in ("plain.h5", "calibrated.h5")
    )
    assert calibrated.populations[0].threshold > plain.populations[0].threshold or "calibrat" in out


@pytest.mark.lava
def test_compare_with_lava(spikeport, program_h5, data_npz):
    code, out, err = spikeport(
        "compare", program_h5, "--data", data_npz, "--targets", "reference,fast,lava"
    )
    assert code == 0, out + err
