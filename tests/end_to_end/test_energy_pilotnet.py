"""PilotNet on Loihi 2, the one measured task that can be rebuilt: its kept counts, and the
measurement inside the bands.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from export import netx
from hardware import measured_tasks, run, workload
from hardware.chip import Chip
from hardware.energy import estimate


@pytest.fixture(scope="module")
def pilotnet(shared_data):
    """(Program, Recording of one frame in 16 steps)."""
    folder = shared_data / "golden/lava_dl/pilotnet_lif"
    program = netx.load(folder / "network.net").program
    image = np.load(folder / "image.npy").transpose(
        2, 1, 0
    )  # (width, height, channels) in the file
    return program, run(program, np.broadcast_to(image, (1, 16, *image.shape)))


def test_kept_counts_are_those_of_the_network(pilotnet, shared_data):
    """hardware/measured/pilotnet-snn.toml is what our own executor counts, number for number."""
    program, recording = pilotnet
    (kept,) = (counts for task, counts in measured_tasks.rebuilt() if task.name == "pilotnet-snn")
    files = (kept.network_sha256, "network.net"), (kept.inputs_sha256, "image.npy")
    for sha256, name in files:
        content = (shared_data / "golden/lava_dl/pilotnet_lif" / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256
    found = workload.of(program, recording, Chip.load(kept.chip))
    assert measured_tasks.to_toml(found) == measured_tasks.to_toml(kept.workload)


def test_measured_energy_and_time_lie_in_the_bands(pilotnet):
    """1.09 mJ dynamic, 0.57 mJ static, 2.45 ms (lava-dl, tutorial notebook pilotnet_snn)."""
    found = estimate(*pilotnet)
    (task,) = (task for task in measured_tasks.tasks() if task.name == "pilotnet-snn")
    assert found.cores == 71
    for (low, high), measured in (
        (found.dynamic_band_j, task.dynamic_mj),
        (found.static_band_j, task.static_mj),
        (found.time_band_s, task.time_ms),
    ):
        assert low < 1e-3 * measured < high

    for entry in found.spiking:
        assert entry.limit.text() == "synaptic reads of conv_5"
        assert 1.2 < entry.dynamic_j.mean() * 1e3 / task.dynamic_mj < 1.5
        assert 2.0 < entry.time_s.mean() * 1e3 / task.time_ms < 2.5
        # n = 1: calibrated on itself, the estimate is the measurement
        assert entry.dynamic_calibrated_j.mean() * 1e3 == pytest.approx(task.dynamic_mj)
        assert entry.time_calibrated_s.mean() * 1e3 == pytest.approx(task.time_ms)
        assert entry.error.dynamic_left_out is None
