"""What an inference is estimated to cost, on the command line: bands, error, rate, chip; and wrong
input.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware import measured_tasks, program_file
from tests.end_to_end.models import tiny_inputs, tiny_program


@pytest.fixture
def tiny(tmp_path):
    program_file.save(tiny_program(), tmp_path / "tiny.h5")
    np.savez(tmp_path / "tiny.npz", inputs=tiny_inputs())
    return "tiny.h5", "--data", "tiny.npz", "--target", "reference"


def flat(text: str) -> str:
    return " ".join(text.split())


def test_run_prints_energy_and_time_with_band_limit_and_error(spikeport, tiny):
    code, out, err = spikeport("run", *tiny, "--json", "run.json")
    assert code == 0, err
    with open("run.json") as file:
        energy = json.load(file)["energy"]
    for words in (
        "dynamic",
        "(band ",
        "static",
        "calibrated on n = 1 measured task",
        "limited by barrier",
        "without a pause",
    ):
        assert words in out
    assert energy["measured_text"] in flat(out)
    assert energy["static_text"] in flat(out)
    assert [row["task"] for row in energy["measured"]] == ["pilotnet-snn"] * 3
    assert len(energy["tasks"]) == len(measured_tasks.tasks())
    low, high = energy["dynamic_band_j"]
    assert all(
        low <= entry["dynamic_j"] <= high
        for entry in energy["devices"]
        if entry["kind"] == "spiking"
    )


def test_rate_and_chip_change_static_energy_alone(spikeport, tiny):
    found = {}
    for name, options in {
        "plain": (),
        "rate": ("--rate", 20),
        "chip": ("--chip", "loihi2-152", "--rate", 20),
    }.items():
        code, out, err = spikeport("run", *tiny, "--json", f"{name}.json", *options)
        assert code == 0, err
        with open(f"{name}.json") as file:
            found[name] = json.load(file)["energy"]
        assert ("at 20 inferences in a second" in out) == bool(options)
    first = {name: energy["devices"][0] for name, energy in found.items()}
    assert len({entry["dynamic_j"] for entry in first.values()}) == 1
    assert first["plain"]["static_j"] == pytest.approx(0.232 * first["plain"]["time_s"])
    assert first["rate"]["static_j"] == pytest.approx(0.232 / 20)
    assert first["chip"]["static_j"] == pytest.approx(0.2939 / 20)
    assert (found["chip"]["chip"], found["chip"]["cores_per_chip"], found["rate"]["rate_hz"]) == (
        "loihi2-152",
        152,
        20,
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rate", 1e9), "it must be above 0 and at most"),
        (("--rate", 0), "0"),
        (("--rate", "nan"), "--rate is 'nan'; it must be a number above 0"),
        (("--rate", "often"), "--rate is 'often'; it must be a number above 0"),
        (("--chip", "loihi3"), "there are loihi1, loihi2, loihi2-128, loihi2-152"),
    ],
)
def test_a_rate_or_chip_that_cannot_be_is_one_line(spikeport, tiny, options, words):
    code, out, err = spikeport("run", *tiny, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


def test_a_rate_that_turns_out_too_high_loses_no_recording(spikeport, tiny, tmp_path):
    code, _, err = spikeport("run", *tiny, "--rate", 1e9, "--save", "rec.h5")
    assert code == 2, err
    assert (tmp_path / "rec.h5").exists()


def test_check_says_the_static_power_and_the_stepping(spikeport, tiny):
    code, out, _ = spikeport("check", tiny[0], "--chip", "loihi2-128", "--json", "check.json")
    assert code == 0
    assert "static power of 1 chip: 247.5 mW (band 128 to 300.8)" in out
    assert "of 128 on a chip; stepping: not stated" in out
    with open("check.json") as file:
        found = json.load(file)
    assert found["static_power_mw"]["value"] == 247.5
    assert found["chip"]["generation"] == "loihi2"
