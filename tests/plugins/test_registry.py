"""What a registry makes of plug-ins that are broken, or take a name that is taken; and that it
imports nothing before it must."""

from __future__ import annotations

import sys

import pytest

from hardware.chunks import Target
from hardware.errors import PluginError, TargetError
from hardware.lava import environment
from hardware.targets import TARGETS
from tests.plugins.distribution import install, module
from toolchain.deploy import doctor

GROUP = "spikeport.targets"


def test_an_entry_is_listed_without_being_imported(examples):
    assert list(TARGETS)[-1] == "abacus"
    assert "abacus" in TARGETS
    assert "spikeport_example.targets" not in sys.modules
    assert isinstance(TARGETS["abacus"], Target)
    assert "spikeport_example.targets" in sys.modules


def test_without_the_distribution_the_name_is_unknown():
    with pytest.raises(TargetError, match="no target 'abacus'"):
        TARGETS["abacus"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("nowhere_at_all:TARGET", "ModuleNotFoundError"),
        ("broken_plugin:ABSENT", "AttributeError"),
        ("broken_plugin:NUMBER", "is of type int; it must be a hardware.chunks.Target"),
        ("broken_plugin:OTHER", "calls itself 'other'"),
    ],
)
def test_a_broken_plugin_names_its_distribution(site, value, words):
    module(
        site,
        "broken_plugin",
        """
        from hardware.chunks import Target
        NUMBER, OTHER = 3, Target("other", "other", None)
        """,
    )
    install(site, "broken-plugin", {GROUP: {"bad": value}})
    with pytest.raises(PluginError, match="distribution 'broken-plugin'") as caught:
        TARGETS["bad"]
    assert words in str(caught.value)
    assert TARGETS["fast"].name == "fast"


def test_a_name_of_ours_is_not_replaced(site):
    install(site, "greedy", {GROUP: {"fast": "greedy:FAST"}})
    with pytest.raises(PluginError, match=r"'fast' is defined by spikeport itself and .*greedy"):
        TARGETS["fast"]
    assert TARGETS["reference"].name == "reference"


def test_two_distributions_cannot_have_one_name(site):
    install(site, "one", {GROUP: {"twice": "one:A"}})
    install(site, "two", {GROUP: {"twice": "two:A"}})
    with pytest.raises(PluginError, match="'one' and by the distribution 'two'"):
        TARGETS["twice"]


def test_doctor_says_what_is_wrong_with_a_plug_in(site, monkeypatch):
    there = {"python": "python3.10", "versions": {}, "missing": None}
    monkeypatch.setattr(environment, "status", lambda: {"lava": there, "lava_dl": there})
    monkeypatch.setattr(environment, "missing", lambda: "no Lava")
    install(site, "broken-plugin", {GROUP: {"bad": "nowhere_at_all:TARGET"}})
    targets = {target["name"]: target for target in doctor.examine()["targets"]}
    assert not targets["bad"]["ready"]
    assert "distribution 'broken-plugin'" in targets["bad"]["missing"]
    assert targets["reference"]["ready"]
