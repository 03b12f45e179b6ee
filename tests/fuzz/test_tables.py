"""Every entry of every TOML file that people write, with a value of every wrong type: typed errors.

The files are the kept examples; an entry that is added to them is covered from then on.
"""

from __future__ import annotations

import copy
import datetime
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolchain.errors import ToolchainError
from toolchain.robustness import sweep
from toolchain.studies import study
from toolchain.studies.registry import STUDIES
from toolchain.training.config import Config

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXAMPLES = Path(__file__).parents[2] / "examples"
WRONG = (-1, 0.5, float("nan"), True, "atan", [[]], {"name": "atan"}, datetime.date(2026, 1, 1))
"""Values of every type that TOML has; for most entries most of them are wrong."""

SWEEP = {
    "data": {"name": "digits", "samples": 50, "inference_seeds": [0, 1]},
    "models": [
        {"name": "plain", "source": "plain.safetensors", "weight_bits": 6, "input_shape": [64]},
        {"name": "several", "recipe": "digits.toml", "seeds": [0, 1]},
    ],
    "attacks": {
        "epsilons": [0.1],
        "seeds": [0],
        "transfer": ["plain"],
        "list": [
            {
                "attack": "pgd",
                "params": {"steps": 40},
                "estimator": {"name": "atan", "params": {"steepness": 2.0}},
                "eot": 1,
                "tuning": {"parameter": "steepness", "values": [1.0, 2.0]},
                "front": "through",
            }
        ],
    },
    "corruptions": {"names": ["brightness"], "severities": [1]},
    "targets": {"names": ["fast"], "lava_samples": 5},
    "run": {"batch": 10},
}
"""What the examples of sweeps do not use."""


def read_sweep(path: Path, table: dict) -> None:
    sweep.parse(table, str(path), path.parent)


def read_recipe(path: Path, table: dict) -> None:
    Config.from_table(table, str(path))


def read_study(path: Path, table: dict) -> None:
    name = next(name for name in STUDIES if path.stem.endswith(name))
    study.named(name).read(table, str(path), path.parent)


READERS = {"recipes": read_recipe, "robustness": read_sweep, "studies": read_study}


def places(table, way: tuple = ()) -> Iterator[tuple]:
    """The way to every entry of a table, tables and lists among them."""
    if way:
        yield way
    entries = table.items() if isinstance(table, dict) else enumerate(table)
    for key, value in entries if isinstance(table, (dict, list)) else ():
        if isinstance(value, (dict, list)):
            yield from places(value, (*way, key))
        else:
            yield (*way, key)


def replaced(table: dict, way: tuple, value: object) -> dict:
    """A copy of the table with another value in one place."""
    changed = copy.deepcopy(table)
    inside = functools.reduce(lambda part, key: part[key], way[:-1], changed)
    inside[way[-1]] = value
    return changed


def examples(kind: str) -> Iterator[tuple[Path, dict]]:
    """Files of a kind with their tables."""
    for path in sorted((EXAMPLES / kind).glob("*.toml")):
        if kind == "studies" and path.stem.startswith("cifar10"):
            continue  # to plan a study is to read its data; the others have the same entries
        yield path, tomllib.loads(path.read_text())
    if kind == "robustness":
        yield Path("sweep.toml"), SWEEP


@pytest.mark.parametrize("kind", READERS)
def test_a_value_of_a_wrong_type_is_a_typed_error(kind):
    tried, messages = set(), []
    for path, table in examples(kind):
        READERS[kind](path, table)
        for way in places(table):
            entry = tuple(key for key in way if isinstance(key, str)), isinstance(way[-1], int)
            if entry in tried:
                continue
            tried.add(entry)
            found = (refusal(kind, path, table, way, value) for value in WRONG)
            messages += [message for message in found if message is not None]
    assert len(messages) > len(tried), "most of the values are wrong for any entry"
    assert max(map(len, messages)) < 1500


def refusal(kind: str, path: Path, table: dict, way: tuple, value: object) -> str | None:
    """What is said to a wrong value, or None where it is right; an error without a type fails."""
    try:
        READERS[kind](path, replaced(table, way, value))
    except ToolchainError as error:
        return str(error)
    except Exception as error:
        raise AssertionError(f"{path.name}: {way} = {value!r}: {error!r}") from error
    return None


def test_an_estimator_that_is_a_text_is_told_what_it_must_be():
    table = replaced(SWEEP, ("attacks", "list", 0, "estimator"), "atan")
    with pytest.raises(sweep.SweepError) as raised:
        sweep.parse(table, "sweep.toml")
    for words in (
        "[[attacks.list]] 1, estimator is 'atan'",
        'it must be a table, such as {name = "atan"}',
    ):
        assert words in str(raised.value)


@pytest.mark.parametrize("where", ["params", "estimator params"])
def test_a_parameter_that_there_is_not_is_found_when_the_sweep_is_read(where):
    way = ("attacks", "list", 0, *where.split(), "stepz")
    with pytest.raises(sweep.SweepError, match="stepz"):
        sweep.parse(replaced(SWEEP, way, 3), "sweep.toml")


UNLIKED = {
    "nested deep": ("a = " + "[" * 100_000, "not TOML: values are nested too deep"),
    "long key": ("a" + ".a" * 100_000 + " = 1", "a key of more than 64 parts"),
    "long key inside": ("x = {a" + ".a" * 100_000 + " = 1}", "a key of more than 64 parts"),
    "long number": ("a = " + "9" * 9000, "not TOML"),
    "long file": (
        "#" * 300_000,
        "has 300,000 bytes; a sweep, a TOML file, must have at most 262,144",
    ),
}


@pytest.mark.parametrize("case", UNLIKED)
def test_toml_that_costs_a_parser_much_is_refused_at_once(tmp_path, case):
    content, message = UNLIKED[case]
    path = tmp_path / "sweep.toml"
    path.write_text(content)
    with pytest.raises(sweep.SweepError, match=message) as raised:
        sweep.load(path)
    assert len(str(raised.value)) < 500
