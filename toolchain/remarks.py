"""Warnings: a result that can be computed, and yet looks like a mistake. Each says what it looks
like.

They change no number and no exit code; commands print them, and their JSON holds them as
``warnings``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hardware.parameters import parameter
from toolchain.statistics import wilson

if TYPE_CHECKING:
    from export.audit import Audit


@dataclass(frozen=True)
class Remark:
    """name: for programs; message: for people."""

    name: str
    message: str

    def to_dict(self) -> dict[str, str]:
        """Plain JSON values."""
        return asdict(self)


def of_model(audit: Audit | None) -> list[Remark]:
    """What looks like a mistake in the model, or in how it is read; see
    ``export.audit.Audit.warnings``."""
    return [] if audit is None else [Remark("reading", text) for text in audit.warnings]


def silence(spikes: Mapping[str, float | None], inputs: Sequence[str], over: str) -> list[Remark]:
    """Layers that never spike.

    spikes   layer → spikes of all samples (or their mean); None for layers that do not spike by
             design
    inputs   those of them that are inputs
    over     what was run, such as "20 samples of 8 steps"
    """
    counted = {name: value for name, value in spikes.items() if value is not None}
    empty = [name for name in inputs if counted.get(name) == 0]
    if empty and len(empty) == len(inputs):
        return [
            Remark(
                "silent_input",
                f"the input {_names(empty)} is all zero in {over}: it looks like data of another "
                f"scale, or none",
            )
        ]

    layers = {name: value for name, value in counted.items() if name not in inputs}
    silent = [name for name, value in layers.items() if value == 0]
    if not silent:
        return []

    likely = (
        "a threshold or scale of inputs other than in training (grey levels, time step, unit of a "
        "parameter), or weights not loaded"
    )
    if len(silent) == len(layers):
        return [Remark("never_spikes", f"no neuron spikes in {over}: it looks like {likely}")]

    message = (
        f"layer {_names(silent)} never spikes in {over}, so nothing behind it sees the input: "
        f"it looks like {likely}"
    )
    return [Remark("silent_layers", message)]


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def chance(correct: int, samples: int, classes: int) -> list[Remark]:
    """A clean accuracy that guessing would also give: its 95 % interval reaches down to one in
    ``classes``."""
    if classes < 2 or not samples:
        return []
    low, high = wilson(correct, samples)
    if low > 1 / classes:
        return []

    message = f"{correct} of {samples} samples are classified correctly"
    if high < 1 / classes:
        return [
            Remark(
                "below_chance",
                f"{message}, fewer than by guessing among {classes} classes: it looks like labels "
                f"in another order",
            )
        ]

    likely = (
        "labels in another order, inputs laid out or scaled otherwise than in training "
        f"({parameter('input_scale')}, {parameter('fraction_bits')}, docs/running.md), or weights "
        "not loaded"
    )
    few = "; so few samples cannot tell" if samples < 5 * classes else ""

    return [
        Remark(
            "near_chance",
            f"{message}, which guessing among {classes} classes would also give{few}: "
            f"it looks like {likely}",
        )
    ]


def time_first(samples: int, steps: int, stated: int | None) -> list[Remark]:
    """Inputs [sample, step, ...] whose first axis is as long as the model's sample, and whose
    second is not."""
    if stated is None or samples != stated or steps == stated:
        return []
    message = f"{samples} samples of {steps} steps, and the model was trained with {stated} steps"
    return [
        Remark(
            "time_first",
            f"{message}: it looks like [step, sample, ...]; inputs must be [sample, step, ...]",
        )
    ]
