"""Names in a file of weights → names in a model: what is certain is renamed or left out and
said."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from export.errors import ModelError
from export.frameworks.snntorch_neurons import STATES, kind_of
from export.frameworks.weight_files import listed

YOUNGER = ("reset_mechanism_val", "graded_spikes_factor")
"""Buffers of snnTorch's neurons that files of its older versions lack."""


def fill(model: nn.Module, weights: dict[str, torch.Tensor], path: Path) -> list[str]:
    """Load weights into a model; a line for everything that was renamed, left out or kept.

    Every entry of the model must be there, no other may be, shapes must be equal, and values must
    survive the change of type; except that

        a prefix which all names of the model have in the file is taken off;
        hidden states of snnTorch's neurons (``lif1.mem``), which older versions saved, are left
        out; ``reset_mechanism_val`` and ``graded_spikes_factor``, which they lack, stay the model's
        own.

    Raises ModelError that names what does not fit.
    """
    kinds = {name: kind_of(module) for name, module in model.named_modules()}
    neurons = {name: kind for name, kind in kinds.items() if kind is not None and kind in STATES}
    places = {name: f"{name}." if name else "" for name in neurons}
    younger = {place + buffer for place in places.values() for buffer in YOUNGER}
    states = {places[name] + state for name, kind in neurons.items() for state in STATES[kind]}

    own = model.state_dict()
    weights, notes = _without_prefix(weights, own.keys() - younger, path)
    hidden = weights.keys() & states - own.keys()
    if hidden:
        notes.append(
            f"{path.name}: hidden states {listed(hidden)} left out; a run starts from zero"
        )
        weights = {name: value for name, value in weights.items() if name not in hidden}
    kept = own.keys() & younger - weights.keys()
    if kept:
        listing = listed(f"{name} = {own[name].tolist()}" for name in kept)
        notes.append(f"{path.name}: of an older snnTorch; kept as the model has it: {listing}")
        weights = {**weights, **{name: own[name] for name in kept}}

    _check(own, weights, path)
    model.load_state_dict(weights)
    return notes


def _without_prefix(
    weights: dict[str, torch.Tensor], needed: set[str], path: Path
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The weights without a prefix that all needed names have. Two such prefixes: left as it is."""
    if not needed or needed <= weights.keys():
        return weights, []
    one = min(needed)
    prefixes = {name.removesuffix(one) for name in weights if name.endswith(f".{one}")}
    fitting = [p for p in sorted(prefixes) if all(p + name in weights for name in needed)]
    if len(fitting) != 1:
        return weights, []
    prefix = fitting[0]
    renamed = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
    others = {n: v for n, v in weights.items() if not n.startswith(prefix)}
    if renamed.keys() & others.keys():
        return weights, []
    count = f"{len(renamed)} name{'s' * (len(renamed) > 1)}"
    return renamed | others, [f"{path.name}: prefix {prefix!r} taken off {count}"]


def _check(own: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], path: Path) -> None:
    missing, extra = own.keys() - weights.keys(), weights.keys() - own.keys()
    if missing or extra:
        parts = [f"lacks {listed(missing)}"] if missing else []
        parts += [f"has {listed(extra)}, which the model does not have"] if extra else []
        raise ModelError(
            f"{path}: {'; '.join(parts)}; the names must be the model's {len(own)}, all with the "
            "same prefix if with one"
        )
    for name, target in own.items():
        _check_entry(f"{path}: {name!r}", weights[name], target)


def _check_entry(where: str, value: torch.Tensor, target: torch.Tensor) -> None:
    if value.shape != target.shape:
        raise ModelError(
            f"{where} has shape {tuple(value.shape)}; the model's is {tuple(target.shape)}"
        )
    if value.layout != torch.strided or value.is_quantized:
        raise ModelError(f"{where} is a sparse or quantised tensor; it must be a plain one")
    kinds = (value.is_complex(), value.is_floating_point())
    if kinds != (target.is_complex(), target.is_floating_point()):
        raise ModelError(f"{where} has type {value.dtype}; the model's is {target.dtype}")
    if not torch.equal(value.to(target.dtype).to(value.dtype), value):
        raise ModelError(
            f"{where} has type {value.dtype}, and its values (or NaN among them) do not survive as "
            f"the model's {target.dtype}"
        )
