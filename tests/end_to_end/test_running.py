"""Recordings of events, tolerances and warnings, from the command line."""

import json
import sys

import numpy as np
import pytest

from hardware import program_file
from hardware.program import Dense, Input, Output, Population, Program

EXACT = """
import snntorch, torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 5, bias=False), snntorch.Leaky(0.75)
        with torch.no_grad():
            torch.manual_seed(1)
            self.fc.weight.copy_(torch.randint(-4, 10, (5, 6)) / 32)

    def forward(self, x):
        mem, out = self.lif.reset_mem(), []
        for step in x:
            spikes, mem = self.lif(self.fc(step), mem)
            out.append(spikes)
        return torch.stack(out)
"""


@pytest.fixture
def exact(tmp_path, monkeypatch):
    """A plain snnTorch network with the default delayed reset, whose weights and decay integers
    hold exactly."""
    monkeypatch.delitem(sys.modules, "exact", raising=False)
    (tmp_path / "exact.py").write_text(EXACT)
    np.savez(
        tmp_path / "data.npz",
        inputs=np.random.default_rng(0).integers(0, 2, (4, 20, 6)).astype(np.uint8),
    )
    options = [
        "--input-shape",
        "6",
        "--call",
        "time-first",
        "--message-bits",
        "0",
        "--data",
        "data.npz",
    ]
    return ["compare", "exact:Net", *options, "--json", "c.json", "--force"]


def test_a_delayed_reset_differs_only_by_quantisation_and_a_tolerance_says_how_much_may(
    spikeport, exact, tmp_path
):
    code, out, err = spikeport(*exact)
    assert code == 1, err
    facts = json.loads((tmp_path / "c.json").read_text())
    assert (facts["spikes_identical"], facts["floating"], facts["identical"], facts["passed"]) == (
        True,
        True,
        False,
        False,
    )
    assert "DIFFERENT only by quantisation: every spike is identical" in out
    code, out, err = spikeport(*exact, "--tolerance", "0.01")
    assert code == 0, err
    assert "within the tolerance of 0.01" in out
    code, out, err = spikeport(*exact, "--tolerance", "1e-9")
    assert code == 1, err
    assert "MORE than the tolerance" in out
    code, _, err = spikeport(*exact, "--targets", "reference,fast", "--tolerance", "0.01")
    assert code == 2
    assert "integer targets must be equal" in err


def test_a_recording_is_run_and_what_becomes_of_it_is_said(spikeport, tmp_path):
    weights = np.full((3, 2 * 4 * 5), 2)
    program = Program(
        (Input("in", (2, 4, 5)),),
        (Population("out", (3,), threshold=100),),
        (Dense("w", "in", "out", weights),),
        (Output("out"),),
    )
    program_file.save(program, tmp_path / "p.h5")
    rows = [(0, 1, 2, 0), (10, 4, 3, 1), (11, 4, 3, 1), (900, 0, 0, 0)]
    events = np.array(rows, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "i1")])
    np.save(tmp_path / "e.npy", events)
    code, out, err = spikeport(
        "run", "p.h5", "--data", "e.npy", "--bin-us", "100", "--steps", "8", "--json", "r.json"
    )
    assert code == 0, err
    assert "4 events, 0 to 900 µs, in 8 steps of 100 µs" in out
    assert "1 events come after the last step" in out
    assert "warning: no neuron spikes in 1 samples of 8 steps" in out
    facts = json.loads((tmp_path / "r.json").read_text())
    assert facts["events"] == {
        "events": 4,
        "after_the_last_step": 1,
        "merged": 1,
        "steps": 8,
        "bin_us": 100,
    }
    assert [warning["name"] for warning in facts["warnings"]] == ["never_spikes"]
    assert next(layer for layer in facts["layers"] if layer["name"] == "in")["spikes"] == 2
    code, out, err = spikeport(
        "compare",
        "p.h5",
        "--data",
        "e.npy",
        "--bin-us",
        "100",
        "--steps",
        "8",
        "--targets",
        "reference,fast",
    )
    assert code == 0, err
    assert out.rstrip().endswith("identical")
    for arguments, message in (
        ((), "give --steps and --bin-us"),
        (("--bin-us", "1", "--steps", "8", "--samples", "3"), "one sample"),
    ):
        code, _, err = spikeport("run", "p.h5", "--data", "e.npy", *arguments)
        assert code == 2
        assert message in err


def test_a_sweep_of_pixel_attacks_on_events_is_refused_before_anything_runs(spikeport, tmp_path):
    (tmp_path / "sweep.toml").write_text(
        '[[models]]\nname = "dvs"\nsource = "nowhere:net"\ninput_shape = [2, 34, 34]\ncall = '
        '"step"\ndataset = "nmnist"\n'
        'encoding = "events"\nsteps = 4\n[attacks]\nlist = [{attack = "fgsm", estimator = {name = '
        '"training"}}]\nepsilons = [0.1]\n'
    )
    code, _, err = spikeport("bench", "sweep.toml", "-o", "run")
    assert code == 2
    assert (
        "model 'dvs' reads events, and [attacks] norm is 'linf'; with events, norm must be 'flips' "
        "or 'shift'" in err
    )
    assert not (tmp_path / "run").exists()
