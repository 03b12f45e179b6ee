"""Tables ↔ dataclasses: what is said of a wrong one, and that equal settings are equal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
import pytest
from msgspec import Meta

from toolchain.errors import ConfigError
from toolchain.table_rules import DISTINCT, Count, Positive, Text, one_of
from toolchain.tables import Settings, from_table, read, to_table

NAMES = {"digits": 1, "mnist": 2}


@dataclass(frozen=True)
class Part(Settings):
    TABLE = "part"

    size: Count = 1

    def check(self) -> str | None:
        return "size is 5, and five is right out" if self.size == 5 else None


@dataclass(frozen=True)
class Shown(Part):
    EXAMPLE = "{size = 1}"


@dataclass(frozen=True)
class Whole(Settings):
    EXAMPLE = "parts = []"

    parts: tuple[Part, ...]
    share: Annotated[float, Meta(ge=0, le=2)] = 1.0
    any_number: float = 0.0
    sources: bool | Annotated[tuple[Text, ...], DISTINCT] = False
    inner: Part = field(default_factory=Part)
    shown: Shown = field(default_factory=Shown)
    name: Annotated[str, one_of(NAMES)] | None = None
    radii: Annotated[tuple[Positive, ...], DISTINCT] = (1.0,)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "F: it is []; it must be a table, such as parts = []"),
        ({}, "F: parts is missing; it must be a list, each a table with size"),
        ({"parts": 3}, "F: parts is 3; it must be a list"),
        ({"parts": {"size": 3}}, "a table of a list is written [[parts]]"),
        ({"shown": 3}, "F: shown is 3; it must be a table, such as {size = 1}"),
        ({"parts": [{}, {"size": 0}]}, "F: [[parts]] 2, size is 0; it must be a whole number from"),
        ({"parts": [{"size": 1.0}]}, "F: [[parts]] 1, size is 1.0; it must be a whole number"),
        ({"parts": [{"size": 5}]}, "F: [[parts]] 1: size is 5, and five is right out"),
        (
            {"parts": [{"sice": 1}]},
            "F: [[parts]] 1: there is no key 'sice' (the nearest is 'size')",
        ),
        ({"inner": {"size": -1}}, "F: [inner] size is -1; it must be a whole number from 1"),
        ({"inner": {"size": True}}, "F: [inner] size is True"),
        ({"share": 3}, "F: share is 3; it must be a finite number from 0 to 2"),
        ({"share": float("nan")}, "F: share is nan"),
        ({"any_number": float("inf")}, "F: any_number is inf; it must be a finite number"),
        ({"radii": [1, 0]}, "F: radii, entry 2 is 0; it must be a finite number above 0"),
        ({"radii": []}, "F: radii is []; it must be a list with at least one entry"),
        ({"radii": [1, 1.0]}, "none of them twice"),
        ({"sources": 3}, "F: sources is 3; it must be true or false or a list with at least"),
        ({"sources": ["a\n"]}, "F: sources, entry 1 is 'a\\n'; it must be a text of 1 to 500"),
        ({"name": "digit"}, "F: name is 'digit'; it must be one of digits, mnist"),
        ({"shear": 1}, "F: there is no key 'shear' (the nearest is 'share')"),
        ({"xyz": 1}, "F: there is no key 'xyz'; it must be one of parts"),
    ],
)
def test_a_wrong_table_is_named(table, message):
    if table and "parts" not in table:
        table = {"parts": []} | table
    with pytest.raises(ConfigError) as raised:
        from_table(Whole, table, "F")
    assert str(raised.value).startswith(message) or message in str(raised.value)
    assert str(raised.value).startswith("F: ")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Part(0), "part: size is 0; it must be a whole number from 1"),
        (lambda: Part(5), "part: size is 5, and five is right out"),
        (lambda: replace(Whole(()), share=3), "Whole: share is 3"),
        (lambda: Whole(({},), radii=(2.0, 2.0)), "none of them twice"),
    ],
)
def test_what_is_made_in_python_is_checked_alike(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_equal_settings_are_equal_however_they_are_made():
    table = {"parts": [{"size": 2}], "share": 1, "sources": ["a"], "name": "mnist"}
    made = from_table(Whole, table, "F")
    assert made == Whole([Part(np.int64(2))], np.float32(1), sources=["a"], name="mnist")
    assert from_table(Whole, to_table(made), "F") == made
    assert isinstance(made.share, float)
    assert made.sources == ("a",)


def test_a_registry_may_grow(monkeypatch):
    monkeypatch.setitem(NAMES, "own", 3)
    assert from_table(Whole, {"parts": [], "name": "own"}, "F").name == "own"


def test_a_file_that_is_none_raises_the_error_that_was_asked_for(tmp_path):
    class OwnError(ConfigError):
        pass

    path = tmp_path / "own.toml"
    path.write_text("parts = 3")
    with pytest.raises(OwnError, match=r"own\.toml: parts is 3"):
        read(Whole, path, "an example", OwnError)
    path.write_text("# nothing yet\n")
    with pytest.raises(OwnError, match=r"is empty; an example must hold at least parts = \[\]"):
        read(Whole, path, "an example", OwnError)
    with pytest.raises(OwnError, match="cannot be read"):
        read(Whole, tmp_path / "absent.toml", "an example", OwnError)
