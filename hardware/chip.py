"""Chips as data: number formats, limits and static power of a Loihi-class chip, each with its unit
and the place where it was read.

A chip's table may extend another one's: ``extends = "loihi2"`` takes everything from there that it
does not state itself. So a stepping, or a count of cores that another source states, is a file of a
few lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hardware import _toml
from hardware.errors import ChipError

FOLDER = Path(__file__).parent / "chips"

LIMITS: Mapping[str, tuple[type[int] | type[bool], str]] = MappingProxyType({
    "weight_bits": (int, "bit"),
    "weight_exponent_min": (int, "power of two"),
    "weight_exponent_max": (int, "power of two"),
    "synapse_formats_per_core": (int, "format"),
    "current_decay_bits": (int, "bit"),
    "voltage_decay_bits": (int, "bit"),
    "state_bits": (int, "bit"),
    "threshold_bits": (int, "bit"),
    "bias_mantissa_bits": (int, "bit"),
    "bias_exponent_max": (int, "power of two"),
    "delay_max_steps": (int, "step"),
    "delay_on_convolution": (bool, "yes or no"),
    "graded_spike_bits": (int, "bit"),
    "refractory_max_steps": (int, "step"),
    "programmable_neurons": (bool, "yes or no"),
    "convolution_synapse": (bool, "yes or no"),
    "neurons_per_core": (int, "neuron"),
    "neuron_groups_per_core": (int, "group"),
    "input_axons_per_core": (int, "axon"),
    "output_axons_per_core": (int, "axon"),
    "output_axon_per_target_core": (bool, "yes or no"),
    "input_axons_of_convolution": (int, "axon"),
    "synaptic_memory_words_per_core": (int, "word"),
    "synaptic_memory_word_bits": (int, "bit"),
    "dense_bits_per_synapse": (int, "bit"),
    "sparse_bits_per_synapse": (int, "bit"),
    "delay_bits_per_synapse": (int, "bit"),
    "cores_per_chip": (int, "core"),
})  # fmt: skip
"""Every limit that a chip's table must state: name → (type of its value, unit)."""

STATIC_POWER = "static_power_mw"
"""The one entry of a table that is no limit: a band, not a number."""

TEXTS = ("name", "title", "generation", "stepping")

_MAY_BE_NEGATIVE = ("weight_exponent_min",)
_MAY_BE_ZERO = (
    "weight_exponent_max",
    "bias_exponent_max",
    "delay_max_steps",
    "graded_spike_bits",
    "refractory_max_steps",
)


@dataclass(frozen=True)
class Limit:
    """One number of a chip; ``inferred`` where it was concluded, not stated, by the source."""

    value: int | bool
    unit: str
    source: str
    inferred: bool = False


@dataclass(frozen=True)
class StaticPower:
    """What one whole chip takes while it does nothing, milliwatts; ``low`` and ``high``: other
    published readings."""

    value: float
    low: float
    high: float
    source: str
    inferred: bool = False

    def of(self, chips: int) -> StaticPower:
        """Of several whole chips: a core that is not used leaks, too."""
        return StaticPower(
            self.value * chips, self.low * chips, self.high * chips, self.source, self.inferred
        )


@dataclass(frozen=True)
class Chip:
    """A chip: ``chip["neurons_per_core"]`` is a value, ``chip.limits["neurons_per_core"]`` the
    value with unit and source.

    generation    "loihi1", "loihi2": measured tasks and chips of one generation are compared
    stepping      which silicon the table is of, as far as its sources say
    static_power  of the whole chip
    """

    name: str
    title: str
    generation: str
    stepping: str
    limits: Mapping[str, Limit]
    static_power: StaticPower

    def __getitem__(self, name: str) -> int | bool:
        return self.limits[name].value

    @classmethod
    def load(cls, name_or_path: str | Path) -> Chip:
        """A chip by its name (see ``known``), or from a table of one's own (a path that ends in
        .toml).

        Raises ChipError for an unknown name, listing those known, and for a table that is not as it
        should be.
        """
        path = Path(name_or_path)
        if path.suffix != ".toml":
            if str(name_or_path) not in known():
                raise ChipError(
                    f"there is no chip {str(name_or_path)!r}; there are {', '.join(known())}, or a "
                    f".toml table of your own"
                )
            path = FOLDER / f"{name_or_path}.toml"
        return _read(path)


def known() -> tuple[str, ...]:
    """Names of the chips whose tables come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def _read(path: Path) -> Chip:
    table, texts = _complete(path)
    _toml.exactly(path, ChipError, table, (*LIMITS, STATIC_POWER))
    limits = {name: _limit(f"{path}: [{name}]", name, table[name]) for name in LIMITS}
    power = _static_power(f"{path}: [{STATIC_POWER}]", table[STATIC_POWER])
    return Chip(**texts, limits=MappingProxyType(limits), static_power=power)


def _complete(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The table with what it takes from the one that it extends. A chip that is extended extends
    none itself."""
    table, texts = _toml.read(path, ChipError, TEXTS)
    base = table.pop("extends", None)
    if base is None:
        return table, texts
    if base not in known() or "extends" in (
        lent := _toml.read(FOLDER / f"{base}.toml", ChipError, ())[0]
    ):
        raise ChipError(
            f"{path}: extends is {base!r}; it must be the name of a chip whose table is whole"
        )
    return {name: entry for name, entry in lent.items() if name not in TEXTS} | table, texts


def _static_power(where: str, entry: Any) -> StaticPower:
    keys = {"value", "low", "high", "source"}
    if not isinstance(entry, dict) or set(entry) - {*keys, "inferred"} or keys - set(entry):
        raise ChipError(
            f"{where}: must be a table with value, low, high, source and, where it applies, "
            f"inferred"
        )

    ends = [entry[name] for name in ("low", "value", "high")]
    numbers = all(type(end) in (int, float) and math.isfinite(end) and end >= 0 for end in ends)
    if not numbers or sorted(ends) != ends:
        raise ChipError(
            f"{where}: low, value and high are {ends}; they must be numbers from 0 in rising order"
        )

    _check_provenance(where, entry)
    return StaticPower(
        float(entry["value"]),
        float(entry["low"]),
        float(entry["high"]),
        entry["source"],
        entry.get("inferred", False),
    )


def _limit(where: str, name: str, entry: Any) -> Limit:
    kind, unit = LIMITS[name]
    keys = {"value", "unit", "source", "inferred"}
    if not isinstance(entry, dict) or set(entry) - keys or keys - {"inferred"} - set(entry):
        raise ChipError(
            f"{where}: must be a table with value, unit, source and, where it applies, inferred"
        )

    value: Any = entry["value"]
    if type(value) is not kind:
        raise ChipError(
            f"{where}: value is {value!r}; it must be "
            f"{'true or false' if kind is bool else 'a whole number'}"
        )
    if kind is int and name not in _MAY_BE_NEGATIVE and value < (0 if name in _MAY_BE_ZERO else 1):
        raise ChipError(
            f"{where}: value is {value!r}; it must be a "
            f"{'number from 0' if name in _MAY_BE_ZERO else 'positive number'}"
        )
    if entry["unit"] != unit:
        raise ChipError(f"{where}: unit is {entry['unit']!r}; it must be {unit!r}")

    _check_provenance(where, entry)
    return Limit(value, unit, entry["source"], entry.get("inferred", False))


def _check_provenance(where: str, entry: dict[str, Any]) -> None:
    if not isinstance(entry["source"], str) or len(entry["source"]) < 5:
        raise ChipError(
            f"{where}: source is {entry['source']!r}; it must be a text that says where the value "
            f"was read"
        )
    if not isinstance(entry.get("inferred", False), bool):
        raise ChipError(f"{where}: inferred is {entry['inferred']!r}; it must be true or false")
