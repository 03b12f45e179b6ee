"""Small models and data on disk, for the command line."""

from __future__ import annotations

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
