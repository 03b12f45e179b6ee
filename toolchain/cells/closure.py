"""The code that a result rests on: every module that can be imported on the way to it, found
without running anything.

    code = of("toolchain.robustness.crafting")
    code.digest      changes when any of the files changes in what it does
    code.packages    third-party packages that these files import

The walk starts at the modules that compute a cell and follows every import statement, also those
inside functions, and every string constant that names a module of the same packages (a registry,
``importlib.import_module``). A constant that ends in a dot ("toolchain.data.") stands for all
modules of that package. Imports for type checkers alone do not count. Data files that lie beside a
module (TOML tables, pins) belong to it. Comments, blank lines and docstrings do not count: a change
of words computes nothing else.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from toolchain.cells.source import ClosureError, read

ROOT = Path(__file__).resolve().parents[2]
"""The folder of our packages."""

OURS = ("hardware", "export", "toolchain")

DATA = frozenset({".toml", ".css", ".js", ".json", ".txt"})
"""Endings of the data files that our packages hold, see package-data in pyproject.toml."""

_IMPORT = re.compile(r"^\s*(?:from|import)\s+([A-Za-z_][\w.]*)", re.MULTILINE)
_MODULE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(\.|:\w+(?:\.\w+)*)?")


@dataclass(frozen=True, eq=False)
class Code:
    """files: module or data file → its path, in the order of names. packages: top-level names of
    third-party packages."""

    files: dict[str, Path]
    packages: tuple[str, ...]

    @property
    def modules(self) -> set[str]:
        """Names of the modules among the files."""
        return {name for name in self.files if "/" not in name}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over what the files do, as they are when it is first asked for."""
        hasher = hashlib.sha256()
        for name, path in self.files.items():
            hasher.update(f"{name}\0{read(path).meaning}\0".encode())
        return hasher.hexdigest()


def stamp(path: Path) -> tuple[int, int]:
    """(time of change, size) of a file; (0, 0): it is gone."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def locate(name: str) -> Path | None:
    """Where this process has a file of a closure; None: nowhere."""
    if "/" in name:
        path = ROOT / name
        return path if path.is_file() else None
    return _file(ROOT, name) if name.split(".")[0] in OURS else _found(name)


@lru_cache(maxsize=64)
def of(*entries: str, root: Path = ROOT) -> Code:
    """The code that the modules ``entries`` rest on, found once for each process.

    root  folder of our packages. Entries outside them (a user's module) are found as an import
          would find them, and are followed into every module that is neither of the standard
          library nor installed.

    Raises ClosureError.
    """
    walk = _walked(entries, root)
    files = dict(walk.modules)
    for folder in {
        path.parent for name, path in walk.modules.items() if name.split(".")[0] in OURS
    }:
        files |= {path.relative_to(root).as_posix(): path for path in _data(folder)}
    return Code(dict(sorted(files.items())), tuple(sorted(walk.packages)))


def of_user(*entries: str) -> Code:
    """The user's own part of the code that modules of the user rest on, found anew in every call.
    Raises ClosureError."""
    # our packages are not walked: what they import is in the closure of the cell, and a key of a
    # model is asked for hundreds of times in a sweep
    files = {
        name: path
        for name, path in _walked(entries, ROOT, through_ours=False).modules.items()
        if name.split(".")[0] not in OURS
    }
    return Code(dict(sorted(files.items())), ())


def _walked(entries: tuple[str, ...], root: Path, through_ours: bool = True) -> _Walk:
    walk = _Walk(root, frozenset(entry.split(".")[0] for entry in entries), through_ours)
    for entry in entries:
        if not walk.add(entry):
            raise ClosureError(
                f"module {entry!r}, which computes a cell, cannot be found as a source file"
            )
    return walk


def _data(folder: Path) -> Iterator[Path]:
    """Data files in a folder of ours that holds modules, and in its subfolders that hold none."""
    for path in folder.iterdir():
        if path.is_file() and path.suffix in DATA:
            yield path
        elif path.is_dir() and not any(path.glob("*.py")):
            yield from (
                inside for inside in path.iterdir() if inside.is_file() and inside.suffix in DATA
            )


class _Walk:
    """modules: name → file, of all that was reached; packages: third-party ones. through_ours: go
    on from a module of our packages to what it imports."""

    def __init__(self, root: Path, followed: frozenset[str], through_ours: bool) -> None:
        self._root, self._followed = root, followed | set(OURS)
        self._through_ours = through_ours
        self.modules: dict[str, Path] = {}
        self.packages: set[str] = set()

    def add(self, name: str) -> bool:
        """Reach a module and all that it imports; False where there is no such source."""
        waiting, first = [name], None
        while waiting:
            module = waiting.pop()
            path = self.modules.get(module) or self._source(module)
            first = path is not None if first is None else first
            if path is None or module in self.modules:
                continue
            self.modules[module] = path
            if not self._through_ours and module.split(".")[0] in OURS:
                continue
            # the packages around it are imported before it
            waiting += [module.rpartition(".")[0]] if "." in module else []
            waiting += self._imported(module, path)
        return bool(first)

    def _source(self, module: str) -> Path | None:
        """The file of a module whose text counts; installed packages are noted by name, the
        standard library is not."""
        top = module.split(".")[0]
        if top in OURS:
            return _file(self._root, module)
        if top in sys.stdlib_module_names:
            return None
        path = _found(module)
        if path is None or (top not in self._followed and _installed(path)):
            if path is not None or _found(top) is not None:
                self.packages.add(top)
            return None
        return path if path.suffix == ".py" else None

    def _imported(self, module: str, path: Path) -> list[str]:
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        source = read(path)
        candidates = [
            name
            for level, base, names in source.imports
            for name in _names(level, base, names, package)
        ]
        for text in source.strings:
            candidates += self._named_in(text)
        return [name for name in candidates if name and name not in self.modules]

    def _named_in(self, text: str) -> list[str]:
        """Modules that a string constant names, or imports: a program that is started as another
        process."""
        if "import " in text:
            return [name for name in _IMPORT.findall(text) if name.split(".")[0] in self._followed]
        match = _MODULE.fullmatch(text) if len(text) < 200 else None
        if match is None or match[1].split(".")[0] not in self._followed:
            return []
        if match[2] != ".":
            return [match[1]]
        path = self._source(match[1])
        if path is None:
            return [match[1]]
        folder = path.parent
        inside = sorted(folder.rglob("*.py"))
        return [match[1], *(_dotted(each, folder, match[1]) for each in inside)]


def _dotted(path: Path, folder: Path, package: str) -> str:
    parts = [package, *path.relative_to(folder).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _names(level: int, base: str, names: tuple[str, ...], package: str) -> list[str]:
    """What an import statement may import: the module, and each name in it that may be a module."""
    if level:
        around = package.split(".")[: package.count(".") + 2 - level]
        base = ".".join([*around, base] if base else around)
    return [base, *(f"{base}.{name}" for name in names)]


def _file(root: Path, module: str) -> Path | None:
    """A module's file below a folder."""
    path = root.joinpath(*module.split("."))
    return next((p for p in (path / "__init__.py", path.with_suffix(".py")) if p.is_file()), None)


def _found(module: str) -> Path | None:
    """The file that an import of a module would read; nothing is imported on the way."""
    top, *inside = module.split(".")
    spec = _spec(top)
    if spec is None:
        return None
    if not inside:
        return Path(spec.origin) if spec.has_location and spec.origin else None
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    for part in inside[:-1]:
        places = [place / part for place in places if (place / part).is_dir()]
    files = (
        file
        for place in places
        for file in (place / inside[-1] / "__init__.py", place / f"{inside[-1]}.py")
    )
    return next((file for file in files if file.is_file()), None)


def _spec(name: str) -> ModuleSpec | None:
    """Of a module outside all packages; a factory may also lie in the working directory."""
    for finder in sys.meta_path:
        try:
            if (spec := finder.find_spec(name, None)) is not None:
                return spec
        except (ImportError, AttributeError, ValueError):  # a finder of somebody else's
            continue
    return PathFinder.find_spec(name, [os.getcwd()])


@lru_cache(maxsize=1)
def _places() -> tuple[Path, ...]:
    return tuple(
        {
            Path(sysconfig.get_path(name)).resolve()
            for name in ("stdlib", "platstdlib", "purelib", "platlib")
        }
    )


def _installed(path: Path) -> bool:
    """Whether a file was put there by an installer: its package's version says what is in it."""
    return bool({"site-packages", "dist-packages"} & set(path.parts)) or any(
        path.is_relative_to(p) for p in _places()
    )


def loaded() -> dict[str, Path]:
    """Modules of this process that are the user's own: neither ours, nor installed, nor of the
    standard library."""
    files = {}
    for name, module in list(sys.modules.items()):
        top, origin = name.split(".")[0], getattr(module, "__file__", None)
        if (
            top in (*OURS, "__main__", "__mp_main__")
            or top in sys.stdlib_module_names
            or not origin
        ):
            continue
        path = Path(origin)
        if path.suffix == ".py" and path.is_file() and not _installed(path.resolve()):
            files[name] = path
    return files
