"""The benchmark measures what it says: same networks on every side, and faults that are noticed.
Nothing is timed here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import networks
from benchmarks.networks import NETWORKS
from hardware.comparison import compare
from hardware.recording import Record
from hardware.targets import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _random_events(monkeypatch, request):
    """Without the recordings, unless a test asks for them."""
    if "shared_data" not in request.fixturenames:
        monkeypatch.setattr(networks, "RECORDINGS", Path("not here"))


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_active_and_exact(name):
    program = NETWORKS[name].program()
    inputs = NETWORKS[name].inputs(1)[0][:, :100]
    fast = run(program, inputs, record=Record(spikes=True, potentials=True))
    for layer in program.order:
        assert 0.001 < fast.spikes[layer].mean() < 0.5, layer
    short = inputs[:, :12]
    reference = run(program, short, "reference", record=Record(spikes=True, potentials=True))
    assert compare(
        reference, run(program, short, record=Record(spikes=True, potentials=True))
    ).identical


def test_inputs_do_not_depend_on_the_number_of_samples():
    for network in NETWORKS.values():
        np.testing.assert_array_equal(network.inputs(1)[0], network.inputs(2)[0][:1])


def test_recordings(shared_data):
    events, origin = NETWORKS["cnn"].inputs(2)
    assert origin.startswith("N-MNIST")
    assert events.shape == (2, 300, 2, 34, 34)
    assert 0.002 < events.mean() < 0.02
    assert set(np.unique(events)) == {0, 1}


@pytest.mark.parametrize(("name", "exact"), [("cnn", True), ("mlp", False)])
def test_snntorch_model_is_the_same_network(name, exact):
    pytest.importorskip("snntorch", reason="the floating-point side needs snnTorch")
    import torch

    from benchmarks import floating

    program = NETWORKS[name].program()
    inputs = NETWORKS[name].inputs(2)[0][:, :200]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a batch only waits for further threads
    try:
        outputs = np.concatenate(list(floating.forward(floating.model(program), inputs)))
    finally:
        torch.set_num_threads(threads)
    expected = run(program, inputs).spikes[program.outputs[0].population]
    assert expected.any()
    # A leak is rounded on the chip and not in floating point: a spike may come a step earlier or
    # later.
    assert np.mean(outputs != expected) <= (0 if exact else 0.005)


def test_one_side_in_its_own_process(tmp_path):
    outputs = tmp_path / "outputs.npy"
    arguments = [sys.executable, "-m", "benchmarks.side", "fast", "mlp", "2", "1", str(outputs)]
    finished = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(finished.stdout)
    assert (measured["samples"], measured["steps"], len(measured["seconds"])) == (2, 100, 1)
    assert measured["sample_steps_per_s"] == pytest.approx(200 / measured["seconds"][0])
    assert np.load(outputs).shape == (2, 100, 10)
    broken = command._measure("nothing", "mlp", 2, 1, tmp_path)
    assert "nothing" in broken["error"]


def test_differences_and_faults_are_noticed(tmp_path):
    spikes = np.zeros((3, 4, 5), np.uint8)
    np.save(tmp_path / "a.npy", spikes)
    spikes[1, 2, 3] = spikes[2, 0, 0] = 1
    np.save(tmp_path / "b.npy", spikes[:2])
    a, b = ({"outputs": str(tmp_path / name)} for name in ("a.npy", "b.npy"))
    assert command._differences(a, b) == {"samples": 2, "values": 40, "spikes": 0, "different": 1}
    good = [{"side": "fast", "peak_memory_mib": 900.0}, {"side": "lava", "error": "not here"}]
    assert not command._faults(good, {"mlp": {}})
    assert command._faults(good, {"mlp": {"lava": {"different": 1}}})
    assert command._faults([{"side": "fast", "peak_memory_mib": 3000.0}], {})
    assert command._faults([{"side": "fast", "error": "broken"}], {})
