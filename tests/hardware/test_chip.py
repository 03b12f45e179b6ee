"""Chip tables: complete, sourced, and refused where they are not."""

from __future__ import annotations

import pytest

from hardware import limits
from hardware.chip import FOLDER, LIMITS, Chip, known
from hardware.errors import ChipError

TEXT = (FOLDER / "loihi2.toml").read_text()


@pytest.mark.parametrize("name", known())
def test_every_limit_is_sourced(name):
    chip = Chip.load(name)
    assert chip.name == name
    assert set(chip.limits) == set(LIMITS)
    for limit in chip.limits.values():
        assert len(limit.source) > 10
    assert any(limit.inferred for limit in chip.limits.values())


def test_chips_that_come_along():
    assert known() == ("loihi1", "loihi2", "loihi2-128", "loihi2-152")
    loihi1, loihi2 = Chip.load("loihi1"), Chip.load("loihi2")
    assert (loihi1["neurons_per_core"], loihi2["neurons_per_core"]) == (1024, 4095)
    assert loihi1["synaptic_memory_words_per_core"] * loihi1["synaptic_memory_word_bits"] == 1048576
    assert (loihi1["programmable_neurons"], loihi2["programmable_neurons"]) == (False, True)
    with pytest.raises(TypeError):
        loihi2.limits["weight_bits"] = 9


def test_unknown_chip_names_the_known_ones():
    every = ", ".join(known())
    with pytest.raises(
        ChipError,
        match=rf"there is no chip 'loihi3'; there are {every}, or a \.toml table of your own",
    ):
        Chip.load("loihi3")
    with pytest.raises(ChipError, match=r"there is no chip '\.\./chips/loihi2'"):
        Chip.load("../chips/loihi2")


def test_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        TEXT.replace('name = "loihi2"', 'name = "mine"').replace("value = 4095", "value = 77")
    )
    chip = Chip.load(path)
    assert (chip.name, chip["neurons_per_core"]) == ("mine", 77)
    assert Chip.load(str(path)) == chip


def test_a_chip_that_extends_another_states_only_what_is_different(tmp_path):
    base = Chip.load("loihi2")
    for name, cores in (("loihi2-128", 128), ("loihi2-152", 152)):
        chip = Chip.load(name)
        assert chip["cores_per_chip"] == cores
        assert {n for n in LIMITS if chip.limits[n] != base.limits[n]} == {"cores_per_chip"}
        for end in ("value", "low", "high"):
            assert getattr(chip.static_power, end) == pytest.approx(
                getattr(base.static_power, end) * cores / 120, abs=0.05
            )
        assert chip.static_power.inferred

    path = tmp_path / "mine.toml"
    texts = 'name = "mine"\ntitle = "mine"\ngeneration = "loihi2"\nstepping = "none"\n'
    for wrong in ('"loihi3"', '"loihi2-128"', '"../chips/loihi2"', "3"):
        path.write_text(f"{texts}extends = {wrong}\n")
        with pytest.raises(ChipError, match="it must be the name of a chip whose table is whole"):
            Chip.load(path)
    path.write_text(f'{texts}extends = "loihi2"\n[weight_bit]\nvalue = 8\n')
    with pytest.raises(ChipError, match=r"\[weight_bit\] is unknown"):
        Chip.load(path)


def test_static_power_of_several_chips_and_no_more_than_is_published():
    power = Chip.load("loihi2").static_power
    assert (power.low, power.value, power.high) == (120, 232, 282)
    assert (power.of(3).low, power.of(3).value, power.of(3).high) == (360, 696, 846)


ENTRY = '[neurons_per_core]\nvalue = 4095\nunit = "neuron"\n'
BROKEN = {
    "no TOML": (lambda t: "[[[", "not TOML"),
    "no name": (lambda t: t.replace('name = "loihi2"', ""), "name is missing; it must be a text"),
    "empty title": (
        lambda t: t.replace('title = "Intel Loihi 2"', 'title = ""'),
        "title is ''; it must be a text",
    ),
    "missing": (
        lambda t: t.replace("[neurons_per_core]", "[neurons]"),
        "[neurons] is unknown; there must be exactly weight_bits",
    ),
    "absent": (
        lambda t: t[: t.index("[cores_per_chip]")],
        "[cores_per_chip] is missing; there must be exactly",
    ),
    "no table": (
        lambda t: "weight_bits = 8\n" + t.replace("[weight_bits]", "[other]"),
        "there must be exactly",
    ),
    "unknown key": (
        lambda t: t.replace(ENTRY, ENTRY + "colour = 1\n"),
        "[neurons_per_core]: must be a table with value, unit, source",
    ),
    "no source": (
        lambda t: t.replace(ENTRY, ENTRY + 'source = ""\n[x]\n').replace("[x]\nsource", "#"),
        "source is ''; it must be a text",
    ),
    "text": (
        lambda t: t.replace("value = 4095", 'value = "4095"'),
        "value is '4095'; it must be a whole number",
    ),
    "real": (
        lambda t: t.replace("value = 4095", "value = 4095.0"),
        "value is 4095.0; it must be a whole number",
    ),
    "boolean": (
        lambda t: t.replace("value = 4095", "value = true"),
        "value is True; it must be a whole number",
    ),
    "no boolean": (
        lambda t: t.replace("value = true", "value = 1"),
        "value is 1; it must be true or false",
    ),
    "zero": (
        lambda t: t.replace("value = 4095", "value = 0"),
        "value is 0; it must be a positive number",
    ),
    "negative": (
        lambda t: t.replace("value = 62", "value = -1"),
        "value is -1; it must be a number from 0",
    ),
    "unit": (
        lambda t: t.replace('unit = "neuron"', 'unit = "core"'),
        "unit is 'core'; it must be 'neuron'",
    ),
    "no stepping": (
        lambda t: t.replace("stepping = ", "step = "),
        "stepping is missing; it must be a text",
    ),
    "no power": (lambda t: t[: t.index("[static_power_mw]")], "[static_power_mw] is missing"),
    "power without a band": (
        lambda t: t.replace("low = 120.0\n", ""),
        "[static_power_mw]: must be a table with value, low, high",
    ),
    "band beside": (
        lambda t: t.replace("low = 120.0", "low = 240.0"),
        "they must be numbers from 0 in rising order",
    ),
    "power is none": (
        lambda t: t.replace("high = 282.0", "high = nan"),
        "they must be numbers from 0 in rising order",
    ),
    "inferred": (
        lambda t: t.replace("inferred = true", 'inferred = "yes"'),
        "inferred is 'yes'; it must be true or false",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_malformed_table_is_refused(tmp_path, case):
    change, message = BROKEN[case]
    path = tmp_path / "mine.toml"
    path.write_text(change(TEXT))
    with pytest.raises(ChipError) as error:
        Chip.load(path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(path))


def test_unreadable_table(tmp_path):
    with pytest.raises(ChipError, match="cannot be read: no such file"):
        Chip.load(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ChipError, match="is not UTF-8 text"):
        Chip.load(tmp_path / "bytes.toml")


def test_what_files_may_hold_follows_from_the_table_of_loihi2():
    chip = Chip.load("loihi2")
    words = chip["synaptic_memory_words_per_core"] * chip["cores_per_chip"]
    bits = min(chip["dense_bits_per_synapse"], chip["sparse_bits_per_synapse"])
    assert words * chip["synaptic_memory_word_bits"] // bits == limits.CHIP_SYNAPSES
    assert chip["neurons_per_core"] * chip["cores_per_chip"] == limits.CHIP_NEURONS
