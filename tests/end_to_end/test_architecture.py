"""The floors of the house: imports go down only, and heavy packages come in only where they are
used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("hardware", "export", "toolchain", "spikeport")
LAVA_ROOM = ("hardware/lava/",)


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
            for n in ast.walk(ast.parse(source))
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
