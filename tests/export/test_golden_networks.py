"""Networks made by others, against what others recorded of them. Skipped where ../shared/data is
absent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import export
import hardware
from tests.export import nmnist

EVERYTHING = hardware.Record(spikes=True, potentials=True)


@pytest.fixture(scope="session")
def golden(shared_data) -> Path:
    return shared_data / "golden"


# NIR: one LIF neuron


def single_lif(golden, trace, discretization):
    """(our spikes, our potentials in volts, recorded spikes, recorded potentials)."""
    program, _ = export.lower(
        export.read(golden / "nir" / "lif" / "lif_norse.nir"),
        dt=1e-4,
        reset="zero",
        discretization=discretization,
    )
    recorded = np.loadtxt(golden / "nir" / "lif" / f"{trace}.csv", delimiter=",")
    recording = hardware.run(program, recorded[None, :, :1], "reference", record=EVERYTHING)
    volts = recording.potentials["1"][0, :, 0] * 2.0 ** -(
        program.metadata["fraction_bits"]["1"] + 6
    )
    return recording.spikes["1"][0, :, 0], volts, recorded[:, 2], recorded[:, 1]


def test_single_lif_is_within_a_thousandth_of_the_threshold(golden):
    """Of the discrete equation that NIR's frameworks solve, all spikes and 1,000 potentials."""
    spikes, volts, recorded, potentials = single_lif(golden, "lif_norse", "euler")
    np.testing.assert_array_equal(spikes, recorded)
    assert recorded.sum() == 4
    # Norse's trace shows the potential before the reset in the step of a spike
    quiet = recorded == 0
    assert np.abs(volts - potentials)[quiet].max() < 0.001 * 0.1


def test_single_lif_against_the_solution_in_continuous_time(golden):
    """Spikes in the same steps. Potentials up to the first spike: after it, the continuous solution
    has spent the rest of that step charging again, which no neuron that resets once a step can."""
    spikes, volts, recorded, potentials = single_lif(golden, "lif_exact", "exponential")
    np.testing.assert_array_equal(spikes, recorded)
    first = int(np.flatnonzero(recorded)[0])
    assert first > 400
    assert np.abs(volts - potentials)[:first].max() < 0.001 * 0.1


# NIR: convolutional network on event recordings


def test_nmnist_network_keeps_its_accuracy(golden, shared_data):
    inputs, labels = nmnist.recordings(shared_data, 100)
    program, audit = export.lower(export.read(golden / "nir" / "cnn_sinabs.nir"), dialect="sinabs")
    assert [p.name for p in program.populations] == ["1", "3", "6", "10", "12"]
    assert program.projections[2].weights.shape == (8, 16, 6, 6)
    assert audit.dt_s is None
    recording = hardware.run(program, np.minimum(inputs, 1), "fast")
    assert recording.accuracy(labels) >= 0.96
    few = hardware.run(
        export.lower(
            export.read(golden / "nir" / "cnn_sinabs.nir"), dialect="sinabs", weight_bits=2
        ).program,
        np.minimum(inputs[:40], 1),
        "fast",
    )
    assert few.accuracy(labels[:40]) < 0.6  # the figure above depends on the weights


@pytest.mark.lava
@pytest.mark.parametrize("samples", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_nmnist_network_is_the_same_on_lava(golden, shared_data, samples):
    inputs, _ = nmnist.recordings(shared_data, samples)
    program, _ = export.lower(export.read(golden / "nir" / "cnn_sinabs.nir"), dialect="sinabs")
    runs = [
        hardware.run(program, np.minimum(inputs, 1), target, record=EVERYTHING)
        for target in ("fast", "lava")
    ]
    assert hardware.compare(*runs).identical


# lava-dl


def test_tiny_network_equals_its_recordings(golden):
    """All three layers; the recordings start one step later."""
    folder = golden / "lava_dl" / "tinynet"
    program, _ = export.netx.load(folder / "tiny.net")
    image = np.load(folder / "input_bias.npy").transpose(2, 1, 0)
    recording = hardware.run(
        program, np.broadcast_to(image, (1, 15, *image.shape)), "fast", record=EVERYTHING
    )
    for layer, name in (("input_0", "input"), ("conv_1", "layer1"), ("conv_2", "output")):
        recorded = np.moveaxis(np.load(folder / f"{name}.npy")[0], -1, 0)
        assert recorded.sum() > 90
        np.testing.assert_array_equal(recording.spikes[layer][0], recorded[1:], err_msg=layer)


def test_pilotnet_equals_its_recordings_for_fifteen_steps(golden):
    """Layer k of the recordings runs k steps late. Not compared: fc-3, whose recording contradicts
    that of fc-2."""
    folder = golden / "lava_dl" / "pilotnet_lif"
    program, audit = export.netx.load(folder / "network.net")
    assert audit.verdict == "faithful"
    image = np.load(folder / "image.npy").transpose(2, 1, 0)
    recording = hardware.run(
        program, np.broadcast_to(image, (1, 16, *image.shape)), "fast", record=EVERYTHING
    )
    recorded = {
        "input_0": np.load(folder / "input.npy").transpose(3, 2, 1, 0),
        "conv_5": np.load(folder / "conv-4.npy").transpose(3, 2, 1, 0)[5:],
        "dense_9": np.load(folder / "fc-2.npy").T[8:],
    }
    for layer, spikes in recorded.items():
        assert spikes[:15].sum() >= 3
        np.testing.assert_array_equal(recording.spikes[layer][0, :15], spikes[:15], err_msg=layer)


def oxford_input(golden) -> np.ndarray:
    """Spikes [step, neuron] of input.npy: rows of (neuron, _, time in ms)."""
    events = np.load(golden / "lava_dl" / "oxford" / "input.npy")
    spikes = np.zeros((2000, 200), np.uint8)
    spikes[np.floor(events[:, 2]).astype(int), events[:, 0].astype(int)] = 1
    return spikes


def test_oxford_network_is_the_same_on_reference_and_fast(golden):
    program, _ = export.netx.load(golden / "lava_dl" / "oxford" / "Trained" / "network.net")
    spikes = oxford_input(golden)[None, :600]
    runs = [
        hardware.run(program, spikes, target, record=EVERYTHING) for target in ("reference", "fast")
    ]
    assert runs[0].spikes["dense_1"].sum() > 1000
    assert hardware.compare(*runs).identical


@pytest.mark.lava
def test_oxford_network_is_the_same_on_lava(golden):
    program, _ = export.netx.load(golden / "lava_dl" / "oxford" / "Trained" / "network.net")
    runs = [
        hardware.run(program, oxford_input(golden)[None], target, record=EVERYTHING)
        for target in ("fast", "lava")
    ]
    assert hardware.compare(*runs).identical


@pytest.mark.lava_dl
def test_oxford_network_equals_lava_dls_own_run(golden, tmp_path):
    """Spike for spike over 2,000 steps; lava-dl answers two steps late, one for each layer."""
    from hardware.lava import environment

    network = golden / "lava_dl" / "oxford" / "Trained" / "network.net"
    spikes = oxford_input(golden)
    np.save(tmp_path / "input.npy", spikes.T)
    script = Path(__file__).with_name("netx_run.py")
    command = [
        environment.interpreter(lava_dl=True),
        "-E",
        script,
        network,
        tmp_path / "input.npy",
        tmp_path / "output.npy",
    ]
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        said, _ = process.communicate(timeout=300)
    finally:
        with contextlib.suppress(
            ProcessLookupError
        ):  # lava leaves its children behind when it fails
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said.decode()[-2000:]
    theirs = np.load(tmp_path / "output.npy").T
    program, _ = export.netx.load(network)
    ours = hardware.run(program, spikes[None], "fast").spikes["dense_1"][0]
    assert theirs.sum() > 10_000
    np.testing.assert_array_equal(ours[:-2], theirs[2:])
