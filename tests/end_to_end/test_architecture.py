"""The floors of the house: imports go down only, and heavy packages come in only where they are
used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("hardware", "export", "toolchain", "spikeport")
LAVA_ROOM = ("hardware/lava/",)


@cache
def nodes(path: Path) -> list[ast.AST]:
    """All that a file says, read once for all tests."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def imported(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also inside functions; those for type checkers alone
    are left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            found.add(node.module)
    return found


FILES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_only(path):
    place = path.relative_to(ROOT).as_posix()
    floor = FLOORS.index(place.split("/")[0])
    packages = {module.split(".")[0] for module in imported(path)}
    assert not packages & set(FLOORS[floor + 1 :])
    if "lava" in packages:
        assert place.startswith(LAVA_ROOM)
    if "torch" in packages:
        assert place.startswith(("toolchain/", "export/frameworks/"))


BOTTOM = (
    "version",
    "targets",  # names, titles and marks of targets, which every page needs
    "errors",
    "heap",
    "statistics",
    "whole",
    "table_rules",
    "tables",
    "table_schema",
    "files",
    "remarks",
    "pages",
)
ROOMS = (
    BOTTOM,
    ("calls", "data", "layers"),
    ("models",),
    ("attacks", "defences", "purification"),
    ("training",),
    ("deploy",),
    ("cells",),
    ("robustness",),
    ("report",),
    ("studies",),
    ("api", "examples", "demo", "cli"),
)
"""Floors inside toolchain, the lowest first; modules of the same line may import each other."""


def floor_of(module: str) -> int:
    """Of a module of toolchain: its own floor, where it has one, else its room's."""
    floor = {f"toolchain.{room}": number for number, line in enumerate(ROOMS) for room in line}
    return floor[module] if module in floor else floor[".".join(module.split(".")[:2])]


def modules() -> dict[str, Path]:
    """Name → file of every module of the three packages."""
    found = {}
    for path in FILES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Our own modules that a file imports, also inside functions and for type checkers alone:
    ``from a import b`` is of a.b where that is a module, else of a."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else node.module for name in full}
    return found & set(known)


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that lead to each other."""

    def reached(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            new = graph[todo.pop()] - seen
            seen |= new
            todo += new
        return seen

    ways = {name: reached(name) for name in graph}
    found: list[set[str]] = []
    for name, there in ways.items():
        if name in there and not any(name in circle for circle in found):
            found.append({other for other in there if name in ways[other]})
    return found


def test_no_modules_import_each_other_in_a_circle():
    known = modules()
    graph = {name: imports(path, known) - {name} for name, path in known.items()}
    assert [sorted(circle) for circle in circles(graph)] == []


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}
    assert circles(graph) == [{"b", "c"}]


def test_imports_inside_toolchain_go_down_only():
    known = modules()
    upwards = []
    for name, path in known.items():
        for other in imports(path, known) if name.startswith("toolchain.") else ():
            if other.startswith("toolchain.") and floor_of(other) > floor_of(name):
                upwards.append(f"{name} imports {other}")
    assert upwards == []


@pytest.mark.parametrize(
    ("module", "barred"),
    [
        (
            "hardware",
            [
                "nir",
                "torch",
                "numba",
                "lava",
                "scipy",
                "sklearn",
                "click",
                "tqdm",
                "export",
                "toolchain",
            ],
        ),
        ("export", ["torch", "numba", "lava", "sklearn", "click", "tqdm", "toolchain"]),
        ("hardware.lava.client", ["torch", "numba", "lava"]),
    ],
)
def test_import_needs_little(module, barred):
    """As if nothing of ``barred`` were installed."""
    code = f"import sys; sys.modules.update(dict.fromkeys({barred!r})); import {module}"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


def test_the_public_face_is_on_top_and_costs_nothing():
    """Only the command line and the two packages that show them use the public calls."""
    above = ("toolchain/api/", "toolchain/cli/", "toolchain/__init__.py", "spikeport/")
    for path in FILES:
        place = path.relative_to(ROOT).as_posix()
        uses = {m for m in imported(path) if m.startswith(("toolchain.api", "spikeport"))}
        assert not uses or place.startswith(above), place


def test_no_public_function_has_the_name_of_a_module_beside_it():
    """Importing the module would put it in the place of the function."""
    for package in ("toolchain", "toolchain.cli", "toolchain.api", "spikeport", "hardware"):
        names = importlib.import_module(package)
        folder = ROOT / package.replace(".", "/")
        beside = {path.stem for path in folder.glob("*.py")} | {p.name for p in folder.iterdir()}
        functions = {n for n in dir(names) if inspect.isfunction(getattr(names, n))}
        assert not functions & beside, package


def test_nothing_is_unpickled():
    """Files from elsewhere must never be able to run code; the one function that lets them is
    called on the user's word alone."""
    unbound = []
    for path in FILES:
        source = path.read_text(encoding="utf-8")
        assert not imported(path) & {
            "pickle",
            "dill",
            "cloudpickle",
            "joblib",
            "shelve",
            "marshal",
        }, path
        assert "allow_pickle=True" not in source, path
        for call in (
            n
            for n in nodes(path)
            if isinstance(n, ast.Call) and ast.unparse(n.func) == "torch.load"
        ):
            if "weights_only=True" not in ast.unparse(call):
                unbound.append(path.relative_to(ROOT).as_posix())
    assert unbound == ["export/frameworks/weight_files.py"]


def test_every_source_parses_as_python_3_10():
    for path in FILES:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))


def test_no_index_address_and_no_path_of_one_machine():
    """The tool that installs decides where from."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("not a git checkout")
    words = ["index-" + "url", "find-" + "links", "/ho" + "me/", "/ro" + "ot/"]
    for name in files.stdout.split():
        if (ROOT / name).is_file():
            text = (ROOT / name).read_bytes().decode("utf-8", "replace")
            assert not [word for word in words if word in text], name
