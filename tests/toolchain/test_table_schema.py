"""Schemas for editors: every kept file is in its schema, and an unknown key in none."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from tests.fuzz.test_tables import tomllib
from toolchain.cli import run
from toolchain.cli.schema import of
from toolchain.studies.registry import STUDIES

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*/*.toml"))


@cache
def validator(kind: str, name: str | None) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(of(kind, name))


def validator_for(path: Path) -> jsonschema.Draft202012Validator:
    kind = {"recipes": "recipe", "robustness": "sweep", "studies": "study"}[path.parent.name]
    name = next((name for name in STUDIES if path.stem.endswith(name)), None)
    return validator(kind, name if kind == "study" else None)


def test_every_example_is_in_its_schema_and_an_unknown_key_in_none():
    assert len(FILES) > 40
    for path in FILES:
        table = tomllib.loads(path.read_text())
        checked = validator_for(path)
        assert not [error.message for error in checked.iter_errors(table)], path
        for way in ways(table):
            changed = copy.deepcopy(table)
            inside = changed
            for step in way:
                inside = inside[step]
            inside["sice"] = 1
            assert not checked.is_valid(changed), (path, way)


def ways(table, way=()):
    """The way to every table that is not free, as parameters of an attack are."""
    if isinstance(table, dict):
        yield way
    entries = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in entries:
        if isinstance(value, (dict, list)) and key != "params":
            yield from ways(value, (*way, key))


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("recipe", {"training": {"epochs": -1}}),
        ("recipe", {"training": {"optimiser": "lion"}}),
        ("recipe", {"defence": {"margin": {"delta": 1.0}}}),
        ("sweep", {"models": [], "attacks": {"epsilons": [0.1], "preset": "quick"}}),
        ("sweep", {"models": [{"name": "a", "source": "a"}], "attacks": {"epsilons": [0]}}),
    ],
)
def test_what_is_refused_is_not_in_the_schema(kind, table):
    assert not validator(kind, None).is_valid(table)


def test_a_schema_shows_what_a_field_is():
    parts = of("recipe")["$defs"]
    loss = parts["Training"]["properties"]["loss"]
    assert loss["enum"] == ["cross_entropy", "rate"]
    assert "squared difference of the spike rates" in loss["description"]
    model = of("sweep")["$defs"]["ModelPart"]["properties"]
    assert model["call"]["description"].startswith("one of")
    assert model["name"]["description"] == "in tables and plots"


def test_the_command_writes_it(tmp_path, capsys):
    path = tmp_path / "leak.json"
    assert run(["schema", "study", "leak", "-o", str(path)]) == 0
    assert json.loads(path.read_text()) == of("study", "leak")
    assert run(["schema", "study"]) == 2
    assert run(["schema", "recipe", "leak"]) == 2
    capsys.readouterr()
    assert run(["schema", "recipe"]) == 0
    assert json.loads(capsys.readouterr().out) == of("recipe")
