"""Distributions of others, as an installer leaves them on a path: their modules, and a dist-info
folder with metadata and entry points."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

from hardware import _toml
from hardware.errors import HardwareError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
_BLOCK = re.compile(r"^```\w+\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> dict[str, str]:
    """File → its text, of every example on the page about extensions."""
    return dict(_BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def install_examples(folder: Path) -> None:
    """The page's package, word by word."""
    files = examples()
    project = folder / "pyproject.toml"
    project.write_text(files.pop("pyproject.toml"))
    points = _toml.load(project, HardwareError, "a project")["project"]["entry-points"]
    (folder / "spikeport_example").mkdir()
    (folder / "spikeport_example" / "__init__.py").touch()
    for name, text in files.items():
        (folder / name).write_text(text)
    install(folder, "spikeport-example", points)


def install(folder: Path, name: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """A distribution with these entry points: group → name → "module:object"."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, entries in points.items()
        for line in (f"[{group}]", *(f"{entry} = {value}" for entry, value in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def module(folder: Path, name: str, text: str) -> None:
    """A module beside it."""
    (folder / f"{name}.py").write_text(textwrap.dedent(text))
