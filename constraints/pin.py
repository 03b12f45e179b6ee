"""Writes constraints/main.txt anew: `python constraints/pin.py`, with uv installed (`make pins`).

One resolution for Python 3.10 to 3.13 on every platform. Versions that main.txt has already are
kept; `--upgrade` takes the newest that pyproject.toml allows.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
LEFT_OUT = re.compile(r"(torch|triton|nvidia-|cuda-)")
"""PyTorch and what only its GPU builds bring; see torch.txt."""

COMPILE = ["uv", "pip", "compile", "--universal", "--python-version", "3.10", "--generate-hashes"]
EXTRAS = ["--extra", "test", "--extra", "dev", "--extra", "docs"]
QUIET = ["--no-annotate", "--no-header", "--quiet"]


def main(options: list[str]) -> None:
    """Resolve, and write what is left under the header that the file has."""
    target = HERE / "main.txt"
    before = target.read_text().splitlines()
    header = [line for line in before if line.startswith("#")]

    # the build backend is installed from here too, because the install itself is not isolated
    wanted = [str(HERE.parent / "pyproject.toml"), *EXTRAS]
    kept = ["--constraint", str(HERE / "torch.txt"), "--output-file", str(target)]
    subprocess.run([*COMPILE, *QUIET, *wanted, *kept, *options], check=True)

    left_out, lines = False, []
    for line in target.read_text().splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line.startswith(" "):
            left_out = bool(LEFT_OUT.match(line))
        if not left_out:
            lines.append(line)
    target.write_text("\n".join([*header, *lines]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
