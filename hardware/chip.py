"""Chips as data: number formats and limits of a Loihi-class chip, each with its unit and the place where it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hardware import _toml
from hardware.errors import ChipError

FOLDER = Path(__file__).parent / "chips"

LIMITS: Mapping[str, tuple[type, str]] = MappingProxyType({
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

_MAY_BE_NEGATIVE = ("weight_exponent_min",)
_MAY_BE_ZERO = ("weight_exponent_max", "bias_exponent_max", "delay_max_steps", "graded_spike_bits", "refractory_max_steps")


@dataclass(frozen=True)
class Limit:
    """One number of a chip; ``inferred`` where it was concluded, not stated, by the source."""

    value: int | bool
    unit: str
    source: str
    inferred: bool = False


@dataclass(frozen=True)
class Chip:
    """A chip: ``chip["neurons_per_core"]`` is a value, ``chip.limits["neurons_per_core"]`` the value with unit and source."""

    name: str
    title: str
    limits: Mapping[str, Limit]

    def __getitem__(self, name: str) -> int | bool:
        return self.limits[name].value

    @classmethod
    def load(cls, name_or_path: str | Path) -> Chip:
        """A chip by its name ("loihi2", "loihi1"), or from a table of one's own (a path that ends in .toml).

        Raises ChipError for an unknown name, listing those known, and for a table that is not as it should be.
        """
        path = Path(name_or_path)
        if path.suffix != ".toml":
            if str(name_or_path) not in known():
                raise ChipError(f"there is no chip {str(name_or_path)!r}; there are {', '.join(known())}, or a .toml table of your own")
            path = FOLDER / f"{name_or_path}.toml"
        return _read(path)


def known() -> tuple[str, ...]:
    """Names of the chips whose tables come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def _read(path: Path) -> Chip:
    table, texts = _toml.read(path, ChipError, ("name", "title"))
    _toml.exactly(path, ChipError, table, tuple(LIMITS))
    limits = {name: _limit(f"{path}: [{name}]", name, table[name]) for name in LIMITS}
    return Chip(**texts, limits=MappingProxyType(limits))


def _limit(where: str, name: str, entry) -> Limit:
    kind, unit = LIMITS[name]
    keys = {"value", "unit", "source", "inferred"}
    if not isinstance(entry, dict) or set(entry) - keys or keys - {"inferred"} - set(entry):
        raise ChipError(f"{where}: accepted is a table with value, unit, source and, where it applies, inferred")
    value = entry["value"]
    if type(value) is not kind:
        raise ChipError(f"{where}: value is {value!r}; accepted is {'true or false' if kind is bool else 'a whole number'}")
    if kind is int and name not in _MAY_BE_NEGATIVE and value < (0 if name in _MAY_BE_ZERO else 1):
        raise ChipError(f"{where}: value is {value!r}; accepted is a {'number from 0' if name in _MAY_BE_ZERO else 'positive number'}")
    if entry["unit"] != unit:
        raise ChipError(f"{where}: unit is {entry['unit']!r}; accepted is {unit!r}")
    if not isinstance(entry["source"], str) or len(entry["source"]) < 5:
        raise ChipError(f"{where}: source is {entry['source']!r}; accepted is a text that says where the value was read")
    if not isinstance(entry.get("inferred", False), bool):
        raise ChipError(f"{where}: inferred is {entry['inferred']!r}; accepted is true or false")
    return Limit(value, unit, entry["source"], entry.get("inferred", False))
