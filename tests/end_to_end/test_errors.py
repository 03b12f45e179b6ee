"""Every error that somebody else may see has one base."""

from __future__ import annotations

import ast
import builtins
import importlib
from pathlib import Path

import pytest

import export
import hardware.errors
import spikeport
import toolchain

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("hardware", "export", "toolchain", "spikeport")
BUILTIN = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def exceptions() -> set[tuple[str, str]]:
    """(module, class) of every exception whose name is public, read off the sources: some modules
    can be imported in Lava's environment alone."""
    bases: dict[tuple[str, str], set[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    named = {ast.unparse(base).split(".")[-1] for base in node.bases}
                    bases[module, node.name] = named
    found: set[tuple[str, str]] = set()
    known = set(BUILTIN)
    while True:
        new = {key for key, named in bases.items() if named & known} - found
        if not new:
            return {(module, name) for module, name in found if not name.startswith("_")}
        found |= new
        known |= {name for _, name in new}


EXCEPTIONS = sorted(exceptions())


def test_all_are_found():
    names = {name for _, name in EXCEPTIONS}
    assert {"Error", "KindError", "RefusedError", "ArgumentError", "NotPossible"} <= names
    assert len(EXCEPTIONS) > 40


@pytest.mark.parametrize(("module", "name"), EXCEPTIONS)
def test_every_public_error_has_the_one_base(module, name):
    assert issubclass(getattr(importlib.import_module(module), name), spikeport.Error)


def test_the_base_is_the_same_everywhere():
    assert spikeport.Error is toolchain.Error is hardware.errors.Error


def test_one_clause_catches_what_every_package_raises(tmp_path):
    calls = {
        "hardware": lambda: hardware.Chip.load("abacus"),
        "export": lambda: export.read(tmp_path / "absent.nir"),
        "toolchain": lambda: spikeport.load(7),
    }
    for package, call in calls.items():
        with pytest.raises(spikeport.Error) as error:
            call()
        assert type(error.value).__module__.startswith(f"{package}.")
