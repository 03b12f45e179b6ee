"""README.md's run of the demo, held against what the demo prints.

Numbers that training decides (accuracy, energy, time) differ between processors, and README.md says
so. They are compared by form alone; everything else must be equal.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BY_TRAINING = ("         ", "accuracy ", "energy   ", "time     ", "wrote    ")
"""Beginnings of the lines whose numbers follow from the training, or from the machine."""


def script() -> ModuleType:
    """docs/site/readme.py, which writes the block."""
    spec = importlib.util.spec_from_file_location("readme", ROOT / "docs" / "site" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def form(line: str) -> str:
    """A line without the numbers that training decides, their units and the layer."""
    line = re.sub(r"limited by .*", "limited by …", line)
    if line.startswith(BY_TRAINING):
        return re.sub(r"\d[\d.,]*( %| min\b| [mµn]?[sJ]\b)?", "#", line)
    return line


def check(printed: Sequence[str]) -> None:
    """README.md shows ``printed``, the lines of a demo that was trained for one epoch and did not
    pass. Raises AssertionError."""
    recipe = (ROOT / "toolchain" / "demo" / "digits.toml").read_text(encoding="utf-8")
    epochs = re.search(r"(?m)^epochs = (\d+)$", recipe)
    assert epochs is not None

    wanted = [line.replace("1 epochs", f"{epochs[1]} epochs") for line in printed]
    place = re.sub(r"wrote    \S+", "wrote    demo/index.html", wanted[-2])
    wanted[-2:] = [place, "passed: identical everywhere"]
    shown = script().block(README.read_text(encoding="utf-8"))
    assert list(map(form, shown)) == list(map(form, wanted))
