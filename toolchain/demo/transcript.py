"""What the demo prints, from the facts in demo.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain.pages import formats


def closing(facts: Mapping[str, Any], folder: Path) -> list[str]:
    """The last lines: where the page is, and the verdict."""
    verdict = "passed: identical everywhere" if facts["passed"] else "FAILED: see above"
    took = formats.seconds(facts["wall_time_s"])
    return [f"wrote    {folder / 'index.html'} and demo.json, in {took}", verdict]


def lines(facts: Mapping[str, Any], folder: Path = Path("demo")) -> list[str]:
    """All lines of ``spikeport demo --out folder``."""
    return [*facts["printed"], *closing(facts, folder)]
