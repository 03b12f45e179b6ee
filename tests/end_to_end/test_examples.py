"""The examples run as they stand, and say what they promise."""

from __future__ import annotations

import ast
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
    assert "Agreement(software, fast on 4 samples: identical)" in text
    assert "fits Loihi 2" in text


@pytest.mark.parametrize("name", ["qat_to_chip.py", "run_nir.py", "snntorch_to_lava.py"])
def test_examples_use_the_public_face(name):
    """What lies below it is imported for layers alone."""
    tree = ast.parse((ROOT / "examples" / name).read_text(encoding="utf-8"))
    modules = {
        alias.name if isinstance(node, ast.Import) else node.module
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    own = {m for m in modules if m.split(".")[0] in ("hardware", "export", "toolchain")}
    assert "spikeport" in modules
    assert own <= {"toolchain.layers"}


@pytest.mark.lava
def test_run_nir(example, tmp_path):
    nir.write(tmp_path / "tiny.nir", tiny_graph())
    text = example("run_nir.py", tmp_path / "tiny.nir")
    assert re.search(r"^lif: 0 of 300 spikes and 0 of 300 potentials differ$", text, re.MULTILINE)


@pytest.mark.lava
@pytest.mark.slow
def test_snntorch_to_lava(example):
    text = example("snntorch_to_lava.py")
    assert "Agreement(fast, lava on 20 samples: identical)" in text
    floating, integers = (
        float(re.search(rf"^{target} +([\d.]+) %", text, re.MULTILINE)[1])
        for target in ("software", "fast")
    )
    assert floating > 80
    assert abs(floating - integers) < 5
