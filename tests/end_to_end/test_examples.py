"""The examples run as they stand, and say what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nir
import pytest

from tests.end_to_end.models import tiny_graph

ROOT = Path(__file__).resolve().parents[2]


def example(name: str, *arguments: object) -> str:
    """What an example prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_qat_to_chip():
    text = example("qat_to_chip.py")
    assert "audit: faithful" in text
    assert "output spikes that differ between PyTorch and the integer Program: 0" in text
    assert "fits Loihi 2" in text


@pytest.mark.lava
def test_run_nir(tmp_path):
    nir.write(tmp_path / "tiny.nir", tiny_graph())
    text = example("run_nir.py", tmp_path / "tiny.nir")
    assert re.search(r"^lif: 0 of 300 spikes and 0 of 300 potentials differ$", text, re.MULTILINE)


@pytest.mark.lava
@pytest.mark.slow
def test_snntorch_to_lava():
    text = example("snntorch_to_lava.py")
    assert "spike counts that differ between fast and Lava: 0 of 200" in text
    floating, integers = map(
        float, re.search(r"accuracy: float ([\d.]+), integers ([\d.]+)", text).groups()
    )
    assert floating > 0.8
    assert abs(floating - integers) < 0.05
