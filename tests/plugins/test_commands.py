"""Targets and neuron kinds of another distribution on the command line."""

from __future__ import annotations

import numpy as np
import pytest

from hardware import program_file
from tests.plugins.test_neurons import program
from toolchain.cli import run


@pytest.fixture
def spikeport(examples, tmp_path, monkeypatch, capsys):
    """Runs the command line in a folder with a Program of the page's neuron kind, and data."""
    monkeypatch.chdir(tmp_path)
    program_file.save(program(), tmp_path / "adaptive.h5")
    np.savez(tmp_path / "data.npz", inputs=np.ones((2, 9, 2), np.uint8), labels=np.zeros(2, int))

    def call(*arguments):
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_run_takes_a_target_of_another_distribution(spikeport):
    code, out, err = spikeport(*("run", "adaptive.h5", "--data", "data.npz", "--target", "abacus"))
    assert code == 0, err
    assert "on abacus" in out
    assert "hidden" in out


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("fast", "target 'fast' does not know the neuron kind 'adaptive' of population 'hidden'"),
        ("abakus", "no target 'abakus'; there are software, reference, fast, lava, loihi2, abacus"),
    ],
)
def test_what_cannot_run_is_one_line(spikeport, target, words):
    code, _, err = spikeport("run", "adaptive.h5", "--data", "data.npz", "--target", target)
    assert code == 2
    assert err.count("\n") == 1
    assert words in err


def test_compare_and_check_know_them(spikeport):
    code, out, err = spikeport(
        *("compare", "adaptive.h5", "--data", "data.npz"), *("--targets", "reference,abacus")
    )
    assert code == 0, err
    assert out.rstrip().endswith("identical")
    code, out, err = spikeport("check", "adaptive.h5")
    assert code == 1
    assert "neuron_kind_needs_microcode" in out
