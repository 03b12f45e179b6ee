"""Writes what the demo prints into README.md: python docs/site/readme.py demo/demo.json"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from toolchain.demo import transcript

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"(?<=\n\n)    train    .*?(?=\n\n)", re.DOTALL)
"""The indented block that begins as the demo does."""


def block(readme: str) -> list[str]:
    """The lines of the demo that README.md shows."""
    found = BLOCK.search(readme)
    assert found is not None, "README.md shows no run of the demo"
    return [line[4:] for line in found[0].splitlines()]


def updated(readme: str, facts: dict) -> str:
    """README.md with the run of ``facts`` (demo.json) in place of the one that it shows."""
    block(readme)
    shown = "\n".join("    " + line for line in transcript.lines(facts))
    return BLOCK.sub(lambda _: shown, readme)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    README.write_text(updated(README.read_text(encoding="utf-8"), given), encoding="utf-8")
