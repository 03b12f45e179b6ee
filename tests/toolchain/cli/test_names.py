"""A message names a parameter as who called wrote it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest
import torch

import spikeport
from hardware.parameters import parameter, written
from toolchain.cli import run
from toolchain.cli.names import as_typed

ROOT = Path(__file__).resolve().parents[3]


def test_in_python_as_an_argument():
    assert parameter("input_shape") == "input_shape"
    assert parameter("dialect", "norse") == "dialect='norse'"
    assert parameter("force", True) == "force=True"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("input_shape", None, "--input-shape"),
        ("dt", 1, "--dt 1"),
        ("force", True, "--force"),
        ("rate", None, "--spike-rate"),  # of Poisson input
        ("rate_hz", None, "--rate"),
        # no options of run, so keys of a file
        ("trusted_network", True, "trusted_network = true"),
        ("quality", "good", 'quality = "good"'),
    ],
)
def test_on_the_command_line_as_the_option(name, value, said):
    from toolchain.cli.running import command

    with written(as_typed), click.Context(command):
        assert parameter(name, value) == said
    assert parameter(name, value) != said


def test_without_a_command_as_the_key_of_a_file():
    with written(as_typed):
        assert parameter("data") == "dataset"


def test_one_error_names_the_parameter_in_both_ways(tmp_path, monkeypatch, capsys):
    (tmp_path / "networks_of_a_test.py").write_text(
        "import torch\ndef make():\n    return torch.nn.Linear(2, 2)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(spikeport.Error, match=r"give input_shape and call \(time-first"):
        spikeport.export(torch.nn.Linear(2, 2))
    assert run(["export", "networks_of_a_test:make", "-o", str(tmp_path / "out.h5")]) == 2
    assert "give --input-shape and --call (time-first" in capsys.readouterr().err

    model = spikeport.load("networks_of_a_test:make", reset="zero")
    with pytest.raises(spikeport.Error, match="reset changes nothing"):
        spikeport.export(model)
    assert run(["check", "networks_of_a_test:make", "--reset", "zero"]) == 2
    assert "--reset changes nothing" in capsys.readouterr().err


def texts(path: Path) -> list[str]:
    """Every text of a module that is no docstring."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {
        id(part): node
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    whole = {
        id(parts.get(id(node), node)): parts.get(id(node), node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return [ast.unparse(node) for key, node in whole.items() if key not in loose]


def test_below_the_command_line_no_message_names_an_option():
    """But whole commands, arguments of other programs, and names of colours in CSS."""
    found = []
    for package in ("hardware", "export", "toolchain"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "cli" in path.parts:
                continue
            for text in texts(path):
                alone = re.fullmatch(r"f?['\"] ?--[\w-]+['\"]", text)
                known = re.search(r"spikeport [a-z]+|pip install --|var\(--", text)
                if re.search(r"(?<![\w-])--[a-z]", text) and not alone and not known:
                    found.append(f"{path.relative_to(ROOT)}: {text[:80]}")
    assert found == []
