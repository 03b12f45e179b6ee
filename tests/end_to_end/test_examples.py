"""The examples run as they stand, and say what they promise."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import nir
import pytest

from tests.end_to_end.models import tiny_graph

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def example(monkeypatch, capsys):
    """Runs an example as a script, in this process, which has imported PyTorch already; what it
    prints."""

    def run(name: str, *arguments: object) -> str:
        path = ROOT / "examples" / name
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_qat_to_chip(example):
    text = example("qat_to_chip.py")
    assert "audit: faithful" in text
    assert "output spikes that differ between PyTorch and the integer Program: 0" in text
    assert "fits Loihi 2" in text


@pytest.mark.lava
def test_run_nir(example, tmp_path):
    nir.write(tmp_path / "tiny.nir", tiny_graph())
    text = example("run_nir.py", tmp_path / "tiny.nir")
    assert re.search(r"^lif: 0 of 300 spikes and 0 of 300 potentials differ$", text, re.MULTILINE)


@pytest.mark.lava
@pytest.mark.slow
def test_snntorch_to_lava(example):
    text = example("snntorch_to_lava.py")
    assert "spike counts that differ between fast and Lava: 0 of 200" in text
    floating, integers = map(
        float, re.search(r"accuracy: float ([\d.]+), integers ([\d.]+)", text).groups()
    )
    assert floating > 0.8
    assert abs(floating - integers) < 0.05
