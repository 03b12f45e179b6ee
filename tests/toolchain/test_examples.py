"""Examples for those who have no repository: copied by a command, present in a wheel."""

from __future__ import annotations

import importlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from toolchain import examples
from toolchain.cli import run
from toolchain.errors import OutputError

ROOT = Path(__file__).resolve().parents[2]


def test_a_copy_holds_what_the_repository_holds(tmp_path, capsys):
    assert run(["examples", str(tmp_path / "here")]) == 0
    assert "--checkpoints" in capsys.readouterr().out

    kept = (ROOT / "examples" / "recipes").glob("*.toml")
    copied = {p.name: p.read_bytes() for p in (tmp_path / "here" / "recipes").iterdir()}
    assert copied == {p.name: p.read_bytes() for p in kept}
    assert (tmp_path / "here" / "studies" / "leak.toml").is_file()
    assert not (tmp_path / "here" / "checkpoints").exists()


def test_checkpoints_come_where_they_are_asked_for(tmp_path):
    copied = examples.copy(tmp_path, checkpoints=True)
    assert copied.counts["checkpoints"] > 50
    assert (tmp_path / "checkpoints" / "digits-tgo-0.safetensors").is_file()


def test_a_file_of_the_users_is_never_replaced_unasked(tmp_path, capsys):
    mine = tmp_path / "recipes" / "digits.toml"
    mine.parent.mkdir()
    mine.write_text("mine")

    assert run(["examples", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"{mine}: exists already; --force replaces it" in error
    assert mine.read_text() == "mine"

    assert run(["examples", str(tmp_path), "--force"]) == 0
    assert mine.read_bytes() == (ROOT / "examples" / "recipes" / "digits.toml").read_bytes()


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        examples.copy(tmp_path / "file")


def test_without_examples_the_error_says_where_they_are(monkeypatch, tmp_path):
    monkeypatch.setattr(examples, "__file__", str(tmp_path / "toolchain" / "examples.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(examples.ExamplesError, match="the folder examples/ of the repository"):
        examples.source()


def test_a_wheel_holds_them(tmp_path):
    """Built from a copy, so that nothing is left in the repository."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split():
        if name.startswith(("toolchain/__init__", "examples/recipes", "examples/studies")) or (
            "/" not in name
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation"]
    result = subprocess.run([*build, "-w", "out"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

    (wheel,) = (tmp_path / "out").glob("*.whl")
    held = zipfile.ZipFile(wheel).namelist()
    assert "spikeport_examples/recipes/digits.toml" in held
    assert "spikeport_examples/studies/leak.toml" in held
