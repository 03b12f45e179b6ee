"""Recipes, sweeps, study settings, scripts and trained networks that come with spikeport.

They lie in the folder ``examples`` of the repository. ``setup.py`` puts a copy into every wheel, as
the package ``spikeport_examples``.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from toolchain import files
from toolchain.errors import ToolchainError

PACKAGE = "spikeport_examples"
CHECKPOINTS = "checkpoints"
ENDINGS = (".ipynb", ".md", ".py", ".safetensors", ".toml")
"""What an example file ends with; everything else in the folder (caches, sums) stays there."""


class ExamplesError(ToolchainError):
    """This installation has no examples."""


@dataclass(frozen=True)
class Copied:
    """What ``copy`` wrote: the folder, and how many files of each kind (subfolder; "" for the
    scripts beside them)."""

    folder: Path
    counts: dict[str, int]


def source() -> Path:
    """The folder that holds the examples: of this source checkout, or of the installed wheel.

    Raises:
        ExamplesError: The installation has none.
    """
    root = Path(__file__).resolve().parents[1]
    if (root / "pyproject.toml").is_file() and (root / "examples" / "recipes").is_dir():
        return root / "examples"

    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ExamplesError(
            f"this installation of spikeport has no examples (package {PACKAGE}); install the "
            f"wheel, or take the folder examples/ of the repository"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def names(checkpoints: bool = False) -> list[Path]:
    """The example files, relative to ``source()``, sorted.

    Args:
        checkpoints: List the trained networks, too.
    """
    root = source()
    listed = (p.relative_to(root) for p in root.rglob("*") if p.suffix in ENDINGS and p.is_file())
    shown = (p for p in listed if "__pycache__" not in p.parts and p.name != "__init__.py")
    return sorted(p for p in shown if checkpoints or p.parts[0] != CHECKPOINTS)


def copy(folder: str | Path, checkpoints: bool = False, force: bool = False) -> Copied:
    """Copy the examples into a folder, which is made where it does not exist.

    Args:
        folder: Where to; the subfolders stay as they are, so that a sweep finds its recipes.
        checkpoints: Copy the trained networks, too.
        force: Replace files that exist. Nothing else in the folder is touched.

    Raises:
        OutputError: A file exists (without ``force``) or cannot be written; nothing was copied.
        ExamplesError: The installation has no examples.
    """
    root, folder = source(), Path(folder)
    listed = names(checkpoints)
    for parent in sorted({p.parent for p in listed}):
        files.claim_folder(folder / parent, [p.name for p in listed if p.parent == parent], force)

    counts: dict[str, int] = {}
    for name in listed:
        files.write_bytes(folder / name, (root / name).read_bytes(), force)
        kind = name.parts[0] if len(name.parts) > 1 else ""
        counts[kind] = counts.get(kind, 0) + 1
    return Copied(folder, counts)
