"""What makes a cell: the code that computes it, and the versions of everything that this code
imports."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from toolchain.cells import closure
from toolchain.cells.closure import Code
from toolchain.cells.errors import CodeError
from toolchain.cells.source import ClosureError, read, text_of
from toolchain.version import __version__

NONE = "not installed"


@dataclass(frozen=True)
class Manifest:
    """What a maker is, as it travels to who computes.

    files     (module or data file, SHA-256 of its text, of what it does)
    versions  package → version
    """

    digest: str
    files: tuple[tuple[str, str, str], ...]
    versions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Maker:
    """Code, and the versions of Python and of the packages that it imports."""

    code: Code

    @cached_property
    def versions(self) -> dict[str, str]:
        """Python's and every package's version, by the name of its distribution."""
        return versions(self.code.packages)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of code and versions: a part of the key of every cell that it makes."""
        return hashlib.sha256(
            json.dumps([self.code.digest, self.versions], sort_keys=True).encode()
        ).hexdigest()

    @cached_property
    def manifest(self) -> Manifest:
        """To be compared with what there is where a cell is computed."""
        files = ((name, read(path)) for name, path in self.code.files.items())
        return Manifest(
            self.digest,
            tuple((name, source.text, source.meaning) for name, source in files),
            tuple(sorted(self.versions.items())),
        )

    def said(self) -> dict[str, Any]:
        """Plain JSON values, as they are kept with a cell."""
        return {"code": self.code.digest, "versions": {"spikeport": __version__, **self.versions}}


@lru_cache(maxsize=64)
def of(*modules: str) -> Maker:
    """The maker of what these modules compute. Raises ClosureError."""
    return Maker(closure.of(*modules))


@lru_cache(maxsize=64)
def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Python and the distributions of packages (the names that one imports) → version."""
    installed, owners = {"python": platform.python_version()}, metadata.packages_distributions()
    for package in packages:
        for distribution in sorted(set(owners.get(package, []))) or [package]:
            try:
                installed[distribution] = metadata.version(distribution)
            except metadata.PackageNotFoundError:
                installed[distribution] = NONE
    return installed


_checked: dict[str, tuple[tuple[int, int], ...]] = {}


def require(manifest: Manifest) -> None:
    """Raises CodeError where this process computes with other code or other versions than a
    manifest says.

    To be called before and after a computation: files that change in between are found by their
    times.
    """
    paths = [closure.locate(name) for name, _, _ in manifest.files]
    stamps = tuple((0, 0) if path is None else closure.stamp(path) for path in paths)
    if _checked.get(manifest.digest) == stamps:
        return
    for (name, text, meaning), path in zip(manifest.files, paths):
        if path is None or not _does_the_same(path, text, meaning):
            raise CodeError(
                f"{name} ({path or 'gone'}) is not what it was when the cell was planned; start "
                f"again after a change, and workers from "
                "the same installation"
            )
    _require_versions(manifest)
    _checked[manifest.digest] = stamps


def _does_the_same(path: Path, text: str, meaning: str) -> bool:
    """Whether a file has this text, or another that does the same; what a text does is found
    out only where it must be, as that takes a second for all that a cell rests on."""
    try:
        return text_of(path) == text or read(path).meaning == meaning
    except ClosureError:
        return False


def _require_versions(manifest: Manifest) -> None:
    for name, wanted in manifest.versions:
        try:
            here = platform.python_version() if name == "python" else metadata.version(name)
        except metadata.PackageNotFoundError:
            here = NONE
        if here != wanted:
            raise CodeError(
                f"{name} is {here} here, and was {wanted} where the cell was planned; start "
                f"workers from the same installation"
            )
