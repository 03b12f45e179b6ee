"""What README tells a user to type works."""

from __future__ import annotations

import ast
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_python_example_runs(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    checkpoints = tmp_path / "examples"
    checkpoints.symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with redirect_stdout(said):
        exec(compile(block, "README.md", "exec"), {})
    lines = said.getvalue().splitlines()
    assert any(re.match(r"software +9\d\.\d\d %", line) for line in lines)
    assert "faithful True" in lines
    assert lines[-2] == "True"  # software and integers are identical
    assert (tmp_path / "digits.h5").is_file()
    assert (tmp_path / "digits.nir").is_file()
    attacked = ast.literal_eval(lines[-1][: lines[-1].index("}") + 1])
    assert attacked["samples"] == 10
