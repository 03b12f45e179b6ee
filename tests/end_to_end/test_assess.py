"""assess on every stage: what it prints is what run and compare compute."""

from __future__ import annotations

import json

import numpy as np

from tests.end_to_end.models import tiny_inputs


def test_a_program_is_assessed_as_integers_alone(spikeport, program_h5, data_npz, tmp_path):
    code, out, err = spikeport(
        "assess", program_h5, "--data", data_npz, "-o", "page.html", "--json", "a.json"
    )
    assert code == 0, err
    assert "holds no PyTorch model" in out
    assert "fits Intel Loihi 2" in out
    code, _, err = spikeport("run", program_h5, "--data", data_npz, "--json", "run.json")
    assert code == 0, err
    found, ran = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "run.json"))
    assert found["accuracy"] == {"fast": ran["accuracy"]}
    assert found["paired"] is None
    assert found["energy"]["dynamic_band_j"] == ran["energy"]["dynamic_band_j"]
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "floating point against integers" in page
    assert "<script src" not in page


def test_a_float_model_is_held_against_its_integers(spikeport, float_options, tmp_path):
    code, out, err = spikeport("assess", *float_options, "--json", "a.json")
    assert code == 0, err
    code, _, err = spikeport("compare", *float_options, "--min-agreement", "0", "--json", "c.json")
    assert code == 0, err
    found, compared = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "c.json"))
    assert found["paired"] == compared["paired"][0]
    assert found["accuracy"]["software"] == compared["runs"]["software"]["accuracy"]
    assert "accuracy of fast minus software" in out
    assert found["verdict"] == "approximate"


def test_min_agreement_decides_the_exit_code(spikeport, float_options):
    code, out, err = spikeport("compare", *float_options)
    assert (code, err) == (1, "")  # without it every spike counts
    assert "predictions of software and fast agree" in out
    assert spikeport("compare", *float_options, "--min-agreement", "0.0")[0] == 0


def test_a_page_must_be_one(refused, program_h5, data_npz):
    refused("assess", program_h5, "--data", data_npz, "-o", "page.pdf", words=".html")


def test_no_labels(spikeport, program_h5, tmp_path):
    np.savez(tmp_path / "unlabelled.npz", inputs=tiny_inputs())
    code, out, err = spikeport("assess", program_h5, "--data", "unlabelled.npz")
    assert code == 0, err
    assert "no labels" in out


def test_options_without_their_data_are_refused(refused, program_h5):
    refused("check", program_h5, "--encoding", "direct", words="--data")
    refused(
        "compare",
        program_h5,
        "--data",
        "x",
        "--tolerance",
        "0",
        "--min-agreement",
        "1",
        words="give one",
    )
