"""Small models and data on disk, for the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import nir
import numpy as np
import pytest

from hardware import program_file
from tests.end_to_end.models import tiny_graph, tiny_inputs, tiny_program
from toolchain.cli import run


@pytest.fixture
def spikeport(capsys, tmp_path, monkeypatch):
    """Runs the command line in an empty folder: ``code, out, err = spikeport("run", ...)``."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run([str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def refused(spikeport, tmp_path):
    """Asserts that a command ends with exit code 2, one line on stderr with ``words`` in it, and
    leaves every file as it was."""

    def call(*arguments, words):
        before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        code, out, err = spikeport(*arguments)
        assert code == 2, (code, out, err)
        assert err.count("\n") == 1, err
        assert err.startswith("spikeport: ")
        assert "Traceback" not in err + out
        for word in (words,) if isinstance(words, str) else words:
            assert word in err, err
        assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
        return err

    return call


@pytest.fixture
def program_h5(tmp_path) -> Path:
    """A Program on disk."""
    program_file.save(tiny_program(), tmp_path / "tiny.h5")
    return tmp_path / "tiny.h5"


@pytest.fixture
def data_npz(tmp_path) -> Path:
    """Inputs and labels for it."""
    np.savez(tmp_path / "data.npz", inputs=tiny_inputs(), labels=np.array([0, 1, 2, 0]))
    return tmp_path / "data.npz"


@pytest.fixture
def graph_nir(tmp_path) -> Path:
    """A NIR graph on disk, written by the nir package itself."""
    nir.write(tmp_path / "tiny.nir", tiny_graph())
    return tmp_path / "tiny.nir"


FLOAT = """
import snntorch as snn, torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.lif = nn.Linear(16, 3), snn.Leaky(beta=0.8)

    def forward(self, x):
        mem, out = self.lif.reset_mem(), []
        for step in x:
            spikes, mem = self.lif(self.fc(step), mem)
            out.append(spikes)
        return torch.stack(out)
"""


@pytest.fixture
def float_options(tmp_path, monkeypatch) -> list[str]:
    """A plain snnTorch network by its factory, and samples for it."""
    monkeypatch.delitem(sys.modules, "float_net", raising=False)
    (tmp_path / "float_net.py").write_text(FLOAT)
    inputs = (np.random.default_rng(0).random((30, 10, 16)) < 0.5).astype(np.uint8)
    np.savez(tmp_path / "float.npz", inputs=inputs, labels=np.arange(30) % 3)
    named = ["float_net:Net", "--call", "time-first", "--input-shape", "16"]
    return [*named, "--message-bits", "0", "--data", "float.npz"]
