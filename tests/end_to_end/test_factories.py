"""A plain snnTorch model by the name of its factory: exported, run in floating point and as
integers, the loss counted, not hidden."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

FACTORY = """
import snntorch as snn, torch
from torch import nn


class Net(nn.Module):
    def __init__(self, time_axis=0):
        super().__init__()
        self.time_axis = time_axis
        self.fc1, self.lif1 = nn.Linear(16, 12), snn.Leaky(beta=0.8)
        self.fc2, self.lif2 = nn.Linear(12, 3), snn.Leaky(beta=0.8)

    def forward(self, x):
        mem1, mem2, out = self.lif1.init_leaky(), self.lif2.init_leaky(), []
        for step in x.unbind(self.time_axis):
            spikes, mem1 = self.lif1(self.fc1(step), mem1)
            spikes, mem2 = self.lif2(self.fc2(spikes), mem2)
            out.append(spikes)
        return torch.stack(out, self.time_axis)


def make():
    torch.manual_seed(1)
    return Net()


def make_batch_first():
    torch.manual_seed(1)
    return Net(1)
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    """Writes the factories; returns the options that a model without ``spikeport_io`` needs."""
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    (tmp_path / "nets.py").write_text(FACTORY)
    inputs = (np.random.default_rng(0).random((5, 10, 16)) < 0.4).astype(np.uint8)
    np.savez(tmp_path / "data.npz", inputs=inputs, labels=np.arange(5) % 3)
    return ["--input-shape", "16", "--message-bits", "0"]


@pytest.mark.parametrize(
    ("name", "call"), [("make", "time-first"), ("make_batch_first", "batch-first")]
)
def test_float_model_runs_and_its_loss_is_counted(spikeport, factory, tmp_path, name, call):
    options = [f"nets:{name}", "--call", call, *factory, "--data", "data.npz"]
    code, out, err = spikeport("run", *options, "--target", "software", "--json", "run.json")
    assert code == 0, err
    assert json.loads((tmp_path / "run.json").read_text())["accuracy"]["samples"] == 5
    code, out, err = spikeport(
        "compare", *options, "--targets", "software,fast", "--json", "c.json"
    )
    assert code == 1, err
    assert "DIFFERENT" in out
    assert "thresholds" in out
    layers = {
        e["layer"]: e
        for e in json.loads((tmp_path / "c.json").read_text())["comparisons"][0]["layers"]
    }
    assert (
        layers["lif1"]["potential_differences"] > 0
    )  # rounded weights: never equal in floating point
    assert layers["lif1"]["spike_share"] < 0.1  # and yet nearly the same spikes
    assert 0 < layers["lif1"]["mean_difference"] < layers["lif1"]["largest_difference"]


def test_weights_from_safetensors(spikeport, factory, tmp_path):
    import torch
    from safetensors.torch import save_file

    sys.path.insert(0, str(tmp_path))
    try:
        import nets
    finally:
        sys.path.remove(str(tmp_path))
    model = nets.make()
    with torch.no_grad():
        model.fc2.weight *= 2
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    options = ["--call", "time-first", *factory]
    for output, extra in (("plain.h5", []), ("weights.h5", ["--weights", "w.safetensors"])):
        code, out, err = spikeport("export", "nets:make", *options, *extra, "-o", output)
        assert code == 0, err
        assert "reset subtract" in out  # snnTorch's default arrives as what it is
    code, out, err = spikeport("export", "nets:make", *options, "--dt", "1e-3", "-o", "net.nir")
    assert code == 0, err


def test_what_the_model_does_not_say_must_be_said(refused, factory):
    refused("export", "nets:make", "-o", "out.h5", words=["--input-shape", "--call"])
    refused(
        "export",
        "nets:make",
        "--input-shape",
        "16,x",
        "--call",
        "time-first",
        "-o",
        "out.h5",
        words="must be a shape",
    )
    refused(
        "export",
        "nets:make",
        "--call",
        "backwards",
        "--input-shape",
        "16",
        "-o",
        "out.h5",
        words="time-first",
    )
