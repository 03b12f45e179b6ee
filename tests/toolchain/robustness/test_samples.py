"""Samples of one's own in a sweep, and the chip that is chosen for it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hardware.chip import Chip
from tests.toolchain.robustness import networks
from toolchain import data as datasets
from toolchain.errors import DataError
from toolchain.robustness import bench, samples, sweep
from toolchain.robustness.models import ModelFile, open_model
from toolchain.robustness.options import Options

SWEEP = """
[[models]]
name = "float"
source = "tests.toolchain.robustness.networks:float_network"
weights = "float.safetensors"
input_shape = [64]
call = "time-first"
dataset = "digits"
encoding = "direct"
steps = 5
calibration = "digits"
[attacks]
epsilons = [0.1]
list = [{attack = "noise", params = {tries = 1}}]
[data]
source = "own.npz"
[targets]
names = ["software", "fast"]
chip = "loihi2-128"
"""


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_file(networks.Float().state_dict(), str(tmp_path / "float.safetensors"))
    (tmp_path / "sweep.toml").write_text(SWEEP)
    return tmp_path


def test_samples_of_ones_own_are_attacked_and_counted_on_the_chip_that_was_chosen(folder):
    found = datasets.load("digits", "test", samples=6)
    np.savez(folder / "own.npz", inputs=found.images().astype(np.float64), labels=found.labels)
    bench.run(sweep.load(folder / "sweep.toml"), folder / "run", workers=1)
    records = bench.records(folder / "run")
    assert {record.description["target"] for record in records} == {"software", "fast"}
    assert {record.description["chip"] for record in records} == {Chip.load("loihi2-128").name}
    assert all(record.label.tolist() == found.labels.tolist() for record in records)


def test_integers_are_the_images_that_they_encode():
    """As ``spikeport run`` reads them: the same in every step, in units of the fraction bits."""
    found = datasets.load("digits", "test", samples=4)
    integers = datasets.Encoding("direct", 5).encode(found, slice(None)).reshape(4, 5, 64).copy()
    opened = SimpleNamespace(
        data={"encoding": "direct"},
        io={"input": {"fraction_bits": 4, "shape": [64]}},
        sample_shape=(1, 8, 8),
    )
    assert np.array_equal(samples._levels("own.npz", integers, opened), found.images())
    integers[0, 1, 0] += 1
    with pytest.raises(DataError, match="the same in every step"):
        samples._levels("own.npz", integers, opened)
    opened.data["encoding"] = "poisson"
    with pytest.raises(DataError, match="'poisson', which does not keep the image"):
        samples._levels("own.npz", integers, opened)


IMAGES = SimpleNamespace(events=False, sample_shape=(1, 2, 2))
EVENTS = SimpleNamespace(events=True, sample_shape=(3, 1, 2, 2))


@pytest.mark.parametrize(
    ("opened", "arrays", "message"),
    [
        (IMAGES, {"inputs": np.zeros((2, 1, 2, 2))}, "no labels; there must be a label for each"),
        (IMAGES, {"inputs": np.zeros((2, 1, 2, 2)), "labels": [1]}, r"inputs .* and labels \[1\]"),
        (IMAGES, {"inputs": np.zeros((1, 2, 2)), "labels": [1]}, r"must be \[sample, 1, 2, 2\]"),
        (IMAGES, {"inputs": np.full((1, 1, 2, 2), 16.0), "labels": [1]}, r"has 16 at .*\[0, 1\]"),
        (IMAGES, {"inputs": np.full((1, 1, 2, 2), np.nan), "labels": [1]}, r"has nan at"),
        (IMAGES, {"inputs": np.zeros((1, 1, 2, 2)), "labels": [0.5]}, "labels: 0.5"),
        (
            IMAGES,
            {"inputs/a": np.zeros((1, 1)), "labels": [1]},
            "has inputs a; a sweep attacks one",
        ),
        (EVENTS, {"inputs": np.zeros((1, 2, 1, 2, 2)), "labels": [1]}, r"\[sample, 3, 1, 2, 2\]"),
        (EVENTS, {"inputs": np.full((1, 3, 1, 2, 2), 2), "labels": [1]}, "inputs: 2"),
    ],
)
def test_what_cannot_be_attacked_is_refused(tmp_path, opened, arrays, message):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=message):
        samples._own(tmp_path / "own.npz", opened)


def test_events_of_ones_own_stay_events(tmp_path):
    np.savez(tmp_path / "own.npz", inputs=np.ones((2, 3, 1, 2, 2)), labels=[0, 3])
    found = samples._own(tmp_path / "own.npz", EVENTS)
    assert found.is_events
    assert found.values.dtype == np.uint8
    assert found.classes == 4


def test_a_path_starts_where_the_sweep_lies(folder):
    found = sweep.load(folder / "sweep.toml")
    with pytest.raises(DataError, match=str(folder / "own.npz")):
        samples.load(found, [_file(folder)])


def _file(folder) -> ModelFile:
    described = Options(calibration="digits", **networks.DESCRIBED)
    weights = str(folder / "float.safetensors")
    file = ModelFile.read(
        "float", "tests.toolchain.robustness.networks:float_network", weights, described
    )
    assert not open_model(file).events
    return file
