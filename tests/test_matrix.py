"""What `make matrix` finds, and what it says; no environment is made here."""

from __future__ import annotations

import pytest

from tests import matrix


@pytest.fixture
def pythons(tmp_path, monkeypatch):
    """Puts files that act as a Python of a version on the path, or among pyenv's versions."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))

    def put(place: str, says: str) -> None:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{says}\n")
        path.chmod(0o755)

    return put


def test_a_python_is_one_that_runs_and_says_so(pythons, tmp_path):
    assert matrix.interpreter("3.12") is None
    pythons("path/python3.12", "exit 127")  # as a shim of pyenv without a version
    pythons("pyenv/versions/3.12.1/bin/python", "echo 3.11")
    assert matrix.interpreter("3.12") is None
    pythons("pyenv/versions/3.12.4/bin/python", "echo 3.12")
    assert matrix.interpreter("3.12") == tmp_path / "pyenv/versions/3.12.4/bin/python"


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ({"3.10": "passed", "3.12": "passed"}, 0),
        ({"3.10": "passed", "3.12": "failed"}, 1),
        ({"3.12": "no environment could be made"}, 1),
        ({}, 2),
    ],
)
def test_what_was_not_found_is_said_and_what_failed_is_the_exit_code(
    monkeypatch, capsys, results, code
):
    monkeypatch.setattr(matrix, "interpreter", lambda version: results.get(version) and version)
    monkeypatch.setattr(matrix, "tested", lambda version, python, workers: results[version])
    assert matrix.main([]) == code
    said = capsys.readouterr().out.splitlines()[-4:]
    assert said == [f"Python {v}: {results.get(v, 'not found')}" for v in matrix.VERSIONS]


def test_the_versions_are_those_of_the_package():
    text = (matrix.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = [f"Programming Language :: Python :: {version}" for version in matrix.VERSIONS]
    assert [line for line in listed if line in text] == listed
    assert text.count("Programming Language :: Python :: 3.") == len(listed)
